"""Tentative correspondences: features of query and photo that share a visual word."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from handcraft.options import VerificationOptions
from handcraft.types import Features
from handcraft.verification._pairing_kernels import pair_words


@dataclass(frozen=True)
class QuerySide:
    """The query, prepared once for all the photos that it is verified against.

    words: (q,) uint32, ascending: the words of all features, each feature with several.
    features: (q,) int32, the feature of each. frames: (n, 2, 3) float64, pixels.
    width, height: of the query photo, pixels. signatures: (planes, q) uint64, of each feature's residual to
    each of its words; no planes where photos have none. bits: of a signature.
    """

    words: NDArray[np.uint32]
    features: NDArray[np.int32]
    frames: NDArray[np.float64]
    width: int
    height: int
    signatures: NDArray[np.uint64]
    bits: int

    @cached_property
    def runs(self) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """(u,) uint32, each word once, ascending; and (u + 1,) int64, where the entries of each start."""
        starts = np.flatnonzero(np.diff(self.words.astype(np.int64), prepend=-1))
        return self.words[starts], np.append(starts, len(self.words))

    @cached_property
    def similarities(self) -> NDArray[np.float64]:
        """(bits + 1,): how alike two features are whose signatures differ in so many bits, 0 to 1."""
        return np.maximum(1 - 2 * np.arange(self.bits + 1) / max(1, self.bits), 0)


@dataclass(frozen=True)
class PhotoSide:
    """A photo of the shortlist. words: (p,) uint32, ascending; frames: (p, 2, 3) float64, pixels; signatures:
    (planes, p) uint64, of the residuals of each feature or of all that have its word."""

    words: NDArray[np.uint32]
    frames: NDArray[np.float64]
    width: int
    height: int
    signatures: NDArray[np.uint64]


@dataclass(frozen=True)
class Correspondences:
    """Pairs of features that may show the same point, not yet one to one.

    pairs: (n, 2) int32, feature of the query and feature of the photo. words: (n,) uint32. differences: (n,)
    int32, the bits in which their signatures differ, 0 without signatures.
    """

    pairs: NDArray[np.int32]
    words: NDArray[np.uint32]
    differences: NDArray[np.int32]


def query_side(
    features: Features, words: NDArray[np.int32], signatures: NDArray[np.uint64] | None = None, bits: int = 0
) -> QuerySide:
    """Prepare a query.

    words: (n, k), the nearest words of each feature; −1 is none. signatures: (planes, q), those of its q
    words that are some, in ascending order and of equals in order of the features; bits: of each. Without
    them pairs need not be alike.
    """
    rows, columns = np.nonzero(words >= 0)
    # Several times as fast as a stable argsort: the features make the keys distinct.
    entries = np.sort(words[rows, columns].astype(np.uint64) << np.uint64(32) | rows.astype(np.uint64))
    return QuerySide(
        words=(entries >> np.uint64(32)).astype(np.uint32),
        features=(entries & np.uint64(0xFFFFFFFF)).astype(np.int32),
        frames=features.frames.astype(np.float64),
        width=features.width,
        height=features.height,
        signatures=np.empty((0, len(entries)), np.uint64) if signatures is None else signatures,
        bits=bits,
    )


def correspondences(query: QuerySide, photo: PhotoSide, options: VerificationOptions) -> Correspondences:
    """All pairs of features with the same word and like signatures, but for words that pair too many."""
    planes = min(len(query.signatures), len(photo.signatures))  # of both sides, or of none
    limits = options.max_pairs_per_word, int(options.max_difference * query.bits)
    one, other = query.signatures[:planes], photo.signatures[:planes]
    room = 4 * len(photo.words)  # mostly enough
    while True:
        pairs, words, differences = (
            np.empty((room, 2), np.int32),
            np.empty(room, np.uint32),
            np.empty(room, np.int32),
        )
        count = pair_words(
            *query.runs, query.features, one, photo.words, other, limits, pairs, words, differences
        )
        if count <= room:
            return Correspondences(pairs[:count], words[:count], differences[:count])
        room = count
