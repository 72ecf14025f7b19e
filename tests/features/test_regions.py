"""Which regions of a photo are kept, and frames that keep the vertical."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from oracles import features as oracle

from handcraft.features.regions import CELLS, Regions, rotation, strongest, upright

WIDTH, HEIGHT = 400, 300

seeds = st.integers(0, 2**32 - 1)
angles = st.floats(-7, 7)


# --- the strongest ---


@st.composite
def found(draw: st.DrawFn) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Responses and places of regions: of either sign, with ties, some of them at one place."""
    count = draw(st.integers(0, 60))
    generator = np.random.default_rng(draw(seeds))
    largest = draw(st.sampled_from([3, 1000]))
    extent = draw(st.sampled_from([0, 5, 100, 1000]))
    responses = generator.integers(-largest, largest + 1, count).astype(float)
    return responses, generator.integers(0, extent + 1, (count, 2)) * [1.0, draw(st.sampled_from([0.1, 1]))]


@given(found(), st.integers(1, 70), st.booleans())
def test_the_strongest_are_those_of_plain_python(
    regions: tuple[NDArray[np.float64], NDArray[np.float64]], limit: int, spread: bool
) -> None:
    responses, places = regions
    rows = strongest(responses, places, limit, spread)
    assert rows.tolist() == oracle.strongest(responses.tolist(), places, limit, CELLS if spread else None)


def many(count: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Responses and places of regions; those on the left half of the photo are a hundred times as strong."""
    generator = np.random.default_rng(seed)
    places = generator.uniform(0, [WIDTH, HEIGHT], (count, 2))
    responses = generator.choice([-1, 1], count) * generator.uniform(1, 10, count)
    return np.where(places[:, 0] < WIDTH / 2, 100, 1) * responses, places


def test_no_part_of_the_photo_is_left_out_of_what_is_spread() -> None:
    responses, places = many(5000)
    cells = np.floor(places / (WIDTH / CELLS)).astype(int) @ [1, 100]
    assert len(set(cells)) == 12 * 9
    crowded, even = (strongest(responses, places, 600, spread) for spread in (False, True))
    assert places[crowded, 0].max() < WIDTH / 2
    counts = np.unique(cells[even], return_counts=True)[1]
    assert len(counts) == 12 * 9
    assert counts.min() >= 4
    assert counts.max() <= 8  # the grid starts at the first place, not at the corner of the photo


def test_every_cell_gives_its_strongest_first() -> None:
    responses = np.array([9, 8, 7, -6, 5, 4.0, 3])
    places = np.array([[0, 0], [1, 0], [2, 0], [112, 0], [113, 0], [60, 50], [132, 1]], float)
    turns = [[0], [0, 3], [0, 3, 5], [0, 3, 5, 6], [0, 1, 3, 5, 6], [0, 1, 3, 4, 5, 6]]
    for limit, rows in enumerate(turns, start=1):
        assert strongest(responses, places, limit, spread=True).tolist() == rows


@pytest.mark.parametrize("spread", [False, True])
def test_the_order_of_the_regions_does_not_matter(spread: bool) -> None:
    responses, places = many(1000)
    shuffled = np.random.default_rng(1).permutation(1000)
    rows = strongest(responses, places, 200, spread)
    assert (np.diff(np.abs(responses[rows])) <= 0).all()
    again = strongest(responses[shuffled], places[shuffled], 200, spread)
    np.testing.assert_array_equal(shuffled[again], rows)
    np.testing.assert_array_equal(strongest(responses, places, 200, spread), rows)


def test_regions_keep_their_rows_together() -> None:
    responses, places = many(300)
    frames = np.zeros((300, 2, 3))
    frames[:, :, 2] = places
    frames[:, 0, 0] = responses
    regions = Regions(frames, responses)
    assert len(regions) == 300
    for spread in (False, True):
        kept = regions.strongest(50, spread)
        rows = strongest(responses, places, 50, spread)
        np.testing.assert_array_equal(kept.frames, frames[rows])
        np.testing.assert_array_equal(kept.responses, responses[rows])
    weak = np.abs(responses) < 5
    np.testing.assert_array_equal(regions.chosen(weak).frames, regions.chosen(np.flatnonzero(weak)).frames)
    np.testing.assert_array_equal(regions.chosen(weak).responses, responses[weak])


# --- upright ---


def shapes(seed: int, count: int = 20) -> NDArray[np.float64]:
    """Matrices (n, 2, 2) of axes up to 20 times as long as each other, some of them mirrored."""
    generator = np.random.default_rng(seed)
    turns = [rotation(angle) for angle in generator.uniform(0, 7, (2, count)).ravel()]
    axes = [np.diag(generator.choice([-1, 1], 2) * generator.uniform(1, 20, 2)) for _ in range(count)]
    return np.stack(
        [one @ axis @ other for one, axis, other in zip(turns, axes, turns[count:], strict=False)]
    )


def test_rotations_go_from_x_towards_y() -> None:
    np.testing.assert_allclose(rotation(np.pi / 2) @ [1, 0], [0, 1], atol=1e-12)
    np.testing.assert_allclose(rotation(0.3) @ rotation(0.5), rotation(0.8))


@given(seeds, angles)
def test_upright_is_the_same_ellipse(seed: int, direction: float) -> None:
    linear = shapes(seed)
    held = upright(linear, direction)
    expected = linear @ linear.transpose(0, 2, 1)
    np.testing.assert_allclose(held @ held.transpose(0, 2, 1), expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(held), np.abs(np.linalg.det(linear)), rtol=1e-6)


@given(seeds)
def test_upright_keeps_the_vertical(seed: int) -> None:
    held = upright(shapes(seed))
    assert (held[:, 0, 1] == 0).all()
    assert (held[:, [0, 1], [0, 1]] > 0).all()
    np.testing.assert_allclose(upright(held), held, rtol=1e-6, atol=1e-6)


@given(seeds, angles)
def test_upright_at_a_direction_is_upright_in_the_photo_turned_back(seed: int, direction: float) -> None:
    linear = shapes(seed)
    expected = rotation(direction) @ upright(rotation(-direction) @ linear)
    np.testing.assert_allclose(upright(linear, direction), expected, rtol=1e-6, atol=1e-6)
    down = upright(linear, direction)[:, :, 1]  # where the photo's vertical is, turned from x towards y
    np.testing.assert_allclose(down @ rotation(direction)[:, 0], 0, atol=1e-6)


def test_no_regions() -> None:
    none = Regions(np.empty((0, 2, 3)), np.empty(0))
    assert len(none) == len(none.strongest(5, spread=True)) == len(none.strongest(5, spread=False)) == 0
    assert upright(none.frames[:, :, :2], 0.3).shape == (0, 2, 2)
