"""handcraft build-vlad, and indexing and asking by vectors: what they print, and how they end."""

from __future__ import annotations

import re
from pathlib import Path

from commands import run, sentence

import handcraft
from handcraft.vocabulary.vlad import read_vlad

AMOUNT = r"[\d.]+ (bytes|[KM]B)"


def test_a_model_is_learned_and_used(own: Path) -> None:
    outcome = run("build-vlad", ".handcraft", "--output", "model.h5", "--words", "4", "--dimension", "3")
    pattern = (
        r"Vectors of 3 numbers, from 4 words, learned on 10 photos in \d+\.\d s, written to model\.h5\.\n"
    )
    assert re.fullmatch(pattern, outcome.out)
    assert outcome.err == ""
    run("index", "photos", "--method", "vlad", "--vlad-model", "model.h5", "--store", "vectors")
    assert handcraft.open("vectors").info().methods == {"vlad": {"dimension": 3, "half": False}, "bow": {}}
    assert re.search(
        r"^votes by +vlad \(3 numbers of 1 B\), bow$", run("info", "--store", "vectors").out, re.M
    )


def test_a_model_in_json(own: Path) -> None:
    options = ("--power", "1", "--intra", "--no-residual-norm", "--photos", "9", "--sample", "500")
    data = run(
        *("build-vlad", ".handcraft", "--output", "model.h5", "--words", "4", "--dimension", "3"),
        *(*options, "--seed", "5", "--json"),
    ).data
    assert data.pop("seconds") > 0
    assert data == {
        "written": "model.h5",
        "words": 4,
        "dimension": 3,
        "photos": 10,
        "descriptors": 500,
        "bytes": (own / "model.h5").stat().st_size,
    }
    learned = read_vlad(own / "model.h5").training
    assert (learned.power, learned.intra, learned.residual_norm) == (1, True, False)
    assert (learned.photos, learned.sample, learned.seed) == (9, 500, 5)


def test_what_cannot_be_learned(own: Path) -> None:
    assert sentence(run("build-vlad", ".handcraft", "--output", "model.h5", code=1)) == (
        "10 photos are too few to learn 256 dimensions from; give more photos or a smaller --dimension."
    )
    text = sentence(run("build-vlad", "nowhere", "--output", "model.h5", code=1))
    assert text.startswith("There is no store at ")
    text = sentence(
        run("build-vlad", ".handcraft", "--output", "model.h5", "--dimension", "3", "--power", "2", code=1)
    )
    assert text == "power=2.0 is not above 0 and at most 1; give 0.5, for example."
    assert not (own / "model.h5").exists()


def test_vectors_beside_what_is_there(own: Path) -> None:
    run("index", "photos", "--method", "vlad", "--dimension", "64", "--half")
    text = run("info").out
    assert re.search(r"^votes by +asmk \(128 bits\), bow, vlad \(64 numbers of 2 B\)$", text, re.MULTILINE)
    assert re.search(rf"signatures, {AMOUNT} for vectors, {AMOUNT} for features$", text, re.MULTILINE)
    hits = run("query", "photos/scene-3.jpg", "--method", "vlad", "--json").data["hits"]
    assert hits[0]["name"].endswith("scene-3.jpg")
    assert 0.99 < hits[0]["score"] <= 1
    text = sentence(run("index", "photos", "--vlad-model", "absent.h5", code=1))
    assert "absent.h5" in text
