"""ASMK* and its kin: votes by the similarity of signatures (Tolias, Avrithis & Jégou, IJCV 2016).

One scan serves ASMK* (aggregated, binary), SMK* (single, binary) and Hamming embedding (single, with a
Gaussian weight; Jégou, Douze & Schmid 2008); ASMK (aggregated, not binarised) is there to compare with.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from handcraft.errors import StoreError
from handcraft.index._kernels import (
    SIGNATURES,
    add_self_similarities,
    add_weights,
    vote_codes,
    vote_runs,
)
from handcraft.index.collection import Collection
from handcraft.index.postings import find_lists
from handcraft.index.segment import Segment
from handcraft.index.signatures import PLANE, Encoder, Signatures
from handcraft.index.weighting import normalise, scales
from handcraft.options import AsmkOptions

ONCE = np.ones(256, np.float64)  # a posting counts once, however often the word occurs


def selectivity(similarities: NDArray[np.floating], options: AsmkOptions) -> NDArray[np.float32]:
    """What similarities u of signatures, −1 to 1, are worth: sgn(u)·|u|^α above τ (eq. 6), or a Gaussian of
    the Hamming distance."""
    u = similarities.astype(np.float64)
    if options.deviation:
        worth = np.exp(-(((1 - u) / 2 / options.deviation) ** 2))
    else:
        worth = np.sign(u) * np.abs(u) ** options.alpha
    return np.where(u > options.tau, worth, 0).astype(np.float32)


@dataclass(frozen=True)
class AsmkQuery:
    """A query's signatures and what they are worth.

    words: (q,) uint32, ascending; they repeat where signatures are of single features. signatures:
    (planes, q) uint64 or (q, d) float32. weights: (q,) float32, 1 or idf², divided by the query's norm.
    """

    words: NDArray[np.uint32]
    signatures: NDArray[np.generic]
    weights: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class AsmkScorer:
    """Scores the photos of a collection whose segments have signatures; a photo's score with itself is 1."""

    collection: Collection
    encoder: Encoder
    options: AsmkOptions

    @cached_property
    def table(self) -> NDArray[np.float32]:
        """What each Hamming distance h is worth; u = 1 − 2h/bits. Nothing beyond, where only damaged
        signatures are."""
        bits = self.encoder.bits
        distances = np.arange(PLANE * -(-bits // PLANE) + 1)
        return selectivity(1 - 2 * distances / bits, self.options)

    @cached_property
    def word_weights(self) -> NDArray[np.float32]:
        """(words,): idf², or 1."""
        idf = self.collection.idf
        return idf**2 if self.options.idf else np.ones_like(idf)

    @cached_property
    def scales(self) -> tuple[NDArray[np.float32], ...]:
        """For each segment (n,) float32: 1 over the root of each photo's similarity to itself."""
        return tuple(self._scales(segment) for segment in self.collection.segments)

    def query(self, descriptors: NDArray[np.generic], words: NDArray[np.int32]) -> AsmkQuery:
        """The query of descriptors (n, d) and the nearest words (n, k) of each, −1 for none."""
        return self.weigh(*self.encoder.encode(descriptors, words))

    def weigh(self, found: NDArray[np.int64], signatures: NDArray[np.generic]) -> AsmkQuery:
        """The query of these words, ascending, and their signatures, as Encoder.encode gives them."""
        weights = self.word_weights[found].astype(np.float64)
        if self.encoder.options.aggregated:
            similarity = weights.sum()
        else:
            similarity = _self_similarity(signatures, found, self.word_weights, self.table)
        if similarity > 0:
            weights = weights / np.sqrt(similarity)
        return AsmkQuery(found.astype(np.uint32), signatures, weights.astype(np.float32))

    def score(self, query: AsmkQuery, place: int) -> NDArray[np.float32]:
        """(n,) float32: the scores of the photos of a segment, 1 at the most."""
        segment, scales = self.collection.segments[place], self.scales[place]
        scores = segment.sums(np.float32)
        if not self.encoder.options.binary:
            self._vote_values(query, segment, scores)
        elif self.encoder.options.aggregated:
            self._vote_codes(query, segment, scores)
        else:
            self._vote_runs(query, segment, scores)
        return normalise(segment.of_photos(scores), scales)

    def _scales(self, segment: Segment) -> NDArray[np.float32]:
        postings, signatures = segment.postings, _signatures(segment)
        squares = segment.sums(np.float64)
        if not self.encoder.options.aggregated:
            fit = add_self_similarities(
                postings.words,
                postings.offsets,
                signatures.offsets,
                postings.photo_ids,
                postings.frequencies,
                signatures.codes,
                self.word_weights,
                self.table,
                squares,
            )
            if not fit:
                raise StoreError(
                    "The store is damaged: a segment's signatures are not those of its postings; "
                    "run `handcraft check`."
                )
        elif self.options.idf:
            add_weights(
                postings.words,
                postings.offsets,
                postings.photo_ids,
                postings.frequencies,
                self.word_weights.astype(np.float64),
                ONCE,
                squares,
            )
        else:
            squares[:-1] = signatures.entries
        # Below 0 where τ lets unlike signatures count.
        return scales(np.sqrt(np.maximum(segment.of_photos(squares), 0)))

    def _vote_codes(self, query: AsmkQuery, segment: Segment, scores: NDArray[np.float32]) -> None:
        starts, ends = find_lists(query.words, segment.postings, segment.postings.offsets)
        vote_codes(
            starts,
            ends,
            tuple(query.signatures),
            query.weights,
            self.table,
            segment.postings.photo_ids,
            tuple(_signatures(segment).codes),
            np.empty(SIGNATURES, np.uint64),
            scores,
        )

    def _vote_runs(self, query: AsmkQuery, segment: Segment, scores: NDArray[np.float32]) -> None:
        postings, signatures = segment.postings, _signatures(segment)
        starts, ends = find_lists(query.words, postings, postings.offsets)
        vote_runs(
            starts,
            ends,
            find_lists(query.words, postings, signatures.offsets)[0],
            query.signatures,
            query.weights,
            self.table,
            self.options.burstiness,
            postings.photo_ids,
            postings.frequencies,
            signatures.codes,
            scores,
        )

    def _vote_values(self, query: AsmkQuery, segment: Segment, scores: NDArray[np.float32]) -> None:
        """Plain NumPy: ASMK with real residuals is for comparison."""
        photo_ids, values = segment.postings.photo_ids, _signatures(segment).codes
        lists = zip(*find_lists(query.words, segment.postings, segment.postings.offsets), strict=True)
        for row, (start, end) in enumerate(lists):
            # Not a product of matrices, whose rounding depends on how many rows there are.
            similarities = np.multiply(values[start:end], query.signatures[row]).sum(axis=1)
            worth = query.weights[row] * selectivity(similarities, self.options)
            scores[np.minimum(photo_ids[start:end], len(segment))] += worth  # a photo has a word once


def _signatures(segment: Segment) -> Signatures:
    assert segment.signatures is not None  # the engine asks for stores that have them
    return segment.signatures


def _self_similarity(
    codes: NDArray[np.generic],
    words: NDArray[np.int64],
    word_weights: NDArray[np.float32],
    table: NDArray[np.float32],
) -> float:
    """The similarity to itself of a query whose signatures are of single features."""
    present, counts = np.unique(words, return_counts=True)
    squares = np.zeros(2, np.float64)
    add_self_similarities(
        present.astype(np.uint32),
        np.arange(len(present) + 1, dtype=np.uint64),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.uint64),
        np.zeros(len(present), np.uint16),
        counts.astype(np.uint8),
        codes,
        word_weights,
        table,
        squares,
    )
    return float(squares[0])
