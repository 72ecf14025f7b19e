"""Train the vocabulary that ships with handcraft, and compare it with the one in the package.

It is trained on the development set "train" alone: 1498 ordinary photos that are in no evaluation
set. Only the 600 strongest features of each are used: the photos are small, and their weak features
are of a kind that larger photos do not keep among their 2000 strongest.

The result is the same bits on every machine whose OpenCV gives the same SIFT descriptors: the
k-means itself is exact (handcraft.vocabulary.kmeans).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import handcraft
from benchmarks.report import data_folder, report, seconds
from handcraft.options import FeatureOptions, VocabularyOptions
from handcraft.storage.atomic import sha256
from handcraft.vocabulary.files import shipped_vocabulary

FEATURES = FeatureOptions(max_features=600)
VOCABULARY = VocabularyOptions(words=60_516)  # 246 x 246, the largest square that fits 8 MiB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replace", action="store_true", help="put the result into the package")
    replace = parser.parse_args().replace
    with tempfile.TemporaryDirectory() as folder:
        path = shipped_vocabulary() if replace else Path(folder) / "sift.h5"

        def train() -> None:
            store = handcraft.open(Path(folder) / "none", features=FEATURES)
            store.build_vocabulary(data_folder() / "train", VOCABULARY, output=path)

        took = seconds(train)
        figures = {
            "s": round(took, 1),
            "bytes": path.stat().st_size,
            "sha256": sha256(path),
            "equals the shipped one": sha256(path) == sha256(shipped_vocabulary()),
        }
    report("shipped_vocabulary", {"features": repr(FEATURES), "vocabulary": repr(VOCABULARY)}, figures)


if __name__ == "__main__":
    main()
