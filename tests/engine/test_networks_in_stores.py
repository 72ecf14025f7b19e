"""Stores of a network's features: asked, asked with turned photos, and kept from other networks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import options_of, tiny
from photographs import HEIGHT, SCENES, WIDTH, save, scene, segment_bytes, view

import handcraft
from handcraft import QueryOptions
from handcraft.engine.searching import QueryResult
from handcraft.engine.writing import stored_options
from handcraft.errors import DependencyError, FingerprintError, HandcraftError, ModelError
from handcraft.features.registry import extractor_of
from handcraft.options import FeatureOptions, VocabularyOptions

ASKED = "scene-5.jpg"
TRAINING = VocabularyOptions(words=1000, depth=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of scenes, one of them held in four ways as a query, and a part of it, cut where cells begin."""
    folder = tmp_path_factory.mktemp("networks")
    (folder / "photos").mkdir()
    for seed in range(SCENES):
        save(scene(seed), folder / "photos" / f"scene-{seed}.jpg")
    asked = scene(5)
    for quarters in range(4):
        save(asked.rotate(-90 * quarters, expand=True), folder / f"turned-{quarters}.png")
    corner = np.array([[1.0, 0, 64], [0, 1, 64]])
    save(view(asked, corner, (WIDTH - 64, HEIGHT - 64)), folder / "part.png")
    return folder


def built(folder: Path, store: Path, options: FeatureOptions) -> handcraft.Store:
    made = handcraft.open(store, features=options)
    made.build_vocabulary(folder / "photos", TRAINING)
    made.add(folder / "photos")
    return made


def delf_of(folder: Path, **settings: Any) -> FeatureOptions:
    return options_of("delf", tiny("delf", folder), **{"threshold": 0.4, **settings})


def write_pca(path: Path, seed: int) -> str:
    generator = np.random.default_rng(seed)
    np.savez(path, mean=np.zeros(64), matrix=np.linalg.qr(generator.normal(size=(64, 64)))[0])
    return str(path)


@pytest.fixture(scope="module")
def delf(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of DELF with a PCA; nobody writes to it."""
    place = tmp_path_factory.mktemp("delf")
    options = delf_of(place, pca=write_pca(place / "pca.npz", 0), dimension=32)
    return built(folder, place / "store", options).path


@pytest.fixture(scope="module")
def points(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of a network of points; nobody writes to it."""
    place = tmp_path_factory.mktemp("points")
    return built(folder, place / "store", options_of("onnx", tiny("keypoints", place))).path


@pytest.fixture(params=["delf", "points"])
def store(request: pytest.FixtureRequest) -> handcraft.Store:
    """The stores, opened by those who know nothing of their options."""
    return handcraft.open(request.getfixturevalue(request.param))


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> handcraft.Store:
    """A store of DELF that the test may spoil, and the files of its network beside it."""
    options = delf_of(tmp_path, pca=write_pca(tmp_path / "pca.npz", 0), dimension=32)
    built(folder, tmp_path / "store", options)
    return handcraft.open(tmp_path / "store")


def best_of(result: QueryResult) -> handcraft.Hit:
    hit = result.hits[0]
    assert hit.name.endswith(ASKED)
    assert hit.match is not None
    return hit


def anew() -> None:
    """Forget the networks that are open, as another process has none."""
    extractor_of.cache_clear()


# --- asked ---


def test_the_store_is_sound(store: handcraft.Store) -> None:
    assert len(store) == SCENES
    assert store.check().problems == ()


@pytest.mark.parametrize("quarters", range(4))
def test_a_photo_that_is_held_otherwise_is_found_where_it_lies(
    quarters: int, store: handcraft.Store, folder: Path
) -> None:
    result = store.query(folder / f"turned-{quarters}.png", verify=True)
    hit = best_of(result)
    assert hit.match is not None
    assert hit.match.scale == pytest.approx(1, abs=0.02)
    assert (hit.match.rotation + 90 * quarters + 180) % 360 == pytest.approx(180, abs=1)
    assert hit.inliers > 40
    assert result.verified == 1
    corner = hit.match.affine @ [0, 0, 1]
    expected = [(0, 0), (0, HEIGHT - 1), (WIDTH - 1, HEIGHT - 1), (WIDTH - 1, 0)][quarters]
    np.testing.assert_allclose(corner, expected, atol=4)


def test_a_query_in_one_direction_finds_no_turned_photo(store: handcraft.Store, folder: Path) -> None:
    options = QueryOptions(verify=True, directions=1)
    best_of(store.query(folder / "turned-0.png", options=options))
    turned = store.query(folder / "turned-1.png", options=options)
    assert turned.verified == 0


def test_a_part_of_a_photo_is_found_where_it_lies(store: handcraft.Store, folder: Path) -> None:
    hit = best_of(store.query(folder / "part.png", verify=True))
    assert hit.match is not None
    np.testing.assert_allclose(hit.match.affine, [[1, 0, 64], [0, 1, 64]], atol=2)


def test_a_region_is_asked(store: handcraft.Store, folder: Path) -> None:
    whole = store.query(folder / "turned-1.png", verify=True)
    region = store.query(folder / "turned-1.png", roi=(40, 60, 200, 280), verify=True)
    assert region.features < whole.features
    best_of(region)


# --- other networks ---


def test_a_store_remembers_its_network_and_is_added_to(own: handcraft.Store, folder: Path) -> None:
    anew()
    report = own.add([folder / "photos", folder / "part.png"])
    assert (report.added, report.unchanged, report.unreadable) == (1, SCENES, ())
    assert own.check().problems == ()


def test_options_of_another_network_are_refused(own: handcraft.Store, folder: Path, tmp_path: Path) -> None:
    before = segment_bytes(own.path)
    (tmp_path / "other").mkdir()
    others = [
        options_of("delf", tiny("delf", tmp_path / "other", seed=1)),
        options_of("onnx", tiny("keypoints", tmp_path)),
        FeatureOptions(),
    ]
    for options in others:
        store = handcraft.open(own.path, features=options)
        with pytest.raises(FingerprintError, match="leave the options out, or make another store with"):
            store.add(folder / "part.png")
    assert segment_bytes(own.path) == before
    assert len(handcraft.open(own.path)) == SCENES


def test_a_vocabulary_of_another_network_is_refused(
    own: handcraft.Store, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    options = options_of("delf", tiny("delf", tmp_path / "other", seed=1), threshold=0.4)
    words = max(own.path.glob("vocabulary-*.h5"))
    store = handcraft.open(tmp_path / "new", features=options, vocabulary=words)
    with pytest.raises(FingerprintError, match="train one for them with `handcraft build-vocab`"):
        store.add(folder / "photos")
    assert not store.exists


def refused(store: handcraft.Store, folder: Path, sentence: str) -> None:
    """A query and an addition are refused with a sentence, and nothing is added."""
    anew()
    before = segment_bytes(store.path)
    for ask in (
        lambda: store.query(folder / "turned-0.png"),
        lambda: store.add(folder / "part.png"),
        lambda: store.build_vocabulary(folder / "photos", TRAINING),
    ):
        with pytest.raises(ModelError) as caught:
            ask()
        assert str(caught.value).startswith(sentence)
        assert "\n" not in str(caught.value)
    assert segment_bytes(store.path) == before
    assert len(handcraft.open(store.path)) == SCENES
    assert store.check().problems == ()


@pytest.mark.parametrize("name", ["tiny-delf.onnx", "pca.npz"])
def test_a_file_that_is_gone_is_told(name: str, own: handcraft.Store, folder: Path, tmp_path: Path) -> None:
    (tmp_path / name).unlink()
    refused(own, folder, f"There is no file {tmp_path / name} for the extractor delf; give its place with")


def test_another_network_in_its_place_is_told(own: handcraft.Store, folder: Path, tmp_path: Path) -> None:
    path = tiny("delf", tmp_path, seed=1)
    refused(own, folder, f"{path} is not the network that the extractor delf made these features with: its ")


def test_another_pca_in_its_place_is_told(own: handcraft.Store, folder: Path, tmp_path: Path) -> None:
    path = write_pca(tmp_path / "pca.npz", 1)
    refused(own, folder, f"{path} is not the PCA that the extractor delf made these features with: its ")


def test_files_that_were_moved_are_found_in_the_folder_of_models(
    own: handcraft.Store, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    for name in ("tiny-delf.onnx", "pca.npz"):
        (tmp_path / name).rename(tmp_path / "models" / name)
    monkeypatch.setenv("HANDCRAFT_MODELS", str(tmp_path / "models"))
    anew()
    best_of(own.query(folder / "turned-1.png", verify=True))
    assert own.add(folder / "part.png").added == 1
    moved = options_of(
        "delf",
        str(tmp_path / "models" / "tiny-delf.onnx"),
        pca=str(tmp_path / "models" / "pca.npz"),
        dimension=32,
        threshold=0.4,
    )
    assert handcraft.open(own.path, features=moved).add(folder / "photos").unchanged == SCENES


def test_a_copy_of_the_network_at_another_place_is_the_same(
    own: handcraft.Store, folder: Path, tmp_path: Path
) -> None:
    """While the file that the store was made with is where it was."""
    parameters = own.snapshot.manifest.fingerprint.parameters
    copies = {
        name: str(
            shutil.copy(str(parameters[name]), tmp_path / f"copy-of-{Path(str(parameters[name])).name}")
        )
        for name in ("model", "pca")
        if parameters.get(name)
    }
    options = stored_options(own.snapshot.manifest)
    copied = replace(options, settings={**options.settings, **copies})
    assert handcraft.open(own.path, features=copied).add(folder / "photos").unchanged == SCENES


def test_onnxruntime_that_is_missing_is_named(
    own: handcraft.Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anew()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(DependencyError, match=r'`pip install "handcraft\[learned\]"`\.'):
        own.query(folder / "turned-0.png")
    anew()


def test_a_store_is_looked_into_without_its_network(own: handcraft.Store, tmp_path: Path) -> None:
    (tmp_path / "tiny-delf.onnx").unlink()
    anew()
    assert own.check().problems == ()
    assert len(own.names) == SCENES


def test_a_new_store_without_words_for_its_network_is_told(folder: Path, tmp_path: Path) -> None:
    store = handcraft.open(tmp_path / "store", features=delf_of(tmp_path))
    with pytest.raises(HandcraftError, match="build-vocab"):
        store.add(folder / "photos")
    assert not store.exists


# --- the command line ---


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "handcraft", *map(str, arguments)]
    root = Path(handcraft.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_the_command_line_says_it_in_a_sentence(own: handcraft.Store, folder: Path, tmp_path: Path) -> None:
    """In another process, which opens the network anew."""
    store = own.path
    best = run("query", folder / "turned-1.png", "--store", store)
    assert best.returncode == 0, best.stderr
    assert ASKED in best.stdout
    (tmp_path / "tiny-delf.onnx").unlink()
    gone = run("query", folder / "turned-1.png", "--store", store)
    assert gone.returncode != 0
    assert "Traceback" not in gone.stderr
    assert "There is no file" in gone.stderr
