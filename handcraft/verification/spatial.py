"""Fast spatial verification: one correspondence suggests a map, all of them judge it.

Philbin, Chum, Isard, Sivic & Zisserman, "Object retrieval with large vocabularies and fast spatial
matching", CVPR 2007, section 3. Every single correspondence's map is scored, none is sampled, so
the answer is exact and the same on every run.

Features that are points have no frames to suggest a map with, so two correspondences do it together: a
similarity. These are too many to score them all; which ones are is a matter of the weights alone, so that the
answer is the same on every run too.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from handcraft.options import VerificationOptions
from handcraft.types import Features, Match, RegionOfInterest
from handcraft.verification._kernels import verify_rows
from handcraft.verification.correspondences import PhotoSide, QuerySide, correspondences

# What has frames (n, 2, 3) in pixels of a photo of known width and height.
Side = QuerySide | PhotoSide | Features

ANY_TURN = -2.0  # less than any cosine
# Of points, so many times as many hypotheses are refitted: of a plane at a slant a similarity finds less than
# an affine map does, so that more of them lead nowhere
MORE = 4


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
    return verify_pairs(query, photo, *weighted_pairs(query, photo, idf, options), options, roi)


def weighted_pairs(
    query: QuerySide, photo: PhotoSide, idf: NDArray[np.float32], options: VerificationOptions
) -> tuple[NDArray[np.int32], NDArray[np.floating]]:
    """The pairs of features (n, 2) that share a word, and their weights (n,), as verify has them."""
    found = correspondences(query, photo, options)
    return found.pairs, idf.take(found.words) * query.similarities.take(found.differences)


def verify_pairs(
    query: Side,
    photo: Side,
    rows: NDArray[np.int32],
    weights: NDArray[np.floating],
    options: VerificationOptions,
    roi: RegionOfInterest | None = None,
) -> Match | None:
    """The evidence of these pairs, however they were found; None where there is too little, or none at all.

    rows: (n, 2) int32, feature of the query and feature of the photo. weights: (n,), of each as an
    inlier, 1 where pairs have no other. roi: what to outline in the photo; the whole query without one.
    """
    if len(rows) < options.min_inliers:
        return None
    rows, weights = heaviest(rows, weights, options)
    if options.points:  # two suggest a map together that are next to each other
        order = np.argsort(-weights, kind="stable")
        rows, weights = rows.take(order, axis=0), weights.take(order)
    query_side, photo_side = float(max(query.width, query.height)), float(max(photo.width, photo.height))
    corners = corners_of(roi, query.width, query.height)
    affine, homography = np.empty(6), np.empty(9)
    inliers, points = np.empty(len(rows), np.int64), np.empty((4, len(rows)))
    found, count, log_alarms, log_certain = verify_rows(
        np.asarray(query.frames, np.float64),
        np.asarray(photo.frames, np.float64),
        rows,
        np.asarray(weights, np.float64),
        (query_side, photo_side),
        corners / query_side,
        limits_of(photo.width, photo.height, options),
        tries_of(options),
        affine,
        homography,
        inliers,
        points,
    )
    if found < options.min_inliers or log_alarms >= 0 or not is_certain(_decades(log_certain), options):
        return None
    scale, across = photo_side / query_side, 1 / query_side
    to_pixels = np.array([[scale, scale, photo_side], [scale, scale, photo_side], [across, across, 1.0]])
    linear = affine.reshape(2, 3) * to_pixels[:2]
    plane = None
    if homography[8] > 0:
        plane = homography.reshape(3, 3) * to_pixels
        plane /= plane[2, 2]
    return Match(
        affine=linear,
        homography=plane,
        query_points=points[:2, :count].T * query_side,
        photo_points=points[2:, :count].T * photo_side,
        query_features=rows[inliers[:count], 0],
        region=corners @ linear[:, :2].T + linear[:, 2] if plane is None else project(plane, corners),
        weight=float(weights[inliers[:count]].sum(dtype=np.float64)),
        evidence=_decades(log_alarms),
        certainty=_decades(log_certain),
    )


def is_certain(certainty: float, options: VerificationOptions) -> bool:
    """Whether so many decades below one false alarm verify a photo."""
    return bool(10.0**-certainty < options.max_false_alarms)


def project(homography: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where (n, 2) points go under a (3, 3) homography."""
    seen = points @ homography[:, :2].T + homography[:, 2]
    return np.asarray(seen[:, :2] / seen[:, 2:])


def _decades(log_alarms: float) -> float:
    """Below one false alarm, of their natural logarithm; 0 for more than one."""
    return max(0.0, -log_alarms / math.log(10))


def heaviest(
    rows: NDArray[np.int32], weights: NDArray[np.floating], options: VerificationOptions
) -> tuple[NDArray[np.int32], NDArray[np.floating]]:
    """As many pairs as are looked at, and their weights, in their order; of equals the first."""
    if len(rows) <= options.max_pairs:
        return rows, weights
    least = np.partition(weights, -options.max_pairs)[-options.max_pairs]
    heavier = weights > least
    equals = np.flatnonzero(weights == least)
    heavier[equals[: options.max_pairs - np.count_nonzero(heavier)]] = True
    chosen = np.flatnonzero(heavier)
    return rows.take(chosen, axis=0), weights.take(chosen)


@lru_cache
def corners_of(roi: RegionOfInterest | None, width: int, height: int) -> NDArray[np.float64]:
    """(4, 2), the corners of a region, or of the outer border of the whole photo; not to be written to."""
    box = roi or RegionOfInterest.whole(width, height)
    corners = [[box.x1, box.y1], [box.x2, box.y1], [box.x2, box.y2], [box.x1, box.y2]]
    found = np.array(corners, np.float64)
    found.flags.writeable = False
    return found


class Limits(NamedTuple):
    """What the kernels ask of maps and inliers; lengths in long sides.

    freedom: of suggest_maps. loose, strict: of a hypothesis's inliers, and of all others: squared transfer
    error, change of scale, relative scale, cosine of the relative turn. plausible: of a fitted map, the ratio
    of its singular values and the change of scale. chances: that a point falls where a map sends it, and that
    a pair is turned as a map says, at the least.

    The number of false alarms of Moisan & Stival (IJCV 2004) is that of the hypotheses, times the
    probability that at least all but one of the inliers fall within the tolerance of where the hypothesis
    sends them and are turned as it says, were they spread evenly over the photo and turned as the others are:
    nearly all of upright features, and never fewer than of features turned anyhow. Of features that are
    points the hypotheses are those tried, two of the inliers are no evidence, and all are turned as it says.
    """

    freedom: tuple[float, int, float]
    loose: tuple[float, float, float, float]
    strict: tuple[float, float, float, float]
    plausible: tuple[float, float]
    chances: tuple[float, float]


def tries_of(options: VerificationOptions) -> tuple[int, int, int]:
    """How many hypotheses are refitted, how often, and how many maps two pairs suggest together."""
    if options.points:
        return MORE * options.hypotheses, options.refits, options.sampled_maps
    return options.hypotheses, options.refits, 0


@lru_cache
def limits_of(width: int, height: int, options: VerificationOptions) -> tuple[tuple[float, ...], ...]:
    """Limits, as a tuple, that the options set in a photo of so many pixels."""
    relative = (
        float(options.max_scale_change),
        math.inf if options.points else float(options.max_relative_scale),
        ANY_TURN if options.points else math.cos(math.radians(options.max_relative_turn)),
    )
    area = width * height / max(width, height) ** 2
    limits = Limits(
        freedom=(float(options.max_anisotropy), options.degrees_of_freedom, float(options.frame_trust)),
        loose=(options.hypothesis_tolerance**2, *relative),
        strict=(options.inlier_tolerance**2, *relative),
        plausible=(float(options.max_anisotropy), float(options.max_scale_change)),
        chances=(
            math.pi * options.inlier_tolerance**2 / area,
            1.0 if options.points else options.max_relative_turn / 180,
        ),
    )
    return tuple(limits)
