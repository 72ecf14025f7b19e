"""From descriptors to their nearest visual words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handcraft.errors import FingerprintError, VocabularyError
from handcraft.vocabulary._kernels import LANES, TILE, descend_level, order_by_node
from handcraft.vocabulary.panels import Costs, centring, cost_type, to_rows
from handcraft.vocabulary.tree import VocabularyTree

# Nodes kept at each level: with a million words 94 % of unseen descriptors get their true nearest word,
# for ten times the time of greedy descent, which gives 44 % of them theirs (benchmarks/vocabulary.py).
BEAM = 16
BLOCK = 8192  # descriptors that share what they read of the tree


@dataclass(frozen=True)
class Assignment:
    """The nearest words of each descriptor, nearest first.

    words: (n, k) int32; −1 where the tree has fewer than k words.
    distances: (n, k) float32, squared; infinite where the word is −1.
    """

    words: NDArray[np.int32]
    distances: NDArray[np.float32]

    def head(self, nearest: int) -> Assignment:
        """The `nearest` first of the words."""
        return Assignment(self.words[:, :nearest], self.distances[:, :nearest])


def assign(
    descriptors: NDArray[np.generic], tree: VocabularyTree, nearest: int = 1, beam: int = BEAM
) -> Assignment:
    """Find the `nearest` words of each descriptor by descending the tree with a beam.

    At every level the beam keeps the nearest of the children of the nodes that it kept before; equals
    keep the order of the tree. descriptors: (n, d) of the tree's dimension and dtype, or
    FingerprintError. beam: nodes kept at each level; 1 is greedy descent. At least `nearest` are kept.
    """
    if nearest < 1 or beam < 1:
        raise VocabularyError("A descriptor needs at least one word and one node; ask for 1 or more.")
    space = tree.fingerprint
    if descriptors.ndim != 2 or descriptors.shape[1] != space.dimension or descriptors.dtype != space.dtype:
        raise FingerprintError(
            f"The descriptors are {descriptors.shape[-1]} x {descriptors.dtype}, the vocabulary is {space}; "
            "train one for these features with `handcraft build-vocab`."
        )
    return assign_shifted(tree.shifted(descriptors), tree, nearest, beam)


def assign_shifted(
    descriptors: NDArray[np.generic], tree: VocabularyTree, nearest: int = 1, beam: int = BEAM
) -> Assignment:
    """As assign, of descriptors that are already as the tree's centroids are."""
    words = np.full((len(descriptors), nearest), -1, np.int32)
    distances = np.full((len(descriptors), nearest), np.inf, np.float32)
    for start in range(0, len(descriptors), BLOCK):
        block = descriptors[start : start + BLOCK]
        nodes, costs, sizes = _descend(block, tree, max(beam, nearest))
        found = np.arange(nodes.shape[1]) < sizes[:, None]
        squared = np.maximum(costs + centring(block)[:, None], 0)
        kept = min(nearest, nodes.shape[1])
        rows = slice(start, start + len(block))
        words[rows, :kept] = np.where(found, tree.word_of_node[nodes], -1)[:, :kept]
        distances[rows, :kept] = np.where(found, squared, np.inf)[:, :kept]
    return Assignment(words, distances)


def spread(assignment: Assignment, tree: VocabularyTree, neighbours: int) -> Assignment:
    """The words of each descriptor, and the words nearest to each of these.

    Soft assignment of the other side as well, where that side is known by its words alone: its
    descriptors are taken to be their words' centroids. Squared distances add up, for the Gaussian
    weights of both sides multiply. Gives (n, k·neighbours) words, the nearest of each descriptor first.
    """
    found = assignment.words >= 0
    present, places = np.unique(assignment.words[found], return_inverse=True)
    near = assign_shifted(tree.centroids_of(tree.leaves[present]), tree, neighbours)
    shape = (*assignment.words.shape, neighbours)
    words, distances = np.full(shape, -1, np.int32), np.full(shape, np.inf, np.float32)
    words[found] = near.words[places]
    distances[found] = near.distances[places] + assignment.distances[found][:, None]
    rows = len(assignment.words)
    return Assignment(words.reshape(rows, -1), distances.reshape(rows, -1))


def _descend(
    descriptors: NDArray[np.generic], tree: VocabularyTree, beam: int
) -> tuple[NDArray[np.int32], Costs, NDArray[np.int64]]:
    """The nearest leaves that a beam search finds: nodes and costs (n, b), of which sizes (n,) count."""
    rows = to_rows(descriptors)
    number = cost_type(descriptors.dtype)
    tile = np.empty((1, TILE * LANES), number)
    nodes = np.zeros((len(rows), 1), np.int32)
    costs: Costs = np.zeros((len(rows), 1), number)
    sizes = np.ones(len(rows), np.int64)
    for _ in range(tree.depth):
        order = np.empty(int(sizes.sum()), np.int64)
        order_by_node(nodes, sizes, np.zeros(int(nodes.max(initial=0)) + 2, np.int64), order)
        next_nodes = np.zeros((len(rows), beam), np.int32)
        next_costs = np.zeros((len(rows), beam), number)
        next_sizes = np.zeros(len(rows), np.int64)
        descend_level(
            rows,
            tree.panels.values,
            tree.panels.norms,
            tree.first_child,
            tree.child_counts,
            order,
            nodes,
            costs,
            tile,
            next_nodes,
            next_costs,
            next_sizes,
        )
        nodes, costs, sizes = next_nodes, next_costs, next_sizes
    return nodes, costs, sizes
