"""The PCA of a network's features: what it computes, and of what files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign import datum
from numpy.typing import NDArray

from handcraft.errors import HandcraftError, ModelError
from handcraft.features.learned.pca import normed, read_pca

CHANNELS, ROWS = 7, 5


@pytest.fixture
def arrays() -> dict[str, NDArray[np.float32]]:
    generator = np.random.default_rng(0)
    made = {
        "mean": generator.normal(size=CHANNELS) / 10,
        "matrix": generator.normal(size=(ROWS, CHANNELS)),
        "variances": generator.uniform(0.1, 4, ROWS),
    }
    return {name: array.astype(np.float32) for name, array in made.items()}


def write(path: Path, arrays: dict[str, Any]) -> Path:
    np.savez(path, **arrays)
    return path


def unit_rows(count: int) -> NDArray[np.float32]:
    return normed(np.random.default_rng(1).normal(size=(count, CHANNELS)))


def oracle(
    features: NDArray[np.float32], arrays: dict[str, NDArray[np.float32]], dimension: int
) -> NDArray[np.float64]:
    """One feature and one dimension at a time."""
    rows = []
    for feature in features.astype(np.float64):
        row = []
        for number in range(dimension):
            projected = np.dot(arrays["matrix"][number], feature - arrays["mean"])
            row.append(projected / np.sqrt(float(arrays.get("variances", np.ones(ROWS))[number])))
        rows.append(np.array(row) / np.linalg.norm(row))
    return np.array(rows)


@pytest.mark.parametrize("whitened", [False, True])
@pytest.mark.parametrize("dimension", [1, 3, ROWS])
def test_features_are_projected_and_normed(
    whitened: bool, dimension: int, arrays: dict[str, NDArray[np.float32]], tmp_path: Path
) -> None:
    if not whitened:
        del arrays["variances"]
    pca = read_pca(write(tmp_path / "pca.npz", arrays), dimension)
    features = unit_rows(20)
    reduced = pca.reduced(features)
    assert reduced.dtype == np.float32
    np.testing.assert_allclose(reduced, oracle(features, arrays, dimension), atol=1e-5)
    assert pca.reduced(features[:0]).shape == (0, dimension)


def test_whitening_changes_the_features(arrays: dict[str, NDArray[np.float32]], tmp_path: Path) -> None:
    whitened = read_pca(write(tmp_path / "whitened.npz", arrays), ROWS)
    plain = read_pca(write(tmp_path / "plain.npz", {**arrays, "variances": np.ones(ROWS)}), ROWS)
    features = unit_rows(5)
    assert np.abs(whitened.reduced(features) - plain.reduced(features)).max() > 0.1


def test_the_published_files_give_what_an_archive_gives(
    arrays: dict[str, NDArray[np.float32]], tmp_path: Path
) -> None:
    (tmp_path / "mean.datum").write_bytes(datum(arrays["mean"]))
    matrix = tmp_path / "pca_proj_mat.datum"
    matrix.write_bytes(datum(arrays["matrix"]))
    del arrays["variances"]
    archive = read_pca(write(tmp_path / "pca.npz", arrays), 3)
    published = read_pca(matrix, 3)
    np.testing.assert_array_equal(published.mean, archive.mean)
    np.testing.assert_array_equal(published.matrix, archive.matrix)
    assert published.digest == archive.digest
    assert published.path == str(matrix)


@pytest.mark.parametrize("changed", ["mean", "matrix", "variances"])
def test_the_digest_tells_of_every_array(
    changed: str, arrays: dict[str, NDArray[np.float32]], tmp_path: Path
) -> None:
    before = read_pca(write(tmp_path / "before.npz", arrays), 3).digest
    again = read_pca(write(tmp_path / "again.npz", arrays), 3).digest
    after = read_pca(write(tmp_path / "after.npz", {**arrays, changed: arrays[changed] + 1}), 3).digest
    assert before == again != after


def test_zeros_stay_zeros() -> None:
    rows = normed(np.array([[0.0, 0.0], [3.0, 4.0]]))
    np.testing.assert_allclose(rows, [[0, 0], [0.6, 0.8]], atol=1e-7)
    assert rows.dtype == np.float32


@pytest.mark.parametrize("dimension", [-1, 0, ROWS + 1])
def test_it_has_no_more_dimensions_than_rows(
    dimension: int, arrays: dict[str, NDArray[np.float32]], tmp_path: Path
) -> None:
    path = write(tmp_path / "pca.npz", arrays)
    with pytest.raises(ModelError) as caught:
        read_pca(path, dimension)
    assert str(caught.value) == (
        f"The PCA {path} has {ROWS} dimensions; give 1 to that many with --set dimension=NUMBER."
    )


FAULTS: dict[str, dict[str, Any]] = {
    "a mean of other channels": {"mean": np.zeros(CHANNELS + 1)},
    "a mean of one number": {"mean": np.float32(0)},
    "a matrix of one row": {"matrix": np.zeros(CHANNELS)},
    "variances of other rows": {"variances": np.ones(ROWS - 1)},
    "a variance of zero": {"variances": np.array([1, 1, 0, 1, 1])},
    "a negative variance": {"variances": -np.ones(ROWS)},
    "NaN in the mean": {"mean": np.full(CHANNELS, np.nan)},
    "infinity in the matrix": {"matrix": np.full((ROWS, CHANNELS), np.inf)},
    "a matrix of one number": {"matrix": np.float32(0)},
    "text": {"mean": np.array(["a"] * CHANNELS)},
    "objects": {"mean": np.array([None] * CHANNELS)},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_no_pca_is_told(fault: str, arrays: dict[str, NDArray[np.float32]], tmp_path: Path) -> None:
    path = write(tmp_path / "pca.npz", {**arrays, **FAULTS[fault]})
    with pytest.raises(ModelError, match="is no PCA: ") as caught:
        read_pca(path, 2)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("missing", ["mean", "matrix"])
def test_an_archive_without_an_array_is_no_pca(
    missing: str, arrays: dict[str, NDArray[np.float32]], tmp_path: Path
) -> None:
    del arrays[missing]
    with pytest.raises(ModelError, match="is no PCA: it must have a mean"):
        read_pca(write(tmp_path / "pca.npz", arrays), 2)


@pytest.mark.parametrize("bytes_", [b"", b"PK\x03\x04", b"\x93NUMPY", b"hello"])
def test_other_bytes_are_no_pca(bytes_: bytes, tmp_path: Path) -> None:
    path = tmp_path / "pca.npz"
    path.write_bytes(bytes_)
    with pytest.raises(ModelError, match=r"is no PCA: it cannot be read as NPZ of numbers; write it again\."):
        read_pca(path, 2)


def test_a_single_array_is_no_pca(tmp_path: Path) -> None:
    path = tmp_path / "pca.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ModelError, match="is no PCA"):
        read_pca(path, 2)


def test_a_mean_that_is_not_beside_its_matrix_is_told(
    arrays: dict[str, NDArray[np.float32]], tmp_path: Path
) -> None:
    path = tmp_path / "pca_proj_mat.datum"
    path.write_bytes(datum(arrays["matrix"]))
    with pytest.raises(HandcraftError, match=str(tmp_path / "mean.datum")):
        read_pca(path, 2)
