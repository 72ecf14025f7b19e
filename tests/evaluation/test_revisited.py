"""The ground truth of Revisited Oxford and Paris, and what the authors' program makes of it."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import handcraft
from handcraft.errors import EvaluationError
from handcraft.evaluation.revisited import FORM, read_revisited

BOX = [1.0, 2.0, 30.0, 40.0]


def content(**changes: object) -> dict[str, object]:
    """Two queries on five photos, the second without an easy photo."""
    answers = [
        {"bbx": BOX, "easy": [0], "hard": [1, 2], "junk": [3]},
        {"bbx": [0, 0, 9, 9], "easy": [], "hard": [4], "junk": []},
    ]
    return {"imlist": list("abcde"), "qimlist": ["p", "q"], "gnd": answers, **changes}


def written(path: Path, value: object, protocol: int = 2) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize("protocol", range(6))
def test_levels(tmp_path: Path, protocol: int) -> None:
    truth = read_revisited(written(tmp_path / "gnd.pkl", content(), protocol))
    assert (truth.photos, truth.queries) == (tuple("abcde"), ("p", "q"))
    answers = {
        level: [(query.photo, set(query.positives), set(query.junk)) for query in queries]
        for level, queries in truth.levels.items()
    }
    assert answers == {
        "easy": [("p", {"a"}, {"b", "c", "d"})],
        "medium": [("p", {"a", "b", "c"}, {"d"}), ("q", {"e"}, set())],
        "hard": [("p", {"b", "c"}, {"a", "d"}), ("q", {"e"}, set())],
    }
    region = truth.levels["easy"][0].roi
    assert region is not None
    assert [region.x1, region.y1, region.x2, region.y2] == BOX


class Harmful:
    """What makes a folder when it is unpickled by pickle itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_a_file_that_runs_code_is_refused(tmp_path: Path) -> None:
    made = tmp_path / "made"
    harmful = pickle.dumps(Harmful(made))
    path = tmp_path / "gnd.pkl"
    path.write_bytes(harmful)
    with pytest.raises(EvaluationError) as error:
        read_revisited(path)
    assert str(error.value) == (
        f"{path} is refused: it asks for {os.mkdir.__module__}.mkdir; {FORM}, of plain numbers and strings."
    )
    assert not made.exists()
    pickle.loads(harmful)
    assert made.exists()


@pytest.mark.parametrize("value", [np.zeros(3), {"gnd": np.float64(1)}, {1, 2}.__class__, print])
def test_objects_are_refused(tmp_path: Path, value: object) -> None:
    with pytest.raises(EvaluationError, match=r"is refused: it asks for .*; a gnd_\*\.pkl of Revisited"):
        read_revisited(written(tmp_path / "gnd.pkl", value))


@pytest.mark.parametrize("data", [b"", b"\x80", b"no pickle", pickle.dumps(content())[:-20], b"\x80\x02."])
def test_damaged_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "gnd.pkl"
    path.write_bytes(data)
    with pytest.raises(EvaluationError, match="is refused: "):
        read_revisited(path)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([1], f" is no ground truth: {FORM}."),
        ({"gnd": []}, f" is no ground truth: {FORM}."),
        (content(imlist=[]), f", imlist: this is no list of names; {FORM}."),
        (content(qimlist=[1, 2]), f", qimlist: this is no list of names; {FORM}."),
        (content(qimlist=["p"]), f" has 1 queries and answers to 2: {FORM}."),
        (
            content(gnd=[{"bbx": BOX}], qimlist=["p"]),
            f", query 'p': the lists easy, hard, junk, bbx are not all there; {FORM}.",
        ),
        (
            content(gnd=[{"bbx": BOX, "easy": [5], "hard": [], "junk": []}], qimlist=["p"]),
            ", query 'p', easy: 5 is not the number of one of the 5 photos.",
        ),
        (
            content(gnd=[{"bbx": BOX, "easy": [0], "hard": [True], "junk": []}], qimlist=["p"]),
            ", query 'p', hard: True is not the number of one of the 5 photos.",
        ),
        (
            content(gnd=[{"bbx": [1, 2], "easy": [0], "hard": [], "junk": []}], qimlist=["p"]),
            ", query 'p', bbx: this is no box of four numbers.",
        ),
    ],
)
def test_other_content(tmp_path: Path, value: object, text: str) -> None:
    path = written(tmp_path / "gnd.pkl", value)
    with pytest.raises(EvaluationError) as error:
        read_revisited(path)
    assert str(error.value) == f"{path}{text}"


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"gnd\.pkl cannot be read: No such file"):
        read_revisited(tmp_path / "gnd.pkl")


@pytest.mark.photos
@pytest.mark.parametrize("name", ["roxford5k", "rparis6k"])
def test_the_values_of_the_original_program(shared_data: Path, tmp_path: Path, name: str) -> None:
    """Average precision and precision at 1, 5 and 10 of 70 queries at each level."""
    golden = shared_data.parent / "golden"
    if not golden.is_dir():
        pytest.skip(f"the reference results are not at {golden}")
    expected = json.loads((golden / f"{name}_expected.json").read_text(encoding="utf-8"))["levels"]
    ranks = np.load(golden / f"{name}_rankings.npz", allow_pickle=False)["ranks"]
    np.save(tmp_path / "ranks.npy", ranks)
    truth = golden / name / f"gnd_{name}.pkl"
    reports = handcraft.evaluate_rankings(tmp_path / "ranks.npy", truth)
    assert reports.keys() == expected.keys()
    for level, report in reports.items():
        theirs = expected[level]
        found = {query.name: query.average_precision for query in report.queries}
        queries = read_revisited(truth).queries
        for query, value in zip(queries, theirs["average_precision"], strict=True):
            assert (query in found) == (value is not None)
            assert value is None or found[query] == pytest.approx(value, abs=1e-5)
        assert report.mean_average_precision == pytest.approx(theirs["mAP"], abs=1e-5)
        for k, value in theirs["mean_precision_at"].items():
            assert report.mean_precision(int(k)) == pytest.approx(value, abs=1e-6)
