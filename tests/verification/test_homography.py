"""Homographies of verified matches: planes at a slant are precise, anything else stays what it was."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from oracles import verification as oracle

from handcraft.options import VerificationOptions
from handcraft.types import Features, Match, RegionOfInterest
from handcraft.verification._kernels import CORNERS as DETERMINING
from handcraft.verification._kernels import LEVELS, fit_homography, projection_errors, solve_positive
from handcraft.verification.spatial import project, verify_pairs

Floats = NDArray[np.float64]
SIZE = (800, 600)
LONG = max(SIZE)
DEFAULT = VerificationOptions()
CORNERS = np.array([[0, 0], [800, 0], [800, 600], [0, 600]], np.float64) - 0.5
SLANTED = np.array([[0.8, 0.1, 60], [-0.05, 0.9, 40], [4e-4, 1e-4, 1]])  # half as large at the right
FLAT = np.array([[0.8, 0.3, 40], [-0.2, 0.9, 90], [0, 0, 1]])


def derivative(homography: Floats, point: Floats) -> Floats:
    """(2, 2), by differences."""
    steps = project(homography, point + np.array([[0, 0], [1e-4, 0], [0, 1e-4]]))
    return (steps[1:] - steps[0]).T / 1e-4


def two_views(
    seed: int, homography: Floats, true: int = 80, outliers: int = 80, noise: float = 0.5
) -> tuple[Features, Features]:
    """Frames of two photos; the first `true` are views of one plane, the others lie anywhere."""
    generator = np.random.default_rng(seed)
    frames = np.zeros((2, true + outliers, 2, 3))
    frames[:, :, 0, 0], frames[:, :, 1, 1] = np.exp(generator.uniform(2, 2.8, (2, 2, true + outliers)))
    frames[:, :, :, 2] = generator.uniform((0, 0), SIZE, (2, true + outliers, 2))
    inside = generator.uniform((50, 50), (750, 550), (true, 2))
    frames[0, :true, :, 2] = inside
    frames[1, :true, :, 2] = project(homography, inside) + generator.normal(0, noise, (true, 2))
    for row, point in enumerate(inside):
        wobble = np.eye(2) + generator.normal(0, 0.1, (2, 2))
        frames[1, row, :, :2] = wobble @ derivative(homography, point) @ frames[0, row, :, :2]
    none = np.zeros((true + outliers, 0), np.uint8)
    query, photo = (Features(side.astype(np.float32), none, *SIZE) for side in frames)
    return query, photo


def matched(
    views: tuple[Features, Features],
    options: VerificationOptions = DEFAULT,
    roi: RegionOfInterest | None = None,
) -> Match:
    rows = np.repeat(np.arange(len(views[0]), dtype=np.int32)[:, None], 2, axis=1)
    match = verify_pairs(*views, rows, np.linspace(1, 2, len(rows)), options, roi)
    assert match is not None
    return match


def error(homography: Floats, truth: Floats) -> float:
    """Pixels, at the corners, on average."""
    return float(np.linalg.norm(project(homography, CORNERS) - project(truth, CORNERS), axis=1).mean())


@pytest.mark.parametrize("seed", range(10))
def test_a_plane_at_a_slant_is_precise(seed: int) -> None:
    match = matched(two_views(seed, SLANTED))
    assert match.homography is not None
    assert error(match.homography, SLANTED) < 2 < 10 < error(np.vstack([match.affine, [0, 0, 1]]), SLANTED)
    assert match.inliers >= 70  # of 80
    assert match.certainty > match.evidence


def test_what_a_match_promises_holds() -> None:
    views = two_views(0, SLANTED)
    match = matched(views)
    assert match.homography is not None
    assert match.homography[2, 2] == 1
    assert match.region == pytest.approx(project(match.homography, CORNERS))
    off = np.linalg.norm(project(match.homography, match.query_points) - match.photo_points, axis=1)
    assert off.max() <= DEFAULT.inlier_tolerance * LONG
    for points, side in ((match.query_points, views[0]), (match.photo_points, views[1])):
        assert len({tuple(point) for point in points.tolist()}) == match.inliers
        assert np.abs(points[:, None] - side.centres).max(axis=2).min(axis=1).max() < 1e-3
    rows = np.abs(match.query_points[:, None] - views[0].centres).max(axis=2).argmin(axis=1)
    assert match.weight == pytest.approx(np.linspace(1, 2, 160)[rows].sum())


def test_a_precise_affine_map_is_left_as_it_is() -> None:
    for seed in range(10):
        match = matched(two_views(seed, FLAT))
        assert match.homography is None
        assert error(np.vstack([match.affine, [0, 0, 1]]), FLAT) < 2


def test_an_affine_map_that_errs_more_may_become_a_homography() -> None:
    found = [matched(two_views(seed, FLAT, noise=4.0)).homography for seed in range(20)]
    planes = [homography for homography in found if homography is not None]
    assert planes
    assert all(error(homography, FLAT) < 12 for homography in planes)


def test_the_certainty_is_that_of_the_inliers_beyond_four() -> None:
    for seed in range(4):
        views = two_views(seed, SLANTED, true=40, outliers=300, noise=1.5)
        match = matched(views)
        assert match.homography is not None
        others = len(views[0]) - DETERMINING + 1
        points = (match.query_points / LONG).tolist(), (match.photo_points / LONG).tolist()
        apart = oracle.apart(*points, DEFAULT.inlier_tolerance)
        certainties = [
            -math.log10(
                len(views[0])
                * LEVELS
                / others
                * oracle.false_alarms(
                    others,
                    apart - DETERMINING + 1,
                    DEFAULT.inlier_tolerance / 2**level,
                    1.0,
                    SIZE[1] / LONG,
                    1.0,  # upright frames are all turned alike
                )
            )
            for level in range(LEVELS)
        ]
        assert any(match.certainty == pytest.approx(certainty, rel=1e-3) for certainty in certainties)


def test_two_planes_keep_the_map_of_one() -> None:
    """What does not lie on one plane is not forced onto it."""
    views = two_views(3, SLANTED, true=60)
    other = two_views(4, FLAT, true=60)
    query, photo = (
        Features(np.concatenate([a.frames, b.frames]), np.concatenate([a.descriptors, b.descriptors]), *SIZE)
        for a, b in zip(views, other, strict=True)
    )
    match = matched((query, photo))
    found = np.vstack([match.affine, [0, 0, 1]]) if match.homography is None else match.homography
    assert min(error(found, SLANTED), error(found, FLAT)) < 3


def test_too_few_for_a_homography() -> None:
    loose = replace(DEFAULT, max_false_alarms=math.inf, hypothesis_tolerance=0.2)
    match = matched(two_views(0, FLAT, true=4, outliers=0), loose)
    assert match.homography is None
    assert match.certainty == 0


def test_points_on_a_line_determine_none() -> None:
    query, photo = two_views(0, FLAT, true=60, outliers=0, noise=0.0)
    frames = query.frames.copy(), photo.frames.copy()
    frames[0][:, 1, 2] = frames[0][:, 0, 2] / 2
    frames[1][:, :, 2] = project(FLAT, frames[0][:, :, 2].astype(np.float64))
    match = matched((replace(query, frames=frames[0]), replace(photo, frames=frames[1])))
    assert match.homography is None
    assert np.isfinite(match.region).all()


def test_no_horizon_crosses_the_region() -> None:
    """The right of the query is seen so small that further out there is nothing: no homography then."""
    steep = np.array([[0.6, 0, 100], [0, 0.6, 100], [-8e-4, 0, 1]])
    generator = np.random.default_rng(0)
    query, photo = two_views(0, FLAT, true=80, outliers=20)
    frames = query.frames.copy(), photo.frames.copy()
    frames[0][:80, :, 2] = generator.uniform((50, 50), (400, 550), (80, 2))
    frames[1][:80, :, 2] = project(steep, frames[0][:80, :, 2].astype(np.float64))
    for row in range(80):
        at = derivative(steep, frames[0][row, :, 2].astype(np.float64))
        frames[1][row, :, :2] = at @ frames[0][row, :, :2]
    views = replace(query, frames=frames[0], width=1600), replace(photo, frames=frames[1])
    beyond = matched(views)
    inside = matched(views, roi=RegionOfInterest(50, 50, 400, 550))
    assert beyond.homography is None
    assert inside.homography is not None


@pytest.mark.parametrize(
    "change", [{"max_relative_scale": 1.05}, {"max_relative_turn": 2.0}, {"max_anisotropy": 1.2}]
)
def test_the_limits_of_verification_hold_here_too(change: dict[str, float]) -> None:
    views = two_views(0, SLANTED)
    loose = replace(DEFAULT, max_false_alarms=math.inf)
    assert matched(views, replace(loose, **change)).inliers < matched(views, loose).inliers


# --- the kernels ---


def columns_of(query: Floats, photo: Floats) -> Floats:
    return np.ascontiguousarray(np.column_stack([query, photo]).T)


def fitted_to(points: Floats, start: Floats) -> Floats | None:
    fitted = np.empty(9)
    if not fit_homography(points, np.arange(points.shape[1]), start.ravel(), fitted):
        return None
    return fitted.reshape(3, 3)


@pytest.mark.parametrize("seed", range(5))
def test_a_homography_is_fitted_exactly_to_exact_points(seed: int) -> None:
    query = np.random.default_rng(seed).uniform(0, 1, (4 + seed, 2))
    truth = np.array([[0.9, 0.1, 0.2], [-0.2, 1.1, 0.3], [0.4, -0.3, 1]])
    found = fitted_to(columns_of(query, project(truth, query)), np.eye(3))
    assert found == pytest.approx(truth, abs=1e-7)


def test_steps_lead_to_the_least_squared_error() -> None:
    """No homography near by has a smaller one."""
    generator = np.random.default_rng(1)
    query = generator.uniform(0, 1, (50, 2))
    truth = np.array([[0.9, 0.1, 0.2], [-0.2, 1.1, 0.3], [0.4, -0.3, 1]])
    photo = project(truth, query) + generator.normal(0, 0.002, (50, 2))
    found = np.eye(3)
    for _ in range(6):
        better = fitted_to(columns_of(query, photo), found)
        assert better is not None
        found = better

    def squares(homography: Floats) -> float:
        return float(((project(homography, query) - photo) ** 2).sum())

    for step in generator.normal(0, 1e-3, (200, 3, 3)):
        step[2, 2] = 0
        assert squares(found) < 1.0001 * squares(found + step)


@pytest.mark.parametrize("count", [0, 3])
def test_fewer_than_four_points_fit_no_homography(count: int) -> None:
    query = np.random.default_rng(0).uniform(0, 1, (count, 2))
    assert fitted_to(columns_of(query, query), np.eye(3)) is None


def test_points_on_a_line_or_at_one_place_fit_no_homography() -> None:
    line = np.linspace(0, 1, 20)[:, None] * [[1.0, 2.0]]
    assert fitted_to(columns_of(line, line), np.eye(3)) is None
    one = np.zeros((20, 2))
    assert fitted_to(columns_of(one, line), np.eye(3)) is None


def test_solutions_are_those_of_numpy() -> None:
    generator = np.random.default_rng(0)
    for size in (1, 3, 8):
        root = generator.normal(size=(size, size))
        matrix, values = root @ root.T, generator.normal(size=size)
        expected = np.linalg.solve(matrix, values)
        assert solve_positive(matrix.copy(), values)
        assert values == pytest.approx(expected)
    assert not solve_positive(np.ones((2, 2)), np.ones(2))
    assert not solve_positive(-np.eye(2), np.ones(2))


def test_projection_errors_are_the_larger_of_both_ways() -> None:
    query, photo = two_views(0, SLANTED, true=60, outliers=60, noise=2.0)
    side = np.diag([LONG, LONG, 1.0])
    homography = np.linalg.inv(side) @ SLANTED @ side
    ends = query.centres.astype(np.float64) / LONG, photo.centres.astype(np.float64) / LONG
    forwards = np.linalg.norm(project(homography, ends[0]) - ends[1], axis=1)
    back = np.linalg.norm(project(np.linalg.inv(homography), ends[1]) - ends[0], axis=1)
    count, errors = len(query), np.empty(len(query))
    anyhow = (0.01**2, 10.0, math.inf, -1.0)  # however scaled and turned
    turns = np.array([np.ones(count), np.zeros(count)])
    projection_errors(columns_of(*ends), np.ones(count), turns, homography.ravel(), anyhow, errors)
    expected = np.maximum(forwards, back)
    near = expected <= 0.01
    assert 30 < near.sum() < count
    assert np.isfinite(errors).tolist() == near.tolist()
    assert errors[near] == pytest.approx(expected[near] ** 2)
