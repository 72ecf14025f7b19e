"""Panels: centroids go in and come out, and their costs are squared distances less a centring."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from oracles import vocabulary as oracle

from handcraft.vocabulary.panels import Panels, centring, to_rows

Values = int | Sequence[int]

DTYPES = st.sampled_from(["uint8", "float32"])
COUNTS = st.integers(1, 50)
DIMENSIONS = st.integers(1, 9) | st.just(128)
# Extreme values overflow what is too narrow, and each sign of a byte.
VALUES = st.sampled_from([(0, 255), (0, 127, 128, 255), range(256)])


def several(
    count: int, dimension: int, dtype: str, values: Values = 256, seed: int = 0
) -> NDArray[np.generic]:
    """(count, dimension) numbers of these values."""
    return np.random.default_rng(seed).choice(values, (count, dimension)).astype(dtype)


def costs(points: NDArray[np.generic], panels: Panels) -> NDArray[np.float64]:
    """(n, 16·p) what the kernels compare: ‖c‖² − 2·x·c' of each point and lane."""
    rows = to_rows(points).astype(float)
    lanes = panels.values.swapaxes(1, 2).reshape(len(panels.norms), -1).astype(float)
    return panels.norms - 2 * rows @ lanes.T


def exact_distances(points: NDArray[np.generic], centroids: NDArray[np.generic]) -> list[list[float]]:
    plain = points.astype(float).tolist(), centroids.astype(float).tolist()
    return [[oracle.squared_distance(point, centroid) for centroid in plain[1]] for point in plain[0]]


@given(count=COUNTS, dimension=DIMENSIONS, dtype=DTYPES, seed=st.integers(0, 99))
def test_what_goes_in_comes_out(count: int, dimension: int, dtype: str, seed: int) -> None:
    centroids = several(count, dimension, dtype, seed=seed)
    out = Panels.of(centroids).centroids(np.arange(count), dimension)
    assert out.dtype == dtype
    np.testing.assert_array_equal(out, centroids)


@given(count=COUNTS, dtype=DTYPES, data=st.data())
def test_centroids_come_out_in_the_order_asked_for(count: int, dtype: str, data: st.DataObject) -> None:
    numbers = np.array(data.draw(st.lists(st.integers(0, count - 1), max_size=20)), np.int64)
    centroids = several(count, 6, dtype)
    np.testing.assert_array_equal(Panels.of(centroids).centroids(numbers, 6), centroids[numbers])


def test_all_fractions_of_float_centroids_come_out() -> None:
    centroids = np.random.default_rng(0).normal(size=(19, 7)).astype(np.float32)
    np.testing.assert_array_equal(Panels.of(centroids).centroids(np.arange(19), 7), centroids)


@given(count=COUNTS, dimension=DIMENSIONS, dtype=DTYPES)
def test_no_centroid_is_farther_than_any(count: int, dimension: int, dtype: str) -> None:
    panels = Panels.of(several(count, dimension, dtype))
    largest = np.iinfo(np.int32).max if dtype == "uint8" else np.inf
    assert (panels.norms[count:] == largest).all()
    assert (panels.norms[:count] < largest).all()
    assert len(panels.norms) == 16 * -(-count // 16)
    missing = panels.values.swapaxes(1, 2).reshape(len(panels.norms), -1)[count:]
    assert not missing.any()


@settings(max_examples=60)
@given(count=st.integers(1, 20), dimension=DIMENSIONS, values=VALUES, seed=st.integers(0, 99))
def test_cost_and_centring_of_bytes_are_the_squared_distance(
    count: int, dimension: int, values: Values, seed: int
) -> None:
    centroids = several(count, dimension, "uint8", values, seed)
    points = several(5, dimension, "uint8", values, seed + 1)
    found = costs(points, Panels.of(centroids))[:, :count] + centring(points)[:, None]
    assert found.tolist() == exact_distances(points, centroids)


def test_the_farthest_bytes_have_an_exact_distance() -> None:
    ends = np.array([[0] * 128, [255] * 128, [128] * 128], np.uint8)
    found = costs(ends, Panels.of(ends))[:, :3] + centring(ends)[:, None]
    assert found.tolist() == [
        [0, 128 * 255**2, 128 * 128**2],
        [128 * 255**2, 0, 128 * 127**2],
        [128 * 128**2, 128 * 127**2, 0],
    ]


@settings(max_examples=60)
@given(count=st.integers(1, 20), dimension=DIMENSIONS, seed=st.integers(0, 99))
def test_cost_and_centring_of_floats_are_nearly_the_squared_distance(
    count: int, dimension: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    centroids = generator.normal(size=(count, dimension)).astype(np.float32)
    points = generator.normal(size=(5, dimension)).astype(np.float32)
    found = costs(points, Panels.of(centroids))[:, :count] + centring(points)[:, None]
    np.testing.assert_allclose(found, exact_distances(points, centroids), rtol=1e-4, atol=1e-5 * dimension)


@pytest.mark.parametrize(("dtype", "number"), [("uint8", np.int32), ("float32", np.float32)])
def test_costs_are_of_one_type(dtype: str, number: type[np.number]) -> None:
    descriptors = several(20, 5, dtype)
    assert Panels.of(descriptors).norms.dtype == number
    assert centring(descriptors).dtype == number


@given(count=COUNTS, dimension=DIMENSIONS, dtype=DTYPES)
def test_rows_are_as_long_as_the_centroids_of_a_panel(count: int, dimension: int, dtype: str) -> None:
    descriptors = several(2 * count, 2 * dimension, dtype)[::2, ::2]
    rows = to_rows(descriptors)
    values = Panels.of(descriptors).values
    assert rows.shape == (count, values.shape[1] * values.shape[3])
    assert rows.flags.c_contiguous
    assert rows.dtype == dtype
    np.testing.assert_array_equal(rows[:, :dimension], descriptors)
    assert not rows[:, dimension:].any()


# --- what cannot be the panels of some centroids ---


@given(count=COUNTS, dimension=DIMENSIONS, dtype=DTYPES)
def test_panels_fit_their_own_centroids(count: int, dimension: int, dtype: str) -> None:
    panels = Panels.of(several(count, dimension, dtype))
    assert panels.fit(count, dimension, dtype)
    full = 16 * -(-count // 16)  # how many lanes of the last panel are taken cannot be seen
    assert panels.fit(full, dimension, np.dtype(dtype))
    assert not panels.fit(full + 1, dimension, dtype)
    assert not panels.fit(full - 16, dimension, dtype)


@pytest.mark.parametrize(
    ("dtype", "fitting", "others"), [("uint8", (5, 8), (4, 9)), ("float32", (8,), (7, 9))]
)
def test_panels_do_not_fit_another_dimension(
    dtype: str, fitting: tuple[int, ...], others: tuple[int, ...]
) -> None:
    panels = Panels.of(several(20, 8, dtype))
    assert all(panels.fit(20, dimension, dtype) for dimension in fitting)
    assert not any(panels.fit(20, dimension, dtype) for dimension in others)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_panels_do_not_fit_another_type(dtype: str) -> None:
    panels = Panels.of(several(20, 8, dtype))
    for other in {"uint8", "float32", "int8", "int32", "float64", "float16"} - {dtype}:
        assert not panels.fit(20, 8, other)
        assert not panels.fit(20, 2, other)  # where a float32 centroid is as long as four bytes


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_arrays_of_another_type_do_not_fit(dtype: str) -> None:
    panels = Panels.of(several(20, 8, dtype))
    for other in ("uint8", "int32", "float64"):
        assert not Panels(panels.values.astype(other), panels.norms).fit(20, 8, dtype)
    for other in ("int64", "uint32", "float64"):
        assert not Panels(panels.values, np.zeros(32, other)).fit(20, 8, dtype)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_arrays_of_another_shape_do_not_fit(dtype: str) -> None:
    panels = Panels.of(several(20, 8, dtype))
    values, norms = panels.values, panels.norms
    for wrong in (values[:1], values[:, :1], values[:, :, :15], values[..., :0], values[0], values[None]):
        assert not Panels(wrong, norms).fit(20, 8, dtype)
    for wrong_norms in (norms[:20], norms[:16], norms[:0], norms[None], np.concatenate([norms, norms])):
        assert not Panels(values, wrong_norms).fit(20, 8, dtype)
