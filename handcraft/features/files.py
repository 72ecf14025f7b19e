"""Features kept on disk: what a segment is made from again when the vocabulary changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handcraft.storage.hdf5 import read_arrays, write_arrays
from handcraft.types import Features, Fingerprint

KIND = "features"


@dataclass(frozen=True)
class FeaturesFile:
    """The features of a segment's photos, mapped from disk, in the order of their local ids.

    offsets: (n + 1,) uint64. frames: (f, 2, 3) float32. descriptors: (f, d). sizes: (n, 2) uint32,
    width and height of each photo.
    """

    offsets: NDArray[np.uint64]
    frames: NDArray[np.float32]
    descriptors: NDArray[np.generic]
    sizes: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.sizes)

    def features(self, local_id: int) -> Features:
        """The features of one photo."""
        rows = slice(int(self.offsets[local_id]), int(self.offsets[local_id + 1]))
        width, height = (int(side) for side in self.sizes[local_id])
        return Features(self.frames[rows], self.descriptors[rows], width, height)


def write_features(path: Path, features: Sequence[Features], fingerprint: Fingerprint) -> None:
    """Write the features of photos whole or not at all; raises StoreError."""
    _write(
        path,
        [np.cumsum([0, *(len(f) for f in features)], dtype=np.uint64)],
        [f.frames for f in features],
        [f.descriptors for f in features],
        [np.array([(f.width, f.height) for f in features], np.uint32).reshape(-1, 2)],
        fingerprint,
    )


def copy_features(
    path: Path, sources: Sequence[FeaturesFile], live: Sequence[NDArray[np.bool_]], fingerprint: Fingerprint
) -> None:
    """Write the features of the live photos of several files, straight from one to the other.

    live: for each source (n,) bool.
    """
    offsets, frames, descriptors, sizes = [np.zeros(1, np.uint64)], [], [], []
    total = 0
    for source, alive in zip(sources, live, strict=True):
        counts = np.diff(source.offsets)[alive]
        offsets.append(total + np.cumsum(counts, dtype=np.uint64))
        total += int(counts.sum())
        sizes.append(source.sizes[alive])
        for first, last in _runs(alive):
            rows = slice(int(source.offsets[first]), int(source.offsets[last]))
            frames.append(source.frames[rows])
            descriptors.append(source.descriptors[rows])
    _write(path, offsets, frames, descriptors, sizes, fingerprint)


def _write(
    path: Path,
    offsets: Sequence[NDArray[np.uint64]],
    frames: Sequence[NDArray[np.float32]],
    descriptors: Sequence[NDArray[np.generic]],
    sizes: Sequence[NDArray[np.uint32]],
    fingerprint: Fingerprint,
) -> None:
    arrays: dict[str, Sequence[NDArray[np.generic]]] = {
        "offsets": offsets,
        "frames": [np.empty((0, 2, 3), np.float32), *frames],
        "descriptors": [np.empty((0, fingerprint.dimension), fingerprint.dtype), *descriptors],
        "sizes": [np.empty((0, 2), np.uint32), *sizes],
    }
    write_arrays(path, KIND, arrays, {"fingerprint": str(fingerprint)})


def _runs(alive: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The first and one past the last place of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], alive, [False]]).astype(np.int8)))
    return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]


def read_features(path: Path) -> FeaturesFile:
    """Map a features file from disk; raises StoreError."""
    file = read_arrays(path, KIND)
    arrays = {name: file[name] for name in ("offsets", "frames", "descriptors", "sizes")}
    return FeaturesFile(**arrays)  # type: ignore[arg-type]
