"""The loops behind Hessian-affine regions, each against plain Python."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from oracles import features as oracle

from handcraft.features._kernels import (
    adapt_shapes,
    axis_ratio,
    describe_patches,
    find_extrema,
    fit_parabola,
    hessian_response,
    patch_gradients,
    patch_orientations,
    refine_extrema,
    sample_patches,
    sample_window,
    second_moments,
    vote_gradients,
    whiten,
    window_inside,
)

SIDE = 41  # pixels of a patch
EDGE_LIMIT = 12.1  # (r + 1)²/r of a ratio r = 10 of curvatures

seeds = st.integers(0, 2**32 - 1)
sides = st.integers(3, 12)


def noise(seed: int, *shape: int) -> NDArray[np.float32]:
    """Grey levels drawn from a seed."""
    return np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32)


# --- the response and its extrema ---


@given(seeds, sides, sides, st.floats(0.1, 100))
def test_the_response_is_the_determinant_of_the_hessian(
    seed: int, height: int, width: int, factor: float
) -> None:
    image, response = noise(seed, height, width), np.zeros((height, width), np.float32)
    hessian_response(image, factor, response)
    expected = factor * oracle.hessian_determinant(image)
    np.testing.assert_allclose(response, expected, atol=1e-5 * 1020**2 * factor)


@given(seeds, st.integers(0, 7), st.integers(1, 3))
def test_extrema_surpass_their_26_neighbours(seed: int, threshold: int, border: int) -> None:
    # Few values, so that there are ties: an equal neighbour does not surpass.
    levels = np.random.default_rng(seed).integers(-9, 10, (3, 12, 10)).astype(np.float32)
    pixels = np.full((150, 2), -1, np.int32)
    found = find_extrema(*levels, threshold, border, pixels)
    assert list(map(tuple, pixels[:found].tolist())) == oracle.extrema(levels, threshold, border)
    assert (pixels[found:] == -1).all()


def test_extrema_without_room_are_counted_and_not_written() -> None:
    levels = noise(0, 3, 30, 30)
    everything, few = np.zeros((900, 2), np.int32), np.full((5, 2), -1, np.int32)
    found = find_extrema(*levels, 1, 1, everything)
    assert found > 5
    assert find_extrema(*levels, 1, 1, few[:3]) == found
    np.testing.assert_array_equal(few[:3], everything[:3])
    assert (few[3:] == -1).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_equal_neighbours_are_two_extrema_at_one_place(sign: int) -> None:
    """Of two equal pixels neither surpasses the other; both stay in the list, and are fitted alike."""
    y, x = np.mgrid[:11, :12]
    levels = np.stack([sign * (scale - (x - 5.5) ** 2 - (y - 5) ** 2) for scale in (99, 100, 99)])
    levels = levels.astype(np.float32)
    pixels = np.zeros((9, 2), np.int32)
    found = find_extrema(*levels, 10, 1, pixels)
    assert pixels[:found].tolist() == [[5, 5], [5, 6]]
    refined = np.zeros((9, 4))
    kept = refine_extrema(*levels, pixels[:found], 10, EDGE_LIMIT, 1, np.empty(5), refined)
    np.testing.assert_allclose(refined[:kept], [[5.5, 5, 0, sign * 100]] * 2, atol=1e-9)


def test_a_plateau_is_an_extremum_in_every_pixel() -> None:
    levels = np.full((3, 6, 7), 50, np.float32)
    assert find_extrema(*levels, 10, 1, np.zeros((30, 2), np.int32)) == 4 * 5
    assert find_extrema(*levels, 50, 1, np.zeros((30, 2), np.int32)) == 0  # not above the threshold


@st.composite
def quadratics(draw: st.DrawFn) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """The Hessian, the place of the extremum and its value of a quadratic in x, y and scale."""
    generator = np.random.default_rng(draw(seeds))
    turn = np.linalg.qr(generator.normal(size=(3, 3)))[0]
    sign = draw(st.sampled_from([-1, 1]))
    hessian = sign * turn @ np.diag(generator.uniform(1, 10, 3)) @ turn.T
    return hessian, generator.uniform(-0.6, 0.6, 3), -sign * generator.uniform(100, 200)


def sampled(
    hessian: NDArray[np.float64],
    place: NDArray[np.float64],
    value: float,
    middle: tuple[int, int] = (1, 1),
    shape: tuple[int, int] = (3, 3),
) -> NDArray[np.float64]:
    """(3, *shape): a quadratic with its extremum at `place`, x, y and scale, from the middle."""
    scale, y, x = np.mgrid[-1:2, : shape[0], : shape[1]].astype(float)
    offsets = np.stack([x - middle[1], y - middle[0], scale], axis=-1) - place
    return value + 0.5 * np.einsum("...i,ij,...j", offsets, hessian, offsets)


@given(quadratics())
def test_the_extremum_of_a_quadratic_is_found_exactly(
    quadratic: tuple[NDArray[np.float64], NDArray[np.float64], float],
) -> None:
    hessian, place, value = quadratic
    offsets = np.zeros(5)
    assert fit_parabola(*sampled(hessian, place, value), 1, 1, offsets)
    np.testing.assert_allclose(offsets[:3], place, atol=1e-9)
    assert offsets[3] == pytest.approx(value, rel=1e-9)
    small, large = sorted(np.linalg.eigvalsh(hessian[:2, :2]), key=abs)
    ratio = large / small
    assert offsets[4] == pytest.approx((ratio + 1) ** 2 / ratio, rel=1e-6)


def test_a_saddle_in_space_has_a_negative_ratio() -> None:
    offsets = np.zeros(5)
    assert fit_parabola(*sampled(np.diag([2.0, -1.0, 1.0]), np.zeros(3), 5.0), 1, 1, offsets)
    assert offsets[4] == pytest.approx(1 / -2)  # (2 − 1)² / (2 · −1)


@pytest.mark.parametrize("hessian", [np.zeros((3, 3)), np.diag([1.0, 0.0, 1.0]), np.diag([1.0, 1.0, 0.0])])
def test_a_ridge_has_no_extremum(hessian: NDArray[np.float64]) -> None:
    offsets = np.full(5, np.inf)
    assert not fit_parabola(*sampled(hessian, np.zeros(3), 5.0), 1, 1, offsets)
    assert np.isinf(offsets).all()


def refine(
    levels: NDArray[np.float64], pixel: tuple[int, int], threshold: float = 10.0, border: int = 1
) -> NDArray[np.float64]:
    """What is left of one extremum, (0 or 1, 4)."""
    refined = np.zeros((1, 4))
    pixels = np.array([pixel], np.int32)
    kept = refine_extrema(*levels, pixels, threshold, EDGE_LIMIT, border, np.empty(5), refined)
    return refined[:kept]


def test_an_extremum_moves_to_where_it_is() -> None:
    place = np.array([2.3, -1.4, 0.2])
    levels = sampled(-np.eye(3), place, 50.0, middle=(6, 5), shape=(13, 11))
    np.testing.assert_allclose(refine(levels, (6, 5)), [[7.3, 4.6, 0.2, 50]], atol=1e-9)


def test_an_extremum_moves_five_times_and_is_then_near_enough_at_one_and_a_half() -> None:
    for away, kept in ((0.4, True), (4.9, True), (6.4, True), (6.6, False)):
        for axis, sign in ((0, 1), (0, -1), (1, 1), (1, -1)):
            place = np.zeros(3)
            place[axis] = sign * away
            left = refine(sampled(-np.eye(3), place, 50.0, (10, 10), (21, 21)), (10, 10))
            assert len(left) == kept
            np.testing.assert_allclose(left[:, :2] - place[:2], 10, atol=1e-9)
    both = np.array([6.4, -6.4, 1.4])  # the two move at once
    assert len(refine(sampled(-np.eye(3), both, 50.0, (10, 10), (21, 21)), (10, 10))) == 1


@pytest.mark.parametrize(
    ("hessian", "place", "value"),
    [
        (-np.eye(3), [0.0, 0.0, 0.0], 9.0),  # weak
        (np.eye(3), [0.0, 0.0, 0.0], -9.0),
        (-np.eye(3), [0.0, 0.0, 1.6], 50.0),  # of another scale
        (-np.eye(3), [0.0, 9.0, 0.0], 500.0),  # further than five moves
        (-np.eye(3), [4.7, 0.0, 0.0], 500.0),  # within the border
        (-np.diag([1.0, 10.5, 1.0]), [0.0, 0.0, 0.0], 50.0),  # an edge
        (np.diag([1.0, -1.5, 1.0]), [0.0, 0.0, 0.0], 50.0),  # a saddle
    ],
)
def test_a_bad_extremum_is_dropped(hessian: NDArray[np.float64], place: list[float], value: float) -> None:
    levels = sampled(hessian, np.array(place), value, middle=(4, 5), shape=(20, 11))
    assert len(refine(levels, (4, 5))) == 0


def test_a_good_extremum_at_the_same_place_is_kept() -> None:
    for sign in (1, -1):
        levels = sampled(
            -sign * np.diag([1.0, 9.5, 1.0]), np.array([0.5, 0, 0.5]), sign * 50, (4, 5), (20, 11)
        )
        np.testing.assert_allclose(refine(levels, (4, 5)), [[5.5, 4, 0.5, sign * 50]], atol=1e-9)


# --- sampling ---


@st.composite
def windows(draw: st.DrawFn) -> tuple[float, float, NDArray[np.float64], int]:
    """x, y, the step and the size of a window, in or about an image of 20 x 30."""
    size = draw(st.sampled_from([1, 3, 5, 7]))
    step = np.array(draw(st.lists(st.floats(-2, 2), min_size=4, max_size=4))).reshape(2, 2)
    return draw(st.floats(-3, 33)), draw(st.floats(-3, 23)), step, size


@given(windows(), seeds)
def test_a_window_is_sampled_bilinearly_and_the_border_is_repeated(
    window: tuple[float, float, NDArray[np.float64], int], seed: int
) -> None:
    x, y, step, size = window
    image, pixels = noise(seed, 20, 30), np.full((size, size), -1, np.float32)
    sample_window(image, x, y, *step.ravel(), pixels)
    np.testing.assert_allclose(pixels, oracle.window(image, x, y, step, size), atol=0.01)


@given(windows())
def test_whether_a_window_lies_in_the_image(window: tuple[float, float, NDArray[np.float64], int]) -> None:
    x, y, step, size = window
    inside = window_inside(np.empty((20, 30), np.float32), x, y, *step.ravel(), size // 2)
    assert inside == oracle.window_fits((20, 30), x, y, step, size)


@pytest.mark.parametrize(("place", "inside"), [(-0.001, False), (0.0, True), (6.999, True), (7.0, False)])
def test_the_last_line_of_pixels_is_outside(place: float, inside: bool) -> None:
    image, step = noise(0, 8, 8), (1.0, 0.0, 0.0, 1.0)
    assert window_inside(image, place, 3.0, *step, 0) == inside
    assert window_inside(image, 3.0, place, *step, 0) == inside


def test_every_patch_is_a_window_of_its_own_and_goes_to_its_row() -> None:
    image = noise(1, 40, 50)
    generator = np.random.default_rng(2)
    places, steps = generator.uniform(-5, 55, (60, 2)), generator.normal(size=(60, 2, 2))
    rows = generator.permutation(90)[:60]
    patches = np.full((90, 9, 9), -1, np.float32)
    sample_patches(image, places, steps, rows, patches)
    for (x, y), step, row in zip(places, steps, rows, strict=True):
        np.testing.assert_allclose(patches[row], oracle.window(image, x, y, step, 9), atol=0.01)
    assert (patches[np.setdiff1d(np.arange(90), rows)] == -1).all()


def test_an_image_of_2_x_2_pixels_is_enough_for_a_patch() -> None:
    image, patches = np.array([[0, 10], [20, 30]], np.float32), np.empty((1, 3, 3), np.float32)
    sample_patches(image, np.full((1, 2), 0.5), np.eye(2)[None], np.array([0]), patches)
    np.testing.assert_allclose(patches[0], [[0, 5, 10], [10, 15, 20], [20, 25, 30]])


# --- shape ---


def matrix(moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """xx, xy, yy as a symmetric matrix."""
    return np.array([[moments[0], moments[1]], [moments[1], moments[2]]])


@given(seeds, sides)
def test_second_moments_are_those_of_the_weighted_gradients(seed: int, side: int) -> None:
    window, mask = noise(seed, side, side), noise(seed + 1, side, side) / 255
    moments = np.empty(3)
    second_moments(window, mask, moments)
    expected = oracle.second_moments(window, mask)
    np.testing.assert_allclose(matrix(moments), expected, rtol=1e-4, atol=1e-5 * np.trace(expected))


@given(seeds, st.floats(0, 2.5), st.floats(-3, 3))
def test_whitening_is_the_inverse_square_root(seed: int, spread: float, size: float) -> None:
    generator = np.random.default_rng(seed)
    turn = np.linalg.qr(generator.normal(size=(2, 2)))[0]
    moments = 10**size * turn @ np.diag([1, 10**-spread]) @ turn.T
    before = generator.normal(size=(2, 2))
    before /= np.sqrt(abs(np.linalg.det(before)))
    shape = before.copy()
    anisotropy = whiten(shape, moments[[0, 0, 1], [0, 1, 1]])
    assert anisotropy == pytest.approx(1 - 10**-spread, abs=1e-6)
    assert abs(np.linalg.det(shape)) == pytest.approx(1, rel=1e-6)
    root = oracle.inverse_square_root(moments)
    np.testing.assert_allclose(shape, before @ root, rtol=1e-6, atol=1e-6 * np.abs(before).max())
    whitening = np.linalg.solve(before, shape)  # in its coordinates the moments are those of a circle
    isotropic = whitening.T @ moments @ whitening
    np.testing.assert_allclose(isotropic / (np.trace(isotropic) / 2), np.eye(2), atol=1e-3)


@pytest.mark.parametrize("moments", [[0, 0, 0], [1, 0, 0], [1, 1, 1], [1, 2, 1], [-1, 0, -1]])
def test_moments_that_are_not_positive_leave_the_shape(moments: list[float]) -> None:
    shape = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert whiten(shape, np.array(moments, float)) == 1
    np.testing.assert_array_equal(shape, [[1, 2], [3, 4]])


@given(seeds)
def test_the_axis_ratio_is_that_of_the_singular_values(seed: int) -> None:
    shape = np.random.default_rng(seed).normal(size=(2, 2))
    large, small = np.linalg.svd(shape)[1]
    assert axis_ratio(shape) == pytest.approx(large / small, rel=1e-6)


def test_the_axis_ratio_of_a_turn_and_of_a_line() -> None:
    assert axis_ratio(np.array([[0.6, -0.8], [0.8, 0.6]])) == pytest.approx(1)
    assert axis_ratio(np.array([[1.0, 2.0], [2.0, 4.0]])) == np.inf
    assert axis_ratio(np.zeros((2, 2))) == np.inf


def adapt(
    image: NDArray[np.float32], x: float, y: float, **changed: float
) -> tuple[NDArray[np.float64], bool]:
    """The shape of one region, and whether it is kept."""
    options = {"iterations": 16, "convergence": 0.05, "largest_ratio": 6.0} | changed
    shapes, kept = np.empty((1, 2, 2)), np.empty(1, np.bool_)
    adapt_shapes(
        image,
        np.array([[x, y, 1.0]]),
        weight(19, 3),
        options["iterations"],
        options["convergence"],
        options["largest_ratio"],
        np.empty((19, 19), np.float32),
        np.empty(3),
        shapes,
        kept,
    )
    return shapes[0], bool(kept[0])


def ellipse(across: float, down: float) -> NDArray[np.float32]:
    """A Gaussian spot in the middle of 81 x 81 pixels."""
    y, x = np.mgrid[:81, :81] - 40.0
    return (200 * np.exp(-(x**2) / (2 * across**2) - y**2 / (2 * down**2))).astype(np.float32)


def test_a_spot_is_adapted_to_its_own_shape() -> None:
    shape, kept = adapt(ellipse(9, 4.5), 40, 40)
    assert kept
    np.testing.assert_allclose(shape, np.diag([2**0.5, 2**-0.5]), rtol=0.03, atol=1e-3)
    shape, kept = adapt(ellipse(6, 6), 40, 40)
    assert kept
    np.testing.assert_allclose(shape, np.eye(2), atol=1e-3)


def test_regions_that_cannot_be_adapted_are_not_kept() -> None:
    spot = ellipse(9, 4.5)
    assert not adapt(spot, 8.9, 40)[1]  # outside
    assert not adapt(spot, 40, 40, largest_ratio=1.5)[1]
    assert not adapt(spot, 40, 40, iterations=1)[1]
    assert not adapt(np.zeros((81, 81), np.float32), 40, 40)[1]
    stripe = np.repeat(ellipse(3, 3)[40:41], 81, axis=0)
    assert not adapt(stripe, 40, 40)[1]


def test_an_isotropic_region_has_converged_in_the_second_iteration() -> None:
    assert not adapt(ellipse(6, 6), 40, 40, iterations=1)[1]
    assert adapt(ellipse(6, 6), 40, 40, iterations=2)[1]


def test_a_region_has_converged_when_it_was_isotropic_enough_twice_in_a_row() -> None:
    image, mask, enough = noise(3, 50, 60), weight(7, 2), 0.2
    places = np.random.default_rng(4).uniform((15, 15), (45, 35), (40, 2))
    places = np.column_stack([places, np.full(40, 1.5)])
    shapes, kept = np.empty((40, 2, 2)), np.empty(40, np.bool_)
    work = np.empty((7, 7), np.float32), np.empty(3)
    adapt_shapes(image, places, mask, 10, enough, 6.0, *work, shapes, kept)
    interrupted = 0
    for place, shape, was_kept in zip(places, shapes, kept, strict=True):
        anisotropies, expected, end = oracle.adapted(image, *place, mask, 10, enough, 6.0)
        assert was_kept == (end == "converged")
        np.testing.assert_allclose(shape, expected, rtol=1e-3, atol=1e-3)
        near = [anisotropy < enough for anisotropy in anisotropies]
        interrupted += any(one and not other for one, other in itertools.pairwise(near))
    assert interrupted > 5  # isotropic enough once, and then not
    assert 20 < kept.sum() < 35


# --- gradients and orientations ---


def ramp(degrees: float, side: int = SIDE, slope: float = 2.0) -> NDArray[np.float32]:
    """A patch that grows brighter in one direction, from x towards y."""
    y, x = np.mgrid[:side, :side] - side // 2
    angle = np.deg2rad(degrees)
    return (slope * (x * np.cos(angle) + y * np.sin(angle))).astype(np.float32)


def gradients(
    patch: NDArray[np.float32], weights: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    magnitudes, angles = np.full(patch.shape, -1, np.float32), np.full(patch.shape, -1, np.float32)
    patch_gradients(patch, weights, magnitudes, angles)
    return magnitudes, angles


def test_angles_are_right_to_a_thousandth_of_an_eighth_all_around() -> None:
    for degrees in np.arange(0, 360, 1.5):
        patch = ramp(degrees, 3, slope=10 ** np.sin(degrees))
        magnitudes, angles = gradients(patch, np.ones((3, 3), np.float32))
        across, down = oracle.gradient(patch, 1, 1)
        expected = math.atan2(down, across) / (2 * math.pi) * 8
        assert abs((angles[1, 1] - expected + 4) % 8 - 4) < 0.001
        assert 0 <= angles[1, 1] <= 8
        assert magnitudes[1, 1] == pytest.approx(math.hypot(across, down), rel=1e-5)


@given(seeds)
def test_gradients_of_any_patch(seed: int) -> None:
    patch, weights = noise(seed, 7, 7), noise(seed + 1, 7, 7) / 255
    magnitudes, angles = gradients(patch, weights)
    for y in range(1, 6):
        for x in range(1, 6):
            across, down = oracle.gradient(patch, y, x)
            turn = angles[y, x] - math.atan2(down, across) / (2 * math.pi) * 8
            assert abs((turn + 4) % 8 - 4) < 0.001
            assert magnitudes[y, x] == pytest.approx(weights[y, x] * math.hypot(across, down), rel=1e-4)
    for border in (magnitudes[0], magnitudes[-1], angles[:, 0], angles[:, -1]):
        assert (border == -1).all()


def orientations(
    *patches: NDArray[np.float32], share: float = 0.8, weights: NDArray[np.float32] | None = None
) -> NDArray[np.float64]:
    """Degrees, 0 to 360, two of each patch; NaN where there is none."""
    found = np.empty((len(patches), 2))
    work = (np.empty((SIDE, SIDE), np.float32) for _ in range(2))
    bins = (np.empty(36, np.float32) for _ in range(2))
    patch_orientations(
        np.stack(patches), weight() if weights is None else weights, share, *work, *bins, found
    )
    return np.rad2deg(found) % 360


def weight(side: int = SIDE, sigma: float = 2 / 3 * (SIDE // 2)) -> NDArray[np.float32]:
    """The Gaussian weights of a window's gradients."""
    line = np.exp(-((np.arange(side) - side // 2) ** 2) / (2 * sigma**2))
    return np.outer(line, line).astype(np.float32)


def apart(degrees: float | NDArray[np.float64], other: float) -> NDArray[np.float64]:
    """Degrees between two directions."""
    return np.asarray(np.abs((degrees - other + 180) % 360 - 180))


def test_gradients_of_one_direction_give_this_direction() -> None:
    degrees = np.arange(0, 360, 7.0)
    found = orientations(*(ramp(angle) for angle in degrees))
    assert np.isnan(found[:, 1]).all()
    for angle, (first, _) in zip(degrees, found, strict=True):
        assert apart(first, angle) < 1


def halves(upper: NDArray[np.float32], lower: NDArray[np.float32], share: float) -> tuple[float, float]:
    """The orientations of a patch of two halves; the rows about the seam count for nothing."""
    middle = SIDE // 2
    weights = weight()
    weights[middle - 1 : middle + 2] = 0
    patch = np.concatenate([upper[: middle + 1], lower[middle + 1 :]])
    first, second = orientations(patch, share=share, weights=weights)[0]
    return first, second


@pytest.mark.parametrize(("one", "other"), [(0, 90), (0, 180), (37, 151), (350, 200)])
def test_gradients_of_two_directions_give_both_the_stronger_first(one: float, other: float) -> None:
    for strong, weak in ((one, other), (other, one)):
        for pair in ((ramp(strong, slope=2), ramp(weak, slope=1.7)), (ramp(weak, slope=1.7), ramp(strong))):
            first, second = halves(*pair, share=0.5)
            assert apart(first, strong) < 1
            assert apart(second, weak) < 1


def test_a_second_direction_that_is_too_weak_is_left_out() -> None:
    strong, weak = ramp(0), ramp(180, slope=1)
    assert np.isnan(halves(strong, weak, share=0.8)[1])
    assert not np.isnan(halves(strong, weak, share=0.3)[1])


def test_a_patch_without_gradients_has_the_orientation_0() -> None:
    found = orientations(np.full((SIDE, SIDE), 77, np.float32), ramp(90))
    assert found[0, 0] == 0
    assert np.isnan(found[0, 1])
    assert apart(found[1, 0], 90) < 1


# --- SIFT ---


def bins() -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The lower bin of each row or column, from 1, and its share in the upper one."""
    positions = (np.arange(SIDE) + 0.5) / SIDE * 4 - 0.5
    return np.floor(positions).astype(np.int64) + 1, (positions % 1).astype(np.float32)


def test_votes_are_shared_out_trilinearly() -> None:
    patch = noise(0, SIDE, SIDE)
    histogram = np.full((6, 6, 8), np.nan, np.float32)
    vote_gradients(*gradients(patch, weight()), *bins(), histogram)
    expected = oracle.sift_votes(patch, weight())
    np.testing.assert_allclose(histogram[1:-1, 1:-1], expected, rtol=1e-2, atol=1e-3 * expected.max())


def test_no_vote_is_lost_but_to_the_margin() -> None:
    magnitudes, angles = gradients(noise(5, SIDE, SIDE), weight())
    histogram = np.empty((6, 6, 8), np.float32)
    vote_gradients(magnitudes, angles, *bins(), histogram)
    assert histogram.sum() == pytest.approx(magnitudes[1:-1, 1:-1].sum(), rel=1e-4)


@pytest.mark.parametrize("clip", [0.05, 1.0])
def test_descriptors_are_sift(clip: float) -> None:
    patches = np.stack([noise(7, SIDE, SIDE), np.zeros((SIDE, SIDE), np.float32)])
    descriptors = np.full((2, 128), -1, np.float32)
    work = (np.empty((SIDE, SIDE), np.float32) for _ in range(2))
    describe_patches(patches, weight(), *bins(), clip, *work, np.empty((6, 6, 8), np.float32), descriptors)
    for patch, descriptor in zip(patches, descriptors, strict=True):
        expected = oracle.sift(patch, weight(), clip)
        np.testing.assert_allclose(descriptor, expected, rtol=1e-2, atol=1e-3 * expected.max())
