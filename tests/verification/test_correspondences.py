"""Tentative correspondences against a plain double loop."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import verification as oracle

from handcraft.options import VerificationOptions
from handcraft.types import Features
from handcraft.verification._pairing_kernels import first_not_below
from handcraft.verification.correspondences import PhotoSide, QuerySide, correspondences, query_side

SIZE = (800, 600)


def random_frames(count: int) -> np.ndarray:
    return np.random.default_rng(count).normal(0, 100, (count, 2, 3))


def make_photo(frames: np.ndarray, words: np.ndarray) -> PhotoSide:
    order = np.argsort(words, kind="stable")
    return PhotoSide(
        words[order].astype(np.uint32), frames[order], *SIZE, np.empty((0, len(order)), np.uint64)
    )


def sides(query_words: list[list[int]], photo_words: list[int]) -> tuple[QuerySide, PhotoSide, np.ndarray]:
    """A query, a photo, and where each feature of the photo went when they were sorted by word."""
    width = len(query_words[0]) if query_words else 3
    frames = random_frames(len(query_words)).astype(np.float32)
    features = Features(frames, np.zeros((len(frames), 0), np.uint8), *SIZE)
    words = np.array(query_words, np.int32).reshape(len(query_words), width)
    photo_frames = random_frames(len(photo_words))
    photo = make_photo(photo_frames, np.array(photo_words, np.int64))
    return query_side(features, words), photo, np.argsort(np.array(photo_words, np.int64), kind="stable")


def found_pairs(
    query_words: list[list[int]], photo_words: list[int], max_pairs_per_word: int
) -> list[tuple[int, int, int]]:
    """(feature of the query, feature of the photo, word), in the order of the answer."""
    query, photo, order = sides(query_words, photo_words)
    found = correspondences(query, photo, VerificationOptions(max_pairs_per_word=max_pairs_per_word))
    assert (found.pairs.dtype, found.words.dtype) == (np.int32, np.uint32)
    assert found.pairs.shape == (len(found.words), 2)
    return [(int(i), int(order[j]), int(word)) for (i, j), word in zip(found.pairs, found.words, strict=True)]


@given(st.lists(st.integers(0, 50)), st.integers(-1, 51), st.integers(0, 60))
def test_the_first_not_below_is_that_of_bisection(values: list[int], value: int, start: int) -> None:
    """From a start that is not behind it."""
    ascending = np.array(sorted(values), np.int64)
    expected = bisect_left(ascending.tolist(), value)
    assert first_not_below(ascending, value, min(start, expected)) == expected


@st.composite
def query_words(draw: st.DrawFn) -> list[list[int]]:
    """Distinct words for each feature; −1 where there are fewer."""
    nearest = draw(st.integers(1, 3))
    words = st.lists(st.integers(0, 6), max_size=nearest, unique=True)
    features = draw(st.lists(words, max_size=10))
    return [found + [-1] * (nearest - len(found)) for found in features]


@settings(max_examples=200)
@given(query_words(), st.lists(st.integers(0, 6), max_size=12), st.integers(1, 30))
def test_pairs_are_those_of_the_oracle(query: list[list[int]], photo: list[int], limit: int) -> None:
    found = found_pairs(query, photo, limit)
    assert len(found) == len(set(found))
    assert set(found) == oracle.pairs(query, photo, limit)


@pytest.mark.parametrize(("limit", "words"), [(1, {1}), (5, {1}), (6, {1, 2}), (100, {1, 2})])
def test_a_word_of_too_many_pairs_makes_none(limit: int, words: set[int]) -> None:
    query = [[1], [2], [2], [3]]
    photo = [2, 1, 2, 2, 4]  # word 2: 2 x 3 pairs
    assert {word for _, _, word in found_pairs(query, photo, limit)} == words


@pytest.mark.parametrize(
    ("query", "photo"),
    [([], []), ([], [1, 2]), ([[1], [2]], []), ([[1]], [2]), ([[-1], [-1]], [0, 1]), ([[5]], [1, 2])],
)
def test_no_pairs(query: list[list[int]], photo: list[int]) -> None:
    assert found_pairs(query, photo, 25) == []


@settings(max_examples=100)
@given(
    query_words(),
    st.lists(st.integers(0, 6), max_size=12),
    st.sampled_from([0.05, 0.25, 0.45, 0.5, 1.0]),
    st.integers(0, 2**32 - 1),
)
def test_pairs_are_as_alike_as_the_oracle_says(
    query: list[list[int]], photo: list[int], share: float, seed: int
) -> None:
    """Signatures of 72 bits, in two planes."""
    generator = np.random.default_rng(seed)
    one, other, _ = sides(query, photo)
    codes = [generator.integers(0, 2**63, (2, len(side.words)), np.uint64) for side in (one, other)]
    codes = [planes & np.array([[2**64 - 1], [255]], np.uint64) for planes in codes]
    found = correspondences(
        replace(one, signatures=codes[0], bits=72),
        replace(other, signatures=codes[1]),
        VerificationOptions(max_difference=share, max_pairs_per_word=1000),
    )
    expected = {
        (int(one.features[i]), j, oracle.difference(codes[0][:, i].tolist(), codes[1][:, j].tolist()))
        for i in range(len(one.words))
        for j in range(len(other.words))
        if one.words[i] == other.words[j]
    }
    expected = {pair for pair in expected if pair[2] <= share * 72}
    rows = zip(*found.pairs.T.tolist(), found.differences.tolist(), strict=True) if len(found.pairs) else []
    assert sorted(rows) == sorted(expected)


def test_without_signatures_on_both_sides_all_pairs_are_alike() -> None:
    one, other, _ = sides([[1], [2]], [1, 2, 2])
    signed = replace(one, signatures=np.ones((2, len(one.words)), np.uint64), bits=128)
    for query, photo in ((one, other), (signed, other)):
        found = correspondences(query, photo, VerificationOptions(max_difference=0.01))
        assert len(found.pairs) == 3
        assert not found.differences.any()


def test_words_beyond_the_signed_range() -> None:
    words = np.array([7, 2**31 - 1], np.int32)
    features = Features(np.zeros((2, 2, 3), np.float32), np.zeros((2, 0), np.uint8), *SIZE)
    query = query_side(features, words[:, None])
    photo = make_photo(np.zeros((3, 2, 3)), np.array([2**31 - 1, 2**32 - 1, 7]))
    assert correspondences(query, photo, VerificationOptions()).words.tolist() == [7, 2**31 - 1]


@given(query_words())
def test_the_query_s_words_are_sorted_and_keep_their_features(words: list[list[int]]) -> None:
    query, _, _ = sides(words, [])
    entries = list(zip(query.words.tolist(), query.features.tolist(), strict=True))
    expected = [(word, i) for i, its_words in enumerate(words) for word in its_words if word >= 0]
    assert sorted(entries) == sorted(expected)
    assert [word for word, _ in entries] == sorted(word for word, _ in expected)
    assert (query.words.dtype, query.features.dtype) == (np.uint32, np.int32)


def test_the_query_keeps_all_frames() -> None:
    """Those without a word too: pairs name features by their place."""
    frames = random_frames(3).astype(np.float32)
    features = Features(frames, np.zeros((3, 0), np.uint8), 640, 480)
    query = query_side(features, np.array([[4, 1], [-1, -1], [1, -1]], np.int32))
    assert query.frames.dtype == np.float64
    assert query.frames.tolist() == frames.tolist()
    assert (query.width, query.height) == (640, 480)
    assert (query.words.tolist(), query.features.tolist()) == ([1, 1, 4], [0, 2, 0])


def test_more_words_a_feature_find_more_pairs() -> None:
    words = [[1, 2, 3], [4, 5, 6]]
    photo = [1, 2, 3, 3, 6]
    counts = [len(found_pairs([its[:k] for its in words], photo, 25)) for k in (1, 2, 3)]
    assert counts == [1, 2, 5]


def test_the_words_of_a_mapped_file_can_be_paired() -> None:
    """A store's arrays are read-only."""
    query, photo, _ = sides([[1], [2]], [2, 2, 1])
    words = photo.words.copy()
    words.flags.writeable = False
    frozen = PhotoSide(words, photo.frames, photo.width, photo.height, photo.signatures)
    assert (
        correspondences(query, frozen, VerificationOptions()).pairs.tolist()
        == correspondences(query, photo, VerificationOptions()).pairs.tolist()
    )
