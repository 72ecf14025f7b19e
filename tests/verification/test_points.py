"""Features that are points: two pairs suggest a map, as plain Python says, and frames are not asked."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from oracles import verification as oracle

from handcraft.options import VerificationOptions
from handcraft.types import Features, Match
from handcraft.verification._kernels import LEAST_BASE, suggest_together
from handcraft.verification.correspondences import PhotoSide, query_side
from handcraft.verification.spatial import verify, verify_pairs, weighted_pairs

Floats = NDArray[np.float64]
SIZE = (800, 600)
LONG = max(SIZE)
POINTS = VerificationOptions(points=True)
SEEDS = st.integers(0, 2**32 - 1)


def features(points: Floats) -> Features:
    """Features at (n, 2) points, all of them the same upright circle."""
    frames = np.zeros((len(points), 2, 3), np.float32)
    frames[:, :, :2] = 8 * np.eye(2)
    frames[:, :, 2] = points
    return Features(frames, np.zeros((len(points), 0), np.uint8), *SIZE)


def anywhere(generator: np.random.Generator, count: int) -> Floats:
    return generator.uniform(0, SIZE, (count, 2))


def similar(degrees: float, scale: float) -> Floats:
    """(2, 3): a similarity that leaves the middle of a photo where it is."""
    c, s = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
    linear, middle = np.array([[c, -s], [s, c]]), np.array(SIZE) / 2
    return np.column_stack([linear, middle - linear @ middle])


def mapped(affine: Floats, points: Floats) -> Floats:
    return points @ affine[:, :2].T + affine[:, 2]


def two_views(
    seed: int, affine: Floats, true: int = 40, outliers: int = 120, noise: float = 0.0
) -> tuple[Features, Features]:
    """The first `true` points of both photos are the same, the others lie anywhere."""
    generator = np.random.default_rng(seed)
    query, photo = anywhere(generator, true + outliers), anywhere(generator, true + outliers)
    photo[:true] = mapped(affine, query[:true]) + generator.normal(0, noise, (true, 2))
    return features(query), features(photo)


def verified(
    views: tuple[Features, Features],
    options: VerificationOptions = POINTS,
    weights: Floats | None = None,
    order: NDArray[np.int64] | None = None,
) -> Match | None:
    """The i-th features of both are a pair; the pairs come in this order."""
    count = len(views[0])
    order = np.arange(count) if order is None else order
    weights = np.ones(count) if weights is None else weights
    rows = np.repeat(order[:, None].astype(np.int32), 2, axis=1)
    return verify_pairs(*views, rows, weights[order], options)


def same(a: Match | None, b: Match | None) -> bool:
    if a is None or b is None:
        return a is b
    return all(
        np.asarray(getattr(a, field.name)).tobytes() == np.asarray(getattr(b, field.name)).tobytes()
        for field in fields(Match)
    )


# --- the maps that are tried ---


@settings(max_examples=200)
@given(SEEDS, st.integers(0, 12), st.integers(1, 80), st.sampled_from([1.5, 4.0, 100.0]), st.booleans())
def test_the_maps_are_those_of_the_oracle(
    seed: int, count: int, room: int, max_scale: float, crowded: bool
) -> None:
    generator = np.random.default_rng(seed)
    points = generator.uniform(0, 0.1 if crowded else 1, (4, count))
    points[:, 1 : count // 3] = points[:, :1]  # some are equal
    maps, sources = suggest_together(points, room, max_scale)
    pairs = [((x, y), (u, v)) for x, y, u, v in points.T.tolist()]
    expected = oracle.maps_together(pairs, room, max_scale, math.sqrt(LEAST_BASE))
    assert sources.T.tolist() == [[i, j] for i, j, _ in expected]
    rows = np.array([sum(map_, ()) for _, _, map_ in expected]).reshape(-1, 6)
    assert np.allclose(maps.T, rows, rtol=1e-9, atol=1e-12)


def test_all_pairs_take_part() -> None:
    """Whatever room there is, no pair has many more maps than another."""
    points = np.random.default_rng(0).uniform(0, 1, (4, 300))
    _, sources = suggest_together(points, 1500, 1e9)
    taking_part = np.bincount(sources.ravel(), minlength=300)
    assert sources.shape == (2, 1500)
    assert taking_part.min() >= 4
    assert taking_part.max() <= 12


# --- what is there is found, and chance is not ---


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.floats(-180, 180), st.floats(0.3, 3), st.integers(30, 60), st.integers(0, 200))
def test_a_similarity_is_recovered_exactly(
    seed: int, degrees: float, scale: float, true: int, outliers: int
) -> None:
    """Without noise, all true pairs are inliers; outliers that happen to lie within the tolerance move the
    map by less than that."""
    affine = similar(degrees, scale)
    match = verified(two_views(seed, affine, true, outliers))
    assert match is not None
    assert set(range(true)) <= set(match.query_features.tolist())
    assert mapped(match.affine, match.query_points) == pytest.approx(
        mapped(affine, match.query_points), abs=3 if outliers else 0.01
    )
    if match.inliers == true:
        assert match.affine[:, :2] == pytest.approx(affine[:, :2], abs=1e-4)
        assert match.rotation == pytest.approx(degrees, abs=0.01) or abs(degrees) > 179.9
        assert match.scale == pytest.approx(scale, rel=1e-4)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.4])
def test_among_many_outliers(share: float) -> None:
    """Of 500 pairs, with a noise of a pixel, turned by 30 degrees and of half and twice the scale."""
    true = round(500 * share)
    for seed in range(10):
        affine = similar([30, -30][seed % 2], [0.5, 2][seed // 2 % 2])
        match = verified(two_views(seed, affine, true, 500 - true, noise=1))
        assert match is not None
        assert np.count_nonzero(match.query_features < true) >= 0.8 * true


def test_an_affine_map_is_reached_from_a_similarity() -> None:
    affine = np.array([[0.9, 0.25, 40], [-0.1, 0.7, 60]])
    for seed in range(10):
        match = verified(two_views(seed, affine, noise=0.5))
        assert match is not None
        assert np.count_nonzero(match.query_features < 40) >= 38
        assert match.affine[:, :2] == pytest.approx(affine[:, :2], abs=0.02)


def test_a_plane_at_a_slant_becomes_a_homography() -> None:
    plane = np.array([[0.8, 0.1, 60], [-0.05, 0.9, 40], [4e-4, 1e-4, 1]])
    generator = np.random.default_rng(0)
    query, photo = anywhere(generator, 160), anywhere(generator, 160)
    seen = np.column_stack([query[:80], np.ones(80)]) @ plane.T
    photo[:80] = seen[:, :2] / seen[:, 2:]
    match = verified((features(query), features(photo)))
    assert match is not None
    assert match.homography == pytest.approx(plane, rel=0.05, abs=0.5)


def test_chance_does_not_verify() -> None:
    for seed in range(300):
        assert verified(two_views(seed, similar(0, 1), true=0, outliers=[10, 40, 150, 500][seed % 4])) is None


def test_a_mirror_image_is_not_verified() -> None:
    for seed in range(10):
        assert verified(two_views(seed, np.array([[-1.0, 0, 799], [0, 1, 0]]))) is None


def test_evidence_and_certainty_are_those_of_the_oracle() -> None:
    """All pairs are turned alike, two of the inliers determine a map, and as many maps count as are tried."""
    for true, outliers, room in ((12, 0, 2000), (12, 40, 2000), (15, 200, 3000)):
        views = two_views(1, similar(10, 0.8), true, outliers)
        match = verified(
            views, replace(POINTS, max_false_alarms=math.inf, max_scale_change=100, sampled_maps=room)
        )
        assert match is not None
        assert match.homography is None
        count, places = true + outliers, [(side.centres / LONG).tolist() for side in views]
        tried = len(
            oracle.maps_together(
                [(tuple(a), tuple(b)) for a, b in zip(*places, strict=True)],
                room,
                100,
                math.sqrt(LEAST_BASE),
            )
        )
        assert outliers < 200 or tried == room
        inliers = (match.query_points / LONG).tolist(), (match.photo_points / LONG).tolist()
        apart = oracle.apart(*inliers, POINTS.inlier_tolerance)
        for decades, found, sample in ((match.evidence, match.inliers, 2), (match.certainty, apart, 4)):
            trials = count - sample + 1
            alarms = oracle.false_alarms(
                trials, found - sample + 1, POINTS.inlier_tolerance, 1, SIZE[1] / SIZE[0], 1.0
            )
            assert decades == pytest.approx(max(0.0, -math.log10(alarms * tried / trials)), abs=1e-6)


# --- frames are not asked, and options that are about them say nothing ---


@given(SEEDS, st.sampled_from([0.0, -1.0, 1e-30, 1e30, math.nan, math.inf]))
@settings(max_examples=30, deadline=None)
def test_frames_make_no_difference(seed: int, factor: float) -> None:
    views = two_views(seed, similar(-20, 1.5), noise=1)
    generator = np.random.default_rng(seed)
    others = []
    for side in views:
        frames = side.frames.copy()
        frames[:, :, :2] = generator.normal(0, 10, (len(frames), 2, 2)) * (factor if seed % 2 else 1)
        others.append(replace(side, frames=frames))
    match = verified(views)
    assert match is not None
    assert same(verified((others[0], others[1])), match)
    options = replace(POINTS, degrees_of_freedom=3, frame_trust=0, max_relative_scale=1, max_relative_turn=0)
    assert same(verified((others[0], others[1]), options), match)


def test_pairs_of_words_are_verified_alike() -> None:
    query, photo = two_views(0, similar(20, 2), noise=1)
    words = np.arange(len(query))
    side = query_side(query, words[:, None].astype(np.int32))
    other = PhotoSide(
        words.astype(np.uint32), photo.frames.astype(np.float64), *SIZE, np.empty((0, len(words)), np.uint64)
    )
    idf = np.ones(len(words), np.float32)
    match = verify(side, other, idf, POINTS)
    assert match is not None
    assert same(match, verified((query, photo)))
    assert same(match, verify_pairs(side, other, *weighted_pairs(side, other, idf, POINTS), POINTS))
    assert verify(side, other, idf, VerificationOptions()) is None


# --- the same every time ---


def test_the_same_on_every_call_and_thread() -> None:
    views = [two_views(seed, similar(seed * 15, 0.7), true=20 + seed, noise=1) for seed in range(24)]
    expected = [verified(one) for one in views]
    assert all(match is not None for match in expected)
    with ThreadPoolExecutor(4) as pool:
        for found, match in zip(pool.map(verified, views * 4), expected * 4, strict=True):
            assert same(found, match)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(20, 60), st.integers(0, 300))
def test_the_order_of_pairs_makes_no_difference(seed: int, true: int, outliers: int) -> None:
    """Where no two weigh the same, and none share a feature."""
    views = two_views(seed, similar(10, 0.6), true, outliers, noise=1)
    generator = np.random.default_rng(seed)
    weights = 1 + generator.permutation(true + outliers) / (true + outliers)
    match = verified(views, weights=weights)
    order = generator.permutation(true + outliers)
    assert match is not None
    assert same(verified(views, weights=weights, order=order), match)


# --- degenerate input ---


def assert_none_or_sane(match: Match | None) -> None:
    if match is not None:
        for array in (match.affine, match.region, match.query_points, match.photo_points):
            assert np.isfinite(array).all()
        assert np.isfinite([match.weight, match.evidence, match.certainty]).all()
        assert np.linalg.det(match.affine[:, :2]) > 0


@settings(max_examples=150, deadline=None)
@given(
    SEEDS,
    st.sampled_from(["as they are", "one point", "two points", "a line", "close", "far", "not numbers"]),
    st.sampled_from(["as they are", "one point", "two points", "a line", "close", "far", "not numbers"]),
    st.integers(0, 40),
    st.sampled_from([0.0, 1.0, 1e-30, 1e30]),
    st.sampled_from([POINTS, replace(POINTS, max_false_alarms=math.inf, min_inliers=1)]),
)
def test_degenerate_points(
    seed: int, query: str, photo: str, count: int, weight: float, options: VerificationOptions
) -> None:
    generator = np.random.default_rng(seed)

    def placed(change: str, points: Floats) -> Floats:
        changed = points.copy()
        if change == "one point":
            changed[:] = 300, 200
        elif change == "two points":
            changed[:] = np.where(generator.integers(0, 2, (len(points), 1)), (300, 200), (500.0, 100))
        elif change == "a line":
            changed[:, 1] = changed[:, 0] / 2 + 20
        elif change == "close":
            changed /= 1e6
        elif change == "far":
            changed *= 1e12
        elif change == "not numbers":
            changed[::2] = math.nan
            changed[1::4] = math.inf
        return changed

    points = anywhere(generator, count)
    views = features(placed(query, points)), features(placed(photo, points))
    match = verified(views, options, np.full(count, weight))
    assert_none_or_sane(match)
    if count < 3 or "one point" in (query, photo) or not weight:
        assert match is None


def test_points_on_a_line_determine_a_similarity() -> None:
    query = np.column_stack([np.linspace(50, 750, 30), np.linspace(100, 400, 30)])
    affine = similar(25, 0.8)
    match = verified((features(query), features(mapped(affine, query))))
    assert match is not None
    assert match.affine == pytest.approx(affine, abs=1e-2)


def test_pairs_that_are_not_numbers_are_left_out() -> None:
    query, photo = two_views(0, similar(25, 0.8))
    frames = photo.frames.copy()
    frames[:40:2, :, 2] = math.nan
    match = verified((query, replace(photo, frames=frames)))
    assert match is not None
    assert set(range(1, 40, 2)) <= set(match.query_features.tolist())
    assert not set(range(0, 40, 2)) & set(match.query_features.tolist())
