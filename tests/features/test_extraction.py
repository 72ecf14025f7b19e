"""Features of many photos: their order, their errors, and threads that leave no trace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from handcraft.errors import HandcraftError, PhotoError
from handcraft.features import extraction
from handcraft.features.extraction import (
    Extraction,
    available_threads,
    extract_photo,
    extract_photos,
    opencv_threads,
)
from handcraft.options import FeatureOptions

Texture = Callable[..., NDArray[np.uint8]]
SavePhoto = Callable[..., Path]


@pytest.fixture
def photos(texture: Texture, save_photo: SavePhoto) -> list[tuple[Path, str]]:
    """Eleven photos of falling size, so that later ones are done first."""
    sizes = np.linspace(300, 40, 11).astype(int)
    paths = [save_photo(texture(size, size + 20, seed=size), f"{size}.png") for size in sizes]
    return [(path, f"holiday/{path.name}") for path in paths]


@pytest.fixture(autouse=True)
def two_opencv_threads() -> Iterator[None]:
    """A setting of the caller's that nothing may change."""
    with opencv_threads(2):
        yield
        assert cv2.getNumThreads() == 2


def as_bytes(extractions: Iterable[Extraction]) -> list[tuple[object, ...]]:
    return [
        (e.path, e.photo, e.features.frames.tobytes(), e.features.descriptors.tobytes())
        for e in extractions
        if e.photo is not None and e.features is not None and e.error is None
    ]


def test_order_and_bytes_do_not_depend_on_threads(photos: list[tuple[Path, str]]) -> None:
    options = FeatureOptions(max_features=300)
    alone = []
    for path, name in photos:
        photo, features = extract_photo(path, options, name)
        alone.append(Extraction(path, photo, features))
    assert [e.photo.name for e in alone if e.photo] == [name for _, name in photos]
    wanted = [repr(row) for row in as_bytes(alone)]  # repr: NaN is not equal to itself
    assert len(wanted) == len(photos)
    for threads in (1, 2, 4, 0):
        assert [repr(row) for row in as_bytes(extract_photos(photos, options, threads))] == wanted


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_an_unreadable_photo_comes_as_an_error_in_its_place(
    threads: int, photos: list[tuple[Path, str]], tmp_path: Path
) -> None:
    letter = tmp_path / "letter.jpg"
    letter.write_text("Dear reader,")
    missing = tmp_path / "missing.jpg"
    asked = [*photos[:3], (letter, "letter"), *photos[3:7], (missing, "missing")]
    extractions = list(extract_photos(asked, FeatureOptions(), threads))
    assert [e.path for e in extractions] == [path for path, _ in asked]
    for item in extractions:
        if item.path in (letter, missing):
            assert isinstance(item.error, PhotoError)
            assert str(item.path) in str(item.error)
            assert item.photo is None
            assert item.features is None
        else:
            assert item.error is None
            assert item.photo is not None
            assert item.features is not None


def test_no_photos() -> None:
    assert list(extract_photos([], FeatureOptions(), 2)) == []


def test_few_photos_are_held_at_once(photos: list[tuple[Path, str]]) -> None:
    taken = 0

    def counted() -> Iterator[tuple[Path, str]]:
        nonlocal taken
        for photo in photos:
            taken += 1
            yield photo

    given = 0
    for _ in extract_photos(counted(), FeatureOptions(), threads=2):
        given += 1
        assert taken - given < 2 * 2
    assert given == taken == len(photos)


def test_opencv_runs_on_one_thread_meanwhile_and_on_its_own_after(
    photos: list[tuple[Path, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    read = extraction.read_photo

    def watch(*asked: object) -> object:
        seen.append(cv2.getNumThreads())
        return read(*asked)  # type: ignore[arg-type]

    monkeypatch.setattr(extraction, "read_photo", watch)
    list(extract_photos(photos, FeatureOptions(), threads=2))
    assert seen == [1] * len(photos)
    assert cv2.getNumThreads() == 2


def test_a_generator_that_is_closed_early_restores_opencvs_threads(
    photos: list[tuple[Path, str]],
) -> None:
    generator = extract_photos(photos, FeatureOptions(), threads=2)
    assert cv2.getNumThreads() == 2
    assert next(generator).error is None
    generator.close()
    assert cv2.getNumThreads() == 2


def test_an_error_of_the_caller_restores_opencvs_threads(photos: list[tuple[Path, str]]) -> None:
    def broken() -> Iterator[tuple[Path, str]]:
        yield from photos[:5]
        raise LookupError("the list of photos broke off")

    with pytest.raises(LookupError):
        list(extract_photos(broken(), FeatureOptions(), threads=2))
    assert cv2.getNumThreads() == 2


def test_an_unknown_extractor_ends_the_extraction(photos: list[tuple[Path, str]]) -> None:
    with pytest.raises(HandcraftError, match="no extractor 'shift'"):
        list(extract_photos(photos, FeatureOptions(extractor="shift"), threads=2))
    assert cv2.getNumThreads() == 2


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (MemoryError(), "{path} cannot be described: there is too little memory for it."),
        (cv2.error("the pyramid fell over\n"), "{path} cannot be described: the pyramid fell over."),
    ],
)
def test_a_photo_that_opencv_cannot_bear_is_an_error_of_its_own(
    failure: Exception,
    sentence: str,
    photos: list[tuple[Path, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = extraction.read_photo
    bad = photos[1][0]

    def fail_once(path: Path, *asked: object) -> object:
        if path == bad:
            raise failure
        return read(path, *asked)  # type: ignore[arg-type]

    monkeypatch.setattr(extraction, "read_photo", fail_once)
    extractions = list(extract_photos(photos, FeatureOptions(), threads=2))
    assert [e.path for e in extractions if e.error] == [bad]
    assert str(extractions[1].error) == sentence.format(path=bad)


def test_opencv_threads_are_restored_after_an_error() -> None:
    def fail() -> None:
        with opencv_threads(1):
            assert cv2.getNumThreads() == 1
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert cv2.getNumThreads() == 2


def test_there_is_a_processor() -> None:
    assert available_threads() >= 1
