"""Bag of visual words: the query's tf-idf vector, and the votes of a segment by cosine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handcraft.index._kernels import vote
from handcraft.index.segment import Segment
from handcraft.index.weighting import TERM_WEIGHTS


@dataclass(frozen=True)
class QueryVector:
    """The query's words that occur in the collection.

    words: (q,) uint32, ascending. weights: (q,) float32: tf-idf of unit ℓ2 norm, times idf once
    more for the photo's side.
    """

    words: NDArray[np.uint32]
    weights: NDArray[np.float32]


def query_vector(
    words: NDArray[np.int32],
    distances: NDArray[np.float32],
    idf: NDArray[np.float32],
    assignment_variance: float,
) -> QueryVector:
    """Weight the query's words by √tf·idf, its features softly assigned.

    A feature votes for its k nearest words with weights exp(−d²/2σ²) that sum to 1 (Philbin et al.
    2008, eq. 1). words, distances: (n, k), the nearest words and their squared distances;
    word −1 is none. assignment_variance: σ².
    """
    if not words.size:
        return QueryVector(np.empty(0, np.uint32), np.empty(0, np.float32))
    # Relative to the nearest word: the same weights, and no underflow.
    votes = np.exp((distances[:, :1] - distances.astype(np.float64)) / (2 * assignment_variance))
    votes /= votes.sum(axis=1, keepdims=True)
    valid = words >= 0
    present, inverse = np.unique(words[valid], return_inverse=True)
    frequencies = np.minimum(np.bincount(inverse, weights=votes[valid]), len(TERM_WEIGHTS) - 1)
    weights = np.sqrt(frequencies) * idf[present]
    norm = float(np.sqrt((weights**2).sum()))
    known = weights > 0
    if norm > 0:
        weights = weights / norm * idf[present]
    return QueryVector(present[known].astype(np.uint32), weights[known].astype(np.float32))


def score_segment(query: QueryVector, segment: Segment, norms: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) float32: the cosine of the query with each photo of the segment, 0 to 1.

    norms: (n,) float32, those of the whole live collection.
    """
    scores = np.zeros(len(segment), np.float32)
    postings = segment.postings
    vote(
        query.words,
        query.weights,
        postings.words,
        postings.offsets,
        postings.photo_ids,
        postings.frequencies,
        TERM_WEIGHTS,
        scores,
    )
    cosines = np.where(norms > 0, scores / np.where(norms > 0, norms, 1), 0)
    return np.minimum(cosines, 1).astype(np.float32)  # rounding may add some 1e-5
