"""Learn the VLAD models that ship with handcraft, and compare them with those in the package.

They are learned on the development set "train" alone: 1498 ordinary photos that are in no evaluation set.
The codebook is the same bits everywhere; the axes are those of scikit-learn's PCA, whose last bits are the
machine's, so they are compared by how much of a unit vector of one lies in the space of the other.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import handcraft
import handcraft.vocabulary
from benchmarks.report import data_folder, report, seconds
from handcraft.features.registry import fingerprint_of
from handcraft.options import FeatureOptions, IndexOptions, VladTraining
from handcraft.vocabulary.files import shipped_vlad
from handcraft.vocabulary.vlad import VladModel, read_vlad

PACKAGE = Path(handcraft.vocabulary.__file__).parent
EXTRACTORS = ("hessian-affine", "sift")
TRAINING = VladTraining()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replace", action="store_true", help="put the results into the package")
    parser.add_argument("extractors", nargs="*", default=EXTRACTORS, help="for which to learn")
    arguments = parser.parse_args()
    figures = {extractor: learned(extractor, arguments.replace) for extractor in arguments.extractors}
    report("shipped_vlad", {"training": repr(TRAINING)}, figures)


def learned(extractor: str, replace: bool) -> dict[str, object]:
    """Learn the model of an extractor, into the package where it is to be replaced."""
    # SIFT's words are trained on features turned to their gradients, as it is mostly used.
    features = FeatureOptions(extractor=extractor, upright=extractor != "sift")
    shipped = PACKAGE / f"{extractor}.vlad.h5"
    with tempfile.TemporaryDirectory() as folder:
        path = shipped if replace else Path(folder) / shipped.name
        store = handcraft.open(Path(folder) / "store", features=features)
        store.add(data_folder() / "train", options=IndexOptions(method="bow"))
        took = seconds(lambda: store.build_vlad(path, TRAINING))
        model, own = read_vlad(path), read_vlad(shipped_vlad(fingerprint_of(features)))
        return {
            "s": round(took, 1),
            "bytes": path.stat().st_size,
            "photos": model.codebook.training.photos,
            "codebook equals the shipped one": bool(
                np.array_equal(model.codebook.centroids, own.codebook.centroids)
            ),
            "share of the shipped axes' space": round(shared_space(model, own), 5),
        }


def shared_space(one: VladModel, other: VladModel) -> float:
    """The mean squared cosine between the spaces that the axes of two models span."""
    bases = [orthonormal(model.axes.astype(np.float64)) for model in (one, other)]
    return float((np.linalg.norm(bases[0].T @ bases[1]) ** 2) / bases[0].shape[1])


def orthonormal(axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(numbers, D): a basis of the space of the axes (D, numbers)."""
    basis: NDArray[np.float64] = np.linalg.qr(axes.T)[0]
    return basis


if __name__ == "__main__":
    main()
