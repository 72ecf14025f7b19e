"""handcraft pairs: what it writes, and what it says."""

from __future__ import annotations

import re
from pathlib import Path

from commands import run, sentence

import handcraft
from handcraft.options import IndexOptions

SAME_SCENE = {"scene-3.jpg", "views/near.jpg"}


def test_pairs_of_a_store(own: Path) -> None:
    outcome = run("pairs", "pairs.txt", "--root", "photos")
    lines = (own / "pairs.txt").read_text().splitlines()
    assert any(set(line.split()) == SAME_SCENE for line in lines)
    photos = len(handcraft.open(own / ".handcraft"))
    alone = photos - len({name for line in lines for name in line.split()})
    pairs = "1 pair" if len(lines) == 1 else f"{len(lines)} pairs"
    assert re.sub(r"\d+\.\d s", "SECONDS", outcome.out) == (
        f"{pairs} of {photos} photos in SECONDS; {alone} without a partner.\n"
    )
    assert outcome.err == "Written: pairs.txt\n"


def test_json(own: Path) -> None:
    data = run("pairs", "pairs.txt", "--json", "--verify-with", "descriptors", "--partners", "1").data
    written = (own / "pairs.txt").read_text().splitlines()
    assert data["output"] == "pairs.txt"
    assert data["pairs"] == len(written) > 0
    assert (data["resumed"], data["unreadable"]) == (0, [])
    assert data["photos"] == len(data["alone"]) + len({name for line in written for name in line.split()})


def test_photos_that_cannot_be_read_are_code_3(own: Path) -> None:
    store = handcraft.open(own / "other")
    store.add(own / "photos", options=IndexOptions(keep_features=False))
    (own / "photos" / "scene-1.jpg").unlink()
    outcome = run("pairs", "pairs.txt", "--store", "other", code=3)
    assert outcome.err.splitlines()[1] == "1 photo could not be read:"
    assert "There is no photo at " in outcome.err
    assert (own / "pairs.txt").exists()


def test_an_output_that_cannot_be(own: Path) -> None:
    (own / "file").write_text("")
    assert "file" in sentence(run("pairs", "file/pairs.txt", code=1))
