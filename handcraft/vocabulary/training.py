"""Hierarchical k-means: the descriptors of a node are clustered into its children, level by level."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from handcraft.errors import VocabularyError
from handcraft.options import VocabularyOptions
from handcraft.types import Fingerprint
from handcraft.vocabulary.kmeans import Clustering, kmeans
from handcraft.vocabulary.tree import Training, VocabularyTree

MAX_WORDS = 100_000_000

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class _Node:
    """A node to be split: its descriptors, the words that its subtree may have, and the sum of the
    squared distances of its descriptors to its centroid, which counts if it becomes a leaf."""

    rows: NDArray[np.int64]
    words: int
    squared_error: float


def train(
    descriptors: NDArray[np.generic],
    fingerprint: Fingerprint,
    options: VocabularyOptions,
    *,
    source: str,
    photos: int,
    threads: int,
    progress: Progress | None = None,
) -> VocabularyTree:
    """Train a vocabulary tree on (n, d) descriptors, uint8 or float32.

    Below the first level a node's share of the words is its share of the descriptors: this comes
    closer to flat k-means than equal branching (on the shipped vocabulary's data, equal branching
    costs 1 to 3 points of mAP). The same seed gives the same bits at any number of threads.
    There may be fewer words than asked for where descriptors are equal. progress is told
    (descriptors done, all) of the levels below the first.
    """
    _check(descriptors, options)
    centroids = [np.zeros((1, descriptors.shape[1]), descriptors.dtype)]
    child_counts: list[NDArray[np.uint32]] = []
    level = [_Node(np.arange(len(descriptors)), options.words, 0.0)]
    squared_error = 0.0
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        for depth in range(options.depth):
            levels_below = options.depth - depth - 1
            splits = _split_level(pool, descriptors, level, levels_below, options, depth, progress)
            child_counts.append(np.array([len(s.centroids) if s else 0 for s in splits], np.uint32))
            centroids.extend(s.centroids for s in splits if s)
            children: list[_Node] = []
            for node, split in zip(level, splits, strict=True):
                if split is None:
                    squared_error += node.squared_error
                else:
                    children.extend(_children(node, split))
            level = children
    squared_error += sum(node.squared_error for node in level)
    child_counts.append(np.zeros(len(level), np.uint32))
    return VocabularyTree(
        np.concatenate(centroids),
        np.concatenate(child_counts),
        fingerprint,
        Training(source, photos, len(descriptors), squared_error / len(descriptors), _parameters(options)),
    )


def _check(descriptors: NDArray[np.generic], options: VocabularyOptions) -> None:
    if not 2 <= options.words <= MAX_WORDS:
        raise VocabularyError(
            f"A vocabulary of {options.words} words cannot be trained; ask for 2 to {MAX_WORDS:,}."
        )
    if options.depth < 1 or options.iterations < 1:
        raise VocabularyError("A vocabulary needs a depth and a number of iterations of 1 or more.")
    if len(descriptors) < options.words:
        raise VocabularyError(
            f"{len(descriptors)} descriptors are too few for {options.words} words; "
            "give more photos or ask for fewer words with --words."
        )
    if np.issubdtype(descriptors.dtype, np.floating) and not np.isfinite(descriptors).all():
        raise VocabularyError("The descriptors hold NaN or infinity; leave those features out.")


def _split_level(
    pool: ThreadPoolExecutor,
    descriptors: NDArray[np.generic],
    level: list[_Node],
    levels_below: int,
    options: VocabularyOptions,
    depth: int,
    progress: Progress | None,
) -> list[Clustering | None]:
    """Cluster every node of a level that has words to share out; each node has its own seed."""

    def split(index: int) -> Clustering | None:
        node = level[index]
        if node.words < 2:
            return None
        branching = max(2, round(node.words ** (1 / (levels_below + 1))))
        generator = np.random.default_rng((options.seed, depth, index))
        return kmeans(
            descriptors[node.rows],
            branching,
            generator=generator,
            iterations=options.iterations,
            tolerance=options.tolerance,
        )

    splits: list[Clustering | None] = []
    done = len(descriptors) - sum(len(node.rows) for node in level)  # of leaves above this level
    for node, clustering in zip(level, pool.map(split, range(len(level))), strict=True):
        splits.append(clustering)
        done += len(node.rows)
        if progress:
            progress(depth * len(descriptors) + done, options.depth * len(descriptors))
    return splits


def _children(node: _Node, split: Clustering) -> list[_Node]:
    """The node's children; their shares of its words add up to them (largest remainders)."""
    populations = np.bincount(split.labels, minlength=len(split.centroids))
    order = np.argsort(split.labels, kind="stable")
    rows = np.split(node.rows[order], np.cumsum(populations)[:-1])
    # A word to each child first, the rest by population.
    spare = min(max(0, node.words - len(populations)), int(np.maximum(populations - 1, 0).sum()))
    quotas = populations / populations.sum() * spare
    shares = np.floor(quotas).astype(np.int64)
    # A remainder goes where there is another descriptor to be a word of.
    while (missing := spare - int(shares.sum())) > 0:
        order = np.argsort(shares - quotas, kind="stable")
        order = order[shares[order] < populations[order] - 1]
        shares[order[:missing]] += 1
    errors = np.bincount(split.labels, weights=split.distances, minlength=len(split.centroids))
    return [
        _Node(child_rows, int(share) + 1, float(error))
        for child_rows, share, error in zip(rows, shares, errors, strict=True)
    ]


def _parameters(options: VocabularyOptions) -> dict[str, int | float]:
    return {
        "words": options.words,
        "depth": options.depth,
        "iterations": options.iterations,
        "tolerance": options.tolerance,
        "seed": options.seed,
    }
