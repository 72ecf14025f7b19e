"""Photos indexed by features of other programs, and asked for with them."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from foreign import delf_features, write_archive, write_database, write_hdf5
from numpy.typing import NDArray
from photographs import ONCE, age, ranking, save, scene, segment_bytes, similarity, view
from PIL import Image

import handcraft
from handcraft.engine.kept import KeptFeatures
from handcraft.errors import FeatureFileError, FingerprintError, HandcraftError, PhotoError
from handcraft.features.extraction import extract_photo
from handcraft.features.registry import are_points, fingerprint_of, options_of
from handcraft.options import (
    FeatureOptions,
    IndexOptions,
    QueryOptions,
    VerificationOptions,
    VocabularyOptions,
)
from handcraft.types import Features

SIZE = WIDTH, HEIGHT = 200, 150
SCENES = 5
FEW = FeatureOptions(max_features=300)
WORDS = VocabularyOptions(words=200)
FEW_WORDS = VocabularyOptions(words=20)
BY_DESCRIPTORS = VerificationOptions(pairing="descriptors")
WAYS = {
    "votes": ONCE,
    "words": replace(ONCE, verify=True),
    "descriptors": replace(ONCE, verify=True, verification=BY_DESCRIPTORS),
}
RADIUS_PER_SCALE = 6

Tables = Mapping[str, Mapping[str, NDArray[Any]]]


@dataclass(frozen=True)
class Material:
    """images: scenes, and another view of one in a folder. query: a part of that scene. features: of all of
    them, by their names, the query's by its own. file: hloc's, of the images. words: a vocabulary."""

    folder: Path
    images: Path
    query: Path
    features: dict[str, Features]
    file: Path
    words: Path

    def with_query(self, path: Path) -> Path:
        """A file of hloc that has the query too."""
        return write_hdf5(path, as_hloc(self.features))


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = tmp_path_factory.mktemp("importing")
    images = folder / "images"
    (images / "views").mkdir(parents=True)
    scenes = [scene(number, *SIZE) for number in range(SCENES)]
    paths = [save(image, images / f"scene-{number}.jpg") for number, image in enumerate(scenes)]
    paths.append(
        save(view(scenes[2], similarity(6, 0.8, (110, 70), SIZE), SIZE), images / "views" / "view.jpg")
    )
    part = similarity(-4, 0.9, (95, 80), (160, 120))
    paths.append(save(view(scenes[2], part, (160, 120)), folder / "query.jpg"))
    names = [path.name if path.parent == folder else path.relative_to(images).as_posix() for path in paths]
    features = {name: extract_photo(path, FEW)[1] for name, path in zip(names, paths, strict=True)}
    file = write_hdf5(folder / "features.h5", as_hloc(without_query(features)))
    words = folder / "words.h5"
    trainer = handcraft.open(folder / "trainer", features=FEW)
    trainer.build_vocabulary(images, WORDS, output=words)
    return Material(folder, images, paths[-1], features, file, words)


def without_query(features: Mapping[str, Features]) -> dict[str, Features]:
    return {name: one for name, one in features.items() if name != "query.jpg"}


def as_hloc(features: Mapping[str, Features]) -> dict[str, dict[str, NDArray[Any]]]:
    """Whole frames, as handcraft writes them into hloc's files."""
    return {
        name: {
            "keypoints": one.centres,
            "shapes": one.frames[:, :, :2],
            "descriptors": one.descriptors.T,
            "image_size": np.array([one.width, one.height]),
        }
        for name, one in features.items()
    }


def as_points(features: Mapping[str, Features], scale: float = 1.0) -> dict[str, dict[str, NDArray[Any]]]:
    """What most networks give: points and float descriptors; of photos that were resized by a scale."""
    return {
        name: {
            "keypoints": (one.centres + 0.5) * scale - 0.5,
            "descriptors": (one.descriptors / np.float32(512)).T,
            "image_size": np.array([one.width * scale, one.height * scale]),
        }
        for name, one in features.items()
    }


def numbers(
    count: int, dimension: int = 16, *, dtype: str = "float32", seed: int = 0
) -> dict[str, NDArray[Any]]:
    """Points of a photo of SIZE with random descriptors."""
    generator = np.random.default_rng(seed)
    descriptors = generator.integers(0, 256, (dimension, count)).astype(dtype)
    points = generator.uniform(0, (WIDTH - 1, HEIGHT - 1), (count, 2)).astype(np.float32)
    return {"keypoints": points, "descriptors": descriptors}


def imported(folder: Path, material: Material, tables: Tables, **options: Any) -> handcraft.Store:
    """A store of an hloc file of these tables."""
    folder.mkdir(exist_ok=True)
    store = handcraft.open(folder / "store")
    store.import_features(
        write_hdf5(folder / "made.h5", tables), material.images, **{"training": WORDS, **options}
    )
    return store


def kept(store: handcraft.Store, name: str) -> Features:
    ids = store.snapshot.collection.ids
    (image_id,) = (image_id for known, image_id in ids.items() if known.endswith(name))
    found = KeptFeatures(store.snapshot).of(image_id)
    assert found is not None
    return found


def options_in(store: handcraft.Store) -> FeatureOptions:
    return options_of(store.snapshot.manifest.fingerprint)


def hits(store: handcraft.Store, query: Path, **changes: Any) -> list[str]:
    result = store.query(query, options=replace(ONCE, **changes))
    return [Path(hit.name).name for hit in result.hits]


def assert_answers(store: handcraft.Store, material: Material, **changes: Any) -> None:
    """The query, a part of scene 2, finds that and the other view, and proves it."""
    options = replace(ONCE, verify=True, **changes)
    best = store.query(material.query, options=options).hits[:2]
    assert {Path(hit.name).name for hit in best} == {"scene-2.jpg", "view.jpg"}
    assert all(hit.inliers >= 8 for hit in best)


def answers(store: handcraft.Store, query: Path) -> dict[str, list[Any]]:
    return {way: ranking(store.query(query, options=options)) for way, options in WAYS.items()}


def sentence(act: Callable[[], object], kind: type[HandcraftError] = HandcraftError) -> str:
    with pytest.raises(kind) as error:
        act()
    text = str(error.value)
    assert text.endswith(".")
    assert "\n" not in text
    return text


# --- what a store exports ---


@pytest.fixture(scope="module")
def original(material: Material) -> handcraft.Store:
    """A store of handcraft's own features of the images; nobody may change it."""
    path = material.folder / "original"
    store = handcraft.open(path, features=FEW, vocabulary=material.words)
    store.add(material.images, options=IndexOptions(photos_per_commit=4))
    return store


def test_exported_features_give_the_same_rankings_when_they_are_imported(
    original: handcraft.Store, material: Material, tmp_path: Path
) -> None:
    file = tmp_path / "features.h5"
    assert original.export_features(file, root=material.images) == SCENES + 1
    again = handcraft.open(material.folder / "again", features=FEW, vocabulary=material.words)
    report = again.import_features(file, material.images)
    assert report.added.added == SCENES + 1
    assert report.added.unreadable == report.added.featureless == ()
    assert (report.unused, report.trained, report.points) == (0, 0, False)
    assert again.info().fingerprint == original.info().fingerprint
    expected = answers(original, material.query)
    assert answers(again, material.query) == expected
    assert all(hit[3] > 20 for hit in expected["words"][:2])
    for name, features in without_query(material.features).items():
        np.testing.assert_array_equal(kept(again, name).frames, features.frames)
        np.testing.assert_array_equal(kept(again, name).descriptors, features.descriptors)
    assert again.check().problems == ()


def test_without_a_folder_names_are_those_of_the_store(
    original: handcraft.Store, material: Material, tmp_path: Path
) -> None:
    original.export_features(tmp_path / "features.h5")
    with h5py.File(tmp_path / "features.h5") as file:
        assert "images/views/view.jpg" in file
        assert "query.jpg" not in file
    store = handcraft.open(tmp_path / "store", features=FEW, vocabulary=material.words)
    report = store.import_features(tmp_path / "features.h5", material.folder)
    assert report.added.added == SCENES + 1
    (lacking,) = report.added.unreadable  # the query lies there too
    assert str(lacking) == f"{tmp_path / 'features.h5'} has no features for {material.query}."


def test_names_of_any_letters_are_exported_but_none_that_is_no_text(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    save(scene(1, *SIZE), images / "ä b.jpg")
    store = handcraft.open(tmp_path / "store", features=FEW)
    store.add(images)
    assert store.export_features(tmp_path / "features.h5", root=images) == 1
    again = handcraft.open(tmp_path / "again", features=FEW)
    assert again.import_features(tmp_path / "features.h5", images).added.added == 1
    shutil.copy(images / "ä b.jpg", images / os.fsdecode(b"\xff.jpg"))
    store.add(images)
    text = sentence(lambda: store.export_features(tmp_path / "more.h5", root=images))
    assert text == (
        "The name of the photo '\\udcff.jpg' is no UTF-8, which a file of hloc needs; rename it and index it "
        "again."
    )
    assert not (tmp_path / "more.h5").exists()


def test_a_store_that_keeps_no_features_has_none_to_export(material: Material, tmp_path: Path) -> None:
    store = handcraft.open(tmp_path / "store", features=FEW, vocabulary=material.words)
    store.add(material.images, options=IndexOptions(keep_features=False))
    text = sentence(lambda: store.export_features(tmp_path / "features.h5"))
    assert text == (
        f"The store {store.path} keeps no features of 6 of its photos; index them again into a new store, "
        "without --no-keep-features."
    )
    assert not (tmp_path / "features.h5").exists()


# --- whose features they may be ---


def as_database(path: Path, features: Mapping[str, Features]) -> Path:
    """COLMAP's: origin at the corner, shapes of six columns that take the unit circle to σ."""
    rows = {
        name: (
            np.column_stack(
                [one.centres + 0.5, one.frames[:, :, :2].reshape(-1, 4) / RADIUS_PER_SCALE]
            ).astype(np.float32),
            one.descriptors,
        )
        for name, one in features.items()
    }
    write_database(path, rows)
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE cameras SET width = ?, height = ?", SIZE)
        database.commit()
    return path


def as_archives(folder: Path, features: Mapping[str, Features]) -> Path:
    for name, one in features.items():
        write_archive(folder / f"{name}.npz", frames=one.frames, descriptors=one.descriptors)
    return folder


def as_delf(folder: Path, features: Mapping[str, Features]) -> Path:
    """DELF's: upright circles, of which a scale of 1 is 145.5 pixels, and names without suffixes."""
    for name, one in features.items():
        radii = np.sqrt(np.linalg.det(one.frames[:, :, :2].astype(float)))
        rows = [
            ((x, y, radius / 145.5, 0.0, 1000.0 - place), descriptor)
            for place, ((x, y), radius, descriptor) in enumerate(
                zip(one.centres, radii, one.descriptors, strict=True)
            )
        ]
        path = folder / Path(name).with_suffix(".delf")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(delf_features(rows))
    return folder


def assert_same_answers(found: dict[str, list[Any]], expected: dict[str, list[Any]]) -> None:
    """Names, scores and inliers; maps may differ by what adding half a pixel rounds."""
    for way in WAYS:
        assert [hit[:2] for hit in found[way]] == [hit[:2] for hit in expected[way]]
        assert [hit[3] for hit in found[way]] == [hit[3] for hit in expected[way]]
        np.testing.assert_allclose([h[2] for h in found[way]], [h[2] for h in expected[way]], rtol=1e-3)


@pytest.mark.parametrize("write", [as_database, as_archives])
def test_other_formats_give_the_same_rankings(
    write: Callable[[Path, Mapping[str, Features]], Path],
    original: handcraft.Store,
    material: Material,
    tmp_path: Path,
) -> None:
    file = write(tmp_path / "features", without_query(material.features))
    store = handcraft.open(material.folder / write.__name__, features=FEW, vocabulary=material.words)
    assert store.import_features(file, material.images).added.added == SCENES + 1
    assert_same_answers(answers(store, material.query), answers(original, material.query))


def test_files_of_delf(material: Material, tmp_path: Path) -> None:
    """Circles in place of ellipses, so that only what votes is the same; the query's file is there too."""
    pytest.importorskip("google.protobuf")
    folder = as_delf(tmp_path / "delf", material.features)
    store = handcraft.open(tmp_path / "store")
    report = store.import_features(folder, material.images, name="delf", training=WORDS)
    assert report.added.added == SCENES + 1
    assert (report.unused, report.trained, report.points) == (1, 200, False)
    features = kept(store, "scene-1.jpg")
    expected = material.features["scene-1.jpg"]
    np.testing.assert_array_equal(features.centres, expected.centres)
    np.testing.assert_array_equal(features.descriptors, expected.descriptors.astype(np.float32))
    areas = [np.linalg.det(one.frames[:, :, :2].astype(float)) for one in (features, expected)]
    np.testing.assert_allclose(*areas, rtol=1e-4)
    assert_answers(store, material, features=folder)


# --- features with a name ---


def test_a_vocabulary_is_trained_on_the_features(material: Material, tmp_path: Path) -> None:
    stages: list[str] = []
    store = handcraft.open(tmp_path / "store")
    report = store.import_features(
        material.file,
        material.images,
        name="mine",
        training=WORDS,
        progress=lambda stage, *_: stages.append(stage),
    )
    assert (report.added.added, report.trained, report.points) == (SCENES + 1, 200, False)
    assert set(stages) == {"reading", "training", "indexing"}
    info = store.info()
    assert info.words == 200
    assert (info.training.source, info.training.photos) == ("features.h5", SCENES + 1)
    assert info.training.descriptors == sum(len(one) for one in without_query(material.features).values())
    assert info.fingerprint == (
        "mine (128 x uint8, dimension=128, dtype=uint8, extractor=imported, max_features=2000, name=mine, "
        "shapes=True)"
    )
    assert_answers(store, material, features=material.with_query(tmp_path / "all.h5"))
    assert_answers(
        store, material, features=material.with_query(tmp_path / "all.h5"), verification=BY_DESCRIPTORS
    )


def test_a_vocabulary_is_given(material: Material, tmp_path: Path) -> None:
    """One of the same space: its name, dimension and dtype."""
    store = handcraft.open(tmp_path / "store", vocabulary=material.words)
    report = store.import_features(material.file, material.images, name="hessian-affine-rootsift")
    assert report.trained == 0
    assert store.info().words == 200
    other = handcraft.open(tmp_path / "other", vocabulary=material.words)
    text = sentence(
        lambda: other.import_features(material.file, material.images, name="mine"), FingerprintError
    )
    assert text.startswith("The vocabulary is for hessian-affine-rootsift (128 x uint8")
    assert "the photos give mine (128 x uint8" in text
    assert not other.exists
    absent = handcraft.open(tmp_path / "other", vocabulary=tmp_path / "absent.h5")
    assert "absent.h5" in sentence(lambda: absent.import_features(material.file, material.images))
    other = handcraft.open(tmp_path / "other")  # what is left does not stand in the way
    assert other.import_features(material.file, material.images, training=WORDS).trained == 200


def test_another_vocabulary_is_not_for_a_store_that_has_one(material: Material, tmp_path: Path) -> None:
    name = "hessian-affine-rootsift"
    store = handcraft.open(tmp_path / "store")
    fewer = VocabularyOptions(words=100)
    store.import_features(material.file, material.images, name=name, training=fewer)
    again = handcraft.open(store.path, vocabulary=material.words)
    text = sentence(lambda: again.import_features(material.file, material.images), FingerprintError)
    assert f"has a vocabulary of 100 words of its own, not the 200 of {material.words}" in text


def test_the_vocabulary_that_ships_is_for_handcrafts_own_features(material: Material, tmp_path: Path) -> None:
    store = handcraft.open(tmp_path / "store", features=FEW)
    report = store.import_features(material.file, material.images)
    assert report.trained == 0
    assert store.info().words > 10_000
    assert_answers(store, material)


def test_too_few_features_for_a_vocabulary(material: Material, tmp_path: Path) -> None:
    store = handcraft.open(tmp_path / "store")
    many = VocabularyOptions()
    text = sentence(lambda: store.import_features(material.file, material.images, training=many))
    assert text.endswith(
        "descriptors are too few for 65,536 words; give more photos or ask for fewer words with --words."
    )
    assert not store.exists
    assert "There is no store at" in sentence(store.info)
    assert store.import_features(material.file, material.images, training=WORDS).trained == 200


def test_without_a_number_words_are_a_tenth_of_the_features(material: Material, tmp_path: Path) -> None:
    store = handcraft.open(tmp_path / "store")
    trained = store.import_features(material.file, material.images).trained
    assert trained == store.info().training.descriptors // 10


def test_photos_that_the_store_holds_need_not_be_in_the_file(material: Material, tmp_path: Path) -> None:
    tables = as_hloc(without_query(material.features))
    first, second = (dict(list(tables.items())[half::2]) for half in (0, 1))
    store = handcraft.open(tmp_path / "store")
    report = store.import_features(write_hdf5(tmp_path / "1.h5", first), material.images, training=WORDS)
    assert len(report.added.unreadable) == len(second)
    report = store.import_features(write_hdf5(tmp_path / "2.h5", second), material.images)
    assert (report.added.added, report.added.unreadable) == (len(second), ())


def test_a_sample_is_no_larger_than_what_there_is(material: Material, tmp_path: Path) -> None:
    """Ten million of 2048 dimensions, the default, would be 82 GB."""
    names = [f"scene-{number}.jpg" for number in range(2)]
    tables = {name: numbers(30, 2048, seed=seed) for seed, name in enumerate(names)}
    store = imported(tmp_path, material, tables, training=FEW_WORDS)
    assert store.info().training.descriptors == 60
    report = store.build_vocabulary(options=replace(FEW_WORDS, words=10), from_store=store.path)
    assert report.tree.training.descriptors == 60
    fewer = handcraft.open(tmp_path / "fewer")
    file = tmp_path / "made.h5"
    fewer.import_features(file, material.images, training=replace(FEW_WORDS, sample=40))
    assert fewer.info().training.descriptors == 40


# --- queries ---


@pytest.fixture(scope="module")
def mine(material: Material) -> handcraft.Store:
    """A store of features under a name; nobody may change it."""
    return imported(
        material.folder / "named", material, as_hloc(without_query(material.features)), name="mine"
    )


def test_a_query_needs_its_features(mine: handcraft.Store, material: Material) -> None:
    assert sentence(lambda: mine.query(material.query), PhotoError) == (
        "The features of query.jpg are to be those of mine, which handcraft cannot compute; compute them as "
        "those of the store were, and name their file: with --features to ask, to `handcraft "
        "import-features` to add."
    )
    # Photos cannot be added without their features either, and say so one by one.
    own = handcraft.open(shutil.copytree(mine.path, mine.path.with_name("own")))
    report = own.add([material.images, material.query])
    assert (report.added, report.unchanged) == (0, SCENES + 1)
    (error,) = report.unreadable
    assert "which handcraft cannot compute" in str(error)


@pytest.mark.parametrize("name", ["query.jpg", "query", "importing/query.jpg"])
def test_a_query_is_found_by_its_name(
    name: str, mine: handcraft.Store, material: Material, tmp_path: Path
) -> None:
    folder = tmp_path / "importing"
    folder.mkdir()
    photo = Path(shutil.copy(material.query, folder))
    # The same photo of another folder has no part in it: the longer name is the query's own.
    features = {name: material.features["query.jpg"], "elsewhere/query.jpg": material.features["scene-4.jpg"]}
    file = write_hdf5(tmp_path / "query.h5", as_hloc(features))
    result = mine.query(photo, options=replace(ONCE, features=file))
    assert Path(result.hits[0].name).name in {"scene-2.jpg", "view.jpg"}
    assert result.features == len(material.features["query.jpg"])
    assert (result.width, result.height) == (160, 120)


def test_a_query_has_as_many_folders_as_it_takes(
    mine: handcraft.Store, material: Material, tmp_path: Path
) -> None:
    """Of two photos of one name, that of the query's folders is meant, from wherever they are told."""
    features = {"query.jpg": material.features["scene-4.jpg"], "b/query.jpg": material.features["query.jpg"]}
    file = write_hdf5(tmp_path / "query.h5", as_hloc(features))
    (tmp_path / "b").mkdir()
    photo = Path(shutil.copy(material.query, tmp_path / "b"))
    assert mine.query(photo, options=replace(ONCE, features=file)).features == len(
        material.features["query.jpg"]
    )


def test_a_region_of_a_query(mine: handcraft.Store, material: Material, tmp_path: Path) -> None:
    options = replace(ONCE, features=material.with_query(tmp_path / "all.h5"))
    result = mine.query(material.query, roi=(20, 10, 120, 100), options=options)
    points = material.features["query.jpg"].centres
    assert result.features == int(((points >= [20, 10]) & (points <= [120, 100])).all(axis=1).sum())
    assert "is empty" in sentence(lambda: mine.query(material.query, roi=(9, 9, 9, 9), options=options))


def test_a_query_that_the_file_does_not_have(mine: handcraft.Store, material: Material) -> None:
    options = QueryOptions(features=material.file)
    assert sentence(lambda: mine.query(material.query, options=options), FeatureFileError) == (
        f"{material.file} has no features for {material.query}; its 6 photos have names such as scene-0.jpg."
    )


def test_a_query_of_other_features(mine: handcraft.Store, material: Material, tmp_path: Path) -> None:
    options = QueryOptions(features=write_hdf5(tmp_path / "a.h5", {"query.jpg": numbers(20)}))
    assert sentence(lambda: mine.query(material.query, options=options), FeatureFileError) == (
        f"{tmp_path / 'a.h5'} has descriptors of 16 x float32 for query.jpg, not of 128 x uint8 as for the "
        "other photos; compute all of them in the same way."
    )
    points = {"query.jpg": {**as_hloc(material.features)["query.jpg"]}}
    del points["query.jpg"]["shapes"]
    options = QueryOptions(features=write_hdf5(tmp_path / "b.h5", points))
    assert sentence(lambda: mine.query(material.query, options=options), FeatureFileError) == (
        f"{tmp_path / 'b.h5'} has only points for query.jpg, and no shapes as of the other photos; compute "
        "all of them in the same way."
    )


def test_a_query_without_features(mine: handcraft.Store, material: Material, tmp_path: Path) -> None:
    options = QueryOptions(features=write_hdf5(tmp_path / "a.h5", {"query.jpg": numbers(0)}))
    assert "No features were found" in sentence(lambda: mine.query(material.query, options=options))


def test_a_store_of_handcrafts_own_features_takes_those_of_a_file(
    original: handcraft.Store, material: Material, tmp_path: Path
) -> None:
    file = material.with_query(tmp_path / "all.h5")
    for options in WAYS.values():
        expected = ranking(original.query(material.query, options=options))
        assert ranking(original.query(material.query, options=replace(options, features=file))) == expected


def test_an_evaluation_with_features(mine: handcraft.Store, material: Material, tmp_path: Path) -> None:
    truth = tmp_path / "truth.json"
    names = [name for name in mine.names if name.endswith(("scene-2.jpg", "view.jpg"))]
    truth.write_text(json.dumps({"query.jpg": names}))
    queries = tmp_path / "queries"
    queries.mkdir()
    shutil.copy(material.query, queries)
    options = replace(ONCE, features=material.with_query(tmp_path / "all.h5"))
    report = mine.evaluate(queries, truth, options=options)
    assert report.mean_average_precision == pytest.approx(1)
    text = sentence(lambda: mine.evaluate(queries, truth))
    assert "which handcraft cannot compute" in text


# --- points ---


@pytest.fixture(scope="module")
def points(material: Material) -> handcraft.Store:
    """A store of points; nobody may change it."""
    return imported(
        material.folder / "points", material, as_points(without_query(material.features)), name="net"
    )


def test_points_say_so_and_are_verified_by_pairs(
    points: handcraft.Store, material: Material, tmp_path: Path
) -> None:
    fingerprint = points.snapshot.manifest.fingerprint
    assert are_points(fingerprint)
    assert (fingerprint.descriptor, fingerprint.dimension, fingerprint.dtype) == ("net", 128, "float32")
    assert points.info().fingerprint.endswith("name=net, points=True, shapes=False)")
    # Photos that were enlarged, so that nothing but a similarity takes the query to them.
    file = write_hdf5(tmp_path / "query.h5", as_points(material.features))
    large = save(Image.open(material.query).resize((480, 360)), tmp_path / "query.jpg")
    result = points.query(large, options=replace(ONCE, features=file, verify=True))
    best = {Path(hit.name).name: hit for hit in result.hits[:2]}
    assert set(best) == {"scene-2.jpg", "view.jpg"}
    assert all(hit.inliers >= 8 for hit in best.values())
    match = best["scene-2.jpg"].match
    assert match is not None
    scale = np.sqrt(np.linalg.det(match.affine[:, :2]))
    assert scale == pytest.approx(0.9 / 3, rel=0.03)
    assert all(hit.match is None for hit in result.hits[2:])


def test_points_verify_with_descriptors_pair_and_expand(
    points: handcraft.Store, material: Material, tmp_path: Path
) -> None:
    file = write_hdf5(tmp_path / "query.h5", as_points(material.features))
    assert_answers(points, material, features=file, verification=BY_DESCRIPTORS)
    assert_answers(points, material, features=file, expand="hqe")
    report = points.pairs(tmp_path / "pairs.txt")
    assert report.pairs == 1
    (line,) = (tmp_path / "pairs.txt").read_text().splitlines()
    assert {Path(name).name for name in line.split()} == {"scene-2.jpg", "view.jpg"}


def test_an_extractor_with_shapes_is_not_said_of_points(material: Material, tmp_path: Path) -> None:
    tables = as_hloc(without_query(material.features))
    for table in tables.values():
        del table["shapes"]
    file = write_hdf5(tmp_path / "points.h5", tables)
    store = handcraft.open(tmp_path / "store", features=FEW)
    text = sentence(lambda: store.import_features(file, material.images), FingerprintError)
    assert text.startswith(
        f"{file} has points of 128 x uint8, the extractor gives hessian-affine-rootsift (128"
    )
    assert not store.exists


# --- pixels ---


def table(points: Any, size: tuple[int, int] | None = None, dimension: int = 16) -> dict[str, NDArray[Any]]:
    points = np.array(points, np.float32)
    descriptors = np.arange(dimension * len(points), dtype=np.uint8).reshape(dimension, -1)
    found = {"keypoints": points, "descriptors": descriptors, "scales": np.ones(len(points), np.float32)}
    return found if size is None else {**found, "image_size": np.array(size)}


def test_a_photo_of_another_size_is_scaled(material: Material, tmp_path: Path) -> None:
    """Half of 200 x 150: pixel 0, whose middle is at half a pixel, lies at a whole one there, 0.5."""
    corners = [(0, 0), (99, 74), (10, 20)]
    tables = {
        "scene-0.jpg": table(corners, (100, 75)),
        "scene-1.jpg": numbers(300) | {"scales": np.ones(300)},
    }
    tables["scene-1.jpg"]["descriptors"] = tables["scene-1.jpg"]["descriptors"].astype(np.uint8)
    store = imported(tmp_path, material, tables)
    features = kept(store, "scene-0.jpg")
    assert features.centres.tolist() == [[0.5, 0.5], [198.5, 148.5], [20.5, 40.5]]
    np.testing.assert_allclose(features.frames[:, :, :2], np.broadcast_to(12 * np.eye(2), (3, 2, 2)))
    assert (features.width, features.height) == SIZE
    np.testing.assert_array_equal(kept(store, "scene-1.jpg").centres, tables["scene-1.jpg"]["keypoints"])


def test_each_side_is_scaled_by_its_own_factor(material: Material, tmp_path: Path) -> None:
    """Programs round the sides of a photo that they reduce: 67 x 50 is not quite a third."""
    tables = {
        "scene-0.jpg": table([(66, 49)], (67, 50)),
        "scene-1.jpg": table(np.arange(200).reshape(-1, 2) % 99),
    }
    features = kept(imported(tmp_path, material, tables, training=FEW_WORDS), "scene-0.jpg")
    np.testing.assert_allclose(features.centres, [[66.5 * 200 / 67 - 0.5, 49.5 * 3 - 0.5]], rtol=1e-6)
    np.testing.assert_allclose(features.frames[0, :, :2], np.diag([6 * 200 / 67, 6 * 3]), rtol=1e-6)


def test_the_features_of_another_photo_are_that_photos_error(material: Material, tmp_path: Path) -> None:
    tables = {
        "scene-0.jpg": table([(5, 5)], (150, 200)),  # not turned as its EXIF says
        "scene-1.jpg": table([(5, 5), (201.6, 5)]),
        "scene-2.jpg": table(np.arange(200).reshape(-1, 2) % 99),
        "scene-3.jpg": table([(201.4, 5), (-2.4, 151.4)]),  # as far as a point may be refined to
        "scene-4.jpg": table([(5, -2.6)]),
    }
    file, store = write_hdf5(tmp_path / "made.h5", tables), handcraft.open(tmp_path / "store")
    report = store.import_features(file, material.images, training=FEW_WORDS)
    assert report.added.added == 2
    texts = {str(error) for error in report.added.unreadable}
    assert len(texts) == 4
    name = next(name for name in store.names if name.endswith("scene-2.jpg")).replace("scene-2", "{}")
    assert (
        f"{file} has features of 150 x 200 pixels for scene-0.jpg, but {name.format('scene-0')} has 200 x "
        "150; they are of another photo, or of one that was not turned as its EXIF says."
    ) in texts
    for outside in ("scene-1", "scene-4"):
        assert (
            f"{file} has features for {outside}.jpg that are outside the 200 x 150 pixels of "
            f"{name.format(outside)}; they are of another photo or size, or of one that was not turned as "
            "its EXIF says."
        ) in texts


def test_photos_are_held_as_their_exif_says(tmp_path: Path, material: Material) -> None:
    images = tmp_path / "images"
    images.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    scene(1, *SIZE).save(images / "turned.jpg", exif=exif)
    tables = {"turned.jpg": table(np.arange(200).reshape(-1, 2) % 140, (150, 200))}
    store = handcraft.open(tmp_path / "store")
    file = write_hdf5(tmp_path / "made.h5", tables)
    assert store.import_features(file, images, training=FEW_WORDS).added.unreadable == ()
    assert (kept(store, "turned.jpg").width, kept(store, "turned.jpg").height) == (150, 200)


# --- which photos ---


def test_photos_of_one_side_only(material: Material, tmp_path: Path) -> None:
    tables = as_hloc(without_query(material.features))
    del tables["scene-4.jpg"]
    tables["gone.jpg"] = tables["elsewhere/scene-0.jpg"] = numbers(3)  # never read
    store = handcraft.open(tmp_path / "store")
    file = write_hdf5(tmp_path / "made.h5", tables)
    report = store.import_features(file, material.images, training=WORDS)
    assert (report.added.added, report.unused) == (SCENES, 2)
    (error,) = report.added.unreadable
    assert str(error) == f"{file} has no features for {material.images / 'scene-4.jpg'}."
    assert len(store) == SCENES


def test_photos_without_features_are_indexed_and_named(material: Material, tmp_path: Path) -> None:
    tables = as_hloc(without_query(material.features))
    tables["scene-0.jpg"] = numbers(0, 0)
    file, store = write_hdf5(tmp_path / "made.h5", tables), handcraft.open(tmp_path / "store")
    report = store.import_features(file, material.images, training=WORDS)
    assert report.added.added == SCENES + 1
    (featureless,) = report.added.featureless
    assert featureless.endswith("scene-0.jpg")
    nothing = write_hdf5(tmp_path / "nothing.h5", {"scene-0.jpg": numbers(0)})
    text = sentence(lambda: store.import_features(nothing, material.images), FeatureFileError)
    assert text == f"{nothing} has photos without features only; compute them again."


def test_no_name_matches(material: Material, tmp_path: Path) -> None:
    store = handcraft.open(tmp_path / "store")
    text = sentence(lambda: store.import_features(material.file, material.folder), FeatureFileError)
    assert text == (
        f"None of the 6 photos of {material.file}, such as scene-0.jpg, is below {material.folder}, which "
        "has 7 such as query.jpg; name the folder that the file's names are relative to."
    )
    photo = material.images / "scene-0.jpg"
    assert sentence(lambda: store.import_features(material.file, photo), PhotoError) == (
        f"{photo} is no folder; name the folder that the names of {material.file} are relative to."
    )
    (tmp_path / "empty").mkdir()
    text = sentence(lambda: store.import_features(material.file, tmp_path / "empty"), PhotoError)
    assert text.startswith(f"There are no photos in {tmp_path / 'empty'}; ")
    text = sentence(lambda: store.import_features(material.file, tmp_path / "absent"), PhotoError)
    assert str(tmp_path / "absent") in text
    assert not store.path.exists()


# --- what is wrong with a file ---


def spoiled(
    change: Callable[[dict[str, dict[str, NDArray[Any]]]], object],
) -> Callable[[Path, Material], Path]:
    """A file whose last photo but one is changed."""

    def write(path: Path, material: Material) -> Path:
        tables = as_hloc(without_query(material.features))
        change(tables)
        return write_hdf5(path, tables)

    return write


def truncated(path: Path, material: Material) -> Path:
    path.write_bytes(material.file.read_bytes()[:-5000])
    return path


def truncated_database(path: Path, material: Material) -> Path:
    as_database(path, without_query(material.features))
    path.write_bytes(path.read_bytes()[:-50_000])
    return path


def no_file(path: Path, material: Material) -> Path:
    return path


FAULTS: dict[str, tuple[Callable[[Path, Material], Path], str]] = {
    "missing": (no_file, "There is no file of features at {file}; check its name."),
    "truncated": (truncated, "{file} is truncated or damaged; copy or compute it again."),
    "truncated database": (truncated_database, "{file} is truncated or damaged"),
    "layout": (
        spoiled(lambda t: t["scene-4.jpg"].update(descriptors=t["scene-4.jpg"]["descriptors"].T)),
        "keypoints and descriptors of shape",
    ),
    "no descriptors": (
        spoiled(lambda t: t["scene-4.jpg"].pop("descriptors")),
        "{file} has no 'descriptors' for scene-4.jpg; compute its local features again with hloc.",
    ),
    "NaN": (
        spoiled(lambda t: t["scene-4.jpg"].update(keypoints=t["scene-4.jpg"]["keypoints"] * np.nan)),
        "{file} has points that are not finite (NaN or infinity) for scene-4.jpg; compute its features "
        "again.",
    ),
    "dimension": (
        spoiled(lambda t: t.update({"scene-4.jpg": numbers(9, dtype="uint8")})),
        "{file} has descriptors of 16 x uint8 for scene-4.jpg, not of 128 x uint8 as for the other photos; "
        "compute all of them in the same way.",
    ),
    "dtype": (
        spoiled(lambda t: t.update({"scene-4.jpg": numbers(9, 128)})),
        "{file} has descriptors of 128 x float32 for scene-4.jpg, not of 128 x uint8 as for the other "
        "photos; compute all of them in the same way.",
    ),
    "points": (
        spoiled(lambda t: t["scene-4.jpg"].pop("shapes")),
        "{file} has only points for scene-4.jpg, and no shapes as of the other photos; compute all of them "
        "in the same way.",
    ),
    "too large": (
        spoiled(
            lambda t: t["scene-4.jpg"].update(
                descriptors=np.full((128, 1), 1e300), keypoints=np.ones((1, 2)), shapes=np.eye(2)[None]
            )
        ),
        "{file} has descriptors that float32 cannot hold for scene-4.jpg; compute its features again.",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_a_sentence_and_nothing_is_added(fault: str, material: Material, tmp_path: Path) -> None:
    write, expected = FAULTS[fault]
    file = write(tmp_path / "features.h5", material)
    expected = expected.format(file=file)
    new = handcraft.open(tmp_path / "new")
    text = sentence(lambda: new.import_features(file, material.images, name="mine", training=WORDS))
    assert expected in text
    assert not new.path.exists()
    tables = {name: one for name, one in as_hloc(material.features).items() if name == "scene-0.jpg"}
    existing = imported(tmp_path / "existing", material, tables, name="mine")
    generation, before = existing.info().generation, segment_bytes(existing.path)
    text = sentence(lambda: existing.import_features(file, material.images))
    assert expected in text
    existing.refresh()
    assert (existing.info().generation, segment_bytes(existing.path)) == (generation, before)
    assert existing.check().problems == ()


# --- importing again ---


def test_importing_again_changes_nothing(material: Material, tmp_path: Path) -> None:
    store = imported(tmp_path, material, as_hloc(without_query(material.features)), name="mine")
    generation, before = store.info().generation, segment_bytes(store.path)
    for name in ("mine", ""):  # the store knows its name
        report = store.import_features(tmp_path / "made.h5", material.images, name=name)
        assert (report.added.added, report.added.updated, report.added.unchanged) == (0, 0, SCENES + 1)
        assert report.trained == 0
        assert (store.info().generation, segment_bytes(store.path)) == (generation, before)


def test_a_photo_that_changed_is_imported_again(material: Material, tmp_path: Path) -> None:
    images = shutil.copytree(material.images, tmp_path / "images")
    store = handcraft.open(tmp_path / "store")
    store.import_features(material.file, images, name="mine", training=WORDS)
    save(scene(70, *SIZE), images / "scene-1.jpg")
    age(images / "scene-2.jpg", 60)  # another time, the same content
    tables = as_hloc({**material.features, "scene-1.jpg": material.features["scene-3.jpg"]})
    report = store.import_features(write_hdf5(tmp_path / "later.h5", tables), images)
    assert (report.added.added, report.added.updated, report.added.unchanged) == (0, 1, SCENES)
    np.testing.assert_array_equal(
        kept(store, "scene-1.jpg").descriptors, material.features["scene-3.jpg"].descriptors
    )
    assert len(store) == SCENES + 1
    assert store.check().problems == ()


def test_the_strongest_are_kept(material: Material, tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    tables = as_hloc(without_query(material.features))
    for one in tables.values():
        one["scores"] = generator.permutation(one["keypoints"].shape[0]).astype(np.float32)
    store = handcraft.open(tmp_path / "store", features=FeatureOptions(extractor="imported", max_features=50))
    file = write_hdf5(tmp_path / "made.h5", tables)
    store.import_features(file, material.images, name="mine", training=WORDS)
    for name, one in tables.items():
        order = np.argsort(-one["scores"])[:50]
        np.testing.assert_array_equal(kept(store, name).centres, one["keypoints"][order])
        np.testing.assert_array_equal(kept(store, name).descriptors, one["descriptors"].T[order])
    # Who opens the store again need not say how many it keeps.
    again = handcraft.open(store.path)
    assert again.import_features(file, material.images).added.unchanged == SCENES + 1
    assert options_in(again).max_features == 50
    query = tmp_path / "scene-1.jpg"
    shutil.copy(material.images / "scene-1.jpg", query)
    assert again.query(query, options=replace(ONCE, features=file)).features == 50


@pytest.mark.parametrize("dtype", ["float64", "float16", "float32", "int32"])
def test_descriptors_that_are_no_bytes_are_kept_as_float32(
    dtype: str, material: Material, tmp_path: Path
) -> None:
    tables = {f"scene-{number}.jpg": numbers(100, dtype=dtype, seed=number) for number in range(2)}
    store = imported(tmp_path, material, tables)
    assert kept(store, "scene-1.jpg").descriptors.dtype == np.float32
    np.testing.assert_array_equal(
        kept(store, "scene-1.jpg").descriptors, tables["scene-1.jpg"]["descriptors"].T
    )
    assert store.snapshot.manifest.fingerprint.dtype == "float32"


def test_another_store_refuses_them(
    mine: handcraft.Store, original: handcraft.Store, material: Material, tmp_path: Path
) -> None:
    before = mine.info().generation, original.info().generation
    remedy = (
        "; say what computed them with --name, or with --extractor where handcraft did, as the store says, "
        "or make another store with --store."
    )
    text = sentence(
        lambda: mine.import_features(material.file, material.images, name="other"), FingerprintError
    )
    assert text.startswith(f"The store {mine.path} holds mine (128 x uint8")
    assert "the options ask for other (128 x uint8" in text
    assert text.endswith(remedy)
    plain = handcraft.open(original.path)
    text = sentence(lambda: plain.import_features(material.file, material.images), FingerprintError)
    assert text.startswith(f"The store {original.path} holds hessian-affine-rootsift (128 x uint8")
    assert text.endswith(remedy)
    own = handcraft.open(mine.path, features=FEW)
    text = sentence(lambda: own.import_features(material.file, material.images), FingerprintError)
    assert "the options ask for hessian-affine-rootsift" in text
    text = sentence(lambda: own.import_features(material.file, material.images, name="mine"))
    assert text == (
        "The features are said to be those of mine and of the extractor hessian-affine; leave --name or "
        "--extractor out."
    )
    sift = handcraft.open(tmp_path / "sift", features=FeatureOptions(extractor="sift"))
    floats = write_hdf5(tmp_path / "floats.h5", as_points(without_query(material.features)))
    assert sentence(lambda: sift.import_features(floats, material.images), FingerprintError).endswith(
        "; leave --extractor out, and say what computed them with --name."
    )
    mine.refresh()
    original.refresh()
    assert (mine.info().generation, original.info().generation) == before


# --- all else that a store is for ---


@pytest.fixture
def own(mine: handcraft.Store, material: Material) -> Iterator[handcraft.Store]:
    """A copy of the named store beside it, to be changed."""
    path = mine.path.with_name("copy")
    yield handcraft.open(shutil.copytree(mine.path, path))
    shutil.rmtree(path)


def test_photos_are_removed_and_segments_merged(
    own: handcraft.Store, material: Material, tmp_path: Path
) -> None:
    images = shutil.copytree(material.images, tmp_path / "more")
    for name in ("scene-1.jpg", "scene-2.jpg"):
        (images / name).rename(images / f"more-{name}")
    tables = {f"more-{name}": one for name, one in as_hloc(material.features).items()}
    own.import_features(write_hdf5(tmp_path / "more.h5", tables), images)
    assert len(own) == SCENES + 3
    assert own.remove(material.images / "scene-2.jpg") == 1
    file = material.with_query(tmp_path / "all.h5")
    before = answers_with(own, material.query, file)
    assert own.optimize().dropped == 1
    assert answers_with(own, material.query, file) == before
    assert {Path(hit[1]).name for hit in before["words"][:2]} == {"more-scene-2.jpg", "view.jpg"}
    assert own.check().problems == ()
    assert len(own.info().segments) == 1


def answers_with(store: handcraft.Store, query: Path, file: Path) -> dict[str, list[Any]]:
    return {
        way: ranking(store.query(query, options=replace(options, features=file)))
        for way, options in WAYS.items()
    }


def test_pairs_of_photos(mine: handcraft.Store, tmp_path: Path) -> None:
    assert mine.pairs(tmp_path / "pairs.txt").pairs == 1


def test_another_method(own: handcraft.Store, material: Material, tmp_path: Path) -> None:
    """Of the kept features: the photos are not described again, but must be named."""
    own.import_features(material.file, material.images, options=IndexOptions(method="bow"))
    assert list(own.info().methods) == ["asmk", "bow"]
    assert_answers(own, material, features=material.with_query(tmp_path / "all.h5"), method="bow")


def test_other_words_of_its_own_features(own: handcraft.Store, material: Material, tmp_path: Path) -> None:
    file = material.with_query(tmp_path / "all.h5")
    for number, arguments in enumerate(({"paths": material.images}, {"from_store": own.path}), 150):
        report = own.build_vocabulary(options=VocabularyOptions(words=number), **arguments)
        assert (report.reused, report.reindexed, report.unreadable) == (SCENES + 1, SCENES + 1, ())
        assert own.info().words == number
        assert_answers(own, material, features=file)
    assert own.check().problems == ()


def test_words_of_its_features_for_another_store(
    mine: handcraft.Store, material: Material, tmp_path: Path
) -> None:
    words = tmp_path / "words.h5"
    beside = handcraft.open(tmp_path / "beside")
    tree = beside.build_vocabulary(options=WORDS, from_store=mine.path, output=words).tree
    assert tree.fingerprint.same_space(mine.snapshot.manifest.fingerprint)
    assert not beside.exists
    store = handcraft.open(tmp_path / "store", vocabulary=words)
    assert store.import_features(material.file, material.images, name="mine").trained == 0
    made = handcraft.open(tmp_path / "made")  # an empty store with these words
    made.build_vocabulary(options=WORDS, from_store=mine.path)
    assert (len(made), made.info().fingerprint) == (0, mine.info().fingerprint)
    report = made.import_features(material.file, material.images)
    assert (report.added.added, report.trained) == (SCENES + 1, 0)


def test_photos_cannot_be_described_for_its_words(own: handcraft.Store, material: Material) -> None:
    report = own.build_vocabulary([material.images, material.query], WORDS)
    assert report.reused == SCENES + 1
    (error,) = report.unreadable
    assert "which handcraft cannot compute" in str(error)
    text = sentence(lambda: own.build_vocabulary(material.query, WORDS))
    assert "nothing to train on" in text


def test_what_a_store_is_made_with_comes_back(mine: handcraft.Store, points: handcraft.Store) -> None:
    for store in (mine, points):
        assert fingerprint_of(options_in(store)) == store.snapshot.manifest.fingerprint
