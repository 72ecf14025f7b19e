"""Drawing the evidence of a match: the query beside the photo, each inlier joined by a line."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from handcraft.errors import PhotoError
from handcraft.types import Match, RegionOfInterest, scale_coordinates
from handcraft.verification.spatial import corners_of

MAX_HEIGHT = 600  # pixels of the picture; a lower pair of photos keeps its height
MAX_WIDTH = 1200  # pixels of either photo in the picture; only a panorama is wider and becomes lower
MAX_LINES = 150  # inliers drawn; more would hide the photos
GUTTER = 12  # pixels between the photos

_BACKGROUND = 20  # grey level of the gutter: coloured lines show well on it
_DARK = (16, 16, 16)
_LIGHT = (255, 255, 255)
_OUTLINE_MARGIN = 3.0  # pixels that keep an outline's double stroke inside the photo
_END_RADIUS = 3  # pixels, of the circle at an inlier's end
_LINE_OPACITY = 0.7  # the photo shows through a bundle of lines
_FRACTION_BITS = 4  # OpenCV draws at sixteenths of a pixel
_GOLDEN_RATIO = 0.618033988749895  # its multiples spread hues evenly, for any number of lines
_FAR = 1e9  # pixels: what lies further out is drawn as if it lay here, so that no product overflows


@dataclass(frozen=True)
class _Panel:
    """Where a photo stands in the picture. All in pixels, original_size is (width, height)."""

    left: int
    top: int
    width: int
    height: int
    original_size: tuple[int, int]

    def place(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (n, 2) pixels of the original photo to pixels of the picture."""
        scale = np.array([self.width, self.height]) / np.array(self.original_size)
        near = np.clip(points.astype(np.float64), -_FAR, _FAR)
        corner = np.array([self.left, self.top])
        return np.asarray(scale_coordinates(near, scale) + corner, np.float64)

    def limits(self, margin: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The smallest and the largest x and y of the photo in the picture, less a margin."""
        low = np.array([self.left, self.top], np.float64)
        high = np.array([self.left + self.width - 1, self.top + self.height - 1], np.float64)
        middle = (low + high) / 2
        return np.minimum(low + margin, middle), np.maximum(high - margin, middle)


def draw_match(
    query: NDArray[np.uint8],
    query_size: tuple[int, int],
    photo: NDArray[np.uint8],
    photo_size: tuple[int, int],
    match: Match | None,
    roi: RegionOfInterest | None,
) -> NDArray[np.uint8]:
    """Draw the query at the left, the photo at the right, and between them the match's inliers.

    query, photo: (h, w, 3) uint8 RGB, of any resolution.
    query_size, photo_size: width and height of the original photos, in whose pixels `match` and
        `roi` are given.
    match: None leaves the photos without lines.
    roi: the region of interest, outlined in the query. Without it, the query's border is.

    Returns (h, w, 3) uint8 RGB, at most 600 pixels high. A region is outlined as far as it lies in
    its photo. Of more than 150 inliers, 150 are drawn, spread evenly from top to bottom of the query.
    Raises PhotoError if a photo is empty or not RGB.
    """
    _check("query", query, query_size)
    _check("photo", photo, photo_size)
    left, right = _arrange(query, query_size, photo, photo_size)
    picture = np.full((max(left.height, right.height), right.left + right.width, 3), _BACKGROUND, np.uint8)
    for panel, pixels in ((left, query), (right, photo)):
        rows = slice(panel.top, panel.top + panel.height)
        columns = slice(panel.left, panel.left + panel.width)
        picture[rows, columns] = _resize(pixels, panel.width, panel.height)
    if roi is not None or match is not None:
        _draw_outline(picture, left, corners_of(roi, *query_size))
    if match is not None:
        _draw_outline(picture, right, match.region)
        _draw_inliers(picture, left.place(match.query_points), right.place(match.photo_points), left, right)
    return picture


def _check(what: str, pixels: NDArray[np.uint8], size: tuple[int, int]) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        raise PhotoError(
            f"The {what} to draw has shape {pixels.shape} and type {pixels.dtype}; "
            f"give RGB pixels, (height, width, 3) uint8."
        )
    if min(size) < 1:
        raise PhotoError(
            f"The {what} to draw has a size of {size[0]} x {size[1]} pixels; give the original's."
        )


def _arrange(
    query: NDArray[np.uint8],
    query_size: tuple[int, int],
    photo: NDArray[np.uint8],
    photo_size: tuple[int, int],
) -> tuple[_Panel, _Panel]:
    """Give both photos the same height; one too wide for that becomes lower and stands in the middle."""
    height = min(MAX_HEIGHT, max(len(query), len(photo)))
    query_width, query_height = _fit(query, height)
    photo_width, photo_height = _fit(photo, height)
    height = max(query_height, photo_height)
    left = _Panel(0, (height - query_height) // 2, query_width, query_height, query_size)
    right = _Panel(query_width + GUTTER, (height - photo_height) // 2, photo_width, photo_height, photo_size)
    return left, right


def _fit(pixels: NDArray[np.uint8], height: int) -> tuple[int, int]:
    """The width and height of a photo in the picture."""
    scale = min(height / pixels.shape[0], MAX_WIDTH / pixels.shape[1])
    return max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))


def _resize(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    smaller = width * height < pixels.shape[0] * pixels.shape[1]
    interpolation = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=interpolation), np.uint8)


def _draw_outline(picture: NDArray[np.uint8], panel: _Panel, corners: NDArray[np.float64]) -> None:
    """Outline the part of a region that lies in the photo, dark and light, to show on any photo."""
    if not np.isfinite(corners).all():
        return
    visible = _clip_polygon(panel.place(corners), *panel.limits(_OUTLINE_MARGIN))
    if len(visible) == 0:
        return
    points = _fixed_point(visible)[:, None]
    for colour, thickness in ((_DARK, 4), (_LIGHT, 2)):
        cv2.polylines(picture, [points], True, colour, thickness, cv2.LINE_AA, _FRACTION_BITS)


def _clip_polygon(
    polygon: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The part of a convex (n, 2) polygon in a box (Sutherland and Hodgman 1974), (0, 2) if none."""
    for axis in (0, 1):
        for sign, limit in ((1.0, low[axis]), (-1.0, high[axis])):
            inside = sign * (polygon[:, axis] - limit)  # signed distance, pixels
            kept: list[NDArray[np.float64]] = []
            for k in range(len(polygon)):
                before, after = inside[k - 1], inside[k]
                if (before < 0) != (after < 0):
                    crossing = polygon[k - 1] + before / (before - after) * (polygon[k] - polygon[k - 1])
                    crossing[axis] = limit  # exactly, whatever was rounded
                    kept.append(crossing)
                if after >= 0:
                    kept.append(polygon[k])
            polygon = np.array(kept, np.float64).reshape(-1, 2)
    return polygon


def _draw_inliers(
    picture: NDArray[np.uint8],
    starts: NDArray[np.float64],
    ends: NDArray[np.float64],
    left: _Panel,
    right: _Panel,
) -> None:
    """Join (n, 2) starts to ends, pixels of the picture; an end outside its photo goes to its border."""
    finite = np.isfinite(starts).all(axis=1) & np.isfinite(ends).all(axis=1)
    starts = np.clip(starts[finite], *left.limits(0))
    ends = np.clip(ends[finite], *right.limits(0))
    # From top to bottom, so that the sample covers the query and neighbours get unlike colours.
    order = np.lexsort((ends[:, 1], ends[:, 0], starts[:, 0], starts[:, 1]))
    chosen = order[np.linspace(0, len(order) - 1, min(len(order), MAX_LINES)).round().astype(np.intp)]
    tips = _fixed_point(np.stack([starts[chosen], ends[chosen]], axis=1)).tolist()
    lines = [(start, end, _colour(number)) for number, (start, end) in enumerate(tips)]
    bare = picture.copy()
    for start, end, colour in lines:
        cv2.line(picture, start, end, colour, 1, cv2.LINE_AA, _FRACTION_BITS)
    cv2.addWeighted(picture, _LINE_OPACITY, bare, 1 - _LINE_OPACITY, 0, dst=picture)
    for start, end, colour in lines:
        for centre in (start, end):
            for radius, fill in ((_END_RADIUS + 1, _DARK), (_END_RADIUS, colour)):
                cv2.circle(picture, centre, radius << _FRACTION_BITS, fill, -1, cv2.LINE_AA, _FRACTION_BITS)


def _fixed_point(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """Pixels inside the picture as the fixed-point numbers that OpenCV draws at."""
    return np.rint(points * (1 << _FRACTION_BITS)).astype(np.int32)


def _colour(number: int) -> tuple[int, int, int]:
    """A bright RGB colour for each line, far in hue from those of the lines before it."""
    red, green, blue = colorsys.hsv_to_rgb(number * _GOLDEN_RATIO % 1, 0.8, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)
