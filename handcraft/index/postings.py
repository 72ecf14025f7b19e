"""Inverted files: which photos hold a word, and how often."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from handcraft.errors import StoreError
from handcraft.index._kernels import count_postings, fill_postings, fill_slots, locate_lists
from handcraft.index.geometry import Geometry

SLOT = 64  # words


@dataclass(frozen=True)
class Postings:
    """An inverted file: which photos hold a word, and how often.

    words: (u,) uint32, ascending, only those that occur. offsets: (u + 1,) uint64.
    photo_ids: (p,) uint16, ascending within a word. frequencies: (p,) uint8, saturating at 255.
    """

    words: NDArray[np.uint32]
    offsets: NDArray[np.uint64]
    photo_ids: NDArray[np.uint16]
    frequencies: NDArray[np.uint8]

    @classmethod
    def of(cls, geometry: Geometry, vocabulary_size: int) -> Postings:
        """Invert the words of each photo; raises StoreError for a word out of range."""
        if largest_word(geometry) >= vocabulary_size:
            raise StoreError(
                f"A feature has word {largest_word(geometry)}, the vocabulary has {vocabulary_size}; "
                "index the photos again into a new store."
            )
        counts = np.zeros(vocabulary_size, np.int64)
        count_postings(geometry.offsets, geometry.words, counts)
        words = np.flatnonzero(counts)
        ends = np.cumsum(counts)
        photo_ids = np.empty(ends[-1], np.uint16)
        frequencies = np.empty(ends[-1], np.uint8)
        fill_postings(geometry.offsets, geometry.words, ends - counts, photo_ids, frequencies)
        offsets = np.concatenate([[0], np.cumsum(counts[words])]).astype(np.uint64)
        return cls(words.astype(np.uint32), offsets, photo_ids, frequencies)

    @cached_property
    def slots(self) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
        """For every 64 words of the vocabulary which of them occur, as bits, and how many do before them."""
        slots = (int(self.words[-1]) // SLOT if len(self.words) else 0) + 1
        bits, ranks = np.zeros(slots, np.uint64), np.empty(slots, np.uint32)
        fill_slots(self.words, bits, ranks)
        return bits, ranks


def largest_word(geometry: Geometry) -> int:
    """The largest word of any feature, 0 without features."""
    return int(geometry.words.max(initial=0))


def are_offsets(offsets: NDArray[np.generic], parts: int, end: int) -> bool:
    """Whether these are the parts + 1 bounds of consecutive parts of `end` entries."""
    bounds = offsets.astype(np.uint64)
    if len(bounds) != parts + 1 or int(bounds[0]) != 0 or int(bounds[-1]) != end:
        return False
    return not bool(np.any(bounds[1:] < bounds[:-1]))


def find_lists(
    query_words: NDArray[np.uint32], postings: Postings, offsets: NDArray[np.uint64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where what each word of a query has starts and ends, (q,) and (q,); equal where it has nothing.

    offsets: (u + 1,), of the words of the postings.
    """
    starts, ends = np.empty((2, len(query_words)), np.int64)
    locate_lists(query_words, *postings.slots, offsets, starts, ends)
    return starts, ends
