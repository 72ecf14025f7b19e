"""What the readers give can be sorted, framed and compared."""

from __future__ import annotations

from pathlib import Path

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handcraft.errors import FeatureFileError
from handcraft.storage.exchange import ForeignFeatures, find_name, require_space


def features(scores: np.ndarray[tuple[int], np.dtype[np.float32]] | None, count: int = 3) -> ForeignFeatures:
    rows = np.arange(count, dtype=np.float32)
    shapes = (rows + 1)[:, None, None] * np.eye(2, dtype=np.float32)
    return ForeignFeatures(np.stack([rows, -rows], axis=1), shapes, rows[:, None], scores, 640, 480)


@given(hnp.arrays(np.float32, st.integers(0, 6), elements=st.sampled_from([-1, 0, 0.5, 2])))
def test_strongest_first(scores: np.ndarray[tuple[int], np.dtype[np.float32]]) -> None:
    found = features(scores, len(scores)).strongest_first()
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    np.testing.assert_array_equal(found.descriptors[:, 0], order)
    np.testing.assert_array_equal(found.points[:, 1], -np.array(order, np.float32))
    np.testing.assert_array_equal(found.scores, scores[order])
    assert found.shapes is not None
    np.testing.assert_array_equal(found.shapes[:, 1, 1], np.array(order, np.float32) + 1)
    assert (found.width, found.height) == (640, 480)


def test_the_order_of_the_file_without_scores() -> None:
    without = features(None)
    assert without.strongest_first() is without


def test_frames() -> None:
    found = features(None)
    np.testing.assert_array_equal(found.frames(9.0)[2], [[3, 0, 2], [0, 3, -2]])
    points = ForeignFeatures(found.points, None, found.descriptors)
    np.testing.assert_array_equal(points.frames(9.0)[2], [[9, 0, 2], [0, 9, -2]])
    assert points.frames(9.0).dtype == np.float32


def test_names() -> None:
    names = ("a/b.jpg", "c", "d.jpg", "d")
    for photo, name in (("a/b.jpg", "a/b.jpg"), ("c.png", "c"), ("d.jpg", "d.jpg"), ("b.jpg", None)):
        assert find_name(names, photo) == name


def test_descriptors_of_another_kind() -> None:
    path = Path("feats.h5")
    require_space(path, "a.jpg", features(None), 1, "float32")
    require_space(path, "a.jpg", features(None, 0), 128, "uint8")
    for dimension, dtype in ((2, "float32"), (1, "uint8")):
        with pytest.raises(
            FeatureFileError,
            match=rf"feats\.h5 has descriptors of 1 x float32 for a\.jpg, not of {dimension} x {dtype} as",
        ):
            require_space(path, "a.jpg", features(None), dimension, dtype)
