"""The PCA that reduces the features of a network."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handcraft.errors import ModelError
from handcraft.features.learned.onnx_files import DIGEST
from handcraft.storage.exchange.delf import read_datum

MEAN, MATRIX, VARIANCES = "mean", "matrix", "variances"
# The files of the published models (github.com/tensorflow/models, research/delf), beside each other; the
# published configurations do not whiten, so their variances are not read.
DATUMS = {MEAN: "mean.datum", MATRIX: "pca_proj_mat.datum"}
SMALLEST = 1e-12  # a length below this is taken to be 0


@dataclass(frozen=True)
class Pca:
    """A projection of features of unit length.

    mean: (c,) float32. matrix: (d, c) float32, a row for each dimension that is left. path: of the file that
    holds it; digest: of these numbers.
    """

    mean: NDArray[np.float32]
    matrix: NDArray[np.float32]
    path: str
    digest: str

    def reduced(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, d): features (n, c) of unit length, projected and normed again."""
        return normed((features - self.mean) @ self.matrix.T)


def normed(features: NDArray[np.floating]) -> NDArray[np.float32]:
    """Features (n, c) with a length of 1; zeros stay zeros."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(lengths, SMALLEST), np.float32)


def read_pca(path: Path, dimension: int) -> Pca:
    """The first `dimension` rows of a PCA: of an NPZ file of `mean` (c,), `matrix` (k, c), and, to whiten,
    `variances` (k,); or of the published pca_proj_mat.datum, beside which its mean is. Raises ModelError, and
    for the latter FeatureFileError."""
    arrays = _read_datums(path) if path.suffix == ".datum" else _read_npz(path)
    nothing = np.empty(0, np.float32)
    mean, matrix = arrays.get(MEAN, nothing), arrays.get(MATRIX, nothing)
    variances = arrays.get(VARIANCES, np.ones(matrix.shape[:1], np.float32))
    fits = matrix.ndim == 2 and mean.shape == matrix.shape[1:] and variances.shape == matrix.shape[:1]
    finite = all(np.isfinite(array).all() for array in (mean, matrix, variances))
    if not fits or not finite or (variances <= 0).any():
        raise ModelError(
            f"{path} is no PCA: it must have a mean (c,), a matrix (k, c) and, to whiten, variances (k,) "
            "above 0, all of finite numbers; write it again."
        )
    if not 1 <= dimension <= len(matrix):
        raise ModelError(
            f"The PCA {path} has {len(matrix)} dimensions; give 1 to that many with --set dimension=NUMBER."
        )
    scaled = np.ascontiguousarray(matrix[:dimension] / np.sqrt(variances[:dimension, None]), np.float32)
    digest = hashlib.sha256(mean.tobytes() + scaled.tobytes()).hexdigest()[:DIGEST]
    return Pca(mean, scaled, str(path), digest)


def _read_npz(path: Path) -> dict[str, NDArray[np.float32]]:
    try:
        # np.load closes no file of its own where that is damaged.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: np.asarray(arrays[name], np.float32) for name in arrays}
    except Exception as error:  # of zipfile, zlib or numpy
        raise ModelError(f"{path} is no PCA: it cannot be read as NPZ of numbers; write it again.") from error


def _read_datums(path: Path) -> dict[str, NDArray[np.float32]]:
    return {MEAN: read_datum(path.with_name(DATUMS[MEAN])), MATRIX: read_datum(path)}
