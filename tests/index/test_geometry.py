"""Compact geometry keeps each feature's word with its frame, to the precision that it promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from index.samples import make_features

from handcraft.index.geometry import Geometry
from handcraft.types import Features


def geometry_of(features: list[Features], words: list[list[int]], dtype: str = "i4") -> Geometry:
    return Geometry.of(features, [np.array(photo, dtype) for photo in words])


@given(
    st.integers(1, 30_000),
    st.integers(1, 30_000),
    st.lists(st.integers(0, 5), max_size=20),
    st.integers(0, 2**32 - 1),
)
def test_frames_come_back(width: int, height: int, words: list[int], seed: int) -> None:
    features = make_features(len(words), seed, width, height)
    long_side = max(width, height)
    geometry = geometry_of([features], [words])
    order = sorted(range(len(words)), key=words.__getitem__)  # equal words keep the features' order
    assert geometry.words_of(0).tolist() == sorted(words)
    frames = geometry.frames_of(0, long_side)
    assert (frames.dtype, frames.shape) == (np.float64, (len(words), 2, 3))
    half_a_step = long_side / 65535 / 2
    assert np.abs(frames[:, :, 2] - features.centres[order]).max(initial=0) <= half_a_step * 1.0001
    shapes = features.frames[order][:, :, :2]
    assert frames[:, :, :2].tolist() == shapes.astype(np.float16).tolist()


@given(st.lists(st.integers(0, 9), max_size=20), st.sets(st.integers(0, 5)))
def test_the_features_of_wanted_words(words: list[int], wanted: set[int]) -> None:
    """A word that the vocabulary, here of six, does not have is never wanted."""
    features = make_features(len(words), 0)
    geometry = geometry_of([features], [words])
    places = geometry.places_of(0, np.isin(np.arange(6), list(wanted)))
    assert places.tolist() == [place for place, word in enumerate(sorted(words)) if word in wanted]
    some = geometry.frames_of(0, 300, places)
    assert some.tolist() == geometry.frames_of(0, 300)[places].tolist()


@pytest.mark.parametrize("size", [(1024, 768), (300, 2000), (1, 1), (65536, 2)])
def test_the_corners_of_a_photo_are_exact(size: tuple[int, int]) -> None:
    """Where its pixels end on the long side, and at its start on the short one."""
    width, height = size
    frames = np.zeros((3, 2, 3), np.float32)
    frames[1:, :, 2] = [(-0.5, -0.5), (max(size) - 0.5, -0.5) if width >= height else (-0.5, height - 0.5)]
    features = Features(frames, np.zeros((3, 0), np.uint8), width, height)
    found = geometry_of([features], [[0, 0, 0]]).frames_of(0, max(size))
    assert found[1:, :, 2] == pytest.approx(frames[1:, :, 2], abs=1e-9)


def test_a_centre_outside_the_photo_is_moved_to_its_border() -> None:
    """A detector may refine a point beyond the outermost pixels."""
    frames = np.zeros((2, 2, 3), np.float32)
    frames[:, :, 2] = [(-3, -0.6), (1000, 20)]
    features = Features(frames, np.zeros((2, 0), np.uint8), 100, 50)
    found = geometry_of([features], [[0, 0]]).frames_of(0, 100)
    assert found[:, :, 2] == pytest.approx(np.array([(-0.5, -0.5), (99.5, 20)]), abs=1e-3)


@given(
    st.lists(st.lists(st.integers(0, 9), max_size=5), max_size=6), st.sampled_from(["i4", "i8", "u2", "u4"])
)
def test_each_photo_has_its_own_features(words: list[list[int]], dtype: str) -> None:
    features = [make_features(len(photo), seed) for seed, photo in enumerate(words)]
    geometry = geometry_of(features, words, dtype)
    assert geometry.offsets.tolist() == [sum(map(len, words[:i])) for i in range(len(words) + 1)]
    dtypes = [np.uint64, np.uint32, np.uint16, np.float16]
    assert [
        geometry.offsets.dtype,
        geometry.words.dtype,
        geometry.positions.dtype,
        geometry.shapes.dtype,
    ] == (dtypes)
    assert (geometry.positions.shape, geometry.shapes.shape) == (
        (len(geometry.words), 2),
        (len(geometry.words), 2, 2),
    )
    for number, (photo, its_features) in enumerate(zip(words, features, strict=True)):
        alone = geometry_of([its_features], [photo], dtype)
        assert geometry.words_of(number).tolist() == alone.words_of(0).tolist()
        assert geometry.frames_of(number, 300).tolist() == alone.frames_of(0, 300).tolist()


def test_a_feature_takes_16_bytes() -> None:
    geometry = geometry_of([make_features(1000, 0)], [list(range(1000))])
    assert geometry.words.nbytes + geometry.positions.nbytes + geometry.shapes.nbytes == 16_000


def test_features_and_words_are_left_as_they_were() -> None:
    features = make_features(5, 1)
    frames, words = features.frames.copy(), np.array([3, 1, 2, 1, 0])
    Geometry.of([features], [words])
    assert features.frames.tolist() == frames.tolist()
    assert words.tolist() == [3, 1, 2, 1, 0]
