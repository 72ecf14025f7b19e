"""The evaluation of a store: ground-truth names meet stored names, searches become figures."""

from __future__ import annotations

import posixpath
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from handcraft.errors import EvaluationError
from handcraft.evaluation.average_precision import average_precision, precision_at, ranks_of_positives
from handcraft.evaluation.ground_truth import GroundTruthQuery

SHOWN = 20  # photos of each ranking that a report names
RECALLS = 101  # of a precision-recall curve: 0, 0.01, ... 1
RIGHT, WRONG, JUNK = "right", "wrong", "junk"


@dataclass(frozen=True)
class Protocol:
    """What is measured besides the average precision. ranks: of the precision. capped: of precision_at."""

    ranks: tuple[int, ...] = (1, 5, 10)  # as in Radenović et al. 2018
    capped: bool = False


OXFORD = Protocol()
REVISITED = Protocol(capped=True)
UKBENCH = Protocol(ranks=(4,))  # four times the precision is the score of Nistér & Stewénius 2006


@dataclass(frozen=True)
class QueryResult:
    """The figures of one query.

    name: of the query. average_precision: 0 to 1. precision: at the protocol's ranks, 0 to 1.
    milliseconds: of the search, None of a ranking that was given. missing: positives that are not in the
    store, or in no ranking. ranked: different photos in its ranking. repeated: photos that stand in it again;
    they count where they come first. positives: how many there are. ranks: of those that were found. first:
    the first SHOWN photos, each with its mark: RIGHT, WRONG or JUNK.
    """

    name: str
    average_precision: float
    precision: dict[int, float]
    milliseconds: float | None
    missing: int
    ranked: int = 0
    repeated: int = 0
    positives: int = 0
    ranks: tuple[int, ...] = ()
    first: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class EvaluationReport:
    """The figures of all queries, at least one, in the order in which they were searched for."""

    queries: tuple[QueryResult, ...]
    protocol: Protocol = OXFORD

    @property
    def mean_average_precision(self) -> float:
        """0 to 1; each query counts alike."""
        return fmean(query.average_precision for query in self.queries)

    def mean_precision(self, k: int) -> float:
        """The mean of the precision at rank `k`, 0 to 1; EvaluationError unless the protocol has it."""
        if k not in self.protocol.ranks:
            ranks = ", ".join(map(str, self.protocol.ranks))
            raise EvaluationError(f"The report has no precision at {k}; its ranks are {ranks}.")
        return fmean(query.precision[k] for query in self.queries)

    @property
    def milliseconds(self) -> float | None:
        """The mean time of a search, None of rankings that were given."""
        times = [query.milliseconds for query in self.queries if query.milliseconds is not None]
        return fmean(times) if times else None

    def as_json(self) -> dict[str, object]:
        """The report as plain JSON types; ranks become strings, as JSON's keys are."""
        return {
            "mean_average_precision": self.mean_average_precision,
            "mean_precision": {str(k): self.mean_precision(k) for k in self.protocol.ranks},
            "milliseconds": self.milliseconds,
            "queries": [
                {
                    "name": query.name,
                    "average_precision": query.average_precision,
                    "precision": {str(k): value for k, value in query.precision.items()},
                    "milliseconds": query.milliseconds,
                    "missing": query.missing,
                    "ranked": query.ranked,
                    "repeated": query.repeated,
                }
                for query in self.queries
            ],
        }


def match_names(wanted: Iterable[str], present: Sequence[str]) -> dict[str, str]:
    """The name in `present` of each name of `wanted`, without those that have none.

    Names match when they are equal, else when their last components are, else when these are equal
    without their extensions, else when they are so but for upper and lower case: ground truth is often
    written without folders or extensions. Raises EvaluationError when a name matches two names that are
    not equal.
    """
    names = set(present)
    by_file: dict[str, set[str]] = {}
    by_stem: dict[str, set[str]] = {}
    by_letters: dict[str, set[str]] = {}
    for name in names:
        by_file.setdefault(posixpath.basename(name), set()).add(name)
        by_stem.setdefault(_stem(name), set()).add(name)
        by_letters.setdefault(_stem(name).casefold(), set()).add(name)
    matches = {}
    for name in wanted:
        file = posixpath.basename(name)
        # A name without an extension may hold a dot of its own, so it is looked for whole first.
        found = {name} & names or by_file.get(file) or by_stem.get(file) or by_stem.get(_stem(name))
        found = found or by_letters.get(_stem(name).casefold())
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
    protocol: Protocol = OXFORD,
) -> EvaluationReport:
    """Search for each query and compare what was found with the ground truth.

    present: the names in the store. search: gives the whole ranking of a query, names of the store,
    best first; its time is measured. A positive that is not in the store stays among the positives,
    as one that was never found; such junk has no effect.

    Raises EvaluationError before any search when there are no queries, a query has no positives, or
    names do not match one to one, and after a search that gives a name which is not in the store.
    """
    stored_queries = _in_names_of(queries, present)
    names = frozenset(present)
    results = []
    for query in stored_queries:
        start = time.perf_counter()
        ranking = search(query.asked)
        milliseconds = 1000 * (time.perf_counter() - start)
        _refuse_unknown(ranking, names, query.asked.name)
        results.append(_measure(query, ranking, protocol, milliseconds))
    return EvaluationReport(tuple(results), protocol)


def score(
    queries: Sequence[GroundTruthQuery],
    rankings: Mapping[str, Sequence[str]],
    protocol: Protocol = OXFORD,
    photos: Sequence[str] = (),
) -> EvaluationReport:
    """Compare rankings that were made elsewhere with the ground truth.

    rankings: by the name of the query or of its photo. photos: the names in the database, as far as they are
    known beside those that are ranked. Raises EvaluationError as evaluate does, and for queries that have no
    ranking.
    """
    keys = match_names([query.name for query in queries], list(rankings))
    of_photos = match_names([query.photo for query in queries if query.name not in keys], list(rankings))
    lost = [query.name for query in queries if query.name not in keys and query.photo not in of_photos]
    if lost:
        raise EvaluationError(
            f"There are no rankings of {len(lost)} of the {len(queries)} queries, the first is {lost[0]!r}; "
            "name rankings as the ground truth names its queries, or their photos."
        )
    present = list({*photos, *(name for ranking in rankings.values() for name in ranking)})
    results = []
    for query in _in_names_of(queries, present):
        ranking = rankings[keys.get(query.asked.name) or of_photos[query.asked.photo]]
        results.append(_measure(query, ranking, protocol, None))
    return EvaluationReport(tuple(results), protocol)


@dataclass(frozen=True)
class _StoredQuery:
    """A query as it is asked, and its answers by the names of what is ranked. missing: positives that are not
    there."""

    asked: GroundTruthQuery
    positives: frozenset[str]
    junk: frozenset[str]
    missing: int

    def mark(self, name: str) -> str:
        if name in self.junk:
            return JUNK
        return RIGHT if name in self.positives else WRONG


def _measure(
    query: _StoredQuery, ranking: Sequence[str], protocol: Protocol, milliseconds: float | None
) -> QueryResult:
    precision = {
        k: precision_at(ranking, query.positives, query.junk, k, capped=protocol.capped)
        for k in protocol.ranks
    }
    ap = average_precision(ranking, query.positives, query.junk)
    ranked = len(set(ranking))
    return QueryResult(
        name=query.asked.name,
        average_precision=ap,
        precision=precision,
        milliseconds=milliseconds,
        missing=query.missing,
        ranked=ranked,
        repeated=len(ranking) - ranked,
        positives=len(query.positives),
        ranks=tuple(ranks_of_positives(ranking, query.positives, query.junk)),
        first=tuple((name, query.mark(name)) for name in ranking[:SHOWN]),
    )


def _in_names_of(queries: Sequence[GroundTruthQuery], present: Sequence[str]) -> list[_StoredQuery]:
    if not queries:
        raise EvaluationError("There are no queries to evaluate; give ground truth that has some.")
    matches = match_names({name for query in queries for name in query.positives | query.junk}, present)
    return [_in_stored_names(query, matches) for query in queries]


def _in_stored_names(query: GroundTruthQuery, matches: Mapping[str, str]) -> _StoredQuery:
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
    return _StoredQuery(query, positives, junk, sum(name not in matches for name in query.positives))


def _refuse_unknown(ranking: Sequence[str], names: frozenset[str], query: str) -> None:
    for name in ranking:
        if name not in names:
            raise EvaluationError(
                f"The search for {query!r} gave {name!r}, which is not in the store; "
                "give the rankings stored names."
            )


def precision_recall(report: EvaluationReport) -> list[float]:
    """The mean precision of all queries at the recalls 0, 0.01, … 1: of each query the best precision at that
    recall or a larger one, 0 where it is not reached (Manning, Raghavan & Schütze, "Introduction to
    information retrieval", 2008, section 8.4)."""
    total = [0.0] * RECALLS
    for query in report.queries:
        best = [0.0] * RECALLS
        for found, rank in enumerate(query.ranks, 1):
            reached = found * (RECALLS - 1) // query.positives
            best[reached] = max(best[reached], found / rank)
        for place in range(RECALLS - 2, -1, -1):
            best[place] = max(best[place], best[place + 1])
        total = [sum(pair) for pair in zip(total, best, strict=True)]
    return [value / len(report.queries) for value in total]
