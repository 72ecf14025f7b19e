"""Maximally stable extremal regions (Matas, Chum, Urban & Pajdla 2002), found by OpenCV.

An extremal region is a connected part of a photo that is brighter, or darker, than all around it. It is
maximally stable if its area changes less with the threshold than those of the regions around and inside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from handcraft.features.description import RegionExtractor
from handcraft.features.hessian_affine import LARGEST_RATIO
from handcraft.features.images import DecodedPhoto
from handcraft.features.regions import Regions
from handcraft.options import FeatureOptions

DELTA = 5  # grey levels by which the threshold is moved (the default of OpenCV and of VLFeat)
# By how much a region grows at most from DELTA before its threshold to DELTA after it, of its area. VLFeat
# allows 0.25 after the threshold alone; OpenCV's default of 0.25 for both finds two thirds of the matches.
MAX_VARIATION = 0.5
MIN_DIVERSITY = 0.2  # by how much nested regions differ at least, of the outer's area (VLFeat's default)
MIN_AREA = 30  # pixels (the default of the authors' program and of MATLAB)
# Matas et al. describe a region 1, 1.5, 2 and 3 times as large: what is around it tells it from others, but
# is not always on the same plane, nor in the photo. Measured on graf and kth, 1.5, 2 and 3 match alike to a
# tenth, 1 matches less.
MEASUREMENT_SCALE = 2.0
# Of the photo. No shape has smaller moments than an ellipse, so the patch of a region of area a has an area
# of 4/π · MEASUREMENT_SCALE² · a or more: that of a larger region does not fit into the photo.
MAX_AREA = math.pi / 4 / MEASUREMENT_SCALE**2
# The variance of the places in a pixel, a square. With it, as in MATLAB's regionprops, covariances are of
# areas and not of points, and a line of pixels has an ellipse too.
PIXEL_VARIANCE = 1 / 12
BORDER = 1  # pixels around the photo: OpenCV leaves the outermost out, and refuses a photo without others

_Pixels = NDArray[np.int32]  # (k, 2), x and y of a region's pixels in the photo with its border


def detect(photo: DecodedPhoto, options: FeatureOptions) -> Regions:
    """The measurement regions of a photo's bright and dark regions; none in a blank one.

    They are ellipses with the centre and the moments of the region, MEASUREMENT_SCALE times as large, and
    upright. Responses are areas in pixels, those of dark regions negative: large regions are found again in
    more views than regions of high contrast.
    """
    bright = _bright_regions(photo.pixels)
    dark = _bright_regions(255 - photo.pixels)
    frames = np.concatenate([bright.frames, dark.frames])
    return Regions(frames, np.concatenate([bright.responses, -dark.responses]))


class Mser(RegionExtractor):
    """Maximally stable extremal regions, and a descriptor of their patches."""

    def detect(self, photo: DecodedPhoto) -> Regions:
        """See the function of this name."""
        return detect(photo, self.options)


def _bright_regions(grey: NDArray[np.uint8]) -> Regions:
    """The measurement regions of what is brighter than all around it, and the regions' areas."""
    found = _stable_regions(grey)
    if not found:
        return Regions(np.empty((0, 2, 3)), np.empty(0))
    distinct = [found[row] for row in _distinct_rows(found, grey.shape)]
    centres, covariances, areas = _moments(distinct)
    # The semi-axes of an ellipse are twice the standard deviations along them.
    linear = 2 * MEASUREMENT_SCALE * np.linalg.cholesky(covariances)
    small, large = np.linalg.eigvalsh(covariances).T
    regions = Regions(np.concatenate([linear, centres[:, :, None]], axis=2), areas)
    return regions.chosen(large <= LARGEST_RATIO**2 * small)


def _stable_regions(grey: NDArray[np.uint8]) -> Sequence[_Pixels]:
    """The pixels of the bright regions, the same in the same order on every run."""
    bordered = np.pad(grey, BORDER)
    # OpenCV 5.0 takes min_diversity for a least variation, and drops what is most stable by its default
    # (github.com/opencv/opencv/issues/29652); OpenCV 4 ignores it. _distinct_rows does what it is for.
    detector = cv2.MSER.create(DELTA, MIN_AREA, int(MAX_AREA * grey.size), MAX_VARIATION, min_diversity=0)
    detector.setPass2Only(True)  # the pass for bright regions: of both, it is not told which is which
    return cast("Sequence[_Pixels]", detector.detectRegions(bordered)[0])


def _distinct_rows(regions: Sequence[_Pixels], shape: tuple[int, ...]) -> list[int]:
    """The rows of the regions that remain if, of nested ones that hardly differ, the outer is kept."""
    areas = [*(float(len(pixels)) for pixels in regions), math.inf]
    parents = _parents(regions, shape).tolist()
    kept = list(range(len(areas)))  # for each region the one that is kept for it
    for row in sorted(range(len(regions)), key=areas.__getitem__, reverse=True):
        outer = kept[parents[row]]
        if areas[outer] - areas[row] < MIN_DIVERSITY * areas[outer]:
            kept[row] = outer
    return [row for row in range(len(regions)) if kept[row] == row]


def _parents(regions: Sequence[_Pixels], shape: tuple[int, ...]) -> NDArray[np.intp]:
    """The row of the smallest region around each of n bright regions of a photo; n where there is none.

    Two bright regions are nested or have no pixel in common. So if those that hold the first pixel of a
    region are put in the order of their areas, its parent is the next after itself.
    """
    pixels, starts, areas = _joined(regions)
    places = pixels[:, 1].astype(np.intp) * shape[1] + pixels[:, 0]
    first = places[starts]
    is_first = np.zeros(math.prod(shape), np.bool_)
    is_first[first] = True
    held = np.flatnonzero(is_first[places])
    rows = np.searchsorted(starts, held, side="right") - 1
    order = np.lexsort((areas[rows], places[held]))
    rows, places = rows[order], places[held][order]
    following = np.where(places == np.append(places[1:], -1), np.append(rows[1:], -1), len(regions))
    own = places == first[rows]
    parents = np.empty(len(regions), np.intp)
    parents[rows[own]] = following[own]
    return parents


def _moments(
    regions: Sequence[_Pixels],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The centres (n, 2), the covariances (n, 2, 2) and the areas (n,) of n regions, pixels."""
    pixels, starts, areas = _joined(regions)
    x, y = np.ascontiguousarray(pixels.T, np.float64)
    # Whole numbers below 2⁵³: nothing is rounded before the division.
    sums = [np.add.reduceat(products, starts) for products in (x, y, x * x, x * y, y * y)]
    mean_x, mean_y, xx, xy, yy = np.array(sums) / areas
    covariances = np.empty((len(regions), 2, 2))
    covariances[:, 0, 0] = xx - mean_x**2 + PIXEL_VARIANCE
    covariances[:, 1, 1] = yy - mean_y**2 + PIXEL_VARIANCE
    covariances[:, 0, 1] = covariances[:, 1, 0] = xy - mean_x * mean_y
    return np.column_stack([mean_x, mean_y]), covariances, areas


def _joined(regions: Sequence[_Pixels]) -> tuple[_Pixels, NDArray[np.intp], NDArray[np.float64]]:
    """The pixels of n regions, one or more, in one array, x and y in the photo; where each region starts,
    (n,); areas (n,)."""
    areas = np.array([len(pixels) for pixels in regions])
    return np.concatenate(regions) - BORDER, np.cumsum(areas) - areas, areas.astype(np.float64)
