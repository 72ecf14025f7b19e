"""The vocabulary tree: its nodes in breadth-first order, its leaves the visual words."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from handcraft.errors import VocabularyError
from handcraft.types import Fingerprint
from handcraft.vocabulary.panels import Panels
from handcraft.vocabulary.shifting import shift

ROOT_SIFT_LENGTH = 512.0  # of RootSIFT's bytes: features.descriptors


def imbalance(populations: NDArray[np.integer]) -> float:
    """k·Σ(nᵢ / n)² of the populations nᵢ of k words, n in all: 1 where all words have as many (Jégou et al.
    2010, "Improving bag-of-features for large scale image search", eq. 3); 0 without words."""
    shares = populations / max(1, int(populations.sum()))
    return float(len(shares) * (shares**2).sum())


@dataclass(frozen=True)
class Balance:
    """How evenly the descriptors of the training fill the words.

    imbalance: see the function. empty: words without any. percentiles: 101 numbers, of the descriptors a
    word has.
    """

    imbalance: float
    empty: int
    percentiles: tuple[int, ...]

    @classmethod
    def of(cls, populations: NDArray[np.integer]) -> Balance:
        """The balance of words with these numbers of descriptors."""
        return cls(
            imbalance=imbalance(populations),
            empty=int((populations == 0).sum()),
            percentiles=tuple(int(p) for p in np.percentile(populations, np.arange(101), method="nearest")),
        )


@dataclass(frozen=True)
class Training:
    """Where a vocabulary comes from; shown to the user, never used to compute."""

    source: str  # what the photos were, in the trainer's words
    photos: int
    descriptors: int  # that training looked at
    distortion: float  # mean squared distance of a training descriptor to its leaf, greedy descent
    parameters: dict[str, int | float] = field(default_factory=dict)
    balance: Balance | None = None


_MISFIT = "The vocabulary is damaged: its centroids do not fit its tree."


@dataclass(frozen=True)
class VocabularyTree:
    """A tree of centroids of any shape (Nistér & Stewénius 2006).

    panels: the centroids, number i of node i. Node 0 is the root; its centroid is zero and never
        compared. The children of a node are consecutive, and nodes stand in breadth-first order: the
        children of node i follow those of node i − 1.
    child_counts: (m,) uint32, 0 for a leaf. Leaves in order of their node are words 0, 1, 2 …
    mean: (d,) in the descriptors' dtype, what they are shifted by before they are compared with centroids;
        None where they are compared as they are.
    medians: (words, d) in the descriptors' dtype, of the descriptors of each word, shifted if that is
        done; None where the vocabulary keeps none.
    """

    panels: Panels
    child_counts: NDArray[np.uint32]
    fingerprint: Fingerprint
    training: Training
    mean: NDArray[np.generic] | None = None
    medians: NDArray[np.generic] | None = None

    @classmethod
    def of(
        cls,
        centroids: NDArray[np.generic],
        child_counts: NDArray[np.uint32],
        fingerprint: Fingerprint,
        training: Training,
    ) -> VocabularyTree:
        """The tree of (m, d) centroids in the descriptors' dtype, row i of node i."""
        shape = (len(child_counts), fingerprint.dimension)
        if centroids.shape != shape or centroids.dtype != fingerprint.dtype:
            raise VocabularyError(_MISFIT)
        return cls(Panels.of(centroids), child_counts, fingerprint, training)

    def __post_init__(self) -> None:
        nodes = len(self.child_counts)
        if not nodes or not self.panels.fit(nodes, self.fingerprint.dimension, self.fingerprint.dtype):
            raise VocabularyError(_MISFIT)
        # The root has children, every other node is somebody's child, and children follow parents.
        counts = self.child_counts
        orphans = int(counts.sum()) != nodes - 1
        if not counts[0] or orphans or np.any((counts > 0) & (self.first_child <= np.arange(nodes))):
            raise VocabularyError("The vocabulary is damaged: its nodes do not form a tree.")
        space = self.fingerprint
        for rows, shape in ((self.mean, (space.dimension,)), (self.medians, (self.words, space.dimension))):
            if rows is not None and (rows.shape != shape or rows.dtype != space.dtype):
                raise VocabularyError("The vocabulary is damaged: its mean or its medians do not fit it.")

    @property
    def centroids(self) -> NDArray[np.generic]:
        """(m, d), in the descriptors' dtype: a copy of the centroids of all nodes."""
        return self.centroids_of(np.arange(len(self.child_counts)))

    def centroids_of(self, nodes: NDArray[np.integer]) -> NDArray[np.generic]:
        """(n, d), in the descriptors' dtype: a copy of the centroids of these nodes."""
        return self.panels.centroids(nodes, self.fingerprint.dimension)

    def shifted(self, descriptors: NDArray[np.generic]) -> NDArray[np.generic]:
        """(n, d): descriptors of the vocabulary's dimension and dtype as its centroids and medians are."""
        return descriptors if self.mean is None else shift(descriptors, self.mean)

    @cached_property
    def root_sift_scale(self) -> float:
        """What squared distances are multiplied by where they are weighed: 1 of bytes, which are as long as
        RootSIFT's; of other descriptors what makes them so, by how long those of the training were."""
        if self.fingerprint.dtype == "uint8":
            return 1.0
        # The mean of squares is that of the words' means, and what is left of the descriptors.
        squares = float(self.panels.norms[self.leaves].mean(dtype=np.float64)) + self.training.distortion
        return ROOT_SIFT_LENGTH**2 / squares if squares > 0 else 1.0

    @cached_property
    def first_child(self) -> NDArray[np.int64]:
        """(m,) int64, the first child of each node; meaningless for a leaf."""
        ends = np.cumsum(self.child_counts, dtype=np.int64)
        return 1 + ends - self.child_counts

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
