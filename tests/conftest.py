"""What the tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The development photographs; a test that needs them is skipped without them."""
    folder = os.environ.get("HANDCRAFT_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("HANDCRAFT_DATA does not name the folder of the development photographs")
    return Path(folder)
