"""Being a common user for a while: root may read and write what others may not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

NOBODY = 65534


@contextmanager
def a_common_user() -> Iterator[None]:
    """Give up root's rights inside the ``with`` block."""
    if os.name != "posix":
        pytest.skip("needs a POSIX file system's permissions")
    if os.geteuid() != 0:
        yield
        return
    try:
        os.seteuid(NOBODY)
    except OSError:
        pytest.skip("root here cannot become another user")
    try:
        yield
    finally:
        os.seteuid(0)
