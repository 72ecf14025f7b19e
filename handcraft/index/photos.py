"""The photo table of a segment, column by column."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from handcraft.types import Photo


@dataclass(frozen=True)
class PhotoTable:
    """The photos of a segment; row i is local id i.

    name_bytes: (b,) uint8, the names end to end in the file system's encoding; name_ends: (n,)
    uint64. content_hashes: (n, 16) uint8. file_sizes: (n,) int64, bytes. modified_ns: (n,) int64.
    sizes: (n, 2) uint32, width and height. places: (n, 2) float64, latitude and longitude or NaN.
    taken: (n,) 19 bytes, ISO 8601 or empty.
    """

    name_bytes: NDArray[np.uint8]
    name_ends: NDArray[np.uint64]
    content_hashes: NDArray[np.uint8]
    file_sizes: NDArray[np.int64]
    modified_ns: NDArray[np.int64]
    sizes: NDArray[np.uint32]
    places: NDArray[np.float64]
    taken: NDArray[np.bytes_]

    @classmethod
    def of(cls, photos: Sequence[Photo]) -> PhotoTable:
        """The table of these photos."""
        names = [os.fsencode(photo.name) for photo in photos]
        return cls(
            name_bytes=np.frombuffer(b"".join(names), np.uint8),
            name_ends=np.cumsum([len(name) for name in names], dtype=np.uint64),
            content_hashes=np.array([list(p.content_hash) for p in photos], np.uint8).reshape(-1, 16),
            file_sizes=np.array([photo.file_size for photo in photos], np.int64),
            modified_ns=np.array([photo.modified_ns for photo in photos], np.int64),
            sizes=np.array([(photo.width, photo.height) for photo in photos], np.uint32).reshape(-1, 2),
            places=np.array([(p.latitude, p.longitude) for p in photos], np.float64).reshape(-1, 2),
            taken=np.array([photo.taken.encode("ascii", "replace") for photo in photos], "S19"),
        )

    def __len__(self) -> int:
        return len(self.name_ends)

    @cached_property
    def names(self) -> list[str]:
        """The name of each photo."""
        data = self.name_bytes.tobytes()
        ends = [int(end) for end in self.name_ends]
        return [os.fsdecode(data[start:end]) for start, end in zip([0, *ends], ends, strict=False)]

    def photo(self, local_id: int) -> Photo:
        """One row as a Photo."""
        return Photo(
            name=self.names[local_id],
            content_hash=self.content_hashes[local_id].tobytes(),
            file_size=int(self.file_sizes[local_id]),
            modified_ns=int(self.modified_ns[local_id]),
            width=int(self.sizes[local_id, 0]),
            height=int(self.sizes[local_id, 1]),
            latitude=float(self.places[local_id, 0]),
            longitude=float(self.places[local_id, 1]),
            taken=bytes(self.taken[local_id]).decode("ascii"),
        )
