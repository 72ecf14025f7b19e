"""Expansion: a query asks again, with what its verified answers have in common.

Average query expansion (Chum, Philbin, Sivic, Isard & Zisserman, "Total recall", ICCV 2007): the mean of the
tf-idf vectors of the query and of its answers. Discriminative query expansion (Arandjelović & Zisserman,
"Three things everyone should know to improve object retrieval", CVPR 2012): the normal of the plane that
separates them from photos that are no answers, by a linear support vector machine. Hamming query expansion
(Tolias & Jégou, "Visual query expansion with or without geometry: refining local descriptors by feature
aggregation", Pattern Recognition 2014): the signatures that the query and its answers have of a word become
one, bit by bit what most of them have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

SVM_ITERATIONS = 10_000  # at the most


@dataclass(frozen=True)
class WeightedWords:
    """A sparse tf-idf vector. words: (w,) integers, ascending, each once. weights: (w,) floats."""

    words: NDArray[np.integer]
    weights: NDArray[np.floating]


def average(parts: Sequence[WeightedWords]) -> WeightedWords:
    """The mean of the vectors, at least one."""
    words, rows = np.unique(np.concatenate([part.words for part in parts]), return_inverse=True)
    weights = np.concatenate([part.weights for part in parts]).astype(np.float64)
    return WeightedWords(words, np.bincount(rows, weights, len(words)) / len(parts))


def separate(positives: Sequence[WeightedWords], negatives: Sequence[WeightedWords]) -> WeightedWords:
    """The normal of the plane between the vectors of both kinds, at least one of each."""
    from sklearn.svm import LinearSVC  # which takes a second to import

    parts = [*positives, *negatives]
    words, columns = np.unique(np.concatenate([part.words for part in parts]), return_inverse=True)
    weights = np.concatenate([part.weights for part in parts]).astype(np.float64)
    starts = np.cumsum([0, *(len(part.words) for part in parts)])
    vectors = csr_matrix((weights, columns, starts), shape=(len(parts), len(words)))
    kinds = np.repeat([1, -1], [len(positives), len(negatives)])
    machine = LinearSVC(dual=True, random_state=0, max_iter=SVM_ITERATIONS).fit(vectors, kinds)
    return WeightedWords(words, machine.coef_[0])


@dataclass(frozen=True)
class SignedWords:
    """What a query, or the part of an answer that shows the same, has of words.

    words: (w,) int64, ascending, each once. signatures: (planes, w) uint64.
    """

    words: NDArray[np.int64]
    signatures: NDArray[np.uint64]


def expand_signatures(query: SignedWords, answers: Sequence[SignedWords]) -> SignedWords:
    """The words of the answers, at least one, and for each the majority of all signatures, the query's too.

    Words that the query alone has are left out: most of its several words a feature are none of the thing's.
    Bits of as many ones as zeros are zero.
    """
    parts = [query, *answers]
    words = np.concatenate([part.words for part in parts])
    order = np.argsort(words, kind="stable")
    signatures = np.concatenate([part.signatures for part in parts], axis=1)[:, order]
    bits = np.unpackbits(_as_bytes(signatures), axis=1)
    starts = np.flatnonzero(np.diff(words[order], prepend=-1))
    votes = np.diff(starts, append=len(words))
    present = words[order][starts]
    ones = np.add.reduceat(bits, starts, axis=0, dtype=np.int32)
    answered = np.isin(present, np.concatenate([answer.words for answer in answers]))
    majority = np.packbits(2 * ones[answered] > votes[answered, None], axis=1)
    return SignedWords(present[answered], np.ascontiguousarray(majority.view(np.uint64).T))


def _as_bytes(signatures: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """(planes, w) uint64 → (w, 8·planes)."""
    return np.ascontiguousarray(signatures.T).view(np.uint8)
