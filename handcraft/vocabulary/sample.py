"""The descriptors that a vocabulary is trained on: drawn at random, whatever order they come in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from handcraft.errors import VocabularyError
from handcraft.vocabulary._kernels import hash_rows
from handcraft.vocabulary.panels import require_finite

SLACK = 1 << 20  # descriptors that may wait beyond the limit before the surplus is dropped, at the most
CHUNK = 1 << 18  # descriptors moved at once when it is


def hash_descriptors(descriptors: NDArray[np.generic], seed: np.uint64) -> NDArray[np.uint64]:
    """(n,) uint64: a hash of the content of each of (n, d) descriptors."""
    data = np.ascontiguousarray(descriptors).view(np.uint8)
    missing = -data.shape[1] % 8
    padded = np.pad(data, ((0, 0), (0, missing))) if missing else data
    hashes = np.empty(len(padded), np.uint64)
    hash_rows(padded.view(np.uint64), seed, hashes)
    return hashes


class DescriptorSample:
    """At most `limit` of the descriptors added: those whose seeded hash of their content is lowest.

    So the sample, and the order in which it gives them, depend on the seed and on which descriptors
    there were, and not on the order or the pieces in which they came. Equal descriptors share a hash:
    of those at the limit some are kept. Memory: twice the limit, or limit + 1,048,576 descriptors
    if that is less, and the result.
    """

    def __init__(self, limit: int, dimension: int, dtype: str, seed: int = 0) -> None:
        if limit < 1:
            raise VocabularyError(f"A sample of {limit} descriptors trains nothing; ask for 1 or more.")
        self.seen = 0
        self._limit, slack = limit, min(SLACK, limit)
        self._step = min(CHUNK, slack)
        self._seed = np.random.default_rng(seed).integers(1 << 63, dtype=np.uint64)
        try:  # memory is taken when it is first written to
            self._rows = np.empty((limit + slack, dimension), dtype)
            self._hashes = np.empty(limit + slack, np.uint64)
        except (MemoryError, ValueError) as error:  # ValueError: more than can be addressed
            raise VocabularyError(
                f"There is no memory for a sample of {limit:,} descriptors; ask for fewer with --sample."
            ) from error
        self._count = 0
        self._largest = np.uint64(np.iinfo(np.uint64).max)

    def add(self, descriptors: NDArray[np.generic]) -> None:
        """Consider more descriptors, (n, d); NaN or infinity is a VocabularyError."""
        require_finite(descriptors)
        self.seen += len(descriptors)
        for start in range(0, len(descriptors), self._step):
            part = descriptors[start : start + self._step]
            hashes = hash_descriptors(part, self._seed)
            wanted = hashes <= self._largest
            self._append(part[wanted], hashes[wanted])

    def descriptors(self) -> NDArray[np.generic]:
        """(n, d): the sample in the order of its hashes, that is, in no order of its own."""
        order = np.argsort(self._hashes[: self._count], kind="stable")[: self._limit]
        return self._rows[order]

    def _append(self, rows: NDArray[np.generic], hashes: NDArray[np.uint64]) -> None:
        if self._count + len(rows) > len(self._rows):
            self._drop_surplus()
        self._rows[self._count : self._count + len(rows)] = rows
        self._hashes[self._count : self._count + len(rows)] = hashes
        self._count += len(rows)

    def _drop_surplus(self) -> None:
        hashes = self._hashes[: self._count]
        self._largest = np.partition(hashes, self._limit - 1)[self._limit - 1]
        lower = np.flatnonzero(hashes < self._largest)
        equal = np.flatnonzero(hashes == self._largest)[: self._limit - len(lower)]
        kept = np.sort(np.concatenate([lower, equal]))
        for start in range(0, len(kept), CHUNK):  # forwards in place: nothing is read after it is written
            places = kept[start : start + CHUNK]
            self._rows[start : start + len(places)] = self._rows[places]
            self._hashes[start : start + len(places)] = self._hashes[places]
        self._count = len(kept)
