"""What an interrupted run has found is found again."""

from __future__ import annotations

from pathlib import Path

import pytest

from handcraft.errors import HandcraftError
from handcraft.storage.journal import Journal, key_of

VALUES = [[1, [2, 3]], {"a": None}, "text"]


@pytest.mark.parametrize("torn", ["", "[5", '{"b": '])
def test_values_come_back(tmp_path: Path, torn: str) -> None:
    """All but one that was being written when the run ended."""
    journal = Journal(tmp_path / "j", "key")
    assert list(journal.read()) == []
    for value in VALUES:
        journal.append(value)
    with journal.path.open("a") as file:
        file.write(torn)
    again = Journal(tmp_path / "j", "key")
    assert list(again.read()) == VALUES
    again.append(7)
    assert list(Journal(tmp_path / "j", "key").read()) == [*VALUES, 7]


def test_another_key_begins_anew(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", "key")
    assert list(journal.read()) == []
    journal.append(1)
    assert list(Journal(tmp_path / "j", "other").read()) == []
    assert list(Journal(tmp_path / "j", "key").read()) == []


def test_a_journal_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "j").write_bytes(b"\xff\xfe")
    with pytest.raises(HandcraftError, match=r"j cannot be read \(.*\); remove it\.$"):
        list(Journal(tmp_path / "j", "key").read())


def test_a_journal_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "j").mkdir()
    with pytest.raises(HandcraftError, match=r"j cannot be written"):
        Journal(tmp_path / "j", "key").append(1)


def test_keys_tell_facts_apart() -> None:
    facts = {"depth": 100, "path": Path("x")}
    assert key_of(facts) == key_of(dict(facts))
    assert len({key_of(facts), key_of({**facts, "depth": 200}), key_of(facts, 1)}) == 3
