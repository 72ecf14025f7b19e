"""Votes by vectors: the cosines, however the photos lie in segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from index.samples import make_collection_in_pieces, same_bits
from numpy.typing import NDArray

from handcraft.index._kernels import multiply_rows
from handcraft.index.collection import Collection
from handcraft.index.vectors import Vectors, read_vectors, write_vectors
from handcraft.index.vlad import VladScorer
from handcraft.options import VladOptions
from handcraft.search.scoring import Shortlist, shortlist

halves = pytest.mark.parametrize("half", [False, True])
dimensions = st.sampled_from([1, 2, 7, 64, 100, 256, 1000])
seeds = st.integers(0, 99)


def make_vectors(count: int, dimension: int, seed: int) -> NDArray[np.float32]:
    """(count, dimension) of unit length, some far from even."""
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(count, dimension)) * generator.choice([1, 1, 20], (count, dimension))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def make_collection(
    values: NDArray[np.float32], half: bool, cuts: Sequence[int] = (), dead: Sequence[int] = ()
) -> Collection:
    """The collection of photos with these vectors, as make_collection_in_pieces."""
    plain = make_collection_in_pieces([[1]] * len(values), cuts, dead)
    parts = np.split(values, plain.starts[1:-1])
    segments = [
        replace(segment, vectors=Vectors.of(part, half))
        for segment, part in zip(plain.segments, parts, strict=True)
    ]
    return replace(plain, segments=tuple(segments))


def score(values: NDArray[np.float32], query: NDArray[np.float32], half: bool) -> NDArray[np.float32]:
    return VladScorer(make_collection(values, half)).score(query, 0)


def find(collection: Collection, query: NDArray[np.float32], threads: int = 1, top: int = 100) -> Shortlist:
    scorer = VladScorer(collection)
    return shortlist(lambda place: scorer.score(query, place), collection, top, threads)


# --- the cosines ---


@halves
@settings(max_examples=40)
@given(count=st.integers(0, 20), dimension=dimensions, seed=seeds)
def test_scores_are_cosines(half: bool, count: int, dimension: int, seed: int) -> None:
    """As near as half a step of each number of both sides lets them be."""
    query, *values = make_vectors(count + 1, dimension, seed)
    vectors = np.array(values, np.float32).reshape(count, dimension)
    found = score(vectors, query, half)
    assert (found.dtype, found.shape) == (np.float32, (count,))
    sides = np.abs(vectors.astype(np.float64)), np.abs(query.astype(np.float64))
    if half:
        bound = sides[0] @ sides[1] * 2**-11 + sides[1].sum() * 2**-25
    else:
        steps = sides[0].max(axis=1, initial=0) / 127
        query_step = sides[1].max() / min(2**15 - 1, (2**31 - 1) // (127 * dimension))
        bound = steps / 2 * sides[1].sum() + query_step / 2 * (sides[0] + steps[:, None]).sum(axis=1)
    assert (np.abs(found - vectors.astype(np.float64) @ query) <= bound + 1e-5).all()


@halves
@settings(max_examples=25)
@given(dimension=dimensions, seed=seeds)
def test_a_photo_is_like_itself_and_no_more(half: bool, dimension: int, seed: int) -> None:
    values = make_vectors(10, dimension, seed)
    for number in (0, 4):
        found = score(values, values[number], half)
        assert 0.99 <= found[number] <= found.max() <= 1


@halves
def test_zeros_are_like_nothing(half: bool) -> None:
    values = make_vectors(5, 16, 0)
    values[2] = 0
    assert score(values, np.zeros(16, np.float32), half).tolist() == [0] * 5
    assert score(values, values[0], half)[2] == 0
    assert find(make_collection(values, half), np.zeros(16, np.float32)).ids.tolist() == []


@settings(max_examples=10)
@given(seed=seeds)
def test_the_largest_sums_do_not_overflow(seed: int) -> None:
    """4,096 numbers, each as large as any: all of one sign, or of any."""
    signs = np.random.default_rng(seed).choice([-1, 1], 4096)
    ones = np.ones(4096)
    values = (np.stack([ones, -ones, signs, -signs]) / 64).astype(np.float32)
    for query in values:
        np.testing.assert_allclose(score(values, query, half=False), values @ query, atol=1e-5)


def test_small_differences_between_photos_are_kept() -> None:
    """The query has more steps than the photos."""
    query = np.array([1, 1e-3] + [0] * 14, np.float32)
    values = np.eye(16, dtype=np.float32)[:2]
    assert score(values, query, half=False).tolist() == pytest.approx([1, 1e-3], abs=2e-5)


@halves
def test_vectors_from_disk_score_the_same(half: bool, tmp_path: Path) -> None:
    values = make_vectors(9, 20, 0)
    collection = make_collection(values, half)
    (segment,) = collection.segments
    assert segment.vectors is not None
    write_vectors(tmp_path / "file", segment.vectors, {})
    read = read_vectors(tmp_path / "file", 9, {}, VladOptions(20, half))
    mapped = replace(collection, segments=(replace(segment, vectors=read),))
    scores = [VladScorer(photos).score(values[0], 0) for photos in (collection, mapped)]
    assert same_bits(*scores)


# --- the products ---


@settings(max_examples=50)
@given(data=st.data(), count=st.integers(0, 9), dimension=st.integers(0, 200))
def test_products_are_exact(data: st.DataObject, count: int, dimension: int) -> None:
    largest = min(2**15 - 1, (2**31 - 1) // (128 * max(1, dimension)))
    rows = data.draw(hnp.arrays(np.int8, (count, dimension)))
    query = data.draw(hnp.arrays(np.int16, dimension, elements=st.integers(-largest, largest)))
    products = np.full(count, 7, np.int32)
    multiply_rows(rows, query, products)
    assert products.tolist() == (rows.astype(np.int64) @ query.astype(np.int64)).tolist()


# --- in pieces ---

in_pieces = pytest.mark.parametrize("half", [False, True])


@in_pieces
@settings(max_examples=40)
@given(
    seed=seeds,
    cuts=st.lists(st.integers(0, 12), max_size=4),
    dead=st.sets(st.integers(0, 11)),
    dimension=dimensions,
)
def test_pieces_and_threads_change_no_byte(
    half: bool, seed: int, cuts: list[int], dead: set[int], dimension: int
) -> None:
    values = make_vectors(12, dimension, seed)
    query = values[seed % 12]
    whole = find(make_collection(values, half, (), sorted(dead)), query)
    for threads in (1, 2):
        found = find(make_collection(values, half, cuts, sorted(dead)), query, threads)
        assert same_bits(found.ids, whole.ids)
        assert same_bits(found.scores, whole.scores)


@halves
def test_threads_change_no_byte(half: bool) -> None:
    values = make_vectors(60, 64, 0)
    collection = make_collection(values, half, [10, 25, 40])
    one, two = (find(collection, values[0], threads) for threads in (1, 2))
    assert same_bits(one.ids, two.ids)
    assert same_bits(one.scores, two.scores)


@halves
def test_more_photos_than_are_widened_at_a_time(half: bool) -> None:
    values = make_vectors(9, 8, 0)
    vectors = Vectors.of(np.tile(values, (1000, 1)), half)
    collection = make_collection(values, half)
    large = replace(collection, segments=(replace(collection.segments[0], vectors=vectors),))
    found = VladScorer(large).score(values[0], 0)
    np.testing.assert_allclose(found, np.tile(values @ values[0], 1000), atol=0.03)


@halves
@settings(max_examples=40)
@given(dead=st.sets(st.integers(0, 11)), cuts=st.lists(st.integers(0, 12), max_size=3))
def test_the_shortlist_is_of_live_photos_best_first(half: bool, dead: set[int], cuts: list[int]) -> None:
    values = make_vectors(12, 32, 1)
    found = find(make_collection(values, half, cuts, sorted(dead)), values[4])
    assert not dead & set(found.ids.tolist())
    assert (4 in dead) == (found.ids[:1].tolist() != [4])
    cosines = values @ values[4]
    assert {i for i in range(12) if cosines[i] > 0.02 and i not in dead} <= set(found.ids.tolist())
    assert (np.diff(found.scores) <= 0).all()
    np.testing.assert_allclose(found.scores, cosines[found.ids], atol=0.03)
