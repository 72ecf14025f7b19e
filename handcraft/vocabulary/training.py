"""Hierarchical k-means: the descriptors of a node are clustered into its children, level by level."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from handcraft.errors import VocabularyError
from handcraft.options import VocabularyOptions
from handcraft.types import Fingerprint
from handcraft.vocabulary.assignment import BLOCK, assign_shifted
from handcraft.vocabulary.checkpoints import Checkpoints, TrainingState
from handcraft.vocabulary.kmeans import Clustering, kmeans
from handcraft.vocabulary.shifting import mean_descriptor, shift
from handcraft.vocabulary.tree import Balance, Training, VocabularyTree

MAX_WORDS = 100_000_000
MAX_DIRECT = 4096  # a flat clustering into more words starts from the leaves of a tree of two levels

Progress = Callable[[int, int], None]


def train(
    descriptors: NDArray[np.generic],
    fingerprint: Fingerprint,
    options: VocabularyOptions,
    *,
    source: str,
    photos: int,
    threads: int,
    checkpoints: Checkpoints | None = None,
    progress: Progress | None = None,
) -> VocabularyTree:
    """Train a vocabulary tree on (n, d) descriptors, uint8 or float32, as a DescriptorSample gives
    them: the first ones of each node start its k-means, so they must come in no particular order.

    Below the first level a node's share of the words is its share of the descriptors: this comes
    closer to flat k-means than equal branching (on the shipped vocabulary's data, equal branching
    costs 1 to 3 points of mAP). One level is flat k-means. The same seed gives the same bits at any
    number of threads, and after any interruption. There may be fewer words than asked for where
    descriptors are equal. progress is told (descriptors done, all) of all levels.
    """
    check_options(options)
    mean = mean_descriptor(descriptors) if options.shifted and len(descriptors) else None
    if mean is not None:
        descriptors = shift(descriptors, mean)
    if len(descriptors) < options.words:
        raise VocabularyError(
            f"{len(descriptors):,} descriptors are too few for {options.words:,} words; "
            "give more photos or ask for fewer words with --words."
        )
    state = (checkpoints.load() if checkpoints else None) or _root(descriptors, options.words)
    start = None
    if options.levels == 1 and options.words > MAX_DIRECT and state.levels == 0:
        start = _flat_start(descriptors, fingerprint, options, threads)
    with ThreadPoolExecutor(threads) as pool:
        while state.levels < options.levels:
            state = _next_level(state, _Level(descriptors, options, pool, threads, start, progress))
            if checkpoints:
                checkpoints.save(state)
            if progress:
                progress(state.levels * len(descriptors), options.levels * len(descriptors))
    child_counts = np.concatenate([state.child_counts, np.zeros(len(state.words), np.uint32)])
    training = Training(
        source=source,
        photos=photos,
        descriptors=len(descriptors),
        distortion=(state.settled_error + float(state.errors.sum())) / len(descriptors),
        parameters=_parameters(options),
        balance=Balance.of(state.populations[child_counts == 0]),
    )
    tree = replace(VocabularyTree.of(state.centroids, child_counts, fingerprint, training), mean=mean)
    return replace(tree, medians=_medians(descriptors, tree, threads)) if options.medians else tree


def _medians(descriptors: NDArray[np.generic], tree: VocabularyTree, threads: int) -> NDArray[np.generic]:
    """(words, d): in each dimension the median of the descriptors (n, d) of a word, as shifted as the tree's
    centroids; the lower of two. A word that is the nearest of none has its centroid."""
    medians = tree.centroids_of(tree.leaves)
    blocks = np.array_split(descriptors, max(1, len(descriptors) // BLOCK))
    with ThreadPoolExecutor(threads) as pool:
        words = np.concatenate(
            [one.words[:, 0] for one in pool.map(lambda b: assign_shifted(b, tree), blocks)]
        )
    order = np.argsort(words, kind="stable")
    starts = np.searchsorted(words[order], np.arange(tree.words + 1))
    for word in np.flatnonzero(np.diff(starts)).tolist():
        rows = descriptors[order[starts[word] : starts[word + 1]]]
        middle = (len(rows) - 1) // 2
        medians[word] = np.partition(rows, middle, axis=0)[middle]
    return medians


@dataclass(frozen=True)
class _Level:
    """What the making of a level needs besides the level above it. start: the first centroids of a
    flat clustering."""

    descriptors: NDArray[np.generic]
    options: VocabularyOptions
    pool: ThreadPoolExecutor
    threads: int
    start: NDArray[np.generic] | None
    progress: Progress | None


def check_options(options: VocabularyOptions) -> None:
    """Raise VocabularyError for what can never be trained."""
    if not 2 <= options.words <= MAX_WORDS:
        raise VocabularyError(
            f"A vocabulary of {options.words} words cannot be trained; ask for 2 to {MAX_WORDS:,}."
        )
    if options.depth < 0 or options.iterations < 1:
        raise VocabularyError("A vocabulary needs a depth of 0 or more and 1 iteration or more.")


def _root(descriptors: NDArray[np.generic], words: int) -> TrainingState:
    """The tree before its first level: all descriptors belong to the root."""
    return TrainingState(
        levels=0,
        centroids=np.zeros((1, descriptors.shape[1]), descriptors.dtype),
        child_counts=np.empty(0, np.uint32),
        populations=np.array([len(descriptors)]),
        words=np.array([words]),
        errors=np.zeros(1),
        node_of=np.zeros(len(descriptors), np.int32),
        settled_error=0.0,
    )


def _flat_start(
    descriptors: NDArray[np.generic], fingerprint: Fingerprint, options: VocabularyOptions, threads: int
) -> NDArray[np.generic]:
    """The words of a tree, in place of a k-means++ start whose cost grows with words²."""
    plain = replace(options, depth=2, shifted=False, medians=False)
    tree = train(descriptors, fingerprint, plain, source="", photos=0, threads=threads)
    return tree.centroids_of(tree.leaves)


def _next_level(state: TrainingState, level: _Level) -> TrainingState:
    """Split every node of the lowest level that has words to share out."""
    rows = np.split(
        np.argsort(state.node_of, kind="stable"),
        np.cumsum(np.bincount(state.node_of + 1, minlength=len(state.words) + 1))[:-1],
    )[1:]
    child_counts = np.zeros(len(state.words), np.uint32)
    centroids, populations, words, errors = [state.centroids], [state.populations], [], []
    node_of = np.full(len(state.node_of), -1, np.int32)
    settled_error = state.settled_error
    children = 0
    for node, split in enumerate(_split_nodes(state, rows, level)):
        if split is None:
            settled_error += float(state.errors[node])
            continue
        count = len(split.centroids)
        members = np.bincount(split.labels, minlength=count)
        child_counts[node] = count
        centroids.append(split.centroids)
        populations.append(members)
        words.append(_share_words(int(state.words[node]), members))
        errors.append(np.bincount(split.labels, weights=split.distances, minlength=count))
        node_of[rows[node]] = children + split.labels
        children += count
    return TrainingState(
        levels=state.levels + 1,
        centroids=np.concatenate(centroids),
        child_counts=np.concatenate([state.child_counts, child_counts]),
        populations=np.concatenate(populations),
        words=np.concatenate([np.empty(0, np.int64), *words]),
        errors=np.concatenate([np.empty(0), *errors]),
        node_of=node_of,
        settled_error=settled_error,
    )


def _split_nodes(
    state: TrainingState, rows: list[NDArray[np.intp]], level: _Level
) -> Iterator[Clustering | None]:
    """The clustering of each node, None for one that stays a leaf; each node has its own seed."""
    options = level.options
    total = options.levels * len(level.descriptors)
    done = (state.levels + 1) * len(level.descriptors) - sum(len(r) for r in rows)
    # Threads share the nodes of a level, or the chunks of a node where there are few nodes.
    by_node = len(rows) >= 4 * level.threads

    def split(node: int, on_pass: Callable[[], None] | None = None) -> Clustering | None:
        if state.words[node] < 2:
            return None
        return kmeans(
            level.descriptors[rows[node]] if len(rows) > 1 else level.descriptors,
            max(2, round(float(state.words[node]) ** (1 / (options.levels - state.levels)))),
            generator=np.random.default_rng((options.seed, state.levels, node)),
            iterations=options.iterations,
            tolerance=options.tolerance,
            start=level.start,
            over_chunks=map if by_node else level.pool.map,
            on_pass=on_pass,
        )

    def split_aloud(node: int) -> Clustering | None:
        """Split a node that takes so long that its passes are worth telling."""
        passed = 0

        def tell() -> None:
            nonlocal passed
            passed += 1
            share = min(1.0, passed / (options.iterations + 1))
            if level.progress:
                level.progress(done + int(share * len(rows[node])), total)

        return split(node, tell)

    nodes = range(len(rows))
    for node, clustering in enumerate(level.pool.map(split, nodes) if by_node else map(split_aloud, nodes)):
        done += len(rows[node])
        if level.progress:
            level.progress(done, total)
        yield clustering


def _share_words(words: int, members: NDArray[np.intp]) -> NDArray[np.int64]:
    """(k,) int64: a node's words shared out to its children by their members (largest remainders)."""
    # A word to each child first, the rest by population.
    spare = min(max(0, words - len(members)), int(np.maximum(members - 1, 0).sum()))
    quotas = members / max(1, members.sum()) * spare
    shares = np.floor(quotas).astype(np.int64)
    # A remainder goes where there is another descriptor to be a word of.
    while (missing := spare - int(shares.sum())) > 0:
        order = np.argsort(shares - quotas, kind="stable")
        order = order[shares[order] < members[order] - 1]
        shares[order[:missing]] += 1
    return np.asarray(shares + 1)


def _parameters(options: VocabularyOptions) -> dict[str, int | float]:
    return {
        "words": options.words,
        "depth": options.levels,
        "iterations": options.iterations,
        "tolerance": options.tolerance,
        "seed": options.seed,
        **{name: 1 for name in ("shifted", "medians") if getattr(options, name)},
    }
