"""Mean average precision on the development photos of each way to rank.

The vocabulary is the shipped one, trained on other photos (data/README.md).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import handcraft
from benchmarks.report import data_folder, report
from handcraft.evaluation.protocols import EvaluationReport
from handcraft.options import IndexOptions, QueryOptions, VerificationOptions

DESCRIPTORS = VerificationOptions(pairing="descriptors")
RANKINGS = {
    "ASMK*": QueryOptions(method="asmk"),
    "ASMK*, verified": QueryOptions(method="asmk", verify=True),
    "ASMK*, verified with descriptors": QueryOptions(method="asmk", verify=True, verification=DESCRIPTORS),
    "ASMK*, expanded by HQE": QueryOptions(method="asmk", expand="hqe"),
    "bags of words": QueryOptions(method="bow"),
    "bags of words, verified": QueryOptions(method="bow", verify=True),
    "bags of words, expanded by AQE": QueryOptions(method="bow", expand="aqe"),
    "bags of words, expanded by DQE": QueryOptions(method="bow", expand="dqe"),
    "VLAD": QueryOptions(method="vlad"),
    "VLAD, verified": QueryOptions(method="vlad", verify=True),
}
SETS = {
    "kth": ("kth/database", "kth/queries", "kth/ground_truth.json"),
    "oxford1k gt": ("oxford1k/jpg", "oxford1k/jpg", "oxford1k/gt"),
    "oxford1k gt_whole": ("oxford1k/jpg", "oxford1k/jpg", "oxford1k/gt_whole"),
}


def largest_loss(measured: EvaluationReport, votes: EvaluationReport) -> dict[str, object]:
    """The query whose average precision falls the most by what comes after the votes, if any does."""
    losses = [
        (before.average_precision - after.average_precision, after.name)
        for before, after in zip(votes.queries, measured.queries, strict=True)
    ]
    loss, query = max(losses)
    return {"largest loss": {"query": query, "AP": round(loss, 4)}} if loss > 0 else {}


def main() -> None:
    data = data_folder()
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (database, queries, truth) in SETS.items():
            store = handcraft.open(Path(folder) / database.split("/")[0])
            if not store.exists:
                store.add(data / database)
                store.add(data / database, options=IndexOptions(method="vlad"))  # beside the default
            reports: dict[str, EvaluationReport] = {}
            for ranking, options in RANKINGS.items():
                reports[ranking] = measured = store.evaluate(data / queries, data / truth, options=options)
                figures[f"{name}: {ranking}"] = {
                    "mAP": round(measured.mean_average_precision, 4),
                    "precision@5": round(measured.mean_precision(5), 4),
                    "ms a query": round(measured.milliseconds or 0, 1),
                    "queries": len(measured.queries),
                    **largest_loss(measured, reports[ranking.split(",")[0]]),
                }
    report("accuracy", {"query options": repr(QueryOptions())}, figures)


if __name__ == "__main__":
    main()
