"""One vector for a photo, such as VLAD's, kept in few bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handcraft.errors import StoreError
from handcraft.options import VladOptions
from handcraft.storage.hdf5 import Attribute, read_arrays, require_attributes, write_arrays

KIND = "vectors"
STEPS = 127  # largest int8


@dataclass(frozen=True)
class Vectors:
    """The vectors of a segment's photos.

    rows: (n, D) int8 or float16. scales: (n,) float32, what each row is multiplied by.
    """

    rows: NDArray[np.generic]
    scales: NDArray[np.float32]

    @classmethod
    def of(cls, vectors: NDArray[np.float32], half: bool) -> Vectors:
        """Vectors (n, D) in 2 bytes a number, or in 1: each in 127ths of its own largest number."""
        if half:
            return cls(vectors.astype(np.float16), np.ones(len(vectors), np.float32))
        scales = np.abs(vectors).max(axis=1, initial=0) / np.float32(STEPS)
        rows = np.rint(vectors / np.where(scales > 0, scales, 1)[:, None])
        return cls(rows.astype(np.int8), scales.astype(np.float32))

    def __len__(self) -> int:
        return len(self.rows)


def merge_vectors(parts: Sequence[Vectors], live: Sequence[NDArray[np.bool_]]) -> Vectors:
    """The vectors of the live photos of several segments. live: for each (n,) bool."""
    pairs = list(zip(parts, live, strict=True))
    return Vectors(
        np.concatenate([part.rows[alive] for part, alive in pairs]),
        np.concatenate([part.scales[alive] for part, alive in pairs]),
    )


def write_vectors(path: Path, vectors: Vectors, attributes: Mapping[str, Attribute]) -> None:
    """Write vectors whole or not at all; raises StoreError."""
    arrays = {field.name: [getattr(vectors, field.name)] for field in fields(Vectors)}
    write_arrays(path, KIND, arrays, attributes)


def read_vectors(
    path: Path, photos: int, attributes: Mapping[str, Attribute], options: VladOptions
) -> Vectors:
    """Map the vectors of so many photos from disk; raises StoreError.

    attributes: what they must have been written with. options: what they are.
    """
    file = read_arrays(path, KIND)
    require_attributes(file, attributes)
    vectors = Vectors(file["rows"], file["scales"])  # type: ignore[arg-type]  # checked here
    number = np.float16 if options.half else np.int8
    if vectors.rows.dtype != number or vectors.scales.dtype != np.float32:
        raise StoreError(f"{path} is damaged: the vectors are of another kind; run `handcraft check`.")
    if vectors.rows.shape != (photos, options.dimension) or vectors.scales.shape != (photos,):
        raise StoreError(f"{path} is damaged: the vectors do not fit the photo table; run `handcraft check`.")
    return vectors
