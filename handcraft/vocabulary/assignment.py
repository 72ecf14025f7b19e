"""From descriptors to their nearest visual words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handcraft.errors import FingerprintError, VocabularyError
from handcraft.vocabulary._kernels import descend_float32, descend_uint8
from handcraft.vocabulary.tree import VocabularyTree

# Nodes kept at each level. A greedy descent (1) of the shipped vocabulary gives 63 % of the
# descriptors of oxford1k their true nearest word, 10 nodes 99 % (benchmarks/assignment.py).
BEAM = 10


@dataclass(frozen=True)
class Assignment:
    """The nearest words of each descriptor, nearest first.

    words: (n, k) int32; −1 where the tree has fewer than k words.
    distances: (n, k) float32, squared; infinite where the word is −1.
    """

    words: NDArray[np.int32]
    distances: NDArray[np.float32]


def assign(
    descriptors: NDArray[np.generic], tree: VocabularyTree, nearest: int = 1, beam: int = BEAM
) -> Assignment:
    """Find the `nearest` words of each descriptor by descending the tree with a beam.

    descriptors: (n, d) of the tree's dimension and dtype, or FingerprintError.
    beam: nodes kept at each level; 1 is greedy descent. At least `nearest` are kept.
    """
    if nearest < 1 or beam < 1:
        raise VocabularyError("A descriptor needs at least one word and one node; ask for 1 or more.")
    space = tree.fingerprint
    if descriptors.ndim != 2 or descriptors.shape[1] != space.dimension or descriptors.dtype != space.dtype:
        raise FingerprintError(
            f"The descriptors are {descriptors.shape[-1]} x {descriptors.dtype}, the vocabulary is {space}; "
            "train one for these features with `handcraft build-vocab`."
        )
    beam = max(beam, nearest)
    descriptors = np.ascontiguousarray(descriptors)
    descend = descend_uint8 if descriptors.dtype == np.uint8 else descend_float32
    leaves = np.empty((len(descriptors), nearest), np.int64)
    distances = np.empty((len(descriptors), nearest), np.float32)
    descend(
        descriptors,
        tree.centroids,
        tree.norms,
        tree.first_child,
        tree.child_counts,
        np.empty((2, beam), np.int64),
        np.empty((2, beam), tree.norms.dtype),
        leaves,
        distances,
    )
    found = leaves >= 0
    words = np.where(found, tree.word_of_node[leaves], np.int32(-1))
    wide = descriptors.astype(np.float32)
    squared_norms = np.einsum("ij,ij->i", wide, wide)[:, None]
    squared = np.where(found, np.maximum(distances + squared_norms, 0), np.float32(np.inf))
    return Assignment(words, squared.astype(np.float32))
