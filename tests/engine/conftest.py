"""The stores that the tests of the engine ask and change."""

from __future__ import annotations

from pathlib import Path

import pytest
from photographs import copy_of

import handcraft


@pytest.fixture(scope="session")
def store(collection: Path) -> handcraft.Store:
    """The whole collection; nobody writes to it."""
    return handcraft.open(collection / ".handcraft")


@pytest.fixture
def own(collection: Path, tmp_path: Path) -> Path:
    """A copy of the collection that the test may change."""
    return copy_of(collection, tmp_path)
