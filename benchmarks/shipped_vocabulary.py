"""Train the vocabularies that ship with handcraft, and compare them with those in the package.

They are trained on the development set "train" alone: 1498 ordinary photos that are in no evaluation
set. Only the 600 strongest features of each are used: the photos are small, and their weak features
are of a kind that larger photos do not keep among their 2000 strongest.

The result is the same bits on every machine that gives the same descriptors: the
k-means itself is exact (handcraft.vocabulary.kmeans).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import handcraft
import handcraft.vocabulary
from benchmarks.report import data_folder, report, seconds
from handcraft.options import FeatureOptions, VocabularyOptions
from handcraft.storage.atomic import sha256

PACKAGE = Path(handcraft.vocabulary.__file__).parent
MAX_FEATURES = 600
EXTRACTORS = ("hessian-affine", "sift")
VOCABULARY = VocabularyOptions(words=60_516)  # 246 x 246, the largest square that fits 8 MiB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replace", action="store_true", help="put the results into the package")
    parser.add_argument("extractors", nargs="*", default=EXTRACTORS, help="for which to train")
    arguments = parser.parse_args()
    figures = {extractor: trained(extractor, arguments.replace) for extractor in arguments.extractors}
    parameters = {"features of a photo": MAX_FEATURES, "vocabulary": repr(VOCABULARY)}
    report("shipped_vocabulary", parameters, figures)


def trained(extractor: str, replace: bool) -> dict[str, object]:
    """Train the vocabulary of an extractor, into the package where it is to be replaced."""
    shipped = PACKAGE / f"{extractor}.h5"
    # SIFT's words are trained on features turned to their gradients, as it is mostly used.
    features = FeatureOptions(extractor=extractor, max_features=MAX_FEATURES, upright=extractor != "sift")
    with tempfile.TemporaryDirectory() as folder:
        path = shipped if replace else Path(folder) / shipped.name

        def train() -> None:
            store = handcraft.open(Path(folder) / "none", features=features)
            store.build_vocabulary(data_folder() / "train", VOCABULARY, output=path)

        took = seconds(train)
        return {
            "s": round(took, 1),
            "bytes": path.stat().st_size,
            "sha256": sha256(path),
            "equals the shipped one": sha256(path) == sha256(shipped),
        }


if __name__ == "__main__":
    main()
