"""Descriptors less their mean, normed again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from oracles import vocabulary as oracle

from handcraft.vocabulary.shifting import LENGTH, ZERO, mean_descriptor, shift


def bytes_of(rows: int) -> st.SearchStrategy[np.ndarray]:
    return st_numpy.arrays(np.uint8, st.tuples(st.integers(1, rows), st.just(6)))


@given(bytes_of(8), st_numpy.arrays(np.uint8, 6))
def test_bytes_are_shifted_as_the_oracle_shifts_them(descriptors: np.ndarray, mean: np.ndarray) -> None:
    shifted = shift(descriptors, mean)
    assert shifted.dtype == np.uint8
    assert shifted.tolist() == oracle.shifted_bytes(descriptors.tolist(), mean.tolist())


@given(bytes_of(8))
def test_numbers_have_the_directions_of_bytes(descriptors: np.ndarray) -> None:
    mean = np.array([100, 90, 128, 7, 255, 0], np.uint8)
    shifted = shift(descriptors.astype(np.float32), mean.astype(np.float32))
    assert shifted.dtype == np.float32
    about_zero = shift(descriptors, mean).astype(float) - ZERO
    within = (about_zero > -ZERO) & (about_zero < ZERO - 1)
    assert np.abs(shifted * LENGTH - about_zero)[within].max(initial=0) <= 0.501


def test_the_mean_itself_is_zero() -> None:
    mean = np.array([3, 200, 90], np.uint8)
    assert shift(mean[None], mean).tolist() == [[ZERO] * 3]
    assert shift(mean[None].astype(np.float32), mean.astype(np.float32)).tolist() == [[0.0] * 3]


def test_lengths_are_all_the_same() -> None:
    descriptors = np.random.default_rng(0).integers(0, 256, (50, 128)).astype(np.uint8)
    shifted = shift(descriptors, mean_descriptor(descriptors)).astype(float) - ZERO
    np.testing.assert_allclose(np.linalg.norm(shifted, axis=1), LENGTH, rtol=0.01)


def test_no_descriptors() -> None:
    assert shift(np.empty((0, 4), np.uint8), np.zeros(4, np.uint8)).shape == (0, 4)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_mean_has_the_dtype_of_its_descriptors(dtype: str) -> None:
    mean = mean_descriptor(np.array([[0, 10, 255], [3, 20, 255], [4, 0, 255]], dtype))
    assert mean.dtype == dtype
    np.testing.assert_allclose(mean, [2 if dtype == "uint8" else 7 / 3, 10, 255], rtol=1e-6)
