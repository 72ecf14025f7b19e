"""The shortlist: votes over all segments, best first, the same at any number of threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handcraft.index.collection import Collection
from handcraft.search._kernels import keep_best


@dataclass(frozen=True)
class Shortlist:
    """The best photos by votes, ordered by (−score, image id).

    ids: (k,) int64. scores: (k,) float32, cosines above 0.
    """

    ids: NDArray[np.int64]
    scores: NDArray[np.float32]


def shortlist(
    score: Callable[[int], NDArray[np.float32]], collection: Collection, top: int, threads: int = 1
) -> Shortlist:
    """The `top` best live photos; photos without a word of the query are never among them.

    score: gives the scores (n,) of a segment by its place, 0 where nothing is alike.
    """

    def best_of(number: int) -> Shortlist:
        ids, values = best(score(number), collection.live[number], top)
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


def best(
    scores: NDArray[np.float32], live: NDArray[np.bool_], top: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The `top` largest scores above zero and their places, of live ones, equal scores by place.

    scores: (n,). live: (n,).
    """
    if top < 1:
        return np.empty(0, np.int64), np.empty(0, np.float32)
    size = min(top, len(scores)) or 1
    values, places = np.empty(size, np.float32), np.empty(size, np.int64)
    count = keep_best(scores, live, values, places)
    order = np.lexsort((places[:count], -values[:count]))
    return places[order], values[order]
