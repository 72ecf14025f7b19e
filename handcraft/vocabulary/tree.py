"""The vocabulary tree: its nodes in breadth-first order, its leaves the visual words."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from handcraft.errors import VocabularyError
from handcraft.types import Fingerprint


@dataclass(frozen=True)
class Training:
    """Where a vocabulary comes from; shown to the user, never used to compute."""

    source: str  # what the photos were, in the trainer's words
    photos: int
    descriptors: int  # that training looked at
    distortion: float  # mean squared distance of a training descriptor to its leaf, greedy descent
    parameters: dict[str, int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class VocabularyTree:
    """A tree of centroids of any shape (Nistér & Stewénius 2006).

    centroids: (m, d) in the descriptors' dtype, row i of node i. Node 0 is the root; its row is
        zero and never compared. The children of a node are consecutive, and nodes stand in
        breadth-first order: the children of node i follow those of node i − 1.
    child_counts: (m,) uint32, 0 for a leaf. Leaves in order of their node are words 0, 1, 2 …
    """

    centroids: NDArray[np.generic]
    child_counts: NDArray[np.uint32]
    fingerprint: Fingerprint
    training: Training

    def __post_init__(self) -> None:
        nodes = len(self.child_counts)
        space = self.fingerprint
        if (
            self.centroids.shape != (nodes, space.dimension)
            or self.centroids.dtype != space.dtype
            or not nodes
        ):
            raise VocabularyError("The vocabulary is damaged: its centroids do not fit its tree.")
        # Every node but the root is somebody's child, and children come after their parent.
        first = self.first_child
        if int(self.child_counts.sum()) != nodes - 1 or bool(
            np.any((self.child_counts > 0) & (first <= np.arange(nodes)))
        ):
            raise VocabularyError("The vocabulary is damaged: its nodes do not form a tree.")

    @cached_property
    def first_child(self) -> NDArray[np.int64]:
        """(m,) int64, the first child of each node; meaningless for a leaf."""
        ends = np.cumsum(self.child_counts, dtype=np.int64)
        return 1 + ends - self.child_counts

    @cached_property
    def norms(self) -> NDArray[np.generic]:
        """(m,) squared norms of the centroids: int32 for uint8 centroids, else float32."""
        wide = self.centroids.astype(np.int32 if self.centroids.dtype == np.uint8 else np.float32)
        return np.asarray(np.einsum("ij,ij->i", wide, wide))

    @cached_property
    def leaves(self) -> NDArray[np.int64]:
        """(words,) int64, the node of each word."""
        return np.flatnonzero(self.child_counts == 0)

    @cached_property
    def word_of_node(self) -> NDArray[np.int32]:
        """(m,) int32, the word of each leaf, −1 for inner nodes."""
        words = np.full(len(self.child_counts), -1, np.int32)
        words[self.leaves] = np.arange(len(self.leaves), dtype=np.int32)
        return words

    @property
    def words(self) -> int:
        """The number of visual words."""
        return len(self.leaves)

    @cached_property
    def depth(self) -> int:
        """Levels below the root."""
        depth, level = 0, np.array([0])
        while True:
            inner = level[self.child_counts[level] > 0]
            if not len(inner):
                return depth
            depth += 1
            last = inner[-1]
            level = np.arange(self.first_child[inner[0]], self.first_child[last] + self.child_counts[last])
