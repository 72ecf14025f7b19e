"""What the tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings
from photographs import write_photos

import handcraft

# The same examples on every run: a red run is red for everybody, and leaves no folder behind.
settings.register_profile("handcraft", database=None, deadline=None, derandomize=True)
settings.load_profile("handcraft")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The development photographs; a test that needs them is skipped without them."""
    folder = os.environ.get("HANDCRAFT_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("HANDCRAFT_DATA does not name the folder of the development photographs")
    return Path(folder)


@pytest.fixture(scope="session")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of write_photos with its store; nobody may change it."""
    folder = write_photos(tmp_path_factory.mktemp("collection"))
    handcraft.open(folder / ".handcraft").add(folder / "photos")
    return folder
