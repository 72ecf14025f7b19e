"""The live collection: its statistics are those of its live photos, however it came about."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from index.samples import (
    VOCABULARY_SIZE,
    bow,
    make_collection_in_pieces,
    make_photo,
    make_segment,
    photos,
    same_bits,
    scores_of,
)
from oracles import index as oracle

from handcraft.errors import StoreError
from handcraft.index.collection import Collection, make_collection
from handcraft.index.segment import merge_segments

cuts = st.lists(st.integers(0, 8), max_size=4)
numbers = st.sets(st.integers(0, 7))


def live_scales(collection: Collection) -> np.ndarray:
    """(live photos,) in order of their ids."""
    parts = [scales[alive] for scales, alive in zip(bow(collection).scales, collection.live, strict=True)]
    return np.concatenate([np.empty(0, np.float32), *parts])


def live_scores(collection: Collection, query: list[int]) -> np.ndarray:
    """(live photos,) the cosines with the query of these words."""
    score = scores_of(collection, query)
    parts = [score(place)[alive] for place, alive in enumerate(collection.live)]
    return np.concatenate([np.empty(0, np.float32), *parts])


# --- statistics ---


@given(photos(), cuts, numbers)
def test_idf_is_that_of_the_live_photos(collection: list[list[int]], cuts: list[int], dead: set[int]) -> None:
    alive = [words for i, words in enumerate(collection) if i not in dead]
    found = make_collection_in_pieces(collection, cuts, dead)
    assert found.idf.dtype == np.float32
    assert found.idf == pytest.approx(np.array(oracle.idf(alive, VOCABULARY_SIZE)), rel=1e-6, abs=0)
    assert len(found) == len(alive)


@given(photos(), cuts, numbers)
def test_scales_are_those_of_the_whole_collection(
    collection: list[list[int]], cuts: list[int], dead: set[int]
) -> None:
    alive = [words for i, words in enumerate(collection) if i not in dead]
    weights = oracle.idf(alive, VOCABULARY_SIZE)
    norms = [oracle.norm(oracle.vector(oracle.frequencies(words), weights)) for words in alive]
    expected = [1 / norm if norm else 0 for norm in norms]
    found = make_collection_in_pieces(collection, cuts, dead)
    assert [scales.dtype for scales in bow(found).scales] == [np.float32] * len(found.segments)
    assert live_scales(found) == pytest.approx(np.array(expected), rel=1e-6, abs=0)


def test_idf_by_hand() -> None:
    collection = make_collection_in_pieces([[0, 0, 1], [0], [], [0, 2]])
    assert collection.idf[:4].tolist() == pytest.approx([np.log(5 / 3), np.log(5), np.log(5), 0])


@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_word_of_every_photo_still_counts(count: int) -> None:
    collection = make_collection_in_pieces([[4]] * count)
    assert collection.idf[4] == pytest.approx(np.log((count + 1) / count))
    assert live_scores(collection, [4]).tolist() == pytest.approx([1.0] * count)


# --- pieces, removals and merges ---


@given(photos(), cuts, st.lists(st.integers(0, VOCABULARY_SIZE - 1), max_size=8))
@example([[0, 1], [1, 2, 2], [2]], [1, 1, 2], [1, 2])
def test_pieces_equal_the_whole_bit_for_bit(
    collection: list[list[int]], cuts: list[int], query: list[int]
) -> None:
    whole = make_collection_in_pieces(collection)
    pieces = make_collection_in_pieces(collection, cuts)
    assert len(pieces.segments) == len(cuts) + 1
    assert same_bits(pieces.idf, whole.idf)
    assert same_bits(live_scales(pieces), live_scales(whole))
    assert same_bits(live_scores(pieces, query), live_scores(whole, query))
    assert pieces.ids == whole.ids


@given(photos(), cuts, numbers, st.lists(st.integers(0, VOCABULARY_SIZE - 1), max_size=8))
def test_removed_equals_never_added_bit_for_bit(
    collection: list[list[int]], cuts: list[int], dead: set[int], query: list[int]
) -> None:
    after = make_collection_in_pieces(collection, cuts, dead)
    never = make_collection_in_pieces([words for i, words in enumerate(collection) if i not in dead])
    assert same_bits(after.idf, never.idf)
    assert same_bits(live_scales(after), live_scales(never))
    assert same_bits(live_scores(after, query), live_scores(never, query))


@given(photos(), cuts, numbers, st.lists(st.integers(0, VOCABULARY_SIZE - 1), max_size=8))
def test_merging_changes_no_score(
    collection: list[list[int]], cuts: list[int], dead: set[int], query: list[int]
) -> None:
    before = make_collection_in_pieces(collection, cuts, dead)
    segment = merge_segments(before.segments, before.live, VOCABULARY_SIZE, None)
    after = make_collection([segment], [[]], VOCABULARY_SIZE)
    assert same_bits(after.idf, before.idf)
    assert same_bits(live_scales(after), live_scales(before))
    assert same_bits(live_scores(after, query), live_scores(before, query))
    assert list(after.ids) == list(before.ids)
    assert list(after.ids.values()) == list(range(len(before)))


def test_many_photos_in_pieces_equal_the_whole() -> None:
    """Sums of many terms, where another order of adding would show."""
    generator = np.random.default_rng(3)
    collection = [(generator.zipf(1.3, generator.integers(0, 400)) % 500).tolist() for _ in range(120)]
    query = (generator.zipf(1.3, 700) % 500).tolist()
    whole = make_collection_in_pieces(collection, vocabulary_size=500)
    pieces = make_collection_in_pieces(collection, range(0, 120, 7), vocabulary_size=500)
    assert same_bits(pieces.idf, whole.idf)
    assert same_bits(live_scales(pieces), live_scales(whole))
    assert same_bits(live_scores(pieces, query), live_scores(whole, query))


# --- ids ---


@given(photos(), cuts, numbers)
def test_ids_count_every_photo_and_name_the_live_ones(
    collection: list[list[int]], cuts: list[int], dead: set[int]
) -> None:
    found = make_collection_in_pieces(collection, cuts, dead)
    alive = [i for i in range(len(collection)) if i not in dead]
    assert found.ids == {make_photo(i).name: i for i in alive}
    assert list(found.ids.values()) == alive  # in order
    assert found.starts.tolist() == [0, *np.cumsum([len(segment) for segment in found.segments]).tolist()]
    for image_id in range(len(collection)):
        segment, local_id = found.locate(image_id)
        assert segment.photos.names[local_id] == make_photo(image_id).name


def test_an_empty_collection() -> None:
    for collection in (
        make_collection([], [], VOCABULARY_SIZE),
        make_collection_in_pieces([]),
        make_collection_in_pieces([[1], [2]], [1], [0, 1]),
    ):
        assert len(collection) == 0
        assert collection.ids == {}
        assert collection.idf.tolist() == [0.0] * VOCABULARY_SIZE
        assert live_scales(collection).tolist() == []


def test_a_collection_leaves_its_arguments_as_they_were() -> None:
    segment, removed = make_segment([[1], [2], [1]]), [[1]]
    frequencies = segment.postings.frequencies.copy()
    collection = make_collection([segment], removed, VOCABULARY_SIZE)
    live_scores(collection, [1, 2])
    assert removed == [[1]]
    assert same_bits(segment.postings.frequencies, frequencies)
    assert collection.live[0].tolist() == [True, False, True]


def test_a_posting_of_a_photo_that_the_segment_does_not_hold() -> None:
    """Compiled loops trust the ids of the postings: a damaged one must not reach them."""
    segment = make_segment([[1, 2], [2]])
    ids = segment.postings.photo_ids.copy()
    ids[-1] = 2
    damaged = replace(segment, postings=replace(segment.postings, photo_ids=ids))
    collection = make_collection([damaged], [()], VOCABULARY_SIZE)
    with pytest.raises(StoreError) as error:
        _ = bow(collection).scales
    assert str(error.value) == (
        "The store is damaged: a segment votes for a photo that it does not hold; run `handcraft check`."
    )
