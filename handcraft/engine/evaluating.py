"""Measuring a store against ground truth."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from handcraft.engine.reporting import Progress, silent
from handcraft.engine.searching import query_photo
from handcraft.engine.snapshot import Snapshot
from handcraft.errors import EvaluationError
from handcraft.evaluation.ground_truth import GroundTruthQuery, read_ground_truth, require_box_of
from handcraft.evaluation.named_sets import NAMED_SETS, ukbench
from handcraft.evaluation.protocols import (
    OXFORD,
    REVISITED,
    UKBENCH,
    EvaluationReport,
    evaluate,
    match_names,
    score,
)
from handcraft.evaluation.rankings import read_names, read_rankings
from handcraft.evaluation.revisited import read_revisited
from handcraft.features.discovery import find_photos
from handcraft.options import QueryOptions


def evaluate_store(
    snapshot: Snapshot,
    queries: Path,
    ground_truth: Path,
    options: QueryOptions,
    threads: int = 0,
    progress: Progress = silent,
) -> EvaluationReport:
    """Run the queries of a ground truth, whose photos are in the folder `queries`.

    Every photo that shares a visual word with a query is ranked. Raises EvaluationError.
    """
    wanted = read_ground_truth(ground_truth)
    found = find_photos([queries])
    if not found.photos:
        raise EvaluationError(f"There are no query photos in {queries}; name their folder with --queries.")
    folder = os.path.abspath(queries)
    paths = {Path(os.path.relpath(path, folder)).as_posix(): path for path in found.photos}
    names = match_names([query.photo for query in wanted], list(paths))
    lost = [query.photo for query in wanted if query.photo not in names]
    if lost:
        raise EvaluationError(
            f"Query photos of {ground_truth} that are not in {queries}: {len(lost)} of {len(wanted)}, the "
            f"first is {lost[0]}; name the folder that has them with --queries."
        )
    everything = replace(options, top=max(1, len(snapshot.collection)))
    done = 0

    def search(query: GroundTruthQuery) -> list[str]:
        nonlocal done
        result = query_photo(snapshot, paths[names[query.photo]], everything, query.roi, threads)
        require_box_of(query, result.width, result.height)
        done += 1
        progress("querying", done, len(wanted))
        return [hit.name for hit in result.hits]

    return evaluate(wanted, list(snapshot.collection.ids), search)


def evaluate_rankings(
    rankings: str | os.PathLike[str],
    ground_truth: str | os.PathLike[str],
    *,
    names: str | os.PathLike[str] | None = None,
) -> dict[str, EvaluationReport]:
    """Score rankings that were made anywhere, without photos; a report for each level of difficulty.

    rankings: a file of JSON, CSV or numpy's (evaluation.rankings). ground_truth: a folder of Oxford text
    files, a JSON file, a gnd_*.pkl of Revisited Oxford or Paris, or the name of a set, "holidays" or
    "ukbench". names: a text file of the database's photos, one a line, where .npy counts them and the ground
    truth does not name them, or where the rankings do not hold them all. The levels are easy, medium and
    hard for the revisited sets, and "" for all others. Raises EvaluationError.
    """
    truth, path = Path(ground_truth), Path(rankings)
    photos = read_names(Path(names)) if names is not None else None
    if truth.suffix == ".pkl":
        revisited = read_revisited(truth)
        found = read_rankings(path, revisited.queries, revisited.photos)
        return {
            level: score(queries, found, REVISITED, revisited.photos)
            for level, queries in revisited.levels.items()
        }
    named_set = NAMED_SETS.get(os.fspath(ground_truth))
    if named_set is not None:
        found = read_rankings(path, photos or (), photos)
        known = photos or list({*found, *(name for ranking in found.values() for name in ranking)})
        protocol = UKBENCH if named_set is ukbench else OXFORD
        return {"": score(named_set(known), found, protocol, known)}
    queries = read_ground_truth(truth)
    found = read_rankings(path, [query.name for query in queries], photos)
    return {"": score(queries, found, OXFORD, photos or ())}
