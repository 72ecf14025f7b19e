"""Mean average precision on the development photos by each method: votes alone, verified, and expanded.

The vocabulary is the shipped one, trained on other photos (data/README.md).
"""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import handcraft
from benchmarks.report import data_folder, report
from handcraft.options import METHODS, IndexOptions, QueryOptions

KINDS: dict[str, dict[str, Any]] = {"votes": {}, "verified": {"verify": True}, "expanded": {"expand": "hqe"}}
SETS = {
    "kth": ("kth/database", "kth/queries", "kth/ground_truth.json"),
    "oxford1k gt": ("oxford1k/jpg", "oxford1k/jpg", "oxford1k/gt"),
    "oxford1k gt_whole": ("oxford1k/jpg", "oxford1k/jpg", "oxford1k/gt_whole"),
}


def main() -> None:
    data = data_folder()
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (database, queries, truth) in SETS.items():
            store = handcraft.open(Path(folder) / database.split("/")[0])
            if not store.exists:
                store.add(data / database)
                store.add(data / database, options=IndexOptions(method="vlad"))  # beside the default
            for method, kind in itertools.product(METHODS, KINDS):
                if kind == "expanded" and method != "asmk":
                    continue
                options = QueryOptions(method=method, **KINDS[kind])
                measured = store.evaluate(data / queries, data / truth, options=options)
                figures[f"{name}, {method}, {kind}"] = {
                    "mAP": round(measured.mean_average_precision, 4),
                    "precision@5": round(measured.mean_precision(5), 4),
                    "ms a query": round(measured.milliseconds, 1),
                    "queries": len(measured.queries),
                }
    report("accuracy", {"query options": repr(QueryOptions())}, figures)


if __name__ == "__main__":
    main()
