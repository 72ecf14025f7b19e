"""Matching by descriptors: what plain Python matches, in any blocks, and nothing that has a rival."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import verification as oracle

from handcraft.errors import HandcraftError
from handcraft.options import MatchOptions
from handcraft.types import Features
from handcraft.verification import matching
from handcraft.verification.matching import match_descriptors, reciprocal_neighbours

SIDE = 100  # pixels of the photos: a rival is more than one away
DEFAULT = MatchOptions()


def features(descriptors: object, places: object = None, dtype: type = np.uint8) -> Features:
    """Features with these descriptors, far apart unless they are given places."""
    table = np.asarray(descriptors, dtype)
    frames = np.zeros((len(table), 2, 3), np.float32)
    frames[:, :, :2] = 5 * np.eye(2)
    frames[:, :, 2] = 10 * np.arange(len(table))[:, None] if places is None else places
    return Features(frames, table, SIDE, SIDE // 2)


def pairs(query: Features, photo: Features, **options: float) -> list[tuple[int, int]]:
    found = match_descriptors(query, photo, MatchOptions(**options))
    assert found.dtype == np.int32
    assert found.shape == (len(found), 2)
    return [(int(i), int(j)) for i, j in found]


# --- plain Python agrees ---

VALUES = st.integers(0, 5)  # few, so that distances are often equal
DESCRIPTORS = st.lists(st.tuples(VALUES, VALUES, VALUES), max_size=8)
PLACES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=8, max_size=8)


@settings(max_examples=200)
@given(
    DESCRIPTORS, DESCRIPTORS, PLACES, st.sampled_from([0.5, 0.75, 1.0]), st.sampled_from([0.0, 0.015, 0.5])
)
def test_as_plain_python_matches(
    query: list[tuple[int, ...]],
    photo: list[tuple[int, ...]],
    places: list[tuple[float, float]],
    ratio: float,
    rival_distance: float,
) -> None:
    places = places[: len(photo)]
    expected = oracle.descriptor_matches(query, photo, places, ratio, rival_distance * SIDE)
    left = features(np.reshape(query, (-1, 3)))
    right = features(np.reshape(photo, (-1, 3)), np.reshape(places, (-1, 2)))
    assert pairs(left, right, ratio=ratio, rival_distance=rival_distance) == expected


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("seed", range(3))
def test_real_sizes(dtype: type, seed: int) -> None:
    """128 dimensions, half of the query's descriptors near one of the photo's."""
    generator = np.random.default_rng(seed)
    photo = generator.integers(0, 256, (40, 128))
    near = np.clip(photo[generator.permutation(40)[:15]] + generator.integers(-20, 21, (15, 128)), 0, 255)
    query = np.concatenate([near, generator.integers(0, 256, (15, 128))])
    places = generator.uniform(0, SIDE, (40, 2)).astype(np.float32)
    expected = oracle.descriptor_matches(query.tolist(), photo.tolist(), places.tolist(), 0.8, 0.01 * SIDE)
    assert pairs(features(query, dtype=dtype), features(photo, places, dtype)) == expected
    assert len(expected) >= 15


@settings(max_examples=200)
@given(DESCRIPTORS, DESCRIPTORS, st.integers(1, 4), st.sampled_from([np.uint8, np.float32]))
def test_as_plain_python_finds_reciprocal_neighbours(
    query: list[tuple[int, ...]], photo: list[tuple[int, ...]], count: int, dtype: type
) -> None:
    sides = [features(np.reshape(side, (-1, 3)), dtype=dtype) for side in (query, photo)]
    found, alike = reciprocal_neighbours(*sides, count)
    assert found.dtype == np.int32
    assert [(int(i), int(j)) for i, j in found] == oracle.reciprocal_neighbours(query, photo, count)
    for (i, j), value in zip(found, alike, strict=True):
        product = sum(x * y for x, y in zip(query[i], photo[j], strict=True))
        squares = [sum(x * x for x in one) for one in (query[i], photo[j])]
        assert value == pytest.approx(2 * product / sum(squares) if sum(squares) else 1)


@pytest.mark.parametrize("block", [1, 7, 40, 41, 10_000])
@pytest.mark.parametrize("count", [1, 3])
def test_blocks_change_no_neighbours(block: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    sides = [features(generator.integers(0, 3, (number, 4))) for number in (50, 20)]
    expected = [values.tolist() for values in reciprocal_neighbours(*sides, count)]
    assert expected[0]
    monkeypatch.setattr(matching, "BLOCK", block)
    assert [values.tolist() for values in reciprocal_neighbours(*sides, count)] == expected


def test_opposite_descriptors_are_not_alike_at_all() -> None:
    sides = [features([[1, 2]], dtype=np.float32), features([[-1, -2]], dtype=np.float32)]
    assert reciprocal_neighbours(*sides, 1)[1].tolist() == [0]


@pytest.mark.parametrize("block", [1, 7, 40, 41, 10_000])
def test_blocks_change_nothing(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    left = features(generator.integers(0, 3, (50, 4)))  # many distances are equal
    right = features(generator.integers(0, 3, (20, 4)), generator.uniform(0, SIDE, (20, 2)))
    expected = pairs(left, right, ratio=1.0)
    assert expected
    monkeypatch.setattr(matching, "BLOCK", block)
    assert pairs(left, right, ratio=1.0) == expected


def test_memory_is_bounded_by_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """All 2000 x 2000 distances would take 32 MB."""
    monkeypatch.setattr(matching, "BLOCK", 1 << 16)
    many = features(np.random.default_rng(0).integers(0, 256, (2000, 4)))
    tracemalloc.start()
    pairs(many, many)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8e6


# --- what a match is ---


def test_only_mutual_nearest_match() -> None:
    """The second of the query is nearer to the photo's feature than the first."""
    assert pairs(features([[0, 90], [0, 99]]), features([[0, 100], [255, 0]])) == [(1, 0)]


def test_large_values_do_not_overflow() -> None:
    opposite = np.stack([np.zeros(128), np.full(128, 255)])
    assert pairs(features(opposite), features(opposite[::-1])) == [(0, 1), (1, 0)]


def test_ratio() -> None:
    """Distances of 8 and 10."""
    query, photo = features([[100, 100]]), features([[108, 100], [100, 110]])
    assert pairs(query, photo, ratio=0.81) == [(0, 0)]
    assert pairs(query, photo, ratio=0.79) == []


def test_equal_descriptors_apart_are_ambiguous() -> None:
    repeated = features([[7, 7], [7, 7]])
    assert pairs(features([[7, 7]]), repeated, ratio=1.0) == []


def test_rival_distance() -> None:
    """A point that is described twice is no rival of itself; a repeated one is."""
    query = features([[100, 100]])
    for apart in (0.0, 0.9, 1.1, 50.0):
        photo = features([[101, 100], [100, 101]], [(20.0, 20.0), (20.0 + apart, 20.0)])
        assert pairs(query, photo) == ([(0, 0)] if apart < 1 else [])
        assert pairs(query, photo, rival_distance=0.6) == [(0, 0)]
        assert pairs(query, photo, rival_distance=0) == ([(0, 0)] if apart == 0 else [])


def test_rivals_beyond_the_neighbours_still_count() -> None:
    """The second nearest lies close by, the third does not."""
    photo = features([[101, 100], [100, 101], [103, 100]], [(20, 20), (20, 20.5), (70, 20)])
    assert pairs(features([[100, 100]]), photo) == [(0, 0)]
    assert pairs(features([[100, 100]]), photo, ratio=0.3) == []


def test_where_there_is_no_rival() -> None:
    assert pairs(features([[1, 2], [200, 9]]), features([[9, 9]])) == [(0, 0)]


@pytest.mark.parametrize(("left", "right"), [(0, 3), (3, 0), (0, 0)])
def test_photos_without_features(left: int, right: int) -> None:
    assert pairs(features(np.ones((left, 4))), features(np.ones((right, 4)))) == []


@pytest.mark.parametrize("ratio", [0.0, -0.5, 1.01, float("nan")])
def test_a_ratio_that_is_none(ratio: float) -> None:
    with pytest.raises(HandcraftError, match=f"ratio={ratio} is not above 0 and at most 1."):
        MatchOptions(ratio=ratio)
    with pytest.raises(HandcraftError, match=r"rival_distance=-1 is too small; give 0 or more."):
        MatchOptions(rival_distance=-1)
