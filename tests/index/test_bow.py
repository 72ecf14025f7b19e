"""The query's vector, and how alike it is to photos."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from index.samples import (
    VOCABULARY_SIZE,
    bow,
    hard_query,
    make_collection_in_pieces,
    make_segment,
    photos,
    same_bits,
    scores_of,
)
from oracles import index as oracle

from handcraft.errors import HandcraftError, StoreError
from handcraft.index.bow import BowQuery
from handcraft.index.collection import Collection, make_collection
from handcraft.index.postings import Postings
from handcraft.options import BowOptions

DAMAGED = "The store is damaged: a segment votes for a photo that it does not hold; run `handcraft check`."

# Each word in a number of photos of its own, and each in the one photo.
STAIRS = [list(range(i + 1)) for i in range(VOCABULARY_SIZE)]
EQUAL = [list(range(VOCABULARY_SIZE))]

options = st.fixed_dictionaries(
    {
        "norm": st.sampled_from([1, 2]),
        "burstiness": st.booleans(),
        "stop_words": st.sampled_from([0.0, 0.3, 0.7]),
        "assignment_variance": st.sampled_from([1000.0, 6250.0, 50_000.0]),
    }
)


@st.composite
def assigned(draw: st.DrawFn) -> tuple[list[list[int]], list[list[float]]]:
    """The nearest words of some features and their squared distances, ascending; −1 is none."""
    nearest = draw(st.integers(1, 4))
    words, distances = [], []
    for _ in range(draw(st.integers(0, 8))):
        found = draw(st.lists(st.integers(0, VOCABULARY_SIZE - 1), min_size=1, max_size=nearest, unique=True))
        its_distances = draw(
            st.lists(st.integers(0, 60_000), min_size=len(found), max_size=len(found)).map(sorted)
        )
        missing = nearest - len(found)
        words.append(found + [-1] * missing)
        distances.append([float(d) for d in its_distances] + [math.inf] * missing)
    return words, distances


def ask(
    words: list[list[int]],
    distances: list[list[float]],
    collection: list[list[int]] = STAIRS,
    **options: Any,
) -> BowQuery:
    shape = (len(words), len(words[0]) if words else 1)
    return bow(make_collection_in_pieces(collection), **options).query(
        np.array(words, np.int32).reshape(shape), np.array(distances, np.float32).reshape(shape)
    )


def weights_of(query: BowQuery) -> dict[int, float]:
    return dict(zip(query.words.tolist(), query.weights.tolist(), strict=True))


# --- the query ---


@given(assigned(), options)
def test_weights_are_those_of_the_oracle(
    assignment: tuple[list[list[int]], list[list[float]]], options: dict[str, Any]
) -> None:
    soft = oracle.query_frequencies(*assignment, options["assignment_variance"])
    idf = oracle.without_stop_words(oracle.idf(STAIRS, VOCABULARY_SIZE), options["stop_words"])
    expected = {w: v for w, v in oracle.vector(soft, idf, options["burstiness"]).items() if v > 0}
    length = oracle.norm(expected, options["norm"])
    query = ask(*assignment, **options)
    assert [query.words.dtype, query.weights.dtype] == [np.uint32, np.float32]
    assert query.words.tolist() == sorted(expected)
    assert weights_of(query) == pytest.approx(
        {word: value / length for word, value in expected.items()}, rel=1e-5, abs=1e-12
    )


def test_soft_weights_by_hand() -> None:
    """Philbin et al. 2008: exp(−d²/2σ²), scaled to sum to 1."""
    near, far = math.exp(-100 / 200), math.exp(-300 / 200)
    query = ask([[3, 5]], [[100, 300]], EQUAL, assignment_variance=100.0)
    # A cosine of √tf: their sum is 1 already.
    assert weights_of(query) == pytest.approx(
        {3: math.sqrt(near / (near + far)), 5: math.sqrt(far / (near + far))}, rel=1e-6
    )


def test_the_nearest_word_may_be_far_away() -> None:
    """exp(−d²/2σ²) itself would be 0 for all three."""
    far = ask([[3, 5, 7]], [[2e7, 2e7 + 2000, 2e7 + 8000]])
    near = ask([[3, 5, 7]], [[0, 2000, 8000]])
    assert far.words.tolist() == [3, 5, 7]
    assert far.weights == pytest.approx(near.weights, rel=1e-5)


def test_a_word_that_is_none_does_not_vote() -> None:
    with_none = ask([[3, 5, -1], [5, -1, -1]], [[1, 2, math.inf], [3, math.inf, math.inf]])
    assert with_none.words.tolist() == [3, 5]
    whole = ask([[3, 5], [5, -1]], [[1, 2], [3, math.inf]])
    assert same_bits(with_none.weights, whole.weights)


def test_a_larger_variance_makes_votes_more_alike() -> None:
    weights = [
        weights_of(ask([[3, 4]], [[0, 5000]], EQUAL, assignment_variance=variance))[4]
        for variance in (500.0, 5000.0, 50_000.0, 5e6)
    ]
    assert weights == sorted(weights)
    assert weights[0] < 0.1
    assert weights[-1] == pytest.approx(math.sqrt(0.5), rel=1e-3)


def test_more_words_a_feature_change_the_vector() -> None:
    words, distances = [[3, 5, 7]], [[0.0, 1000.0, 2000.0]]
    seen = [ask([words[0][:k]], [distances[0][:k]]).words.tolist() for k in (1, 2, 3)]
    assert seen == [[3], [3, 5], [3, 5, 7]]


@pytest.mark.parametrize(("burstiness", "one", "four"), [(True, 1, 2), (False, 1, 4)])
def test_a_repeated_word_counts_by_its_root(burstiness: bool, one: float, four: float) -> None:
    query = hard_query(bow(make_collection_in_pieces(EQUAL), burstiness=burstiness), [1, 1, 1, 1, 2])
    length = math.hypot(one, four)
    assert query.weights.tolist() == pytest.approx([four / length, one / length])


def test_words_that_no_photo_holds_do_not_vote() -> None:
    scorer = bow(make_collection_in_pieces([[3], [7, 3]]))
    query = hard_query(scorer, [3, 5, 5, 7])
    assert query.words.tolist() == [3, 7]
    assert same_bits(query.weights, hard_query(scorer, [3, 7]).weights)


def test_the_most_frequent_words_are_left_out() -> None:
    """Word 0 is in every photo of the stairs, word 11 in one. Of three equals the first go."""
    query = hard_query(bow(make_collection_in_pieces(STAIRS), stop_words=0.25), [0, 1, 2, 3, 11])
    assert query.words.tolist() == [3, 11]
    equals = bow(make_collection_in_pieces([[1, 4, 9]]), stop_words=0.67)
    assert hard_query(equals, [1, 4, 9]).words.tolist() == [9]


@pytest.mark.parametrize("shape", [(0, 1), (0, 3), (4, 0)])
@pytest.mark.parametrize("norm", [1, 2])
def test_a_query_without_words(shape: tuple[int, int], norm: int) -> None:
    scorer = bow(make_collection_in_pieces(STAIRS), norm=norm)
    query = scorer.query(np.empty(shape, np.int32), np.empty(shape, np.float32))
    assert (query.words.tolist(), query.weights.tolist()) == ([], [])
    assert (query.words.dtype, query.weights.dtype) == (np.uint32, np.float32)
    assert scorer.score(query, 0).tolist() == [0] * len(STAIRS)


def test_a_query_of_unknown_words_alone() -> None:
    query = hard_query(bow(make_collection_in_pieces([[1]])), [3, 5])
    assert (query.words.tolist(), query.weights.tolist()) == ([], [])


def test_the_order_of_features_does_not_matter() -> None:
    words, distances = [[3, 5], [1, 3], [7, -1]], [[10.0, 20.0], [5.0, 9.0], [2.0, math.inf]]
    a = ask(words, distances)
    b = ask(words[::-1], distances[::-1])
    assert a.words.tolist() == b.words.tolist()
    assert a.weights == pytest.approx(b.weights, rel=1e-6)


# --- scores ---


@given(photos(), assigned(), options)
def test_scores_are_those_of_the_oracle(
    collection: list[list[int]],
    assignment: tuple[list[list[int]], list[list[float]]],
    options: dict[str, Any],
) -> None:
    scorer = bow(make_collection_in_pieces(collection), **options)
    scores = scorer.score(ask(*assignment, collection, **options), 0)
    assert (scores.dtype, scores.shape) == (np.float32, (len(collection),))
    expected = oracle.scores(*assignment, collection, VOCABULARY_SIZE, **options)
    assert scores.tolist() == pytest.approx(expected, rel=2e-6, abs=2e-7)


@pytest.mark.parametrize("norm", [1, 2])
@given(collection=photos())
def test_a_photo_is_most_like_itself(norm: int, collection: list[list[int]]) -> None:
    scorer = bow(make_collection_in_pieces(collection), norm=norm)
    for number, words in enumerate(collection):
        scores = scorer.score(hard_query(scorer, words), 0)
        if words:
            assert scores[number] == pytest.approx(1, abs=1e-6)
        assert scores.max(initial=0) <= 1
        assert scores.min(initial=0) >= 0


@pytest.mark.parametrize("seed", range(4))
def test_a_photo_of_many_features_is_most_like_itself(seed: int) -> None:
    generator = np.random.default_rng(seed)
    collection = [generator.integers(0, 62_500, 2000).tolist() for _ in range(20)]
    collection.append((generator.zipf(1.2, 5000) % 62_500).tolist())
    collection.append([7] * 300 + list(range(300)))  # a frequency that saturates, on both sides
    scorer = bow(make_collection_in_pieces(collection, vocabulary_size=62_500), norm=1 + seed % 2)
    for number, words in enumerate(collection):
        scores = scorer.score(hard_query(scorer, words), 0)
        assert scores[number] == pytest.approx(1, abs=1e-4)  # thousands of terms, added as float32
        assert scores.max() <= 1
        assert scores.argmax() == number


@pytest.mark.parametrize("changed", [{"norm": 1}, {"burstiness": False}, {"stop_words": 0.5}])
def test_options_change_the_scores(changed: dict[str, Any]) -> None:
    collection = make_collection_in_pieces([[1, 1, 1, 2], [1, 2, 2, 3], [1]])
    query = [1, 1, 2, 3]
    one, other = (
        scorer.score(hard_query(scorer, query), 0) for scorer in (bow(collection), bow(collection, **changed))
    )
    assert not np.allclose(one, other, atol=1e-3)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"norm": 3}, "norm=3 is neither 1 nor 2."),
        ({"stop_words": 1.0}, "stop_words=1.0 is not from 0 to below 1."),
        ({"stop_words": -0.1}, "stop_words=-0.1 is not from 0 to below 1."),
        ({"assignments": 0}, "assignments=0 is too small; give 1 or more."),
        ({"neighbours": 0}, "neighbours=0 is too small; give 1 or more."),
    ],
)
def test_options_that_cannot_be(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(HandcraftError) as error:
        BowOptions(**wrong)
    assert str(error.value) == sentence


def test_photos_without_features_score_0() -> None:
    assert scores_of(make_collection_in_pieces([[], [1], []]), [1])(0).tolist() == pytest.approx([0, 1, 0])


def collection_of(postings: Postings) -> Collection:
    return make_collection([replace(make_segment([[1], [3]]), postings=postings)], [[]], VOCABULARY_SIZE)


@pytest.mark.parametrize("norm", [1, 2])
def test_what_lies_beyond_the_postings_is_not_read(norm: int) -> None:
    """Arrays are parts of a file: behind the last word another array begins."""
    postings = make_segment([[1], [3]]).postings
    longer = {
        "words": np.append(postings.words, np.uint32(9)),
        "offsets": np.append(postings.offsets, postings.offsets[-1] + np.uint64(1)),
        "photo_ids": np.append(postings.photo_ids, np.uint16(1)),
        "frequencies": np.append(postings.frequencies, np.uint8(100)),
    }
    scorer = bow(collection_of(Postings(**{name: array[:-1] for name, array in longer.items()})), norm=norm)
    idf = np.array([scorer.idf[3], 1, 1], np.float32)  # words that no photo has would count, too
    query = BowQuery(np.array([3, 9, 10], np.uint32), np.array([0.5, 0.25, 0.25], np.float32), idf)
    assert scorer.score(query, 0).tolist() == [0, 0.5]


@pytest.mark.parametrize("norm", [1, 2])
def test_words_beyond_those_of_a_segment_are_absent(norm: int) -> None:
    """Where the segment has few words, however large the query's are."""
    scorer = bow(make_collection_in_pieces([[3], [1, 3]]), norm=norm)
    words = np.array([3, 63, 64, 2**31, 2**32 - 1], np.uint32)
    weights, idf = np.full((2, 5), 0.5, np.float32)
    alone = scorer.score(BowQuery(words[:1], weights[:1], idf[:1]), 0)
    assert alone.min() > 0
    assert same_bits(scorer.score(BowQuery(words, weights, idf), 0), alone)


@pytest.mark.parametrize("norm", [1, 2])
def test_scoring_leaves_the_scales_as_they_were(norm: int) -> None:
    scorer = bow(make_collection_in_pieces([[3], [1, 3]]), norm=norm)
    before = scorer.scales[0].copy()
    query = hard_query(scorer, [3])
    assert same_bits(scorer.score(query, 0), scorer.score(query, 0))
    assert same_bits(scorer.scales[0], before)


@pytest.mark.parametrize("norm", [1, 2])
def test_a_query_holds_the_idf_of_its_words(norm: int) -> None:
    scorer = bow(make_collection_in_pieces(STAIRS), norm=norm, stop_words=0.25)
    query = hard_query(scorer, [0, 7, 3, 7, 11])
    assert query.words.tolist() == [3, 7, 11]
    assert same_bits(query.idf, scorer.idf[[3, 7, 11]])


# --- damage ---


@pytest.mark.parametrize("norm", [1, 2])
@pytest.mark.parametrize("photo", [2, 65535])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_posting_of_a_photo_that_the_segment_does_not_hold(norm: int, photo: int, place: int) -> None:
    postings = make_segment([[1, 2], [2]]).postings
    ids = postings.photo_ids.copy()
    sound = bow(collection_of(postings), norm=norm)
    ids[place] = photo
    scorer = bow(collection_of(replace(postings, photo_ids=ids)), norm=norm)
    query = hard_query(sound, [1, 2])
    with pytest.raises(StoreError) as error:
        scorer.score(query, 0)
    assert str(error.value) == DAMAGED
    scorer.__dict__["scales"] = sound.scales  # the votes tell it, too
    with pytest.raises(StoreError) as error:
        scorer.score(query, 0)
    assert str(error.value) == DAMAGED
