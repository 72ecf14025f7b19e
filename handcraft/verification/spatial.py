"""Fast spatial verification: one correspondence suggests a map, all of them judge it.

Philbin, Chum, Isard, Sivic & Zisserman, "Object retrieval with large vocabularies and fast spatial
matching", CVPR 2007, section 3. Every single correspondence's map is scored, none is sampled, so
the answer is exact and the same on every run.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from handcraft.options import VerificationOptions
from handcraft.types import Features, Match, RegionOfInterest
from handcraft.verification._kernels import verify_rows
from handcraft.verification.correspondences import PhotoSide, QuerySide, correspondences

# What has frames (n, 2, 3) in pixels of a photo of known width and height.
Side = QuerySide | PhotoSide | Features


def verify(
    query: QuerySide,
    photo: PhotoSide,
    idf: NDArray[np.float32],
    options: VerificationOptions,
    roi: RegionOfInterest | None = None,
) -> Match | None:
    """The evidence that the photo shows what the query shows, None where there is too little.

    idf: (words,) float32, the weight of an inlier by its word; it counts by the similarity of its signatures
    too, where there are any. roi: what to outline in the photo; the whole query without one.
    """
    found = correspondences(query, photo, options)
    similarities = np.maximum(1 - 2 * found.differences / max(1, query.bits), 0)
    return verify_pairs(query, photo, found.pairs, idf[found.words] * similarities, options, roi)


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
    if len(rows) < options.min_inliers:
        return None
    if len(rows) > options.max_pairs:
        heaviest = np.sort(np.argsort(-weights, kind="stable")[: options.max_pairs])
        rows, weights = rows[heaviest], weights[heaviest]
    affine, points, inliers = np.empty(6), np.empty((4, len(rows))), np.empty(len(rows), np.int64)
    count, log_alarms = verify_rows(
        np.asarray(query.frames, np.float64),
        np.asarray(photo.frames, np.float64),
        rows,
        weights.astype(np.float64),
        (float(max(query.width, query.height)), float(max(photo.width, photo.height))),
        _limits(photo, options),
        (options.hypotheses, options.refits),
        affine,
        points,
        inliers,
    )
    if count < options.min_inliers or not log_alarms < _log(options.max_false_alarms):
        return None
    weight = float(weights[inliers[:count]].astype(np.float64).sum())
    evidence = max(0.0, -log_alarms / math.log(10))
    return _match(query, photo, affine.reshape(2, 3), points[:, :count].T, weight, evidence, roi)


def _log(number: float) -> float:
    return math.log(number) if number > 0 else -math.inf


def _limits(photo: Side, options: VerificationOptions) -> tuple[object, ...]:
    """The limits of verify_rows.

    The number of false alarms of Moisan & Stival (IJCV 2004) is that of the hypotheses, times the
    probability that at least all but one of the inliers fall within the tolerance of where the hypothesis
    sends them and are turned as it says, were they spread evenly over the photo and turned as the others are:
    nearly all of upright features, and never fewer than of features turned anyhow.
    """
    area = photo.width * photo.height / max(photo.width, photo.height) ** 2
    relative = (
        float(options.max_scale_change),
        float(options.max_relative_scale),
        math.cos(math.radians(options.max_relative_turn)),
    )
    return (
        float(options.max_anisotropy),
        (options.hypothesis_tolerance**2, *relative),
        (options.inlier_tolerance**2, *relative),
        (float(options.max_anisotropy), float(options.max_scale_change)),
        (min(1.0, math.pi * options.inlier_tolerance**2 / area), options.max_relative_turn / 180),
    )


def _match(
    query: Side,
    photo: Side,
    affine: NDArray[np.float64],
    points: NDArray[np.float64],
    weight: float,
    evidence: float,
    roi: RegionOfInterest | None,
) -> Match:
    """The evidence in pixels. points: (n, 4), of the inliers in long sides."""
    query_side, photo_side = max(query.width, query.height), max(photo.width, photo.height)
    in_pixels = affine * photo_side
    in_pixels[:, :2] /= query_side
    box = roi or RegionOfInterest.whole(query.width, query.height)
    corners = np.array([[box.x1, box.y1], [box.x2, box.y1], [box.x2, box.y2], [box.x1, box.y2]], np.float64)
    return Match(
        affine=in_pixels,
        query_points=points[:, :2] * query_side,
        photo_points=points[:, 2:] * photo_side,
        region=corners @ in_pixels[:, :2].T + in_pixels[:, 2],
        weight=weight,
        evidence=evidence,
    )
