"""RootSIFT against its formula."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from oracles import vocabulary as oracle

from handcraft.features.descriptors import root_sift


@given(arrays(np.float32, (3, 16), elements=st.floats(0, 255, width=32)))
def test_root_sift_is_the_formula(descriptors: NDArray[np.float32]) -> None:
    roots = root_sift(descriptors)
    assert roots.dtype == np.uint8
    for row, root in zip(descriptors, roots, strict=True):
        wanted = np.minimum(oracle.root_sift([float(value) for value in row]), 255)
        assert np.abs(root - wanted).max() <= 0.501  # rounded to the nearest, but for float32


def test_by_hand() -> None:
    raw = np.array([[9, 16, 0, 25, 0, 0, 0, 50]], np.float32)
    np.testing.assert_array_equal(root_sift(raw), [[154, 205, 0, 255, 0, 0, 0, 255]])


def test_values_are_rounded_and_not_cut() -> None:
    raw = np.array([[1, 3, *[4] * 24]], np.float32)  # 512·√(1 / 100) = 51.2, 512·√(3 / 100) = 88.68
    assert root_sift(raw)[0, :3].tolist() == [51, 89, 102]


def test_zeros_stay_zero() -> None:
    roots = root_sift(np.array([[0] * 8, [1] * 8, [0] * 8], np.float32))
    assert roots.tolist() == [[0] * 8, [181] * 8, [0] * 8]


def test_no_descriptors() -> None:
    assert root_sift(np.empty((0, 128), np.float32)).shape == (0, 128)


@given(
    arrays(np.float32, (2, 16), elements=st.floats(0, 255, width=32)),
    st.sampled_from([0.25, 2.0, 64.0]),
)
def test_contrast_does_not_matter(descriptors: NDArray[np.float32], contrast: float) -> None:
    scaled = descriptors * np.float32(contrast)
    if not ((scaled > 0) == (descriptors > 0)).all():  # too small for float32
        return
    np.testing.assert_allclose(root_sift(scaled), root_sift(descriptors), atol=1)


def test_the_argument_is_left_alone() -> None:
    raw = np.arange(128, dtype=np.float32)[None]
    before = raw.copy()
    root_sift(raw)
    np.testing.assert_array_equal(raw, before)
