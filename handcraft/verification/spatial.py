"""Fast spatial verification: one correspondence suggests a map, all of them judge it.

Philbin, Chum, Isard, Sivic & Zisserman, "Object retrieval with large vocabularies and fast spatial
matching", CVPR 2007, section 3. Every single correspondence's map is scored, none is sampled, so
the answer is exact and the same on every run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handcraft.options import VerificationOptions
from handcraft.types import Features, Match, RegionOfInterest
from handcraft.verification._kernels import best_hypothesis, one_to_one, transfer_errors
from handcraft.verification.correspondences import PhotoSide, QuerySide, correspondences

# What has frames (n, 2, 3) in pixels of a photo of known width and height.
Side = QuerySide | PhotoSide | Features


@dataclass(frozen=True)
class _Pairs:
    """The correspondences of a pair of photos in units of each photo's long side.

    points: (n, 4) float64, query x, y and photo x, y. maps: (n, 2, 3), the affine map of each
    pair's frames, A_photo · A_query⁻¹ and the translation. scales: (n,), square root of its
    determinant. turns: (n, 2), cosine and sine of its rotation. pairs: (n, 2) int32, numbers below
    n of the query's and the photo's point: features of one point, which differ in orientation, share
    its number. weights: (n,), of each as an inlier.
    """

    points: NDArray[np.float64]
    maps: NDArray[np.float64]
    scales: NDArray[np.float64]
    turns: NDArray[np.float64]
    pairs: NDArray[np.int32]
    weights: NDArray[np.float64]


def verify(
    query: QuerySide,
    photo: PhotoSide,
    idf: NDArray[np.float32],
    options: VerificationOptions,
    roi: RegionOfInterest | None = None,
) -> Match | None:
    """The evidence that the photo shows what the query shows, None where there is too little.

    idf: (words,) float32, the weight of an inlier by its word. roi: what to outline in the photo;
    the whole query without one.
    """
    found = correspondences(query, photo, options.max_pairs_per_word)
    return verify_pairs(query, photo, found.pairs, idf[found.words], options, roi)


def verify_pairs(
    query: Side,
    photo: Side,
    rows: NDArray[np.int32],
    weights: NDArray[np.floating],
    options: VerificationOptions,
    roi: RegionOfInterest | None = None,
) -> Match | None:
    """The evidence of these pairs, however they were found; None where there is too little.

    rows: (n, 2) int32, feature of the query and feature of the photo. weights: (n,), of each as an
    inlier, 1 where pairs have no other. roi: what to outline in the photo; the whole query without one.
    """
    pairs = _prepare(query, photo, rows, weights, options)
    if len(pairs.points) < options.min_inliers:
        return None
    affine = _best_single_pair(pairs, options)
    if affine is None:
        return None
    affine, inliers = _refit(pairs, affine, options)
    if len(inliers) < options.min_inliers or not _significant(pairs, photo, affine, inliers, options):
        return None
    return _match(query, photo, pairs, affine, inliers, roi)


def _prepare(
    query: Side,
    photo: Side,
    rows: NDArray[np.int32],
    weights: NDArray[np.floating],
    options: VerificationOptions,
) -> _Pairs:
    """The pairs whose frames have an area and suggest a map that does not flatten the photo."""
    query_frames, photo_frames = _normalised(query)[rows[:, 0]], _normalised(photo)[rows[:, 1]]
    sound = (_determinants(query_frames) > 0) & (_determinants(photo_frames) > 0)
    weights, query_frames, photo_frames = weights[sound], query_frames[sound], photo_frames[sound]
    shapes = photo_frames[:, :, :2] @ np.linalg.inv(query_frames[:, :, :2])
    fair = _anisotropies(shapes) <= options.max_anisotropy
    weights, shapes = weights[fair], shapes[fair]
    query_frames, photo_frames = query_frames[fair], photo_frames[fair]
    query_points, photo_points = query_frames[:, :, 2], photo_frames[:, :, 2]
    translations = photo_points - np.einsum("nij,nj->ni", shapes, query_points)
    maps = np.concatenate([shapes, translations[:, :, None]], axis=2)
    turns = np.stack([shapes[:, 0, 0] + shapes[:, 1, 1], shapes[:, 1, 0] - shapes[:, 0, 1]], axis=1)
    lengths = np.maximum(np.linalg.norm(turns, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return _Pairs(
        points=np.concatenate([query_points, photo_points], axis=1),
        maps=maps,
        scales=np.sqrt(_determinants(maps)),
        turns=turns / lengths,
        pairs=np.stack([_point_numbers(query_points), _point_numbers(photo_points)], axis=1),
        weights=weights.astype(np.float64),
    )


def _point_numbers(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """(n,) int32, equal for equal points of (n, 2)."""
    _, numbers = np.unique(points[:, 0] + 1j * points[:, 1], return_inverse=True)
    return numbers.astype(np.int32)


def _normalised(side: Side) -> NDArray[np.float64]:
    """The frames in long sides of their photo."""
    return np.asarray(side.frames, np.float64) / max(side.width, side.height)


def _determinants(frames: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(frames[:, 0, 0] * frames[:, 1, 1] - frames[:, 0, 1] * frames[:, 1, 0])


def _anisotropies(shapes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,), the ratio of the singular values of (n, 2, 2) matrices of positive determinant."""
    half_squares = (shapes**2).sum(axis=(1, 2)) / 2
    determinants = _determinants(shapes)
    roots = np.sqrt(np.maximum(half_squares**2 - determinants**2, 0))
    return np.asarray((half_squares + roots) / determinants)


def _limits(tolerance: float, options: VerificationOptions) -> tuple[float, float, float, float]:
    return (
        tolerance**2,
        options.max_scale_change,
        options.max_relative_scale,
        math.cos(math.radians(options.max_relative_turn)),
    )


def _best_single_pair(pairs: _Pairs, options: VerificationOptions) -> NDArray[np.float64] | None:
    best, _ = best_hypothesis(
        pairs.points,
        pairs.maps,
        pairs.scales,
        pairs.turns,
        pairs.pairs,
        pairs.weights,
        _limits(options.hypothesis_tolerance, options),
        np.full(len(pairs.points), -1, np.int32),
        np.full(len(pairs.points), -1, np.int32),
    )
    return pairs.maps[best] if best >= 0 else None


def _refit(
    pairs: _Pairs, hypothesis: NDArray[np.float64], options: VerificationOptions
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Refit the map to its inliers by least squares for as long as their weight grows.

    Returns the least-squares map of the heaviest inliers, and their rows. Inliers that determine no
    plausible map, such as those on one line, keep the hypothesis.
    """
    best = _inliers(pairs, hypothesis, options.inlier_tolerance, options)
    inliers = _inliers(pairs, hypothesis, options.hypothesis_tolerance, options)
    for _ in range(options.refits):
        fitted = _least_squares(pairs, inliers, options)
        if fitted is None:
            break
        inliers = _inliers(pairs, fitted, options.inlier_tolerance, options)
        if pairs.weights[inliers].sum() <= pairs.weights[best].sum():
            break
        best = inliers
    return _settle(pairs, hypothesis, best, options) if options.refits else (hypothesis, best)


def _settle(
    pairs: _Pairs, hypothesis: NDArray[np.float64], inliers: NDArray[np.int64], options: VerificationOptions
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Fit the map to its inliers and drop those that it then misses, until it misses none."""
    while True:
        fitted = _least_squares(pairs, inliers, options)
        if fitted is None:
            return hypothesis, inliers
        kept = np.isfinite(_errors(pairs, fitted, options.inlier_tolerance, options)[inliers])
        if kept.all():
            return fitted, inliers
        hypothesis, inliers = fitted, inliers[kept]


def _inliers(
    pairs: _Pairs, affine: NDArray[np.float64], tolerance: float, options: VerificationOptions
) -> NDArray[np.int64]:
    """Rows of the inliers of a map, one to one in both photos, the least error first."""
    errors = _errors(pairs, affine, tolerance, options)
    order = np.argsort(errors, kind="stable")[: int(np.isfinite(errors).sum())]
    chosen = np.empty(len(order), np.int64)
    count = one_to_one(
        order,
        pairs.pairs,
        np.zeros(len(pairs.points), np.bool_),
        np.zeros(len(pairs.points), np.bool_),
        chosen,
    )
    return chosen[:count]


def _errors(
    pairs: _Pairs, affine: NDArray[np.float64], tolerance: float, options: VerificationOptions
) -> NDArray[np.float64]:
    """(n,) squared transfer errors under a map, infinite for pairs that disagree with it."""
    errors = np.empty(len(pairs.points))
    transfer_errors(pairs.points, pairs.scales, pairs.turns, affine, _limits(tolerance, options), errors)
    return errors


def _least_squares(
    pairs: _Pairs, rows: NDArray[np.int64], options: VerificationOptions
) -> NDArray[np.float64] | None:
    """The affine map of these rows, None where they determine none or an implausible one."""
    if len(rows) < 3:
        return None
    points = pairs.points[rows]
    design = np.concatenate([points[:, :2], np.ones((len(rows), 1))], axis=1)
    solution, _, rank, _ = np.linalg.lstsq(design, points[:, 2:], rcond=1e-6)
    affine = np.ascontiguousarray(solution.T)
    return affine if rank == 3 and _plausible(affine, options) else None


def _plausible(affine: NDArray[np.float64], options: VerificationOptions) -> bool:
    """Whether a map keeps the photo's handedness and neither flattens nor scales it too far."""
    large, small = np.linalg.svd(affine[:, :2], compute_uv=False)
    if np.linalg.det(affine[:, :2]) <= 0 or large > options.max_anisotropy * small:
        return False
    scale = math.sqrt(large * small)
    return 1 / options.max_scale_change <= scale <= options.max_scale_change


def _significant(
    pairs: _Pairs,
    photo: Side,
    affine: NDArray[np.float64],
    inliers: NDArray[np.int64],
    options: VerificationOptions,
) -> bool:
    """Whether so many inliers among so many pairs are unlikely to agree by chance.

    The number of false alarms of Moisan & Stival (IJCV 2004): the hypotheses, times the probability
    that at least all but one of the inliers fall within the tolerance of where the hypothesis sends
    them and are turned as it says, were they spread evenly over the photo and turned as the others are.
    """
    area = photo.width * photo.height / max(photo.width, photo.height) ** 2
    near = min(1.0, math.pi * options.inlier_tolerance**2 / area)
    chance = near * _share_turned_alike(pairs, affine, inliers, options)
    others = len(pairs.points) - 1
    return len(pairs.points) * _binomial_tail(others, len(inliers) - 1, chance) < options.max_false_alarms


def _share_turned_alike(
    pairs: _Pairs, affine: NDArray[np.float64], inliers: NDArray[np.int64], options: VerificationOptions
) -> float:
    """The share of the other pairs that are turned as the hypothesis says: nearly all of upright
    features, and never less than of features turned anyhow."""
    outliers = np.ones(len(pairs.points), np.bool_)
    outliers[inliers] = False
    turn = np.array([affine[0, 0] + affine[1, 1], affine[1, 0] - affine[0, 1]])
    cosines = pairs.turns[outliers] @ (turn / np.linalg.norm(turn))
    alike = cosines >= math.cos(math.radians(options.max_relative_turn))
    return max(options.max_relative_turn / 180, float(alike.mean()) if len(alike) else 0.0)


def _binomial_tail(trials: int, least: int, chance: float) -> float:
    """The probability of `least` or more successes."""
    if chance >= 1:
        return 1.0
    total = 0.0
    for successes in range(least, trials + 1):
        term = math.exp(
            math.lgamma(trials + 1)
            - math.lgamma(successes + 1)
            - math.lgamma(trials - successes + 1)
            + successes * math.log(chance)
            + (trials - successes) * math.log1p(-chance)
        )
        total += term
        if successes > trials * chance and term < 1e-9 * total:
            break
    return min(total, 1.0)


def _match(
    query: Side,
    photo: Side,
    pairs: _Pairs,
    affine: NDArray[np.float64],
    inliers: NDArray[np.int64],
    roi: RegionOfInterest | None,
) -> Match:
    """The evidence in pixels."""
    query_side, photo_side = max(query.width, query.height), max(photo.width, photo.height)
    in_pixels = affine * photo_side
    in_pixels[:, :2] /= query_side
    box = roi or RegionOfInterest(-0.5, -0.5, query.width - 0.5, query.height - 0.5)
    corners = np.array([[box.x1, box.y1], [box.x2, box.y1], [box.x2, box.y2], [box.x1, box.y2]], np.float64)
    return Match(
        affine=in_pixels,
        query_points=pairs.points[inliers, :2] * query_side,
        photo_points=pairs.points[inliers, 2:] * photo_side,
        region=corners @ in_pixels[:, :2].T + in_pixels[:, 2],
        weight=float(pairs.weights[inliers].sum()),
    )
