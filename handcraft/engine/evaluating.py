"""Measuring a store against ground truth."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from handcraft.engine.reporting import Progress, silent
from handcraft.engine.searching import query_photo
from handcraft.engine.snapshot import Snapshot
from handcraft.errors import EvaluationError
from handcraft.evaluation.ground_truth import GroundTruthQuery, read_ground_truth
from handcraft.evaluation.protocols import EvaluationReport, evaluate, match_names
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
        done += 1
        progress("querying", done, len(wanted))
        return [hit.name for hit in result.hits]

    return evaluate(wanted, list(snapshot.collection.ids), search)
