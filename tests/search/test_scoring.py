"""The shortlist: the same bytes for any number of threads and any segmentation."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from index.samples import (
    VOCABULARY_SIZE,
    bow,
    hard_query,
    make_collection_in_pieces,
    photos,
    same_bits,
    scores_of,
)
from oracles import index as oracle

from handcraft.index.collection import make_collection
from handcraft.search._kernels import keep_best
from handcraft.search.scoring import Shortlist, best, shortlist

cuts = st.lists(st.integers(0, 8), max_size=5)
queries = st.lists(st.integers(0, VOCABULARY_SIZE - 1), max_size=8)


def same_shortlist(a: Shortlist, b: Shortlist) -> bool:
    return same_bits(a.ids, b.ids) and same_bits(a.scores, b.scores)


def large_collection() -> tuple[list[list[int]], list[int]]:
    """Photos of few words, most of them tied, and a query."""
    generator = np.random.default_rng(0)
    collection = [generator.integers(0, 12, generator.integers(0, 5)).tolist() for _ in range(400)]
    return collection, [1, 2, 3, 3, 9]


# --- the shortlist ---


@given(photos(), cuts, st.sets(st.integers(0, 7)), queries, st.integers(1, 12))
def test_the_shortlist_is_that_of_the_oracle(
    collection: list[list[int]], cuts: list[int], dead: set[int], query: list[int], top: int
) -> None:
    found = make_collection_in_pieces(collection, cuts, dead)
    result = shortlist(scores_of(found, query), found, top)
    alive = [i for i in range(len(collection)) if i not in dead]
    scores = [0.0] * len(collection)
    cosines = oracle.scores(
        [[word] for word in query],
        [[0.0]] * len(query),
        [collection[i] for i in alive],
        VOCABULARY_SIZE,
    )
    for image_id, cosine in zip(alive, cosines, strict=True):
        scores[image_id] = cosine
    assert (result.ids.dtype, result.scores.dtype) == (np.int64, np.float32)
    assert result.scores.tolist() == pytest.approx(
        [score for _, score in oracle.ranking(scores, top)], rel=2e-6
    )
    assert result.scores.tolist() == pytest.approx([scores[i] for i in result.ids], rel=2e-6)
    assert len(set(result.ids.tolist())) == len(result.ids)
    order = [(-score, image_id) for score, image_id in zip(result.scores, result.ids, strict=True)]
    assert order == sorted(order)
    assert not dead.intersection(result.ids.tolist())
    assert (result.scores > 0).all()


@given(photos(), cuts, queries, st.integers(1, 12))
def test_any_segmentation_gives_the_same_bytes(
    collection: list[list[int]], cuts: list[int], query: list[int], top: int
) -> None:
    whole, pieces = make_collection_in_pieces(collection), make_collection_in_pieces(collection, cuts)
    expected = shortlist(scores_of(whole, query), whole, top)
    assert same_shortlist(shortlist(scores_of(pieces, query), pieces, top), expected)


@pytest.mark.parametrize("top", [1, 10, 100, 1000])
def test_any_number_of_threads_gives_the_same_bytes(top: int) -> None:
    photos, query = large_collection()
    dead = list(range(0, 400, 11))
    expected = None
    for cuts in ([], [200], list(range(0, 400, 13)), [0, 0, 399, 400]):
        for threads in (1, 2, 4):
            found = make_collection_in_pieces(photos, cuts, dead)
            result = shortlist(scores_of(found, query), found, top, threads)
            expected = expected or result
            assert same_shortlist(result, expected), (cuts, threads)
    assert expected is not None
    assert len(expected.ids) == min(
        top, sum(bool(set(query) & set(p)) for i, p in enumerate(photos) if i % 11)
    )


def test_several_searches_at_once() -> None:
    photos, query = large_collection()
    whole = make_collection_in_pieces(photos)
    expected = shortlist(scores_of(whole, query), whole, 50)
    results: list[Shortlist] = []
    scorer = bow(make_collection_in_pieces(photos, range(0, 400, 50)))  # nothing is cached

    def search() -> None:
        asked = hard_query(scorer, query)
        results.append(shortlist(lambda place: scorer.score(asked, place), scorer.collection, 50, threads=2))

    threads = [threading.Thread(target=search) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 8
    assert all(same_shortlist(result, expected) for result in results)


def test_equal_scores_rank_by_id() -> None:
    found = make_collection_in_pieces([[1, 2], [1], [3], [1], [1, 1], [1]], [2, 3])
    result = shortlist(scores_of(found, [1]), found, 4)
    assert result.ids.tolist() == [1, 3, 4, 5]  # a word alone has the same direction however often
    assert len(set(result.scores.tolist())) == 1
    assert shortlist(scores_of(found, [1]), found, 5).ids.tolist() == [1, 3, 4, 5, 0]


def test_dead_photos_and_those_without_a_word_are_never_found() -> None:
    found = make_collection_in_pieces([[1], [2], [], [1], [1, 2]], [1, 4], dead=[0, 4])
    assert shortlist(scores_of(found, [1]), found, 100).ids.tolist() == [3]
    assert shortlist(scores_of(found, [9]), found, 100).ids.tolist() == []
    assert shortlist(scores_of(found, []), found, 100).ids.tolist() == []


def test_an_empty_collection() -> None:
    for found in (
        make_collection([], [], VOCABULARY_SIZE),
        make_collection_in_pieces([[1], [1]], [1], [0, 1]),
    ):
        result = shortlist(scores_of(found, [1]), found, 5, threads=2)
        assert same_shortlist(result, Shortlist(np.empty(0, np.int64), np.empty(0, np.float32)))


def test_a_top_of_none() -> None:
    found = make_collection_in_pieces([[1], [1]], [1])
    assert shortlist(scores_of(found, [1]), found, 0).ids.tolist() == []


def test_a_search_leaves_the_collection_as_it_was() -> None:
    found = make_collection_in_pieces([[1, 2], [1], [2]], [2], [1])
    score = scores_of(found, [1, 2])
    live = [alive.copy() for alive in found.live]
    first, second = shortlist(score, found, 3), shortlist(score, found, 3)
    assert same_shortlist(first, second)
    assert all(same_bits(a, b) for a, b in zip(found.live, live, strict=True))


# --- best ---

few = st.sampled_from([0.0, 0.25, 0.5, 1.0])  # many ties
any_score = st.floats(0, 1, width=32)


@settings(max_examples=300)
@given(
    hnp.arrays(np.float32, st.integers(0, 40), elements=st.one_of(few, any_score)),
    st.integers(0, 45),
    st.sets(st.integers(0, 39)),
)
@example(np.array([1e-40, 2e-40, 0.0], np.float32), 2, set())  # below the smallest normal number, above 0
@example(np.array([1e-40, 2e-40, 0.0], np.float32), 3, set())
@example(np.array([0.5, 0.5], np.float32), 0, set())
@example(np.array([0.5, 0.5], np.float32), 2, {0, 1})
def test_best_is_sorting(scores: np.ndarray, top: int, dead: set[int]) -> None:
    before, live = scores.copy(), np.array([place not in dead for place in range(len(scores))], bool)
    places, values = best(scores, live, top)
    expected = oracle.ranking(scores.tolist(), top, live.tolist())
    assert list(zip(places.tolist(), values.tolist(), strict=True)) == expected
    assert (places.dtype, values.dtype) == (np.int64, np.float32)
    assert same_bits(scores, before)
    assert live.tolist() == [place not in dead for place in range(len(scores))]


@given(hnp.arrays(np.float32, st.integers(0, 60), elements=few), st.integers(1, 60))
def test_best_among_ties(scores: np.ndarray, top: int) -> None:
    places, _ = best(scores, np.ones(len(scores), bool), top)
    assert places.tolist() == [place for place, _ in oracle.ranking(scores.tolist(), top)]


ODD = [0.0, -0.0, -1.0, 0.25, 0.5, 1.0, np.inf, -np.inf, np.nan]


def many_scores(count: int, seed: int) -> np.ndarray:
    """Many of them tied, or different, or rising or falling; or only one above the others."""
    generator = np.random.default_rng(seed)
    any_order = generator.random(count)
    kinds = [
        generator.choice(ODD, count),
        any_order,
        np.sort(any_order),
        np.sort(any_order)[::-1],
        generator.choice([*ODD, *any_order], count),
        np.where(np.arange(count) == generator.integers(0, count + 1), 1, generator.choice([0, np.nan])),
        np.full(count, 0.5),
    ]
    return kinds[seed % len(kinds)].astype(np.float32)


around_blocks = st.sampled_from([0, 1, 63, 64, 65, 127, 128, 129, 300]) | st.integers(0, 400)


@settings(max_examples=300)
@given(around_blocks, st.integers(1, 410), st.sampled_from([0.0, 0.1, 0.6, 1.0]), st.integers(0, 999))
def test_the_best_of_many_are_kept(count: int, top: int, share: float, seed: int) -> None:
    """In no order; what there is no score for stays as it was."""
    scores, live = many_scores(count, seed), np.random.default_rng(seed).random(count) >= share
    expected = oracle.ranking(scores.tolist(), top, live.tolist())
    values, places = np.full(top, -7, np.float32), np.full(top, -7, np.int64)
    kept = keep_best(scores, live, values, places)
    found = list(zip(places.tolist(), values.tolist(), strict=True))
    assert sorted(found[:kept]) == sorted(expected)
    assert found[kept:] == [(-7, -7)] * (top - kept)
    ordered_places, ordered = best(scores, live, top)
    assert list(zip(ordered_places.tolist(), ordered.tolist(), strict=True)) == expected


@pytest.mark.parametrize("top", [1, 2, 7, 64, 65, 200])
def test_of_equals_the_first_are_kept(top: int) -> None:
    """Whether larger ones come before or after, in one block or in several."""
    scores = np.full(300, 0.5, np.float32)
    scores[[10, 70, 299]], live = 1, np.ones(300, bool)
    live[[0, 64, 70]] = False
    halves = [place for place in range(300) if live[place] and place not in (10, 299)]
    places, values = best(scores, live, top)
    assert places.tolist() == [10, 299, *halves][:top]
    assert values.tolist() == [1, 1, *[0.5] * top][:top]


def test_nothing_that_is_no_number_is_kept() -> None:
    scores = np.full(200, np.nan, np.float32)
    live = np.ones(200, bool)
    assert best(scores, live, 200)[0].tolist() == []
    scores[[3, 150]] = 0.25, 0.5
    for top in (1, 2, 3, 1000):
        assert best(scores, live, top)[0].tolist() == [150, 3][:top]
