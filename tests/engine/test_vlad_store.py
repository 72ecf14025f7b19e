"""Stores that vote by one vector for a photo: how vectors come, stay and go, and what is refused."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photographs import ONCE, ranking, save, scene, segment_bytes, similarity, view
from PIL import Image

import handcraft
from handcraft.errors import HandcraftError
from handcraft.options import (
    FeatureOptions,
    IndexOptions,
    QueryOptions,
    VladOptions,
    VladTraining,
    VocabularyOptions,
)
from handcraft.types import Fingerprint
from handcraft.vocabulary.tree import Training, VocabularyTree
from handcraft.vocabulary.vlad import VladModel, read_vlad, write_vlad

SCENES, SIZE = 5, (200, 150)
FEW = FeatureOptions(max_features=300)
VLAD = IndexOptions(method="vlad")
BY_VLAD = replace(ONCE, method="vlad")


@dataclass(frozen=True)
class Material:
    """photos: scenes, and another view of one. query: a part of that scene. vocabulary: of few words."""

    folder: Path
    photos: Path
    query: Path
    vocabulary: Path

    def new(self, features: FeatureOptions = FEW) -> handcraft.Store:
        """A store beside the photos, so that names are the same in all."""
        path = Path(tempfile.mkdtemp(dir=self.folder))
        return handcraft.open(path, features=features, vocabulary=self.vocabulary)

    def made(self) -> handcraft.Store:
        """The store of all photos that votes by vectors; nobody may change it."""
        store = handcraft.open(self.folder / "made", features=FEW, vocabulary=self.vocabulary)
        if not store.exists:
            store.add(self.photos, options=VLAD)
        return handcraft.open(store.path)

    def copy(self) -> handcraft.Store:
        """It, to be changed."""
        path = Path(tempfile.mkdtemp(dir=self.folder))
        return handcraft.open(shutil.copytree(self.made().path, path, dirs_exist_ok=True))

    def answers(self, store: handcraft.Store, **changes: Any) -> list[object]:
        options = replace(BY_VLAD, **changes)
        return [ranking(store.query(self.query, options=options, verify=verify)) for verify in (False, True)]


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = tmp_path_factory.mktemp("vlad")
    photos = folder / "photos"
    photos.mkdir()
    scenes = [scene(number, *SIZE) for number in range(SCENES)]
    for number, image in enumerate(scenes):
        save(image, photos / f"scene-{number}.jpg")
    save(view(scenes[2], similarity(6, 0.8, (110, 70), SIZE), SIZE), photos / "view.jpg")
    query = save(view(scenes[2], similarity(-4, 0.9, (95, 80), (160, 120)), (160, 120)), folder / "query.jpg")
    vocabulary = folder / "words.h5"
    trainer = handcraft.open(folder / "trainer", features=FEW)
    trainer.build_vocabulary(photos, VocabularyOptions(words=120), output=vocabulary)
    return Material(folder, photos, query, vocabulary)


def names(store: handcraft.Store, query: Path, **changes: Any) -> list[str]:
    hits = store.query(query, options=replace(BY_VLAD, **changes)).hits
    return [Path(hit.name).name for hit in hits]


def sentence(act: Callable[[], object]) -> str:
    with pytest.raises(HandcraftError) as error:
        act()
    return str(error.value)


def vectors_file(store: handcraft.Store) -> Path:
    (path,) = store.path.glob("segments/*.vectors.h5")
    return path


# --- what a store has ---


def test_a_store_of_vectors(material: Material) -> None:
    store = material.made()
    assert store.info().methods == {"vlad": {"dimension": 256, "half": False}, "bow": {}}
    assert segment_bytes(store.path).keys() == {
        f"000001.{part}.h5" for part in ("index", "vectors", "features")
    }
    (segment,) = store.info().segments
    assert segment.vectors_bytes == vectors_file(store).stat().st_size
    assert store.check().problems == ()
    assert set(names(store, material.query)[:2]) == {"scene-2.jpg", "view.jpg"}
    assert names(store, material.photos / "scene-1.jpg")[0] == "scene-1.jpg"
    best = store.query(material.query, options=BY_VLAD, verify=True).hits[0]
    assert best.inliers > 4


def test_methods_side_by_side(material: Material) -> None:
    """Whichever comes first, and with what was there before unchanged."""
    store = material.new()
    store.add(material.photos)
    before = segment_bytes(store.path)
    asmk = material.answers(store, method="asmk")
    report = store.add(material.photos, options=VLAD)
    assert (report.added, report.updated, report.unchanged) == (0, 0, SCENES + 1)
    assert list(store.info().methods) == ["asmk", "bow", "vlad"]
    assert store.check().problems == ()
    after = segment_bytes(store.path)
    for part in ("index", "signatures", "features"):
        old, new = ([data for name, data in files.items() if part in name] for files in (before, after))
        assert old == new
    assert material.answers(store, method="asmk") == asmk
    assert material.answers(store)[0] == material.answers(material.made())[0]  # its geometry has signatures
    assert vectors_file(store).read_bytes() == vectors_file(material.made()).read_bytes()
    assert material.answers(store, method="bow")[0] == material.answers(material.made(), method="bow")[0]


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (VladOptions(dimension=64), {"dimension": 64, "half": False}),
        (VladOptions(half=True), {"dimension": 256, "half": True}),
    ],
)
def test_options_change_what_is_kept(material: Material, options: VladOptions, kept: dict[str, Any]) -> None:
    store = material.new()
    store.add(material.photos, options=IndexOptions(vlad=options))  # which name the method too
    assert store.info().methods == {"vlad": kept, "bow": {}}
    assert vectors_file(store).read_bytes() != vectors_file(material.made()).read_bytes()
    assert material.answers(store) != material.answers(material.made())
    assert set(names(store, material.query)[:2]) == {"scene-2.jpg", "view.jpg"}
    assert store.check().problems == ()


# --- how it changes ---


def test_pieces_equal_the_whole_and_merge(material: Material) -> None:
    store = material.new()
    photos = sorted(material.photos.iterdir())
    for number in range(0, len(photos), 2):
        store.add(photos[number : number + 2], options=VLAD)
    assert len(store.info().segments) == 3
    whole = material.answers(material.made())
    assert material.answers(store) == whole
    store.optimize()
    assert len(store.info().segments) == 1
    assert material.answers(store) == whole
    assert vectors_file(store).read_bytes() == vectors_file(material.made()).read_bytes()
    assert store.check().problems == ()


def test_removed_equals_never_added(material: Material) -> None:
    store = material.copy()
    store.remove(material.photos / "scene-2.jpg")
    assert "scene-2.jpg" not in names(store, material.query)
    never = material.new()
    never.add([path for path in sorted(material.photos.iterdir()) if path.stem != "scene-2"], options=VLAD)
    assert material.answers(store) == material.answers(never)
    store.optimize()
    assert material.answers(store) == material.answers(never)


def test_any_number_of_threads(material: Material) -> None:
    found = [material.answers(handcraft.open(material.made().path, threads=threads)) for threads in (1, 2)]
    assert found[0] == found[1]


def test_another_vocabulary_leaves_vectors_as_they_were(material: Material) -> None:
    store = material.copy()
    before = vectors_file(store).read_bytes()
    votes = names(store, material.query)
    store.build_vocabulary(material.photos, VocabularyOptions(words=60))
    assert vectors_file(store).read_bytes() == before
    assert names(store, material.query) == votes
    assert store.check().problems == ()


def test_a_turned_query(material: Material, tmp_path: Path) -> None:
    turned = save(scene(3, *SIZE).rotate(90, expand=True), tmp_path / "turned.jpg")
    assert names(material.made(), turned, directions=16)[0] == "scene-3.jpg"
    one = material.made().query(turned, options=replace(BY_VLAD, directions=1)).hits
    many = material.made().query(turned, options=replace(BY_VLAD, directions=16)).hits
    assert max((hit.score for hit in one), default=0) < many[0].score


def test_a_query_without_features(material: Material, tmp_path: Path) -> None:
    blank = save(Image.new("RGB", (200, 150), "grey"), tmp_path / "blank.png")
    text = sentence(lambda: material.made().query(blank, options=BY_VLAD))
    assert text.startswith(f"No features were found in {blank}")


# --- models ---


def test_a_model_of_ones_own(material: Material, tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    training = VladTraining(words=4, dimension=3)
    model = material.made().build_vlad(path, training)
    assert (model.dimension, model.codebook.words) == (3, 4)
    assert model.codebook.training.source == material.folder.name
    assert model.equals(read_vlad(path))
    store = material.new()
    own = replace(VLAD, vlad_model=path)
    store.add(material.photos, options=own)
    assert store.info().methods["vlad"] == {"dimension": 3, "half": False}
    assert store.add(material.photos, options=own).unchanged == SCENES + 1  # the same model again
    path.unlink()
    assert names(store, material.photos / "scene-1.jpg")[0] == "scene-1.jpg"


def test_an_emptied_store_takes_another_model(material: Material, tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    material.made().build_vlad(path, VladTraining(words=4, dimension=3))
    store, fresh, own = material.copy(), material.new(), replace(VLAD, vlad_model=path)
    assert "with a model of its own" in sentence(lambda: store.add(material.photos, options=own))
    store.remove(material.photos)
    store.optimize()
    for one in (store, fresh):
        assert one.add(material.photos, options=own).added == SCENES + 1
    assert store.info().methods == fresh.info().methods
    assert material.answers(store) == material.answers(fresh)
    assert len(list(store.path.glob("vlad-*"))) == 1


def test_an_emptied_store_keeps_its_model_where_none_is_named(material: Material, tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    material.made().build_vlad(path, VladTraining(words=4, dimension=3))
    store = material.new()
    store.add(material.photos, options=replace(VLAD, vlad_model=path))
    answers = material.answers(store)
    store.remove(material.photos)
    store.optimize()
    store.add(material.photos, options=VLAD)
    assert material.answers(store) == answers


def test_the_name_of_a_model_can_be_text(material: Material, tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    material.made().build_vlad(path, VladTraining(words=4, dimension=3))
    store = material.new()
    store.add(material.photos, options=replace(VLAD, vlad_model=str(path)))  # type: ignore[arg-type]
    assert store.info().methods["vlad"]["dimension"] == 3


def test_a_folder_that_cannot_be_is_said_before_the_work(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setattr("handcraft.engine.vlad.learn_vlad", lambda *_, **__: pytest.fail("it was begun"))
    text = sentence(lambda: material.made().build_vlad(tmp_path / "file" / "model.h5", VladTraining()))
    assert text.startswith(f"{tmp_path / 'file'} cannot be written")


def test_a_missing_folder_is_made_for_a_model(material: Material, tmp_path: Path) -> None:
    path = tmp_path / "models" / "model.h5"
    material.made().build_vlad(path, VladTraining(words=4, dimension=3))
    assert read_vlad(path).dimension == 3


def test_a_store_whose_model_is_not_named(material: Material) -> None:
    store = material.copy()
    manifest = store.path / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "vlad": None}))
    assert sentence(lambda: handcraft.open(store.path).query(material.query, options=BY_VLAD)) == (
        "The store votes by vlad, but its manifest names no VLAD model; index the photos again into a new "
        "store with `handcraft index --store`."
    )


def other_space(dtype: str = "float32") -> VladModel:
    space = Fingerprint("other", 8, dtype)
    centroids = np.zeros((3, 8), dtype)
    codebook = VocabularyTree.of(centroids, np.array([2, 0, 0], np.uint32), space, Training("", 0, 0, 0.0))
    numbers = np.zeros(16, np.float32)
    return VladModel(
        codebook, numbers, np.zeros((2, 16), np.int8), np.ones(2, np.float32), VladTraining(words=2)
    )


def test_models_that_cannot_be(material: Material, tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    write_vlad(path, other_space())
    store = material.new()
    text = sentence(lambda: store.add(material.photos, options=replace(VLAD, vlad_model=path)))
    assert text.startswith(
        "The VLAD model is for other (8 x float32), the photos give hessian-affine-rootsift"
    )
    assert text.endswith("learn one for them with `handcraft build-vlad`.")

    material.made().build_vlad(path, VladTraining(words=4, dimension=3))
    text = sentence(lambda: material.copy().add(material.photos, options=replace(VLAD, vlad_model=path)))
    assert text == (
        f"The store votes by vlad with a model of its own, not with that of {path}; leave --vlad-model out, "
        "or make another store with `handcraft index --store`."
    )

    many = IndexOptions(vlad=VladOptions(dimension=300))
    assert sentence(lambda: material.new().add(material.photos, options=many)) == (
        "The VLAD model has 256 dimensions, fewer than 300; give --dimension 256 or less, or learn another "
        "with `handcraft build-vlad`."
    )
    other = IndexOptions(vlad=VladOptions(dimension=64))
    assert sentence(lambda: material.copy().add(material.photos, options=other)) == (
        "The store votes by vlad with dimension 256, half False, the options ask for dimension 64, half "
        "False; leave them out, or make another store with `handcraft index --store`."
    )


def test_an_extractor_without_a_shipped_model(material: Material, tmp_path: Path) -> None:
    features = FeatureOptions(extractor="mser", max_features=300)
    words = tmp_path / "mser.h5"
    handcraft.open(tmp_path / "none", features=features).build_vocabulary(
        material.photos, VocabularyOptions(words=10), output=words
    )
    store = handcraft.open(tmp_path / "store", features=features, vocabulary=words)
    assert sentence(lambda: store.add(material.photos, options=VLAD)) == (
        "No VLAD model for mser comes with handcraft; learn one on other photos with `handcraft build-vlad`."
    )


def test_what_there_is_nothing_to_learn_from(material: Material, tmp_path: Path) -> None:
    store = material.new()
    store.add(material.photos, options=IndexOptions(method="bow", keep_features=False))
    assert sentence(lambda: store.build_vlad(tmp_path / "model.h5")) == (
        f"The store {store.path} keeps no features of 6 photos, so there is nothing of theirs to learn from; "
        "index other photos with --keep-features."
    )
    assert "keeps no features of 6 photos" in sentence(lambda: store.add(material.photos, options=VLAD))
    assert store.info().methods == {"bow": {}}
    assert sentence(lambda: material.made().build_vlad(tmp_path / "model.h5")) == (
        "6 photos are too few to learn 256 dimensions from; give more photos or a smaller --dimension."
    )
    empty = material.copy()
    empty.remove(material.photos)
    assert sentence(lambda: empty.build_vlad(tmp_path / "model.h5")) == (
        f"The store {empty.path} holds no photos; add some with `handcraft index`."
    )
    assert not (tmp_path / "model.h5").exists()


# --- damage ---


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("pattern", ["segments/*.vectors.h5", "vlad-*.h5"])
def test_a_flipped_byte_is_found_by_check(material: Material, pattern: str) -> None:
    store = material.copy()
    (path,) = store.path.glob(pattern)
    flip(path, path.stat().st_size - 100)
    assert store.check().problems == (f"{path} has changed since it was written: its checksum differs.",)


@pytest.mark.parametrize("pattern", ["segments/*.vectors.h5", "vlad-*.h5"])
def test_a_file_that_is_cut_or_gone(material: Material, pattern: str) -> None:
    store = material.copy()
    (path,) = store.path.glob(pattern)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[: size // 2])
    query = QueryOptions(method="vlad")
    assert sentence(lambda: store.query(material.query, options=query)) == (
        f"{path} has {size // 2} bytes instead of {size}; run `handcraft check`."
    )
    path.unlink()
    assert sentence(lambda: store.query(material.query, options=query)) == (
        f"{path} is missing; run `handcraft check`."
    )
    assert store.check().problems == (f"{path} is missing.",)
