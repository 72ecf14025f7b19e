"""Expansion: a query asks again, with what its verified answers have in common.

Hamming query expansion (Tolias & Jégou, "Visual query expansion with or without geometry: refining local
descriptors by feature aggregation", Pattern Recognition 2014): the signatures that the query and its
answers have of a word become one, bit by bit what most of them have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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
