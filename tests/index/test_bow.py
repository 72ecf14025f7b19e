"""The query's vector, and the cosine of it with photos."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from index.samples import (
    VARIANCE,
    VOCABULARY_SIZE,
    hard_query,
    make_collection_in_pieces,
    make_segment,
    photos,
    same_bits,
)
from oracles import index as oracle

from handcraft.index.bow import QueryVector, query_vector, score_segment
from handcraft.index.segment import Postings

IDF = np.linspace(0.5, 2.7, VOCABULARY_SIZE).astype(np.float32)


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


def make_vector(
    words: list[list[int]], distances: list[list[float]], idf: np.ndarray = IDF, variance: float = VARIANCE
) -> QueryVector:
    shape = (len(words), len(words[0]) if words else 1)
    return query_vector(
        np.array(words, np.int32).reshape(shape),
        np.array(distances, np.float32).reshape(shape),
        idf,
        variance,
    )


def tf_idf(vector: QueryVector, idf: np.ndarray = IDF) -> dict[int, float]:
    """The query's own weights by word: those that vote have the photo's idf in them."""
    return {
        word: weight / float(idf[word])
        for word, weight in zip(vector.words.tolist(), vector.weights.tolist(), strict=True)
    }


# --- the query ---


@given(assigned(), st.sampled_from([1000.0, VARIANCE, 50_000.0]))
def test_weights_are_those_of_the_oracle(
    assignment: tuple[list[list[int]], list[list[float]]], variance: float
) -> None:
    soft = oracle.query_frequencies(*assignment, variance)
    expected = {word: math.sqrt(frequency) * float(IDF[word]) for word, frequency in soft.items()}
    length = oracle.norm(expected)
    vector = make_vector(*assignment, variance=variance)
    assert [vector.words.dtype, vector.weights.dtype] == [np.uint32, np.float32]
    assert vector.words.tolist() == sorted(soft)
    assert tf_idf(vector) == pytest.approx(
        {word: value / length for word, value in expected.items()}, rel=1e-5, abs=1e-12
    )
    if soft:
        assert oracle.norm(tf_idf(vector)) == pytest.approx(1, abs=1e-6)


def test_soft_weights_by_hand() -> None:
    """Philbin et al. 2008: exp(−d²/2σ²), scaled to sum to 1."""
    near, far = math.exp(-100 / 200), math.exp(-300 / 200)
    vector = make_vector([[3, 5]], [[100, 300]], np.ones(VOCABULARY_SIZE, np.float32), 100)
    tf = {3: near / (near + far), 5: far / (near + far)}  # a cosine of √tf: their sum is 1 already
    assert tf_idf(vector, np.ones(VOCABULARY_SIZE)) == pytest.approx(
        {word: math.sqrt(frequency) for word, frequency in tf.items()}, rel=1e-6
    )


def test_the_nearest_word_may_be_far_away() -> None:
    """exp(−d²/2σ²) itself would be 0 for all three."""
    far = make_vector([[3, 5, 7]], [[2e7, 2e7 + 2000, 2e7 + 8000]])
    near = make_vector([[3, 5, 7]], [[0, 2000, 8000]])
    assert far.words.tolist() == [3, 5, 7]
    assert far.weights == pytest.approx(near.weights, rel=1e-5)


def test_a_word_that_is_none_does_not_vote() -> None:
    with_none = make_vector([[3, 5, -1], [5, -1, -1]], [[1, 2, math.inf], [3, math.inf, math.inf]])
    assert with_none.words.tolist() == [3, 5]
    whole = make_vector([[3, 5], [5, -1]], [[1, 2], [3, math.inf]])
    assert same_bits(with_none.weights, whole.weights)


def test_a_larger_variance_makes_votes_more_alike() -> None:
    equal = np.ones(VOCABULARY_SIZE, np.float32)
    weights = [
        tf_idf(make_vector([[3, 4]], [[0, 5000]], equal, variance), equal)[4]
        for variance in (500, 5000, 50_000, 5e6)
    ]
    assert weights == sorted(weights)
    assert weights[0] < 0.1
    assert weights[-1] == pytest.approx(math.sqrt(0.5), rel=1e-3)


def test_more_words_a_feature_change_the_vector() -> None:
    words, distances = [[3, 5, 7]], [[0.0, 1000.0, 2000.0]]
    seen = [make_vector([words[0][:k]], [distances[0][:k]]).words.tolist() for k in (1, 2, 3)]
    assert seen == [[3], [3, 5], [3, 5, 7]]


def test_a_repeated_word_counts_by_its_root() -> None:
    vector = hard_query([1, 1, 1, 1, 2], np.ones(VOCABULARY_SIZE, np.float32))
    assert vector.weights.tolist() == pytest.approx([2 / math.sqrt(5), 1 / math.sqrt(5)])


def test_words_that_no_photo_holds_do_not_vote() -> None:
    idf = IDF.copy()
    idf[5] = 0
    vector = hard_query([3, 5, 5, 7], idf)
    assert vector.words.tolist() == [3, 7]
    assert same_bits(vector.weights, hard_query([3, 7], idf).weights)


@pytest.mark.parametrize("shape", [(0, 1), (0, 3), (4, 0)])
def test_a_query_without_words(shape: tuple[int, int]) -> None:
    vector = query_vector(np.empty(shape, np.int32), np.empty(shape, np.float32), IDF, VARIANCE)
    assert (vector.words.tolist(), vector.weights.tolist()) == ([], [])
    assert (vector.words.dtype, vector.weights.dtype) == (np.uint32, np.float32)


def test_a_query_of_unknown_words_alone() -> None:
    vector = hard_query([3, 5], np.zeros(VOCABULARY_SIZE, np.float32))
    assert (vector.words.tolist(), vector.weights.tolist()) == ([], [])


def test_the_order_of_features_does_not_matter() -> None:
    words, distances = [[3, 5], [1, 3], [7, -1]], [[10.0, 20.0], [5.0, 9.0], [2.0, math.inf]]
    a = make_vector(words, distances)
    b = make_vector(words[::-1], distances[::-1])
    assert a.words.tolist() == b.words.tolist()
    assert a.weights == pytest.approx(b.weights, rel=1e-6)


# --- cosines ---


@given(photos(), assigned())
def test_scores_are_the_cosines_of_the_oracle(
    collection: list[list[int]], assignment: tuple[list[list[int]], list[list[float]]]
) -> None:
    found = make_collection_in_pieces(collection)
    vector = make_vector(*assignment, idf=found.idf)
    scores = score_segment(vector, found.segments[0], found.norms[0])
    assert (scores.dtype, scores.shape) == (np.float32, (len(collection),))
    expected = oracle.scores(*assignment, VARIANCE, collection, VOCABULARY_SIZE)
    assert scores.tolist() == pytest.approx(expected, rel=2e-6, abs=1e-7)


@given(photos())
def test_a_photo_is_most_like_itself(collection: list[list[int]]) -> None:
    found = make_collection_in_pieces(collection)
    for number, words in enumerate(collection):
        scores = score_segment(hard_query(words, found.idf), found.segments[0], found.norms[0])
        if words:
            assert scores[number] == pytest.approx(1, abs=1e-6)
        assert scores.max(initial=0) <= 1 + 1e-6
        assert scores.min(initial=0) >= 0


@pytest.mark.parametrize("seed", range(4))
def test_a_photo_of_many_features_is_most_like_itself(seed: int) -> None:
    generator = np.random.default_rng(seed)
    collection = [generator.integers(0, 62_500, 2000).tolist() for _ in range(20)]
    collection.append((generator.zipf(1.2, 5000) % 62_500).tolist())
    collection.append([7] * 300 + list(range(300)))  # a frequency that saturates, on both sides
    found = make_collection_in_pieces(collection, vocabulary_size=62_500)
    for number, words in enumerate(collection):
        scores = score_segment(hard_query(words, found.idf), found.segments[0], found.norms[0])
        assert scores[number] == pytest.approx(1, abs=1e-4)  # thousands of terms, added as float32
        assert scores.max() <= 1 + 1e-6
        assert scores.argmax() == number


def test_photos_without_features_score_0() -> None:
    found = make_collection_in_pieces([[], [1], []])
    scores = score_segment(hard_query([1], found.idf), found.segments[0], found.norms[0])
    assert scores.tolist() == pytest.approx([0, 1, 0])


def test_an_empty_query_scores_0() -> None:
    found = make_collection_in_pieces([[3], [1]])
    assert score_segment(hard_query([], found.idf), found.segments[0], found.norms[0]).tolist() == [0, 0]


def test_what_lies_beyond_the_postings_is_not_read() -> None:
    """Arrays are parts of a file: behind the last word another array begins."""
    segment = make_segment([[1], [3]])
    postings = segment.postings
    longer = {
        "words": np.append(postings.words, np.uint32(9)),
        "offsets": np.append(postings.offsets, postings.offsets[-1] + np.uint64(1)),
        "photo_ids": np.append(postings.photo_ids, np.uint16(1)),
        "frequencies": np.append(postings.frequencies, np.uint8(100)),
    }
    part = replace(segment, postings=Postings(**{name: array[:-1] for name, array in longer.items()}))
    query = QueryVector(np.array([3, 9, 10], np.uint32), np.array([0.5, 0.5, 0.5], np.float32))
    assert score_segment(query, part, np.ones(2, np.float32)).tolist() == [0, 0.5]


def test_scoring_leaves_the_norms_as_they_were() -> None:
    found = make_collection_in_pieces([[3], [1, 3]])
    before = found.norms[0].copy()
    query = hard_query([3], found.idf)
    first = score_segment(query, found.segments[0], found.norms[0])
    second = score_segment(query, found.segments[0], found.norms[0])
    assert same_bits(first, second)
    assert same_bits(found.norms[0], before)
