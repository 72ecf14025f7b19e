"""Evaluating a store on ground truth, in both formats, with and without verification."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from photographs import (
    HEIGHT,
    SCENES,
    WIDTH,
    save,
    scene,
    similarity,
    view,
)

import handcraft
from handcraft.errors import EvaluationError
from handcraft.options import QueryOptions

PHOTOS = SCENES + 2


@pytest.fixture
def queries(collection: Path, tmp_path: Path) -> Path:
    """A folder with two query photos: of scene 3, which has three photos, and of scene 6."""
    folder = tmp_path / "queries"
    folder.mkdir()
    shutil.copy(collection / "query.jpg", folder / "three.jpg")
    six = similarity(-12, 0.9, (150, 110), (200, 150))
    save(view(scene(6), six, (200, 150)), folder / "six.jpg")
    return folder


def write_json(path: Path, truth: object) -> Path:
    path.write_text(json.dumps(truth), encoding="utf-8")
    return path


VERIFIED = pytest.mark.parametrize("verify", [False, True])
TRUTH = {
    "three.jpg": ["scene-3.jpg", "views/near.jpg", "views/turned.jpg"],
    "six.jpg": ["photos/scene-6.jpg"],
}


@VERIFIED
def test_a_perfect_store(store: handcraft.Store, queries: Path, tmp_path: Path, verify: bool) -> None:
    truth = write_json(tmp_path / "truth.json", TRUTH)
    report = store.evaluate(queries, truth, options=QueryOptions(verify=verify))
    assert [query.name for query in report.queries] == ["six.jpg", "three.jpg"]
    assert report.mean_average_precision == 1
    assert report.mean_precision(1) == 1
    assert [query.precision[5] for query in report.queries] == [1 / 5, 3 / 5]
    assert all(query.missing == 0 and query.milliseconds > 0 for query in report.queries)


@VERIFIED
def test_oxford_files_give_the_same_figures(
    store: handcraft.Store, queries: Path, tmp_path: Path, verify: bool
) -> None:
    folder = tmp_path / "gt"
    folder.mkdir()
    files = {
        "three_1_query.txt": "oxc1_three 0 0 240 180\n",
        "three_1_good.txt": "scene-3\n",
        "three_1_ok.txt": "near\nturned\n",
        "three_1_junk.txt": "",
        "six_1_query.txt": "oxc1_six 0 0 200 150\n",
        "six_1_good.txt": "scene-6\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    report = store.evaluate(queries, folder, options=QueryOptions(verify=verify))
    assert [query.name for query in report.queries] == ["six_1", "three_1"]
    assert report.mean_average_precision == 1


def test_a_wrong_ground_truth_lowers_the_figures(
    store: handcraft.Store, queries: Path, tmp_path: Path
) -> None:
    truth = write_json(tmp_path / "truth.json", {"six.jpg": ["scene-6.jpg", "scene-1.jpg"]})
    report = store.evaluate(queries, truth)
    ranked = [hit.name for hit in store.query(queries / "six.jpg", top=99).hits]
    place = ranked.index("photos/scene-1.jpg")
    second = (1 / 2) * (1 / place + 2 / (place + 1)) / 2  # the trapezium of Oxford's rule
    assert report.mean_average_precision == pytest.approx(1 / 2 + second)


def test_every_photo_is_ranked_whatever_top_says(
    store: handcraft.Store, queries: Path, tmp_path: Path
) -> None:
    truth = write_json(tmp_path / "truth.json", TRUTH)
    assert store.evaluate(queries, truth, options=QueryOptions(top=1)).mean_average_precision == 1


def test_verification_decides_a_ranking(tmp_path: Path, collection: Path) -> None:
    """Half of the query is another scene: by votes it may win, by the region it cannot."""
    montage = scene(1).resize((2 * WIDTH, HEIGHT))
    montage.paste(scene(1), (0, 0))
    montage.paste(scene(6), (WIDTH, 0))
    (tmp_path / "queries").mkdir()
    save(montage, tmp_path / "queries" / "both.jpg")
    store = handcraft.open(collection / ".handcraft")
    figures = []
    for box in ([0, 0, WIDTH - 1, HEIGHT], [WIDTH, 0, 2 * WIDTH, HEIGHT]):
        answers = {"relevant": ["scene-6.jpg"], "roi": box}
        truth = write_json(tmp_path / "truth.json", {"both.jpg": answers})
        report = store.evaluate(tmp_path / "queries", truth, options=QueryOptions(verify=True))
        figures.append(report.mean_precision(1))
    assert figures == [0, 1]


def test_a_box_of_another_size_of_photo(store: handcraft.Store, queries: Path, tmp_path: Path) -> None:
    answers = {"relevant": ["scene-6.jpg"], "roi": [0, 0, 3000, 2000]}
    truth = write_json(tmp_path / "truth.json", {"six.jpg": answers})
    with pytest.raises(EvaluationError, match=r"^The box 0 0 3000 2000 .* reaches beyond"):
        store.evaluate(queries, truth)


def test_junk_counts_neither_way(store: handcraft.Store, queries: Path, tmp_path: Path) -> None:
    first = store.query(queries / "three.jpg").hits[0].name
    others = [name for name in TRUTH["three.jpg"] if not first.endswith(name)]
    plain = write_json(tmp_path / "plain.json", {"three.jpg": others})
    junk = write_json(tmp_path / "junk.json", {"three.jpg": {"relevant": others, "junk": [first]}})
    assert store.evaluate(queries, plain).mean_average_precision < 1
    assert store.evaluate(queries, junk).mean_average_precision == 1


def test_relevant_photos_that_are_not_in_the_store_are_counted(
    store: handcraft.Store, queries: Path, tmp_path: Path
) -> None:
    truth = write_json(tmp_path / "truth.json", {"six.jpg": ["scene-6.jpg", "absent.jpg"]})
    report = store.evaluate(queries, truth)
    assert report.queries[0].missing == 1
    assert report.mean_average_precision == pytest.approx(0.5)


def test_progress_counts_the_queries(store: handcraft.Store, queries: Path, tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    truth = write_json(tmp_path / "truth.json", TRUTH)
    store.evaluate(queries, truth, progress=lambda *step: steps.append(step))
    assert steps == [("querying", 1, 2), ("querying", 2, 2)]


def test_the_folder_of_the_queries_may_be_named_in_any_way(
    store: handcraft.Store, queries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = write_json(tmp_path / "truth.json", TRUTH)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for name in (str(queries), f"{queries}{os.sep}", "../queries", "../elsewhere/../queries"):
        assert store.evaluate(name, truth).mean_average_precision == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda folder: (folder / "six.jpg").unlink(),
            r"Query photos of .* that are not in .*: 1 of 2, the first is six",
        ),
        (lambda folder: shutil.rmtree(folder), r"There are no query photos in .*queries"),
    ],
    ids=["photo", "folder"],
)
def test_missing_queries_are_said(
    store: handcraft.Store, queries: Path, tmp_path: Path, change: object, message: str
) -> None:
    truth = write_json(tmp_path / "truth.json", TRUTH)
    assert callable(change)
    change(queries)
    with pytest.raises(EvaluationError, match=message):
        store.evaluate(queries, truth)


def test_missing_ground_truth_is_said(store: handcraft.Store, queries: Path, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"There is no ground truth at .*absent\.json"):
        store.evaluate(queries, tmp_path / "absent.json")


def test_an_unreadable_query_is_said(store: handcraft.Store, queries: Path, tmp_path: Path) -> None:
    (queries / "six.jpg").write_text("no photo", encoding="utf-8")
    truth = write_json(tmp_path / "truth.json", TRUTH)
    with pytest.raises(handcraft.HandcraftError, match=r"six\.jpg is not a JPEG"):
        store.evaluate(queries, truth)
