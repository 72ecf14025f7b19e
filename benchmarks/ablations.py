"""What each default is worth: mAP with one option changed at a time.

ASMK*, verified, on oxford1k's boxed queries and whole photos and on kth, queries as they are held. Rows that
change the features index the photos anew, with the shipped words of the extractor; rows of other numbers of
words with words trained on the photos of HANDCRAFT_DATA/train. All others ask the stores of the defaults.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import handcraft
from benchmarks.accuracy import SETS
from benchmarks.report import data_folder, earlier_figures, report
from handcraft.options import (
    AsmkOptions,
    FeatureOptions,
    QueryOptions,
    VerificationOptions,
    VocabularyOptions,
)

VERIFIED = QueryOptions(method="asmk", verify=True, directions=1)


def asking(**changes: Any) -> QueryOptions:
    """The default query with some options changed."""
    return replace(VERIFIED, **changes)


def voting(**changes: Any) -> QueryOptions:
    return asking(asmk=replace(AsmkOptions(), **changes))


def verifying(**changes: Any) -> QueryOptions:
    return asking(verification=replace(VerificationOptions(), **changes))


QUERIES: Mapping[str, QueryOptions] = {
    "defaults": VERIFIED,
    "votes alone": asking(verify=False),
    "alpha 3": voting(alpha=3.0),
    "alpha 5": voting(alpha=5.0),
    "tau .1": voting(tau=0.1),
    "1 word a query feature": voting(assignments=1),
    "10 words a query feature": voting(assignments=10),
    "idf": voting(idf=True),
    "burstiness": voting(burstiness=True),
    "regions of few features not looked at closer": asking(few_features=0),
    "100 photos verified": verifying(depth=100),
    "400 photos verified": verifying(depth=400),
    "5 words of a correspondence": verifying(words=5),
    "400 pairs": verifying(max_pairs=400),
    "pairs need not be alike": verifying(max_difference=1.0),
    "tolerance .006": verifying(inlier_tolerance=0.006),
    "tolerance .024": verifying(inlier_tolerance=0.024),
    "1 hypothesis refitted": verifying(hypotheses=1),
    "frames believed wholly": verifying(frame_trust=1.0),
    "similarities": verifying(degrees_of_freedom=4),
    "unit of evidence 30": verifying(evidence_unit=30.0),
    "verified with descriptors": verifying(pairing="descriptors"),
    "expanded by HQE": asking(expand="hqe"),
    "expanded by HQE, 1 round": asking(expand="hqe", expansion_rounds=1),
    "expanded by HQE, votes alone": asking(expand="hqe", expansion_geometry=0),
}
FEATURES: Mapping[str, FeatureOptions] = {
    "1000 features a photo": FeatureOptions(max_features=1000),
    "3000 features a photo": FeatureOptions(max_features=3000),
    "photos of 512 pixels": FeatureOptions(max_size=512),
    "SIFT": FeatureOptions(extractor="sift"),
    "regions turned to their gradients": FeatureOptions(upright=False),
    "features spread over the photo": FeatureOptions(spread=True),
    "photos doubled": FeatureOptions(doubled=True),
}
WORD_COUNTS = (16_384, 262_144)


def measure(stores: Mapping[str, handcraft.Store], options: QueryOptions) -> dict[str, float]:
    """mAP on each set, and the mean milliseconds of a query."""
    data, figures, times = data_folder(), {}, []
    for name, (database, queries, truth) in SETS.items():
        measured = stores[database].evaluate(data / queries, data / truth, options=options)
        figures[name] = round(measured.mean_average_precision, 4)
        times.append(measured.milliseconds or 0)
    return {**figures, "ms a query": round(sum(times) / len(times), 1)}


def indexed(
    folder: Path, features: FeatureOptions | None = None, vocabulary: Path | None = None
) -> dict[str, handcraft.Store]:
    """The stores of the sets' photos, made once."""
    stores = {}
    for database, _, _ in SETS.values():
        store = handcraft.open(folder / database.replace("/", "-"), features=features, vocabulary=vocabulary)
        store.add(data_folder() / database)
        stores[database] = store
    return stores


def trained(folder: Path, words: int) -> Path:
    """A vocabulary of so many words of the training photos, made once."""
    path = folder / f"{words}.h5"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        store = handcraft.open(folder / "train")
        store.build_vocabulary([data_folder() / "train"], VocabularyOptions(words=words), output=path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True, help="a folder for stores, kept")
    parser.add_argument("rows", nargs="*", metavar="ROW", help="all without")
    arguments = parser.parse_args()
    figures = earlier_figures("ablations") if arguments.rows else {}

    def row(name: str, stores: Mapping[str, handcraft.Store], options: QueryOptions) -> None:
        start = time.perf_counter()
        figures[name] = measure(stores, options)
        print(f"{name}: {figures[name]}, {time.perf_counter() - start:.0f} s", flush=True)

    def wanted(name: str) -> bool:
        return not arguments.rows or name in arguments.rows

    for name, options in QUERIES.items():
        if wanted(name):
            row(name, indexed(arguments.scratch / "defaults"), options)
    for name, features in FEATURES.items():
        if wanted(name):
            row(name, indexed(arguments.scratch / name.replace(" ", "-"), features), VERIFIED)
    for words in WORD_COUNTS:
        if wanted(f"{words:,} words"):
            vocabulary = trained(arguments.scratch / "vocabularies", words)
            stores = indexed(arguments.scratch / f"{words}-words", vocabulary=vocabulary)
            row(f"{words:,} words", stores, VERIFIED)
    report("ablations", {"query options": repr(VERIFIED), "features": repr(FeatureOptions())}, figures)


if __name__ == "__main__":
    main()
