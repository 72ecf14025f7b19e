"""Pictures: the evidence of a ranking and of a pair of photos, and a photo's features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handcraft.engine.matching import MatchResult
from handcraft.engine.searching import QueryResult
from handcraft.features import drawing as features_drawing
from handcraft.features.images import read_colour
from handcraft.types import Features, Hit, RegionOfInterest
from handcraft.verification.drawing import draw_match

PICTURE_SIZE = 800  # pixels, long side of a photo in a match picture


def read_picture(path: Path, max_size: int = PICTURE_SIZE) -> NDArray[np.uint8]:
    """A photo as (h, w, 3) uint8 RGB to show; raises PhotoError."""
    return read_colour(path, max_size)


def draw_hit(
    query: NDArray[np.uint8],
    picture: NDArray[np.uint8],
    result: QueryResult,
    hit: Hit,
    roi: RegionOfInterest | None,
) -> NDArray[np.uint8]:
    """The query beside a hit, (h, w, 3) uint8 RGB; inliers joined, the query's region outlined.

    query, picture: (h, w, 3) uint8 RGB, both photos at any size.
    """
    return draw_match(query, (result.width, result.height), picture, (hit.width, hit.height), hit.match, roi)


def draw_pair(a: Path, b: Path, result: MatchResult) -> NDArray[np.uint8]:
    """Two photos side by side, (h, w, 3) uint8 RGB, and what evidence there is; raises PhotoError."""
    return draw_match(read_picture(a), result.sizes[0], read_picture(b), result.sizes[1], result.match, None)


def draw_features(path: Path, features: Features, oriented: bool) -> NDArray[np.uint8]:
    """A photo with the regions of its features, (h, w, 3) uint8 RGB; raises PhotoError.

    oriented: whether the features have an orientation to be drawn, as those described upright do not.
    """
    picture = read_picture(path, features_drawing.PICTURE_SIZE)
    return features_drawing.draw_features(picture, features, oriented)
