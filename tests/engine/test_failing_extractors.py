"""Extractors that fail, or give what they have not promised: the photo is told, and the store stays whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from photographs import ONCE, save, scene, segment_bytes

import handcraft
from handcraft.errors import ExtractorError, HandcraftError, PhotoError
from handcraft.features import plugins
from handcraft.features.extractor import Described, Extractor, Found
from handcraft.features.images import DecodedPhoto
from handcraft.features.plugins import register_extractor
from handcraft.features.registry import extractor_of
from handcraft.options import FeatureOptions, IndexOptions, VocabularyOptions
from handcraft.types import Features, RegionOfInterest

CELL = 16
DIMENSION = 12
BAD = "bad.png"
OPTIONS = FeatureOptions(extractor="cells")


class Cells(Extractor):
    """The colours of a cell's four quarters, and what a test makes of those of the bad photo."""

    descriptor = "cells"
    dimension = DIMENSION
    dtype = "float32"
    colour = True

    def __init__(self, options: FeatureOptions) -> None:
        self.limit = options.max_features
        self.parameters = {"extractor": "cells", "max_size": options.max_size, "max_features": self.limit}
        self.spoil: Callable[[Features], Features] = lambda features: features

    def find(self, photos: Sequence[DecodedPhoto]) -> Sequence[Found]:
        return [self.found(photo) for photo in photos]

    def found(self, photo: DecodedPhoto) -> Found:
        features = cells_of(photo).head(self.limit)
        return Described(self.spoil(features) if photo.photo.name.endswith(BAD) else features)


def cells_of(photo: DecodedPhoto) -> Features:
    height, width = (side // CELL for side in photo.pixels.shape[:2])
    inner = photo.pixels[: height * CELL, : width * CELL].astype(np.float32)
    quarters = inner.reshape(height, 2, CELL // 2, width, 2, CELL // 2, 3).mean(axis=(2, 5))
    rows = quarters.transpose(0, 2, 1, 3, 4).reshape(-1, DIMENSION)
    y, x = np.mgrid[:height, :width].reshape(2, -1) * CELL + (CELL - 1) / 2
    frames = np.zeros((len(rows), 2, 3))
    frames[:, [0, 1], [0, 1]] = CELL / 2
    frames[:, :, 2] = np.stack([x, y], axis=1)
    rows -= rows.mean(axis=1, keepdims=True)
    return photo.features(frames, rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1))


@dataclass(frozen=True)
class Whole:
    """Describes without heeding the limit and the region."""

    features: Features

    def describe(self, direction: float, limit: int, roi: RegionOfInterest | None) -> Features:
        return self.features


@pytest.fixture
def cells(monkeypatch: pytest.MonkeyPatch) -> Cells:
    """The extractor, for one test."""
    known = dict(plugins._registered[plugins.EXTRACTORS])
    monkeypatch.setitem(plugins._registered, plugins.EXTRACTORS, known)
    made = Cells(OPTIONS)
    register_extractor("cells", lambda options: made)
    extractor_of.cache_clear()
    return made


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five photos, the third of which will be bad."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed, name in enumerate(("a.png", "b.png", BAD, "c.png", "d.png")):
        save(scene(seed, 160, 128), folder / name)
    return folder


@pytest.fixture
def store(cells: Cells, photos: Path, tmp_path: Path) -> handcraft.Store:
    """A store without photos, whose words were learned of them all."""
    made = handcraft.open(tmp_path / "store", features=OPTIONS)
    made.build_vocabulary(photos, VocabularyOptions(words=32, depth=1))
    return made


def with_frames(change: Callable[[NDArray[np.float32]], object]) -> Callable[[Features], Features]:
    def spoil(features: Features) -> Features:
        frames = features.frames.copy()
        change(frames)
        return replace(features, frames=frames)

    return spoil


def with_descriptors(
    change: Callable[[NDArray[np.float32]], NDArray[np.generic]],
) -> Callable[[Features], Features]:
    return lambda features: replace(
        features, descriptors=change(np.asarray(features.descriptors, np.float32).copy())
    )


def put(array: NDArray[np.float32], place: tuple[int, ...], value: float) -> NDArray[np.float32]:
    array[place] = value
    return array


def fail(error: Exception) -> Callable[[Features], Features]:
    def spoil(features: Features) -> Features:
        raise error

    return spoil


OF_A_PHOTO: dict[str, tuple[Callable[[Features], Features], str]] = {
    "raises": (fail(ValueError("the network is tired.")), "fails: the network is tired."),
    "raises without a word": (fail(ZeroDivisionError()), "fails: ZeroDivisionError."),
    "NaN in a frame": (
        with_frames(lambda f: put(f, (3, 0, 2), np.nan)),
        "gives frames with NaN or infinity.",
    ),
    "infinity in a shape": (
        with_frames(lambda f: put(f, (3, 0, 0), np.inf)),
        "gives frames with NaN or infinity.",
    ),
    "NaN in a descriptor": (
        with_descriptors(lambda d: put(d, (0, 1), np.nan)),
        "gives descriptors with NaN or infinity.",
    ),
    "a point outside": (
        with_frames(lambda f: put(f, (5, 1, 2), 129)),
        "gives points outside its 160 x 128 pixels.",
    ),
    "a point far outside": (
        with_frames(lambda f: put(f, (0, 0, 2), -1e30)),
        "gives points outside its 160 x 128 pixels.",
    ),
}

OF_THE_EXTRACTOR: dict[str, tuple[Callable[[Features], Features], str]] = {
    "fewer dimensions": (
        with_descriptors(lambda d: d[:, :5]),
        "gives descriptors of 80 x 5 float32 for {} instead of 80 x 12 float32; mend the extractor, or its "
        "model.",
    ),
    "doubles": (
        with_descriptors(lambda d: d.astype(np.float64)),
        "gives descriptors of 80 x 12 float64 for {} instead of 80 x 12 float32; mend the extractor, or its "
        "model.",
    ),
    "fewer descriptors": (
        with_descriptors(lambda d: d[:7]),
        "gives descriptors of 7 x 12 float32 for {} instead of 80 x 12 float32; mend the extractor, or its "
        "model.",
    ),
    "one descriptor": (
        with_descriptors(lambda d: d.ravel()),
        "gives descriptors of 960 float32 for {} instead of 80 x 12 float32; mend the extractor, or its "
        "model.",
    ),
    "frames without a place": (
        lambda features: replace(features, frames=features.frames[:, :, :2]),
        "gives frames of 80 x 2 x 2 float32 for {} instead of 80 x 2 x 3 float32; mend the extractor, or its "
        "model.",
    ),
    "frames of doubles": (
        lambda features: replace(features, frames=features.frames.astype(np.float64)),
        "gives frames of 80 x 2 x 3 float64 for {} instead of 80 x 2 x 3 float32; mend the extractor, or its "
        "model.",
    ),
}


def names(store: handcraft.Store) -> set[str]:
    return {Path(name).name for name in store.names}


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("fault", OF_A_PHOTO)
def test_a_photo_that_an_extractor_fails_on_is_left_out(
    fault: str, batch: int, store: handcraft.Store, cells: Cells, photos: Path
) -> None:
    cells.spoil, told = OF_A_PHOTO[fault]
    cells.batch_size = batch
    report = store.add(photos)
    (error,) = report.unreadable
    assert isinstance(error, PhotoError)
    sentence = str(error)
    assert sentence.endswith(f"photos/{BAD} cannot be described: the extractor cells {told}")
    assert sentence.count(".png") == 1
    assert report.added == 4
    assert names(store) == {"a.png", "b.png", "c.png", "d.png"}
    assert store.check().problems == ()
    again = store.add(photos)
    assert (again.added, again.unchanged, len(again.unreadable)) == (0, 4, 1)
    cells.spoil = lambda features: features
    assert store.add(photos).added == 1


@pytest.mark.parametrize("fault", OF_THE_EXTRACTOR)
def test_an_extractor_that_breaks_its_word_adds_nothing(
    fault: str, store: handcraft.Store, cells: Cells, photos: Path
) -> None:
    cells.spoil, told = OF_THE_EXTRACTOR[fault]
    generation = store.snapshot.manifest.generation
    with pytest.raises(ExtractorError) as caught:
        store.add(photos)
    sentence = str(caught.value)
    start, end = told.split("{}")
    assert sentence.startswith(f"The extractor cells {start}")
    assert sentence.endswith(f"photos/{BAD}{end}")
    again = handcraft.open(store.path)
    assert again.snapshot.manifest.generation == generation
    assert len(again) == 0
    assert segment_bytes(store.path) == {}
    assert again.check().problems == ()


def test_commits_before_a_broken_word_stay(store: handcraft.Store, cells: Cells, photos: Path) -> None:
    cells.spoil, _ = OF_THE_EXTRACTOR["doubles"]
    for _ in range(2):  # the second time there is nothing before it
        with pytest.raises(ExtractorError):
            store.add(photos, options=IndexOptions(photos_per_commit=2))
        again = handcraft.open(store.path)
        assert names(again) == {"a.png", "b.png"}
        assert again.check().problems == ()


@pytest.mark.parametrize("batch", [1, 3])
def test_more_features_than_asked_are_refused(
    batch: int, store: handcraft.Store, cells: Cells, photos: Path
) -> None:
    cells.batch_size = batch

    def find(found: Sequence[DecodedPhoto]) -> Sequence[Found]:
        return [Whole(twice(cells_of(photo), 2001)) for photo in found]

    cells.find = find  # type: ignore[method-assign]
    generation = store.snapshot.manifest.generation
    with pytest.raises(ExtractorError) as caught:
        store.add(photos)
    assert str(caught.value).startswith("The extractor cells gives 2001 features for ")
    assert str(caught.value).endswith("photos/a.png where 2000 are asked for; mend the extractor.")
    assert handcraft.open(store.path).snapshot.manifest.generation == generation


def twice(features: Features, count: int) -> Features:
    rows = np.arange(count) % len(features)
    return replace(features, frames=features.frames[rows], descriptors=features.descriptors[rows])


def test_fewer_results_than_photos_are_refused(store: handcraft.Store, cells: Cells, photos: Path) -> None:
    cells.batch_size = 3
    cells.find = lambda found: [Described(cells_of(found[0]))]  # type: ignore[method-assign]
    with pytest.raises(ExtractorError) as caught:
        store.add(photos)
    sentence = str(caught.value)
    assert sentence.startswith("The extractor cells gives 1 results for 3 photos, ")
    assert sentence.endswith("photos/a.png and so on; it must give one for each.")
    assert len(handcraft.open(store.path)) == 0


@pytest.mark.parametrize("fault", [*OF_A_PHOTO, *OF_THE_EXTRACTOR])
def test_a_query_is_told_and_the_store_stays_as_it_is(
    fault: str, store: handcraft.Store, cells: Cells, photos: Path
) -> None:
    store.add(photos)
    before = segment_bytes(store.path)
    cells.spoil, _ = {**OF_A_PHOTO, **OF_THE_EXTRACTOR}[fault]
    with pytest.raises(PhotoError if fault in OF_A_PHOTO else ExtractorError) as caught:
        store.query(photos / BAD, options=ONCE)
    sentence = str(caught.value)
    assert BAD in sentence
    assert "the extractor cells" in sentence.replace("The", "the")
    assert store.query(photos / "a.png", options=ONCE).hits[0].name.endswith("a.png")
    assert segment_bytes(store.path) == before


@pytest.mark.parametrize("fault", [*OF_A_PHOTO, *OF_THE_EXTRACTOR])
def test_training_is_told(fault: str, cells: Cells, photos: Path, tmp_path: Path) -> None:
    """Photos that cannot be described are left out of the training as well."""
    cells.spoil, _ = {**OF_A_PHOTO, **OF_THE_EXTRACTOR}[fault]
    store = handcraft.open(tmp_path / "store", features=OPTIONS)
    if fault in OF_A_PHOTO:
        report = store.build_vocabulary(photos, VocabularyOptions(words=32, depth=1))
        assert len(report.unreadable) == 1
        return
    with pytest.raises(HandcraftError, match="The extractor cells gives "):
        store.build_vocabulary(photos, VocabularyOptions(words=32, depth=1))
    assert not store.exists


def test_too_little_memory_is_of_a_photo(store: handcraft.Store, cells: Cells, photos: Path) -> None:
    cells.spoil = fail(MemoryError())
    report = store.add(photos)
    (error,) = report.unreadable
    assert str(error).endswith(f"{BAD} cannot be described: there is too little memory for it.")
    assert report.added == 4


def test_frames_without_an_area_do_no_harm(store: handcraft.Store, cells: Cells, photos: Path) -> None:
    def flatten(frames: NDArray[np.float32]) -> None:
        frames[:, :, :2] = 0

    cells.spoil = with_frames(flatten)
    store.add(photos)
    for name in (BAD, "a.png"):
        result = store.query(photos / name, verify=True, options=ONCE)
        assert result.hits[0].name.endswith(name)
    assert store.check().problems == ()
