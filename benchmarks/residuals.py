"""What ASMK*'s residuals are of, and to what: descriptors as they are or shifted, to centroids or medians.

Mean average precision on the development photos, by votes alone. The vocabularies are trained as the shipped
one is; the one of descriptors as they are has its words.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import handcraft
from benchmarks.accuracy import SETS
from benchmarks.report import data_folder, report
from benchmarks.shipped_vocabulary import MAX_FEATURES, VOCABULARY
from handcraft.engine.vocabularies import give_vocabulary
from handcraft.options import FeatureOptions, IndexOptions, QueryOptions, SignatureOptions
from handcraft.vocabulary.files import read_vocabulary


def main() -> None:
    data = data_folder()
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        for shifted in (False, True):
            vocabulary = train(Path(folder), shifted)
            for (name, (database, queries, truth)), medians in itertools.product(SETS.items(), (False, True)):
                store = indexed(Path(folder), data / database, vocabulary, medians)
                measured = store.evaluate(data / queries, data / truth, options=QueryOptions(method="asmk"))
                kind = f"{'shifted' if shifted else 'as they are'}, {'medians' if medians else 'centroids'}"
                figures[f"{name}, {kind}"] = {"mAP": round(measured.mean_average_precision, 4)}
    report("residuals", {"query options": repr(QueryOptions())}, figures)


def train(folder: Path, shifted: bool) -> Path:
    """A vocabulary that keeps medians."""
    path = folder / f"words-{shifted}.h5"
    options = replace(VOCABULARY, shifted=shifted, medians=True)
    store = handcraft.open(folder / "none", features=FeatureOptions(max_features=MAX_FEATURES))
    store.build_vocabulary(data_folder() / "train", options, output=path)
    return path


def indexed(folder: Path, photos: Path, vocabulary: Path, medians: bool) -> handcraft.Store:
    """The store of photos by these words and signatures; the photos are described once."""
    described = handcraft.open(folder / photos.parent.name)
    if not described.exists:
        described.add(photos, options=IndexOptions(method="bow"))
    path = folder / f"{described.path.name}-{vocabulary.stem}-{medians}"
    if not path.exists():
        shutil.copytree(described.path, path)
        give_vocabulary(path, read_vocabulary(vocabulary), FeatureOptions())
        signatures = SignatureOptions(medians=medians)
        handcraft.open(path).add(photos, options=IndexOptions(method="asmk", signatures=signatures))
    return handcraft.open(path)


if __name__ == "__main__":
    main()
