"""Bags of visual words: tf-idf vectors compared by their cosine, or by what they share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from handcraft.index._kernels import MAX_FREQUENCY, add_weights, vote, vote_shared
from handcraft.index.collection import Collection
from handcraft.index.postings import find_lists
from handcraft.index.segment import Segment
from handcraft.index.weighting import normalise, scales, soft_frequencies, without_stop_words
from handcraft.options import BowOptions

TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True)
class BowQuery:
    """The query's words that occur in the collection.

    words: (q,) uint32, ascending. weights: (q,) float32: tf-idf of unit norm. idf: (q,) float32.
    """

    words: NDArray[np.uint32]
    weights: NDArray[np.float32]
    idf: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class BowScorer:
    """Scores the photos of a collection by their tf-idf vectors (Sivic & Zisserman 2003), 0 to 1."""

    collection: Collection
    options: BowOptions

    @cached_property
    def idf(self) -> NDArray[np.float32]:
        """(words,): of the collection, 0 for stop words."""
        return without_stop_words(self.collection.idf, self.options.stop_words)

    @cached_property
    def term_weights(self) -> NDArray[np.float32]:
        """(256,): what a frequency counts."""
        frequencies = np.arange(MAX_FREQUENCY + 1, dtype=np.float32)
        return np.sqrt(frequencies) if self.options.burstiness else frequencies

    @cached_property
    def scales(self) -> tuple[NDArray[np.float32], ...]:
        """For each segment (n,) float32, 1 over the norm of each photo's tf-idf vector."""
        return tuple(self._scales(segment) for segment in self.collection.segments)

    def query(self, words: NDArray[np.int32], distances: NDArray[np.float32]) -> BowQuery:
        """The query of features with these nearest words (n, k), −1 for none, and squared distances."""
        return self.weigh(*soft_frequencies(words, distances, self.options.assignment_variance))

    def weigh(self, words: NDArray[np.integer], frequencies: NDArray[np.floating]) -> BowQuery:
        """The query of words (w,), ascending, and how often each occurs (w,)."""
        damped = np.sqrt(frequencies) if self.options.burstiness else frequencies
        return self.scale(words, damped * self.idf[words])

    def scale(self, words: NDArray[np.integer], weights: NDArray[np.floating]) -> BowQuery:
        """The query of words (w,), ascending, and their weights (w,), which need not be of unit norm; those
        without weight are left out."""
        known = (weights != 0) & (self.idf[words] > 0)
        weights = weights[known] / max(np.linalg.norm(weights[known], self.options.norm), TINY)
        return BowQuery(words[known].astype(np.uint32), weights.astype(np.float32), self.idf[words[known]])

    def score(self, query: BowQuery, place: int) -> NDArray[np.float32]:
        """(n,) float32: how alike the query and each photo of a segment are."""
        segment, scales = self.collection.segments[place], self.scales[place]
        postings = segment.postings
        scores = segment.sums(np.float32)
        starts, ends = find_lists(query.words, postings, postings.offsets)
        ids, frequencies = postings.photo_ids, postings.frequencies
        if self.options.norm == 2:
            vote(starts, ends, query.weights * query.idf, ids, frequencies, self.term_weights, scores)
            return normalise(segment.of_photos(scores), scales)
        own = (query.weights, query.idf, ids, frequencies, self.term_weights)
        vote_shared(starts, ends, *own, np.append(scales, np.float32(1)), scores)
        return np.minimum(segment.of_photos(scores), 1)

    def _scales(self, segment: Segment) -> NDArray[np.float32]:
        sums = segment.sums(np.float64)
        postings, power = segment.postings, self.options.norm
        add_weights(
            postings.words,
            postings.offsets,
            postings.photo_ids,
            postings.frequencies,
            self.idf.astype(np.float64) ** power,
            self.term_weights.astype(np.float64) ** power,
            sums,
        )
        return scales(segment.of_photos(sums) ** (1 / power))
