"""Average precision by the Oxford rule, and precision at a rank.

The area under the precision-recall curve is summed by trapezoids, as the evaluation program of the
Oxford buildings does (Philbin et al. 2007). This is not the average precision of TREC: with the
positives at ranks 1 and 3 it is 0.7917, where TREC's is 0.8333.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from itertools import islice

from handcraft.errors import EvaluationError


def average_precision(ranking: Sequence[str], positives: Set[str], junk: Set[str]) -> float:
    """The average precision of `ranking`, best photo first: 0 to 1.

    Junk neither helps nor hurts: it is taken out before ranks are counted, even where it is among
    the positives too. A positive that the ranking lacks counts as never found. A name that occurs
    twice counts where it occurs first. Raises EvaluationError when there are no positives.

    The original program adds (recall - old_recall) * (old_precision + precision) / 2 for each photo,
    with an old_precision of 1 at the start. Recall grows only at a positive, and there by
    1 / len(positives), so that it is enough to add at the positives and to divide once. Divided
    so late, the sum of a perfect ranking is exactly 1.
    """
    if not positives:
        raise EvaluationError(
            "A ranking cannot be evaluated without positives; list at least one relevant photo."
        )
    total = 0.0
    found = 0
    for before, name in enumerate(_without_junk(ranking, junk)):
        if name in positives:
            old_precision = found / before if before else 1.0
            found += 1
            total += (old_precision + found / (before + 1)) / 2
    return total / len(positives)


def precision_at(
    ranking: Sequence[str], positives: Set[str], junk: Set[str], k: int, *, capped: bool = False
) -> float:
    """The fraction of positives among the first `k` photos of `ranking` that are not junk: 0 to 1.

    Divided by `k`: a ranking that is shorter lost its chance. capped: no more photos are asked for than it
    takes to find all positives that the ranking has, as Radenović et al. 2018 measure it. A name that occurs
    twice counts where it occurs first. Raises EvaluationError when `k` is below 1.
    """
    if k < 1:
        raise EvaluationError(f"There is no precision at {k}; ranks count from 1.")
    if capped:
        ranks = ranks_of_positives(ranking, positives, junk)
        k = min(k, max(ranks, default=k))
        return sum(rank <= k for rank in ranks) / k
    return sum(name in positives for name in islice(_without_junk(ranking, junk), k)) / k


def ranks_of_positives(ranking: Sequence[str], positives: Set[str], junk: Set[str]) -> list[int]:
    """The ranks of the positives that `ranking` has, from 1, junk and repeated names left out, ascending."""
    return [rank for rank, name in enumerate(_without_junk(ranking, junk), 1) if name in positives]


def _without_junk(ranking: Sequence[str], junk: Set[str]) -> Iterator[str]:
    """The names of `ranking` that are not junk, each once."""
    seen: set[str] = set()
    for name in ranking:
        if name not in junk and name not in seen:
            seen.add(name)
            yield name
