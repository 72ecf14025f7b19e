"""The live collection: every segment, which of its photos are live, and the statistics of them all.

idf is always that of the whole live collection, and so are the norms that build on it: a collection built in
pieces scores as one built at once, bit for bit.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from handcraft.index.segment import Segment
from handcraft.index.weighting import inverse_document_frequency


@dataclass(frozen=True, eq=False)
class Collection:
    """Segments in order; an image id counts their photos, dead ones included.

    live: for each segment (n,) bool.
    """

    segments: tuple[Segment, ...]
    live: tuple[NDArray[np.bool_], ...]
    vocabulary_size: int

    def __len__(self) -> int:
        """The number of live photos."""
        return sum(int(alive.sum()) for alive in self.live)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """(segments + 1,) int64, the image id of each segment's first photo."""
        return np.cumsum([0, *(len(segment) for segment in self.segments)])

    @cached_property
    def _starts(self) -> list[int]:
        return [int(start) for start in self.starts]

    def place(self, image_id: int) -> tuple[int, int]:
        """The place of an image id's segment, and its local id."""
        place = bisect_right(self._starts, image_id) - 1
        return place, image_id - self._starts[place]

    def locate(self, image_id: int) -> tuple[Segment, int]:
        """The segment and local id of an image id."""
        place, local_id = self.place(image_id)
        return self.segments[place], local_id

    @cached_property
    def ids(self) -> dict[str, int]:
        """The image id of each live photo by name, in order of the ids."""
        return {
            segment.photos.names[local]: int(start) + int(local)
            for segment, alive, start in zip(self.segments, self.live, self.starts, strict=False)
            for local in np.flatnonzero(alive)
        }

    @cached_property
    def idf(self) -> NDArray[np.float32]:
        """(vocabulary_size,) float32."""
        frequencies = np.zeros(self.vocabulary_size, np.int64)
        for segment, alive in zip(self.segments, self.live, strict=True):
            frequencies[segment.postings.words] += np.diff(segment.postings.offsets).astype(np.int64)
            for dead in np.flatnonzero(~alive):
                frequencies[np.unique(segment.geometry.words_of(int(dead)))] -= 1
        return inverse_document_frequency(frequencies, len(self))


def make_collection(
    segments: Sequence[Segment], removed: Sequence[Sequence[int]], vocabulary_size: int
) -> Collection:
    """The collection of these segments without the removed local ids of each."""
    live = []
    for segment, dead in zip(segments, removed, strict=True):
        alive = np.ones(len(segment), bool)
        alive[list(dead)] = False
        live.append(alive)
    return Collection(tuple(segments), tuple(live), vocabulary_size)
