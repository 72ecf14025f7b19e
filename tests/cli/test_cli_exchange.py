"""handcraft import-features and export-features: what they print, and how they end."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from commands import Outcome, run, run_process, sentence

import handcraft

PHOTOS = 10
WORDS = ("--words", "300")


@pytest.fixture
def exported(own: Path) -> Path:
    """A copy of the collection as the current folder, with the features of its photos beside them."""
    run("export-features", "features.h5", "--root", "photos")
    return own


def imported(*arguments: str, code: int = 0) -> Outcome:
    return run("import-features", "features.h5", "photos", *arguments, code=code)


def in_seconds(text: str) -> str:
    return re.sub(r"\d+\.\d s", "SECONDS", text)


def change(**arrays: np.ndarray) -> None:
    """Replace arrays of scene-0.jpg in the file of features."""
    with h5py.File("features.h5", "r+") as file:
        for name, array in arrays.items():
            del file["scene-0.jpg"][name]
            file["scene-0.jpg"][name] = array


def only_points() -> None:
    """Leave nothing in the file but what most networks give."""
    with h5py.File("features.h5", "r+") as file:
        for folder in (file, file["views"]):
            for name in [name for name in folder if name.endswith(".jpg")]:
                for array in ("shapes", "scales", "oris"):
                    del folder[name][array]


# --- export ---


def test_features_are_exported(own: Path) -> None:
    outcome = run("export-features", "features.h5")
    assert (outcome.out, outcome.err) == ("Features of 10 photos written to features.h5.\n", "")
    with h5py.File("features.h5") as file:
        assert sorted(file["photos/views"]) == ["near.jpg", "turned.jpg"]
    assert run("export-features", "again.h5", "--root", "photos", "--json").data == {
        "written": "again.h5",
        "photos": PHOTOS,
    }
    with h5py.File("again.h5") as file:
        assert {"keypoints", "descriptors", "shapes", "scales", "oris"} < set(file["views/near.jpg"])


def test_what_cannot_be_exported(own: Path) -> None:
    assert sentence(run("export-features", "features.h5", "--store", "absent", code=1)).startswith(
        "There is no store at "
    )
    run("index", "photos", "--store", "bare", "--no-keep-features")
    text = sentence(run("export-features", "features.h5", "--store", "bare", code=1))
    assert "keeps no features of 10 of its photos" in text
    text = sentence(run("export-features", "query.jpg/features.h5", code=1))
    assert text.startswith("query.jpg/features.h5 cannot be written: ")
    assert not (own / "features.h5").exists()
    assert "Missing argument 'OUTPUT'" in run("export-features", code=2).err


# --- import ---


def test_features_are_imported_under_a_name(exported: Path) -> None:
    outcome = imported("--name", "mine", *WORDS, "--store", "mine")
    assert in_seconds(outcome.out) == (
        "10 photos added, 0 updated, 0 unchanged in SECONDS; mine holds 10 photos.\n"
        "Its 300 words were trained on these very features.\n"
    )
    assert outcome.err == ""
    again = imported("--store", "mine")
    assert in_seconds(again.out) == (
        "0 photos added, 0 updated, 10 unchanged in SECONDS; mine holds 10 photos.\n"
    )
    assert re.search(
        r"^features .* of mine \(128 x uint8, .*name=mine", run("info", "--store", "mine").out, re.M
    )
    hits = run(
        *("query", "photos/scene-3.jpg", "--features", "features.h5", "--verify", "--store", "mine", "--json")
    ).data["hits"]
    assert hits[0]["name"].endswith("scene-3.jpg")
    assert hits[0]["inliers"] > 20
    text = sentence(run("query", "photos/scene-3.jpg", "--store", "mine", code=1))
    assert "which handcraft cannot compute" in text
    assert "--features" in text
    assert run("check", "--store", "mine").code == 0


def test_handcrafts_own_features_are_imported_as_such(exported: Path) -> None:
    outcome = imported("--extractor", "hessian-affine", "--store", "again")
    assert in_seconds(outcome.out) == (
        "10 photos added, 0 updated, 0 unchanged in SECONDS; again holds 10 photos.\n"
    )
    queries = [
        run("query", "query.jpg", "--verify", "--json", "--store", store).data["hits"]
        for store in (".handcraft", "again")
    ]
    assert queries[0] == queries[1]


def test_json_of_an_import(exported: Path) -> None:
    data = imported("--name", "mine", *WORDS, "--store", "mine", "--json").data
    assert data.pop("seconds") > 0
    assert data == {
        "store": str(exported / "mine"),
        "photos": PHOTOS,
        "added": PHOTOS,
        "updated": 0,
        "unchanged": 0,
        "featureless": [],
        "unreadable": [],
        "unused": 0,
        "words_trained": 300,
        "points": False,
    }


def test_photos_of_one_side_only_are_code_3(exported: Path) -> None:
    shutil.copy("photos/scene-1.jpg", "photos/new.jpg")
    Path("photos/scene-2.jpg").unlink()
    change(image_size=np.array([240, 320]))
    outcome = imported("--extractor", "hessian-affine", "--store", "again", code=3)
    assert in_seconds(outcome.out) == (
        "8 photos added, 0 updated, 0 unchanged in SECONDS; again holds 8 photos.\n"
    )
    assert outcome.err.splitlines() == [
        "Not below photos: 1 photo of features.h5.",
        "2 photos could not be read:",
        f"  features.h5 has no features for {exported / 'photos' / 'new.jpg'}.",
        "  features.h5 has features of 240 x 320 pixels for scene-0.jpg, but photos/scene-0.jpg has 320 x "
        "240; they are of another photo, or of one that was not turned as its EXIF says.",
    ]
    data = imported("--extractor", "hessian-affine", "--store", "again", "--json", code=3).data
    assert (data["added"], data["unchanged"], data["unused"], len(data["unreadable"])) == (0, 8, 1, 2)


def test_points_are_said_to_be_that(exported: Path) -> None:
    only_points()
    outcome = imported("--name", "net", *WORDS, "--store", "net")
    assert outcome.out.splitlines()[1:] == [
        "Its 300 words were trained on these very features.",
        "The features are points: photos are verified by maps of pairs of them.",
    ]
    assert imported("--store", "net", "--json").data["points"]
    hits = run(
        *("query", "photos/scene-3.jpg", "--features", "features.h5", "--verify", "--store", "net", "--json")
    ).data["hits"]
    assert hits[0]["name"].endswith("scene-3.jpg")
    assert hits[0]["inliers"] > 20


def test_fewer_features_without_an_extractor_are_still_those_of_the_file(exported: Path) -> None:
    """Options of features do not make them handcraft's own."""
    imported("--name", "mine", "--max-features", "40", *WORDS, "--store", "mine")
    fingerprint = handcraft.open("mine").info().fingerprint
    assert fingerprint.startswith("mine (128 x uint8")
    assert "max_features=40" in fingerprint
    assert sum(segment.features for segment in handcraft.open("mine").info().segments) == 40 * PHOTOS
    text = sentence(imported("--max-features", "50", "--store", "mine", code=1))
    assert "the options ask for mine (128 x uint8" in text


def test_a_vocabulary_is_named(exported: Path) -> None:
    imported("--name", "mine", *WORDS, "--store", "mine")
    run("build-vocab", "--from", "mine", "--words", "50", "--output", "words.h5", "--store", "beside")
    outcome = imported("--name", "mine", "--vocabulary", "words.h5", "--store", "other")
    assert "trained" not in outcome.out
    assert handcraft.open("other").info().words == 50
    run("build-vocab", "--from", "mine", "--words", "60", "--store", "mine")
    assert handcraft.open("mine").info().words == 60
    text = sentence(imported("--vocabulary", "words.h5", "--store", "mine", code=1))
    assert "has a vocabulary of 60 words of its own, not the 50 of words.h5" in text


def test_a_vocabulary_is_trained_on_a_sample(exported: Path) -> None:
    imported("--name", "mine", *WORDS, "--sample", "700", "--store", "mine")
    assert handcraft.open("mine").info().training.descriptors == 700


def test_an_evaluation_by_features(exported: Path) -> None:
    imported("--name", "mine", *WORDS, "--store", "mine")
    Path("truth.json").write_text(
        json.dumps({"scene-3.jpg": ["photos/scene-3.jpg", "photos/views/near.jpg"]})
    )
    arguments = (
        "evaluate",
        "--ground-truth",
        "truth.json",
        "--queries",
        "photos",
        "--store",
        "mine",
        "--json",
    )
    report = run(*arguments, "--features", "features.h5").data
    assert 0.5 < report["mean_average_precision"] <= 1
    assert "which handcraft cannot compute" in sentence(run(*arguments, code=1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("absent.h5", "photos"), "There is no file of features at absent.h5; check its name."),
        (("query.jpg", "photos"), "query.jpg does not tell what kind of feature file it is; say which: "),
        (
            ("features.h5", "photos", "--kind", "vlfeat"),
            "There is no kind of feature file 'vlfeat'; known are ",
        ),
        (("features.h5", "photos", "--kind", "colmap"), "features.h5 is not an SQLite file; name COLMAP's "),
        (("photos", "photos"), "photos has neither .npz nor .delf files; name a folder that has a file for "),
        (("features.h5", "."), "None of the 10 photos of features.h5, such as scene-0.jpg, is below ., "),
        (("features.h5", "photos/scene-0.jpg"), "photos/scene-0.jpg is no folder; name the folder that "),
        (("features.h5", "absent"), "There is no file or folder absent; check the name."),
        (("features.h5", "photos"), "The store "),  # is of handcraft's own features
        (("features.h5", "photos", "--store", "new", "--words", "60000"), "4,214 descriptors are too few "),
        (("features.h5", "photos", "--store", "new", "--words", "1"), "A vocabulary of 1 words cannot be "),
        (
            ("features.h5", "photos", "--store", "new", "--extractor", "surf"),
            "There is no extractor 'surf'; ",
        ),
        (
            ("features.h5", "photos", "--store", "new", "--vocabulary", "absent.h5"),
            "absent.h5 is missing.",
        ),
        (
            ("features.h5", "photos", "--store", "new", "--extractor", "sift", "--name", "mine"),
            "The features are said to be those of mine and of the extractor sift; leave ",
        ),
    ],
)
def test_what_cannot_be_imported(arguments: tuple[str, ...], message: str, exported: Path) -> None:
    before = (exported / ".handcraft" / "manifest.json").read_bytes()
    text = sentence(run("import-features", *arguments, code=1))
    assert text.startswith(message)
    assert (exported / ".handcraft" / "manifest.json").read_bytes() == before
    assert not (exported / "new" / "manifest.json").exists()


def test_an_import_needs_a_file_and_a_folder(exported: Path) -> None:
    assert "Missing argument 'FILE'" in run("import-features", code=2).err
    assert "Missing argument 'IMAGES'" in run("import-features", "features.h5", code=2).err
    assert "--set name is not NAME=VALUE" in imported("--set", "name", code=2).err


def test_a_damaged_file_is_a_sentence_in_a_pipe(exported: Path) -> None:
    Path("features.h5").write_bytes(Path("features.h5").read_bytes()[:-9000])
    outcome = run_process("import-features", "features.h5", "photos", "--store", "new", code=1)
    assert sentence(outcome) == "features.h5 is truncated or damaged; copy or compute it again."
    assert not (exported / "new").exists()


def test_a_query_that_the_file_lacks(exported: Path) -> None:
    assert sentence(run("query", "query.jpg", "--features", "features.h5", code=1)) == (
        "features.h5 has no features for query.jpg; its 10 photos have names such as scene-0.jpg."
    )
