"""Pictures of a ranking's evidence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handcraft.engine.searching import QueryResult
from handcraft.features.images import read_colour
from handcraft.types import Hit, RegionOfInterest
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
