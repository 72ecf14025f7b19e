"""Expansion: what a query and its verified answers have in common."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from oracles import expansion as oracle

from handcraft.search.expansion import SignedWords, expand_signatures

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
