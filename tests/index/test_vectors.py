"""Vectors of photos: what they keep, merged, and on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from index.samples import same_bits
from numpy.typing import NDArray

from handcraft.errors import StoreError
from handcraft.index.vectors import Vectors, merge_vectors, read_vectors, write_vectors
from handcraft.options import VladOptions
from handcraft.storage.hdf5 import write_arrays

ATTRIBUTES = {"vlad": "abc", "parameters": "{}"}
DIMENSION = 6

halves = pytest.mark.parametrize("half", [False, True])
floats = hnp.arrays(
    np.float32,
    st.tuples(st.integers(0, 5), st.integers(1, 9)),
    elements=st.floats(-1, 1, width=32, allow_subnormal=False),
)


def sample(count: int = 5) -> NDArray[np.float32]:
    """(count, DIMENSION) of unit length, one of them zeros."""
    values = np.random.default_rng(count).normal(size=(count, DIMENSION))
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    values[1:2] = 0
    return values.astype(np.float32)


def widened(vectors: Vectors) -> NDArray[np.float64]:
    return vectors.rows.astype(np.float64) * vectors.scales[:, None].astype(np.float64)


def same_vectors(a: Vectors, b: Vectors) -> bool:
    return same_bits(a.rows, b.rows) and same_bits(a.scales, b.scales)


# --- what they keep ---


@given(floats)
def test_bytes_are_within_half_a_step(values: NDArray[np.float32]) -> None:
    """A step is a 127th of the largest number of the vector."""
    vectors = Vectors.of(values, half=False)
    assert (vectors.rows.dtype, vectors.rows.shape) == (np.int8, values.shape)
    assert (vectors.scales.dtype, vectors.scales.shape) == (np.float32, (len(values),))
    steps = np.abs(values.astype(np.float64)).max(axis=1, initial=0) / 127
    assert (np.abs(widened(vectors) - values) <= 0.5001 * steps[:, None] + 1e-40).all()


@given(floats)
def test_halves_are_rounded_to_eleven_bits(values: NDArray[np.float32]) -> None:
    vectors = Vectors.of(values, half=True)
    assert vectors.rows.dtype == np.float16
    assert vectors.scales.dtype == np.float32
    bound = np.abs(values.astype(np.float64)) * 2**-11 + 2**-25  # or one of the smallest steps
    assert (np.abs(widened(vectors) - values) <= bound).all()


@halves
def test_zeros_stay_zeros(half: bool) -> None:
    vectors = Vectors.of(np.zeros((3, DIMENSION), np.float32), half)
    assert len(vectors) == 3
    assert not widened(vectors).any()


@halves
def test_no_photos(half: bool) -> None:
    vectors = Vectors.of(np.zeros((0, DIMENSION), np.float32), half)
    assert len(vectors) == 0
    assert vectors.rows.shape == (0, DIMENSION)


def test_the_largest_number_is_127_steps() -> None:
    vectors = Vectors.of(np.array([[0.5, -1, 0.25], [1e-6, 0, -1e-6]], np.float32), half=False)
    assert vectors.rows.tolist() == [[64, -127, 32], [127, 0, -127]]


# --- merge ---


@halves
@given(live=st.lists(st.lists(st.booleans(), max_size=5), min_size=1, max_size=3))
def test_merging_keeps_the_rows_of_live_photos(half: bool, live: list[list[bool]]) -> None:
    values = [sample(len(alive)) for alive in live]
    alive = [np.array(flags, bool) for flags in live]
    merged = merge_vectors([Vectors.of(part, half) for part in values], alive)
    kept = np.concatenate([part[flags] for part, flags in zip(values, alive, strict=True)])
    assert same_vectors(merged, Vectors.of(kept, half))


# --- disk ---


@halves
@pytest.mark.parametrize("count", [0, 1, 5])
def test_vectors_come_back(half: bool, count: int, tmp_path: Path) -> None:
    vectors = Vectors.of(sample(count), half)
    write_vectors(tmp_path / "file", vectors, ATTRIBUTES)
    assert same_vectors(
        read_vectors(tmp_path / "file", count, ATTRIBUTES, VladOptions(DIMENSION, half)), vectors
    )


def refusal(path: Path, photos: int = 5, options: VladOptions | None = None, **attributes: str) -> str:
    """Why the vectors of the sample are not read."""
    with pytest.raises(StoreError) as error:
        read_vectors(path, photos, {**ATTRIBUTES, **attributes}, options or VladOptions(DIMENSION))
    return str(error.value)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "000001.vectors.h5"
    write_vectors(path, Vectors.of(sample(), half=False), ATTRIBUTES)
    return path


@pytest.mark.parametrize("photos", [0, 4, 6])
def test_vectors_of_another_number_of_photos(photos: int, written: Path) -> None:
    assert refusal(written, photos) == (
        f"{written} is damaged: the vectors do not fit the photo table; run `handcraft check`."
    )


def test_vectors_of_another_dimension(written: Path) -> None:
    assert refusal(written, options=VladOptions(DIMENSION - 1)) == (
        f"{written} is damaged: the vectors do not fit the photo table; run `handcraft check`."
    )


Change = Callable[[NDArray[np.generic]], NDArray[np.generic]]
MISFITS: list[tuple[str, Change, str]] = [
    ("rows", lambda a: a.astype(np.float16), "are of another kind"),
    ("rows", lambda a: a.astype(np.uint8), "are of another kind"),
    ("scales", lambda a: a.astype(np.float64), "are of another kind"),
    ("rows", lambda a: a[:-1], "do not fit the photo table"),
    ("rows", lambda a: a.ravel(), "do not fit the photo table"),
    ("scales", lambda a: a[:-1], "do not fit the photo table"),
    ("scales", lambda a: a[:, None], "do not fit the photo table"),
]


@pytest.mark.parametrize(("name", "change", "misfit"), MISFITS)
def test_vectors_that_do_not_fit_are_not_opened(
    name: str, change: Change, misfit: str, tmp_path: Path
) -> None:
    """Compiled loops trust these shapes."""
    vectors, path = Vectors.of(sample(), half=False), tmp_path / "000001.vectors.h5"
    arrays = {"rows": vectors.rows, "scales": vectors.scales}
    arrays[name] = change(arrays[name])
    write_arrays(path, "vectors", {key: [array] for key, array in arrays.items()}, ATTRIBUTES)
    assert refusal(path) == f"{path} is damaged: the vectors {misfit}; run `handcraft check`."


def test_bytes_where_halves_are_expected(written: Path) -> None:
    assert refusal(written, options=VladOptions(DIMENSION, half=True)) == (
        f"{written} is damaged: the vectors are of another kind; run `handcraft check`."
    )


def test_vectors_of_another_model(written: Path) -> None:
    assert refusal(written, vlad="abd") == (
        f"{written} is of another store: its vlad is abc, not abd; run `handcraft check`."
    )


def test_a_file_without_one_of_its_arrays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_arrays(path, "vectors", {"rows": [np.zeros((5, DIMENSION), np.int8)]}, ATTRIBUTES)
    assert refusal(path) == f"{path} is damaged: it has no array 'scales'; run `handcraft check`."


def test_a_missing_file_and_one_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert refusal(path) == f"{path} is missing."
    write_arrays(path, "signatures", {"rows": [np.zeros((5, DIMENSION), np.int8)]}, ATTRIBUTES)
    assert refusal(path) == f"{path} is not a handcraft vectors file, it is signatures."


def test_a_file_that_ends_early(written: Path) -> None:
    content = written.read_bytes()
    for size in {*range(0, len(content), 512), len(content) - 1}:
        written.write_bytes(content[:size])
        assert str(written) in refusal(written)
