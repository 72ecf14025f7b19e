"""The evaluation of a store: ground-truth names meet stored names, searches become figures."""

from __future__ import annotations

import posixpath
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from handcraft.errors import EvaluationError
from handcraft.evaluation.average_precision import average_precision, precision_at
from handcraft.evaluation.ground_truth import GroundTruthQuery

PRECISION_RANKS = (1, 5, 10)  # as in Radenović et al. 2018


@dataclass(frozen=True)
class QueryResult:
    """The figures of one query.

    name: of the query. average_precision: 0 to 1. precision: at the ranks 1, 5 and 10, 0 to 1.
    milliseconds: of the search. missing: positives that are not in the store.
    """

    name: str
    average_precision: float
    precision: dict[int, float]
    milliseconds: float
    missing: int


@dataclass(frozen=True)
class EvaluationReport:
    """The figures of all queries, at least one, in the order in which they were searched for."""

    queries: tuple[QueryResult, ...]

    @property
    def mean_average_precision(self) -> float:
        """0 to 1; each query counts alike."""
        return fmean(query.average_precision for query in self.queries)

    def mean_precision(self, k: int) -> float:
        """The mean of the precision at rank `k`, 0 to 1; EvaluationError unless `k` is 1, 5 or 10."""
        if k not in PRECISION_RANKS:
            ranks = ", ".join(map(str, PRECISION_RANKS))
            raise EvaluationError(f"The report has no precision at {k}; its ranks are {ranks}.")
        return fmean(query.precision[k] for query in self.queries)

    @property
    def milliseconds(self) -> float:
        """The mean time of a search."""
        return fmean(query.milliseconds for query in self.queries)

    def as_json(self) -> dict[str, object]:
        """The report as plain JSON types; ranks become strings, as JSON's keys are."""
        return {
            "mean_average_precision": self.mean_average_precision,
            "mean_precision": {str(k): self.mean_precision(k) for k in PRECISION_RANKS},
            "milliseconds": self.milliseconds,
            "queries": [
                {
                    "name": query.name,
                    "average_precision": query.average_precision,
                    "precision": {str(k): value for k, value in query.precision.items()},
                    "milliseconds": query.milliseconds,
                    "missing": query.missing,
                }
                for query in self.queries
            ],
        }


def match_names(wanted: Iterable[str], present: Sequence[str]) -> dict[str, str]:
    """The name in `present` of each name of `wanted`, without those that have none.

    Names match when they are equal, else when their last components are, else when these are equal
    without their extensions: ground truth is often written without folders or extensions. Raises
    EvaluationError when a name matches two names that are not equal.
    """
    names = set(present)
    by_file: dict[str, set[str]] = {}
    by_stem: dict[str, set[str]] = {}
    for name in names:
        by_file.setdefault(posixpath.basename(name), set()).add(name)
        by_stem.setdefault(_stem(name), set()).add(name)
    matches = {}
    for name in wanted:
        file = posixpath.basename(name)
        # A name without an extension may hold a dot of its own, so it is looked for whole first.
        found = {name} & names or by_file.get(file) or by_stem.get(file) or by_stem.get(_stem(name))
        if not found:
            continue
        if len(found) > 1:
            first, second = sorted(found)[:2]
            raise EvaluationError(
                f"The ground truth's {name!r} may be {first!r} or {second!r}; "
                "write one of these in the ground truth."
            )
        matches[name] = min(found)
    return matches


def _stem(name: str) -> str:
    return posixpath.splitext(posixpath.basename(name))[0]


def evaluate(
    queries: Sequence[GroundTruthQuery],
    present: Sequence[str],
    search: Callable[[GroundTruthQuery], Sequence[str]],
) -> EvaluationReport:
    """Search for each query and compare what was found with the ground truth.

    present: the names in the store. search: gives the whole ranking of a query, names of the store,
    best first; its time is measured. A positive that is not in the store stays among the positives,
    as one that was never found; such junk has no effect.

    Raises EvaluationError before any search when there are no queries, a query has no positives, or
    names do not match one to one, and after a search that gives a name which is not in the store.
    """
    if not queries:
        raise EvaluationError("There are no queries to evaluate; give ground truth that has some.")
    matches = match_names({name for query in queries for name in query.positives | query.junk}, present)
    stored_queries = [_in_stored_names(query, matches) for query in queries]
    names = frozenset(present)
    results = []
    for query, stored in zip(queries, stored_queries, strict=True):
        start = time.perf_counter()
        ranking = search(query)
        milliseconds = 1000 * (time.perf_counter() - start)
        _refuse_unknown(ranking, names, query.name)
        results.append(
            QueryResult(
                query.name,
                average_precision(ranking, stored.positives, stored.junk),
                {k: precision_at(ranking, stored.positives, stored.junk, k) for k in PRECISION_RANKS},
                milliseconds,
                missing=sum(name not in matches for name in query.positives),
            )
        )
    return EvaluationReport(tuple(results))


def _in_stored_names(query: GroundTruthQuery, matches: Mapping[str, str]) -> GroundTruthQuery:
    """`query` with positives and junk by their stored names, or their own where they have none."""
    if not query.positives:
        raise EvaluationError(f"The query {query.name!r} has no positives; list at least one relevant photo.")
    owners: dict[str, str] = {}
    for name in sorted(query.positives | query.junk):
        stored = matches.get(name, name)
        # Both would become one photo: the number of positives would change without a word.
        if stored in owners:
            raise EvaluationError(
                f"Query {query.name!r}: {owners[stored]!r} and {name!r} of the ground truth "
                f"are both {stored!r} of the store; write each as the store does."
            )
        owners[stored] = name
    positives = frozenset(matches.get(name, name) for name in query.positives)
    junk = frozenset(matches.get(name, name) for name in query.junk)
    return GroundTruthQuery(query.name, query.photo, query.roi, positives, junk)


def _refuse_unknown(ranking: Sequence[str], names: frozenset[str], query: str) -> None:
    for name in ranking:
        if name not in names:
            raise EvaluationError(
                f"The search for {query!r} gave {name!r}, which is not in the store; "
                "give the rankings stored names."
            )
