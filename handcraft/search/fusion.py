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
    """A shortlist, and for each photo two descriptions of the query, (k, 2) int64: the one by which it is
    ranked, and the one that it resembles most."""

    descriptions: NDArray[np.int64]


def answer_strength(shortlist: Shortlist) -> float:
    """How well a description of the query is answered: the ℓ3 norm of its best photos' scores.

    A sum would count what any photo scores with any other as much as the one photo that stands out.
    """
    return float(np.linalg.norm(shortlist.scores[:STRENGTH_DEPTH].astype(np.float64), 3))


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
    scores = np.concatenate([one.scores for one in shortlists])
    descriptions = np.repeat(np.arange(len(shortlists)), [len(one.ids) for one in shortlists])
    weighted = scores * weights[descriptions]
    found, best = _highest(ids, weighted)
    _, alike = _highest(ids, scores)  # of the same photos in the same order
    chosen = np.lexsort((found, -weighted[best]))[:top]
    pairs = np.stack([descriptions[best], descriptions[alike]], axis=1)
    return FusedShortlist(found[chosen], weighted[best[chosen]], pairs[chosen])


def _highest(
    ids: NDArray[np.int64], scores: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """The ids that there are, ascending, and for each the row of its highest score, the first of equals."""
    order = np.lexsort((-scores, ids))
    found, first = np.unique(ids[order], return_index=True)
    return found, order[first]
