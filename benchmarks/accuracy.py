"""Mean average precision on the development photos of each way to rank.

The vocabulary is the shipped one, trained on other photos (data/README.md).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import handcraft
from benchmarks.report import data_folder, report
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


def main() -> None:
    data = data_folder()
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (database, queries, truth) in SETS.items():
            store = handcraft.open(Path(folder) / database.split("/")[0])
            if not store.exists:
                store.add(data / database)
                store.add(data / database, options=IndexOptions(method="vlad"))  # beside the default
            for ranking, options in RANKINGS.items():
                measured = store.evaluate(data / queries, data / truth, options=options)
                figures[f"{name}: {ranking}"] = {
                    "mAP": round(measured.mean_average_precision, 4),
                    "precision@5": round(measured.mean_precision(5), 4),
                    "ms a query": round(measured.milliseconds or 0, 1),
                    "queries": len(measured.queries),
                }
    report("accuracy", {"query options": repr(QueryOptions())}, figures)


if __name__ == "__main__":
    main()
