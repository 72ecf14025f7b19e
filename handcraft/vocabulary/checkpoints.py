"""Where a training stands after each level, so that a killed run goes on there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handcraft.errors import StoreError
from handcraft.options import VocabularyOptions
from handcraft.storage.atomic import make_folder
from handcraft.storage.hdf5 import read_arrays, write_arrays
from handcraft.vocabulary.sample import hash_descriptors

KIND = "training"
FILE = "levels.h5"


@dataclass(frozen=True)
class TrainingState:
    """A tree whose first levels are made.

    levels: how many there are below the root. centroids: (m, d), of all nodes. populations: (m,)
    int64, their descriptors. child_counts: uint32, of the nodes above the lowest level. Of the lowest
    level's nodes, words: int64, the words that their subtrees may have; errors: float64, the squared
    error of their descriptors. node_of: (n,) int32, each descriptor's node of the lowest level, −1
    where a leaf above has it. settled_error: the squared error of these leaves' descriptors.
    """

    levels: int
    centroids: NDArray[np.generic]
    child_counts: NDArray[np.uint32]
    populations: NDArray[np.int64]
    words: NDArray[np.int64]
    errors: NDArray[np.float64]
    node_of: NDArray[np.int32]
    settled_error: float


_ARRAYS = [field.name for field in fields(TrainingState) if field.name not in ("levels", "settled_error")]


class Checkpoints:
    """The state of one training, in a folder of its own; another training's is not taken for it."""

    def __init__(self, folder: Path, descriptors: NDArray[np.generic], options: VocabularyOptions) -> None:
        self._path = folder / FILE
        digest = hashlib.blake2b(hash_descriptors(descriptors, np.uint64(0)).tobytes(), digest_size=16)
        digest.update(json.dumps(asdict(options)).encode())
        self._training = digest.hexdigest()

    def load(self) -> TrainingState | None:
        """The last state of this training; None where there is none, or another's, or it is damaged."""
        try:
            file = read_arrays(self._path, KIND)
            if file.attributes["training"] != self._training:
                return None
            arrays = {name: np.array(file[name]) for name in _ARRAYS}
            if file.attributes["digest"] != _digest(arrays):
                return None
            levels, error = int(file.attributes["levels"]), float(file.attributes["settled_error"])
        except (StoreError, KeyError, ValueError):
            return None
        return TrainingState(levels=levels, settled_error=error, **arrays)

    def save(self, state: TrainingState) -> None:
        """Write a state whole or not at all; raises StoreError."""
        make_folder(self._path.parent)
        arrays = {name: getattr(state, name) for name in _ARRAYS}
        write_arrays(
            self._path,
            KIND,
            {name: [array] for name, array in arrays.items()},
            {
                "training": self._training,
                "levels": state.levels,
                "settled_error": state.settled_error,
                "digest": _digest(arrays),
            },
        )


def _digest(arrays: Mapping[str, NDArray[np.generic]]) -> str:
    """Of the content of all arrays: a damaged state must not become a vocabulary in silence."""
    digest = hashlib.blake2b(digest_size=16)
    for name in _ARRAYS:
        digest.update(np.ascontiguousarray(arrays[name]).data.cast("B"))
    return digest.hexdigest()
