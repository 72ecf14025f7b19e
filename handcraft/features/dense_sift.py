"""A regular grid of circles of four sizes: the regions of DenseVLAD (Torii et al. 2015).

DenseVLAD describes patches everywhere, so that no detector decides what a photo is known by, as day and night
or summer and winter would make it decide differently. Its grid is VLFeat's vl_phow with the defaults.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from handcraft.features.description import RegionExtractor
from handcraft.features.images import DecodedPhoto
from handcraft.features.regions import Regions, circles
from handcraft.options import FeatureOptions

# SIFT has 4 x 4 bins: half a patch's side is two. vl_phow's bins are of 4, 6, 8 and 10 pixels ("Sizes").
RADII = (8, 12, 16, 20)  # pixels of the circle that a patch's sides touch
LEAST_STEP = 2  # pixels between neighbouring centres (vl_phow's "Step")
# Grey levels, the standard deviation of a patch. Below, patches show noise, JPEG's blocks and slow changes of
# the light: one in six of oxford1k's. Without them kth's mAP is 0.07 higher; a limit of 8 loses 0.03 of that.
LEAST_CONTRAST = 3.0


def detect(photo: DecodedPhoto, options: FeatureOptions) -> Regions:
    """Upright circles on a grid in the middle of a photo, size by size, row by row; none where it is blank.

    The grid is as fine as `options.max_features` of all sizes together allow, and its square patches lie in
    the photo. Responses are the standard deviations of the patches' pixels, in grey levels.
    """
    height, width = photo.pixels.shape
    step = _step(height, width, options.max_features)
    integrals = np.array(cv2.integral2(photo.pixels, sdepth=cv2.CV_64F, sqdepth=cv2.CV_64F), np.float64)
    frames, responses = [], []
    for radius in RADII:
        x, y = _centres(width, radius, step), _centres(height, radius, step)
        contrasts = _contrasts(integrals, x, y, radius)
        rows, columns = np.nonzero(contrasts >= LEAST_CONTRAST)
        places = np.stack([x[columns], y[rows]], axis=1)
        frames.append(circles(places, np.full(len(places), radius)))
        responses.append(contrasts[rows, columns])
    return Regions(np.concatenate(frames), np.concatenate(responses))


class DenseSift(RegionExtractor):
    """A regular grid of circles, and a descriptor of their patches."""

    def detect(self, photo: DecodedPhoto) -> Regions:
        """See the function of this name."""
        return detect(photo, self.options)


def _step(height: int, width: int, limit: int) -> int:
    """The least step, in pixels, that gives at most so many circles, or one of each size."""
    longest = max(height, width)
    for step in range(LEAST_STEP, longest):
        if sum(_count(height, radius, step) * _count(width, radius, step) for radius in RADII) <= limit:
            return step
    return max(LEAST_STEP, longest)


def _count(side: int, radius: int, step: int) -> int:
    """How many centres a side of the photo has room for."""
    return max(0, (side - 1 - 2 * radius) // step + 1)


def _centres(side: int, radius: int, step: int) -> NDArray[np.int64]:
    """Whole pixels of a side of the photo, a step apart, in its middle to half a pixel."""
    count = _count(side, radius, step)
    first = (side - 1 - (count - 1) * step) // 2
    return first + step * np.arange(count, dtype=np.int64)


def _contrasts(
    integrals: NDArray[np.float64], x: NDArray[np.int64], y: NDArray[np.int64], radius: int
) -> NDArray[np.float64]:
    """The standard deviations (rows, columns) of the pixels in the squares around a grid's centres.

    integrals: (2, h + 1, w + 1), the integral images of the grey levels and of their squares. They hold whole
    numbers below 2⁵³: nothing is rounded before the root, and a blank square has exactly 0.
    """
    left, right, top, bottom = x - radius, x + radius + 1, y - radius, y + radius + 1
    low, high = integrals[:, top], integrals[:, bottom]
    sums, squares = high[:, :, right] - high[:, :, left] - low[:, :, right] + low[:, :, left]
    pixels = (2 * radius + 1) ** 2
    return np.asarray(np.sqrt(pixels * squares - sums**2) / pixels)
