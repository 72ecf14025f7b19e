"""A data set from its photos to its figures, in as many runs as it takes."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photographs import SCENES, blank_wall, save, scene

import handcraft
from handcraft.engine import benchmarking
from handcraft.engine.benchmarking import RANKINGS, BenchmarkOptions, open_material, run_benchmark
from handcraft.errors import EvaluationError, HandcraftError, PhotoError
from handcraft.evaluation.datasets import Dataset, Material
from handcraft.features.images import read_colour

PHOTOS = SCENES + 2
OWN = Dataset("Own", "photos", ".", "truth.json")
TRUTH = {"query.jpg": ["scene-3.jpg", "near.jpg", "turned.jpg"], "photos/scene-1.jpg": ["scene-1.jpg"]}
SOME = BenchmarkOptions(("asmk", "asmk+sp"))


@pytest.fixture
def material(own: Path) -> Material:
    (own / "truth.json").write_text(json.dumps(TRUTH))
    return open_material(OWN, own)


def figures(results: dict[str, Any], title: str, extractor: str = "hessian-affine") -> Any:
    return results["extractors"][extractor]["rankings"][title]


def test_the_figures_are_those_of_the_store(material: Material, own: Path, tmp_path: Path) -> None:
    results = run_benchmark(material, tmp_path / "out", SOME)
    assert (results["photos"], results["queries"]) == (PHOTOS, 2)
    assert results == json.loads((tmp_path / "out" / "results.json").read_text())
    store = handcraft.open(own / ".handcraft")
    for name in SOME.rankings:
        found, report = (
            figures(results, RANKINGS[name].title),
            store.evaluate(own, own / "truth.json", options=RANKINGS[name].query),
        )
        level = found["levels"][""]
        assert level["mAP"] == report.mean_average_precision
        assert level["mean precision"]["1"] == report.mean_precision(1)
        assert set(level["queries"]) == set(TRUTH)
        query = level["queries"]["query.jpg"]
        assert query["positives"] == 3
        assert query["ranks"][0] == 1
        marks = {Path(photo).name: mark for photo, mark in query["first"]}
        assert {photo for photo, mark in marks.items() if mark == "right"} <= set(TRUTH["query.jpg"])
        assert all(photo.startswith("photos/") for photo, _ in query["first"])
        assert found["milliseconds"] > 0
    assert figures(results, "ASMK* + SP")["query"]["verify"]
    made = results["extractors"]["hessian-affine"]["store"]
    assert made["seconds"]["indexing"] > 0
    assert made["bytes"]["index"] > 0
    assert made["features"]["extractor"] == "hessian-affine"


class InterruptionError(Exception):
    pass


def count_queries(monkeypatch: pytest.MonkeyPatch, limit: int = 10_000) -> list[str]:
    """The queries that are asked from now on; one more than the limit ends the run."""
    asked: list[str] = []
    ask = benchmarking.query_photo

    def counted(snapshot: Any, path: Path, *arguments: Any) -> Any:
        if len(asked) == limit:
            raise InterruptionError
        asked.append(path.name)
        return ask(snapshot, path, *arguments)

    monkeypatch.setattr(benchmarking, "query_photo", counted)
    return asked


def test_a_run_does_only_what_is_missing(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = count_queries(monkeypatch, limit=3)
    with pytest.raises(InterruptionError):
        run_benchmark(material, tmp_path / "out", SOME)
    assert sorted(asked[:2]) == ["query.jpg", "scene-1.jpg"]
    monkeypatch.undo()
    asked = count_queries(monkeypatch)
    results = run_benchmark(material, tmp_path / "out", SOME)
    assert len(asked) == 1
    again = run_benchmark(material, tmp_path / "out", SOME)
    assert len(asked) == 1
    assert again == results
    more = run_benchmark(material, tmp_path / "out", replace(SOME, rankings=("asmk", "bow")))
    assert len(asked) == 3
    assert figures(more, "ASMK*") == figures(results, "ASMK*")


def test_other_photos_are_asked_anew(
    material: Material, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = replace(SOME, rankings=("asmk",))
    run_benchmark(material, tmp_path / "out", one)
    asked = count_queries(monkeypatch)
    save(scene(50), own / "photos" / "new.jpg")
    assert run_benchmark(open_material(OWN, own), tmp_path / "out", one)["photos"] == PHOTOS + 1
    assert len(asked) == 2


def test_other_regions_under_the_same_names_are_asked_anew(
    material: Material, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = replace(SOME, rankings=("asmk",))
    before = run_benchmark(material, tmp_path / "out", one)
    asked = count_queries(monkeypatch)
    part = {"relevant": TRUTH["query.jpg"], "roi": [0, 0, 100, 100]}
    (own / "truth.json").write_text(json.dumps({**TRUTH, "query.jpg": part}))
    after = run_benchmark(open_material(OWN, own), tmp_path / "out", one)
    assert len(asked) == 2
    assert figures(after, "ASMK*")["levels"] != figures(before, "ASMK*")["levels"]


def test_every_ranking_on_its_extractors(material: Material, tmp_path: Path) -> None:
    """The ones that other tests do not ask by; each extractor has a store of its own."""
    extractors, rankings = ("hessian-affine", "sift"), ("bow+sp", "vlad", "asmk+sp+hqe", "exhaustive")
    results = run_benchmark(material, tmp_path / "out", BenchmarkOptions(rankings, extractors))
    for extractor in extractors:
        measured = results["extractors"][extractor]["rankings"]
        assert list(measured) == [RANKINGS[name].title for name in rankings]
    assert figures(results, "ASMK* + SP + HQE")["levels"][""]["mAP"] == 1
    assert figures(results, "exhaustive matching")["query"]["verification"]["depth"] == PHOTOS
    assert results["extractors"]["sift"]["store"]["bytes"]["vectors"] > 0


def test_distractors_answer_nothing(material: Material, own: Path, tmp_path: Path) -> None:
    others = tmp_path / "others"
    others.mkdir()
    save(scene(60), others / "flickr-1.jpg")
    save(blank_wall(), others / "flickr-2.jpg")
    (others / "flickr-3.jpg").write_bytes(b"no photo")
    distracted = open_material(OWN, own, (others, own / "photos"))
    assert sorted(photo.name for photo in distracted.distractors) == [f"flickr-{n}.jpg" for n in (1, 2, 3)]
    results = run_benchmark(distracted, tmp_path / "out", replace(SOME, rankings=("asmk",)))
    assert (results["photos"], results["distractors"]) == (PHOTOS, 3)
    ranked = figures(results, "ASMK*")["levels"][""]["queries"]["query.jpg"]["first"]
    assert ["../others/flickr-1.jpg", "wrong"] in ranked
    (tmp_path / "none").mkdir()
    with pytest.raises(EvaluationError, match=r"^There are no photos in .* to distract with\.$"):
        open_material(OWN, own, (tmp_path / "none",))


def test_a_photo_of_the_set_that_cannot_be_read(own: Path, tmp_path: Path) -> None:
    (own / "truth.json").write_text(json.dumps(TRUTH))
    (own / "photos" / "broken.jpg").write_bytes(b"no photo")
    with pytest.raises(PhotoError, match=r"broken\.jpg"):
        run_benchmark(open_material(OWN, own), tmp_path / "out", SOME)


def test_revisited_queries_are_cropped(own: Path, tmp_path: Path) -> None:
    truth = {
        "imlist": [f"scene-{number}" for number in range(SCENES)],
        "qimlist": ["near"],
        "gnd": [{"bbx": [40.4, 30.0, 290.6, 200.0], "easy": [3], "hard": [], "junk": []}],
    }
    (own / "gnd.pkl").write_bytes(pickle.dumps(truth))
    material = open_material(Dataset("Revisited", "photos", "photos", "gnd.pkl", held_out=True), own)
    results = run_benchmark(material, tmp_path / "out", replace(SOME, rankings=("asmk+sp",)))
    levels = figures(results, "ASMK* + SP")["levels"]
    assert list(levels) == ["easy", "medium"]
    assert levels["easy"]["mAP"] == 1
    cropped = read_colour(tmp_path / "out" / "queries" / "near.png", 1000)
    whole = read_colour(own / "photos" / "views" / "near.jpg", 1000)
    np.testing.assert_array_equal(cropped, whole[30:200, 40:291])


@pytest.mark.parametrize("held_out", [False, True])
def test_a_box_of_another_size_of_photo(own: Path, tmp_path: Path, held_out: bool) -> None:
    answers = {"relevant": ["scene-3.jpg"], "roi": [10, 10, 900, 100]}
    (own / "truth.json").write_text(json.dumps({"query.jpg": answers}))
    material = open_material(replace(OWN, held_out=held_out), own)
    with pytest.raises(EvaluationError, match=r"^The box 10 10 900 100 .* has 240 x 180 pixels; scale boxes"):
        run_benchmark(material, tmp_path / "out", SOME)


def test_a_vocabulary_of_other_photos(material: Material, own: Path, tmp_path: Path) -> None:
    others = tmp_path / "others"
    others.mkdir()
    for number in range(3):
        save(scene(80 + number), others / f"{number}.jpg")
    options = BenchmarkOptions(("bow",), train=(others,), words=50)
    results = run_benchmark(material, tmp_path / "out", options)
    made = results["extractors"]["hessian-affine"]["store"]
    assert made["words"] == 50
    assert made["seconds"]["training"] > 0
    trained = (tmp_path / "out" / "hessian-affine" / "vocabulary.h5").read_bytes()
    again = run_benchmark(material, tmp_path / "out", options)
    assert again["extractors"]["hessian-affine"]["store"]["seconds"] == made["seconds"]
    assert (tmp_path / "out" / "hessian-affine" / "vocabulary.h5").read_bytes() == trained


def test_another_vocabulary_needs_another_folder(material: Material, own: Path, tmp_path: Path) -> None:
    shipped = BenchmarkOptions(("bow",))
    before = run_benchmark(material, tmp_path / "out", shipped)
    for other in ((own / "photos",), (own,)):
        with pytest.raises(HandcraftError, match=r"was made with another vocabulary; give the same --train"):
            run_benchmark(material, tmp_path / "out", replace(shipped, train=other))
    assert run_benchmark(material, tmp_path / "out", replace(shipped, words=7)) == before


def test_other_boxes_are_cropped_anew(own: Path, tmp_path: Path) -> None:
    held_out = replace(OWN, held_out=True)
    for width in (100, 120):
        answers = {"relevant": ["scene-3.jpg"], "roi": [10, 10, 10 + width, 100]}
        (own / "truth.json").write_text(json.dumps({"query.jpg": answers}))
        run_benchmark(open_material(held_out, own), tmp_path / "out", replace(SOME, rankings=("asmk",)))
        assert read_colour(tmp_path / "out" / "queries" / "query.jpg.png", 1000).shape[1] == width


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: BenchmarkOptions(("asmk", "svm")),
            r"^There is no method 'svm'; the methods are bow, bow\+sp,",
        ),
        (
            lambda: BenchmarkOptions(extractors=("surf",)),
            r"^There is no extractor 'surf'; the extractors are ",
        ),
        (lambda: BenchmarkOptions(()), r"^No method is named; the methods are bow,"),
    ],
)
def test_names_that_are_not_known(make: Callable[[], object], message: str) -> None:
    with pytest.raises(HandcraftError, match=message):
        make()


def test_one_run_at_a_time(material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def again(*_: object) -> object:
        with pytest.raises(HandcraftError, match=r"^The benchmark in .*out is being written"):
            run_benchmark(material, tmp_path / "out", SOME)
        raise InterruptionError

    monkeypatch.setattr(benchmarking, "query_photo", again)
    with pytest.raises(InterruptionError):
        run_benchmark(material, tmp_path / "out", SOME)
