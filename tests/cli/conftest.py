"""The folders in which the tests of the command line stand."""

from __future__ import annotations

from pathlib import Path

import pytest
from photographs import copy_of


@pytest.fixture
def here(collection: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The collection as the current folder; nobody may change it."""
    monkeypatch.delenv("HANDCRAFT_STORE", raising=False)
    monkeypatch.chdir(collection)
    return collection


@pytest.fixture
def own(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the collection that the test may change, as the current folder."""
    own = copy_of(here, tmp_path)
    monkeypatch.chdir(own)
    return own
