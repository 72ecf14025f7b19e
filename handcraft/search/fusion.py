"""One shortlist from several descriptions of a query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handcraft.search.scoring import Shortlist

STRENGTH_DEPTH = 10  # photos whose scores say how well a description of the query is answered


@dataclass(frozen=True)
class FusedShortlist(Shortlist):
    """A shortlist, and for each photo which description of the query found it: (k,) int64."""

    descriptions: NDArray[np.int64]


def answer_strength(shortlist: Shortlist) -> float:
    """How well a description of the query is answered: the sum of its best photos' scores."""
    return float(shortlist.scores[:STRENGTH_DEPTH].sum())


def fuse(shortlists: Sequence[Shortlist], weight: float, top: int) -> FusedShortlist:
    """Rank each photo by the description of the query that gives it the highest score.

    shortlists: one a description, at least `top` photos deep if there are as many; the first is of the
    query as it is held. weight: what scores count under other descriptions than the one that is answered
    best, 0 to 1; the first is that one if no other is better even so.
    """
    strengths = np.array([answer_strength(one) for one in shortlists])
    strengths[1:] *= weight
    weights = np.where(np.arange(len(shortlists)) == strengths.argmax(), 1.0, weight).astype(np.float32)
    ids = np.concatenate([one.ids for one in shortlists])
    scores = np.concatenate([one.scores * each for one, each in zip(shortlists, weights, strict=True)])
    descriptions = np.repeat(np.arange(len(shortlists)), [len(one.ids) for one in shortlists])
    order = np.lexsort((descriptions, ids, -scores))
    _, first = np.unique(ids[order], return_index=True)
    chosen = order[np.sort(first)[:top]]
    return FusedShortlist(ids[chosen], scores[chosen], descriptions[chosen])
