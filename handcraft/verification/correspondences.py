"""Tentative correspondences: features of query and photo that share a visual word."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handcraft.types import Features
from handcraft.verification._kernels import count_pairs, pair_words


@dataclass(frozen=True)
class QuerySide:
    """The query, prepared once for all the photos that it is verified against.

    words: (q,) uint32, ascending: the words of all features, each feature with several.
    features: (q,) int32, the feature of each. frames: (n, 2, 3) float64, pixels.
    width, height: of the query photo, pixels.
    """

    words: NDArray[np.uint32]
    features: NDArray[np.int32]
    frames: NDArray[np.float64]
    width: int
    height: int


@dataclass(frozen=True)
class PhotoSide:
    """A photo of the shortlist. words: (p,) uint32, ascending; frames: (p, 2, 3) float64, pixels."""

    words: NDArray[np.uint32]
    frames: NDArray[np.float64]
    width: int
    height: int


@dataclass(frozen=True)
class Correspondences:
    """Pairs of features that may show the same point, not yet one to one.

    pairs: (n, 2) int32, feature of the query and feature of the photo. words: (n,) uint32.
    """

    pairs: NDArray[np.int32]
    words: NDArray[np.uint32]


def query_side(features: Features, words: NDArray[np.int32]) -> QuerySide:
    """Prepare a query. words: (n, k), the nearest words of each feature; −1 is none."""
    rows, columns = np.nonzero(words >= 0)
    values = words[rows, columns].astype(np.uint32)
    order = np.argsort(values, kind="stable")
    return QuerySide(
        words=values[order],
        features=rows[order].astype(np.int32),
        frames=features.frames.astype(np.float64),
        width=features.width,
        height=features.height,
    )


def correspondences(query: QuerySide, photo: PhotoSide, max_pairs_per_word: int) -> Correspondences:
    """All pairs of features with the same word, but for words that pair too many."""
    count = count_pairs(query.words, photo.words, max_pairs_per_word)
    pairs = np.empty((count, 2), np.int32)
    pair_words(query.words, photo.words, max_pairs_per_word, pairs)
    words = query.words[pairs[:, 0]]
    pairs[:, 0] = query.features[pairs[:, 0]]
    return Correspondences(pairs, words)
