"""Postings against a plain dictionary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from index.samples import VOCABULARY_SIZE, make_features, photos
from oracles import asmk as scan_oracle
from oracles import index as oracle

from handcraft.index.geometry import Geometry
from handcraft.index.postings import Postings, find_lists
from handcraft.index.segment import MAX_PHOTOS


def invert(collection: Sequence[Sequence[int]], vocabulary_size: int = VOCABULARY_SIZE) -> Postings:
    features = [make_features(len(words), number) for number, words in enumerate(collection)]
    return Postings.of(
        Geometry.of(features, [np.array(words, np.int32) for words in collection]), vocabulary_size
    )


def as_dictionary(postings: Postings) -> dict[int, list[tuple[int, int]]]:
    entries = list(zip(postings.photo_ids.tolist(), postings.frequencies.tolist(), strict=True))
    starts = postings.offsets.tolist()
    assert starts[0] == 0
    assert starts[-1] == len(entries)
    return {
        word: entries[starts[place] : starts[place + 1]] for place, word in enumerate(postings.words.tolist())
    }


@given(photos())
def test_postings_are_those_of_the_oracle(collection: list[list[int]]) -> None:
    postings = invert(collection)
    assert as_dictionary(postings) == oracle.postings(collection)
    assert postings.words.tolist() == sorted(oracle.postings(collection))
    assert [postings.words.dtype, postings.offsets.dtype, postings.photo_ids.dtype] == [
        np.uint32,
        np.uint64,
        np.uint16,
    ]
    assert postings.frequencies.dtype == np.uint8


@given(st.lists(st.lists(st.integers(0, 60_000), max_size=20), max_size=4))
def test_words_of_a_large_vocabulary(collection: list[list[int]]) -> None:
    assert as_dictionary(invert(collection, 60_001)) == oracle.postings(collection)


@pytest.mark.parametrize(("count", "frequency"), [(1, 1), (254, 254), (255, 255), (256, 255), (3000, 255)])
def test_frequencies_saturate(count: int, frequency: int) -> None:
    collection = [[2], [1] * 3 + [2] * count + [11], []]
    assert as_dictionary(invert(collection)) == {
        1: [(1, 3)],
        2: [(0, 1), (1, frequency)],
        11: [(1, 1)],
    }


@pytest.mark.parametrize("collection", [[], [[]], [[], [], []]])
def test_no_features(collection: list[list[int]]) -> None:
    postings = invert(collection)
    assert as_dictionary(postings) == {}
    assert postings.offsets.tolist() == [0]


def test_photos_without_features_keep_their_places() -> None:
    assert as_dictionary(invert([[], [4], [], [], [4, 4], []])) == {4: [(1, 1), (4, 2)]}


def test_the_last_photo_of_a_full_segment() -> None:
    collection: list[list[int]] = [[] for _ in range(MAX_PHOTOS)]
    collection[0], collection[-1] = [5], [5, 0]
    offsets = np.cumsum([0, *map(len, collection)], dtype=np.uint64)
    geometry = Geometry(
        offsets, np.array([5, 0, 5], np.uint32), np.zeros((3, 2), np.uint16), np.zeros((3, 2, 2), np.float16)
    )
    postings = Postings.of(geometry, VOCABULARY_SIZE)
    assert as_dictionary(postings) == {0: [(MAX_PHOTOS - 1, 1)], 5: [(0, 1), (MAX_PHOTOS - 1, 1)]}


# --- lists ---

borders = st.sampled_from([0, 62, 63, 64, 65, 127, 128, 191])


@given(
    st.lists(st.lists(borders | st.integers(0, 300), max_size=12), max_size=4),
    st.lists(borders | st.integers(0, 400) | st.integers(0, 2**32 - 1), max_size=12),
)
@example([[63], [63, 64]], [62, 63, 64, 65, 127, 2**32 - 1])
@example([list(range(300))], list(range(400)))
@example([], [0, 63, 64, 2**32 - 1])
@example([[]], [0])
def test_lists_are_those_of_the_oracle(collection: list[list[int]], query: list[int]) -> None:
    """Of the postings, and of what else their words have."""
    postings = invert(collection, 301)
    words, others = postings.words.tolist(), postings.offsets * np.uint64(3)
    for offsets in (postings.offsets, others):
        starts, ends = find_lists(np.array(query, np.uint32), postings, offsets)
        found = list(zip(starts.tolist(), ends.tolist(), strict=True))
        assert found == scan_oracle.locate(query, words, offsets.tolist())


def test_the_last_words_of_a_large_vocabulary() -> None:
    size = 1 << 22
    postings = invert([[size - 1, 5], [size - 2]], size)
    starts, ends = find_lists(
        np.array([size - 1, size - 2, size - 3, size, 5], np.uint32), postings, postings.offsets
    )
    assert list(zip(starts.tolist(), ends.tolist(), strict=True)) == [(2, 3), (1, 2), (0, 0), (0, 0), (0, 1)]
