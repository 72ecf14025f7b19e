"""The data sets of the literature: what is missing is said, and where it is to be had."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from handcraft.errors import EvaluationError
from handcraft.evaluation.datasets import CORRUPT, DATASETS, Dataset, Material, open_dataset, sha256_of
from handcraft.evaluation.protocols import OXFORD, REVISITED, UKBENCH
from handcraft.evaluation.revisited import read_revisited

SOURCE = ("https://example.org/photos.tgz", "jpg/")
SET = Dataset("Two Towers", "jpg", "jpg", "truth.json", 3, (SOURCE,))
WHERE = r"Download https://example\.org/photos\.tgz into .*jpg/?\.$"


def photos(root: Path, *names: str, folder: str = "jpg") -> list[Path]:
    """Files that stand for photos: nobody opens them."""
    paths = [root / folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return paths


@pytest.fixture
def root(tmp_path: Path) -> Path:
    truth = {"a.jpg": {"relevant": ["b.jpg"], "roi": [1, 2, 3, 4]}}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    return tmp_path


def opened(dataset: Dataset, root: Path, *names: str) -> Material:
    found = photos(root, *names)
    return open_dataset(dataset, root, found, found)


def test_a_whole_set(root: Path) -> None:
    material = opened(SET, root, "a.jpg", "b.jpg", "c.jpg")
    assert (material.title, material.protocol, material.held_out) == ("Two Towers", OXFORD, False)
    assert sorted(path.name for path in material.photos) == ["a.jpg", "b.jpg", "c.jpg"]
    assert material.queries == {"a.jpg": root / "jpg" / "a.jpg"}
    (query,) = material.levels[""]
    assert query.positives == {"b.jpg"}


def test_queries_in_a_folder_of_their_own(root: Path) -> None:
    found, asked = photos(root, "b.jpg"), photos(root, "a.jpg", folder="queries")
    material = open_dataset(replace(SET, queries="queries", count=1), root, found, asked)
    assert material.queries == {"a.jpg": root / "queries" / "a.jpg"}
    assert material.photos == (root / "jpg" / "b.jpg",)


@pytest.mark.parametrize(
    ("dataset", "names", "message"),
    [
        (SET, (), r"^There are no photos in .*jpg\. "),
        (replace(SET, truth="gt"), ("a.jpg",), r"^The ground truth .*gt is missing\. "),
        (replace(SET, sha256="00"), ("a.jpg",), r"is not the published one: its SHA-256 differs\. "),
        (SET, ("a.jpg", "c.jpg"), r"^Two Towers is not complete: 1 photos are missing below .*: b\.jpg\. "),
        (SET, ("b.jpg", "c.jpg"), r"^Two Towers is not complete: 1 photos are missing below .*: a\.jpg\. "),
        (SET, ("a.jpg", "b.jpg"), r"^Two Towers has 3 photos, of which 2 are in .*jpg\. "),
    ],
)
def test_what_is_missing_is_said(root: Path, dataset: Dataset, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(EvaluationError, match=message + WHERE):
        opened(dataset, root, *names)


def test_many_that_are_missing_are_counted(tmp_path: Path) -> None:
    truth = {"a.jpg": [f"{number:02}.jpg" for number in range(20)]}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    with pytest.raises(EvaluationError, match=r"complete: 20 photos .*: 00\.jpg, .*09\.jpg, and others\. D"):
        opened(SET, tmp_path, "a.jpg")


def test_corrupt_photos_of_paris_are_left_out(root: Path) -> None:
    material = opened(replace(SET, count=2), root, "a.jpg", "b.jpg", f"louvre/{CORRUPT[0]}.jpg")
    assert sorted(path.name for path in material.photos) == ["a.jpg", "b.jpg"]


def test_a_revisited_set_searches_its_own_list(tmp_path: Path) -> None:
    """Photos beside it, queries among them, are no part of the database."""
    truth = {
        "imlist": ["b", "c"],
        "qimlist": ["a"],
        "gnd": [{"bbx": [0.0, 1.0, 2.0, 3.0], "easy": [0], "hard": [], "junk": [1]}],
    }
    (tmp_path / "gnd.pkl").write_bytes(pickle.dumps(truth))
    dataset = replace(SET, truth="gnd.pkl", count=2, held_out=True)
    material = opened(dataset, tmp_path, "a.jpg", "b.jpg", "c.jpg", "d.jpg")
    assert [path.name for path in material.photos] == ["b.jpg", "c.jpg"]
    assert (material.protocol, material.held_out) == (REVISITED, True)
    assert {level: len(queries) for level, queries in material.levels.items()} == {
        "easy": 1,
        "medium": 1,
    }


def test_ukbench_by_its_names(tmp_path: Path) -> None:
    names = [f"ukbench{number:05}.jpg" for number in range(10_200)]
    found = [tmp_path / "full" / name for name in names]
    material = open_dataset(DATASETS["ukbench"], tmp_path, found, found)
    assert (material.protocol, len(material.queries), len(material.photos)) == (UKBENCH, 10_200, 10_200)
    with pytest.raises(EvaluationError, match="UKBench has 10,200 photos, of which 10,199 are here"):
        open_dataset(DATASETS["ukbench"], tmp_path, found[1:], found[1:])


@pytest.mark.parametrize("name", DATASETS)
def test_every_set_says_where_it_is_from(name: str) -> None:
    dataset = DATASETS[name]
    assert dataset.sources
    assert dataset.count > 0
    for source, folder in dataset.sources:
        assert source.startswith(("https://", "http://"))
        assert folder


def test_the_digest_of_a_folder_is_that_of_its_texts(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("two")
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "readme").write_text("no part of it")
    (tmp_path / "both.txt.joined").write_text("onetwo")
    assert sha256_of(tmp_path) == sha256_of(tmp_path / "both.txt.joined")


@pytest.mark.photos
@pytest.mark.parametrize(
    ("name", "truth"),
    [
        ("oxford5k", "oxford5k_gt"),
        ("roxford5k", "roxford5k/gnd_roxford5k.pkl"),
        ("rparis6k", "rparis6k/gnd_rparis6k.pkl"),
    ],
)
def test_digests_are_those_of_the_published_files(shared_data: Path, name: str, truth: str) -> None:
    golden = shared_data.parent / "golden"
    if not golden.is_dir():
        pytest.skip(f"the reference results are not at {golden}")
    assert sha256_of(golden / truth) == DATASETS[name].sha256
    if truth.endswith(".pkl"):
        revisited = read_revisited(golden / truth)
        assert len(revisited.photos) == DATASETS[name].count
        assert not {*revisited.photos, *revisited.queries} & set(CORRUPT)
