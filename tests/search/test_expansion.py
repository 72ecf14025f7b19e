"""Expansion: what a query and its verified answers have in common."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import expansion as oracle

from handcraft.search.expansion import SignedWords, WeightedWords, average, expand_signatures, separate

PLANES = 2
Signed = dict[int, tuple[int, ...]]

signed = st.dictionaries(
    st.integers(0, 9), st.tuples(*[st.integers(0, 2**64 - 1)] * PLANES), min_size=1, max_size=8
)


def arrays(signed: Signed) -> SignedWords:
    words = sorted(signed)
    codes = np.array([signed[word] for word in words], np.uint64).reshape(-1, PLANES)
    return SignedWords(np.array(words, np.int64), np.ascontiguousarray(codes.T))


@given(signed | st.just({}), st.lists(signed, min_size=1, max_size=5))
def test_signatures_are_the_majority_that_the_oracle_finds(query: Signed, answers: list[Signed]) -> None:
    expanded = expand_signatures(arrays(query), [arrays(answer) for answer in answers])
    expected = oracle.majorities(query, answers)
    assert expanded.words.tolist() == list(expected)
    assert [tuple(codes) for codes in expanded.signatures.T.tolist()] == list(expected.values())
    assert expanded.signatures.flags.c_contiguous


def test_words_of_the_query_alone_are_left_out() -> None:
    expanded = expand_signatures(arrays({1: (3, 5), 4: (1, 1)}), [arrays({4: (1, 1), 7: (2, 6)})])
    assert expanded.words.tolist() == [4, 7]
    assert expanded.signatures.T.tolist() == [[1, 1], [2, 6]]


# --- tf-idf vectors ---

Vector = dict[int, float]
vectors = st.dictionaries(st.integers(0, 9), st.floats(0.01, 1), min_size=1, max_size=6)


def weighted(vector: Vector) -> WeightedWords:
    words = sorted(vector)
    return WeightedWords(np.array(words, np.uint32), np.array([vector[word] for word in words], np.float32))


@given(st.lists(vectors, min_size=1, max_size=5))
def test_the_average_is_that_of_the_oracle(parts: list[Vector]) -> None:
    found = average([weighted(part) for part in parts])
    expected = oracle.mean(parts)
    assert found.words.tolist() == list(expected)
    assert found.weights.tolist() == pytest.approx(list(expected.values()), rel=1e-6)


def test_what_tells_the_answers_from_the_others() -> None:
    """Words of both sides tell little, those of one side alone the most."""
    positives = [weighted({1: 0.7, 2: 0.7, 5: 0.1}), weighted({1: 0.8, 2: 0.6})]
    negatives = [weighted({2: 0.7, 3: 0.7}), weighted({2: 0.6, 3: 0.8}), weighted({4: 1.0})]
    found = separate(positives, negatives)
    weights = dict(zip(found.words.tolist(), found.weights.tolist(), strict=True))
    assert weights[1] > weights[5] > 0 > weights[3]
    assert abs(weights[2]) < weights[1] / 2

    def side(part: WeightedWords) -> float:
        return sum(
            weights[word] * value for word, value in zip(part.words.tolist(), part.weights, strict=True)
        )

    assert min(map(side, positives)) > max(map(side, negatives))


def test_the_same_vectors_are_separated_alike() -> None:
    generator = np.random.default_rng(0)
    parts = [weighted({word: float(generator.uniform(0.1, 1)) for word in range(50)}) for _ in range(20)]
    first, second = (separate(parts[:4], parts[4:]) for _ in range(2))
    assert first.weights.tobytes() == second.weights.tobytes()
