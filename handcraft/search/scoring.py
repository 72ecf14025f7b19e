"""The shortlist: votes over all segments, best first, the same at any number of threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handcraft.index.bow import QueryVector, score_segment
from handcraft.index.collection import Collection


@dataclass(frozen=True)
class Shortlist:
    """The best photos by votes, ordered by (−score, image id).

    ids: (k,) int64. scores: (k,) float32, cosines above 0.
    """

    ids: NDArray[np.int64]
    scores: NDArray[np.float32]


def shortlist(query: QueryVector, collection: Collection, top: int, threads: int = 1) -> Shortlist:
    """The `top` best live photos; photos without a word of the query are never among them."""

    def best_of(number: int) -> Shortlist:
        scores = score_segment(query, collection.segments[number], collection.norms[number])
        scores[~collection.live[number]] = 0
        ids, values = best(scores, top)
        return Shortlist(ids + collection.starts[number], values)

    numbers = range(len(collection.segments))
    if len(numbers) > 1 and threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            parts = list(pool.map(best_of, numbers))
    else:
        parts = [best_of(number) for number in numbers]
    ids = np.concatenate([np.empty(0, np.int64), *(part.ids for part in parts)])
    scores = np.concatenate([np.empty(0, np.float32), *(part.scores for part in parts)])
    order = np.lexsort((ids, -scores))[:top]
    return Shortlist(ids[order], scores[order])


def best(scores: NDArray[np.float32], top: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The `top` largest scores above zero and their places, equal scores by place."""
    if top < 1:
        return np.empty(0, np.int64), np.empty(0, np.float32)
    if top < len(scores):
        least = np.partition(scores, len(scores) - top)[len(scores) - top]
        candidates = np.flatnonzero((scores >= least) & (scores > 0))
    else:
        candidates = np.flatnonzero(scores > 0)
    order = np.argsort(-scores[candidates], kind="stable")[:top]
    return candidates[order], scores[candidates[order]]
