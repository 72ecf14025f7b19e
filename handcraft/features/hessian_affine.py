"""Hessian-affine regions (Mikolajczyk & Schmid 2004) in the form of Perdoch, Chum & Matas (2009).

Extrema of the determinant of the Hessian in scale and space, adapted to the shape in which their
gradients are isotropic.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from handcraft.features._kernels import adapt_shapes, find_extrema, hessian_response, refine_extrema
from handcraft.features.description import RegionExtractor
from handcraft.features.images import DecodedPhoto
from handcraft.features.patch_sift import gaussian_window
from handcraft.features.patches import CAMERA_BLUR
from handcraft.features.regions import Regions
from handcraft.options import FeatureOptions

# The values of the implementation of Perdoch et al. (github.com/perdoch/hesaff).
SCALES = 3  # levels of an octave that extrema are found in
BASE_BLUR = 1.6  # σ of an octave's first level, pixels
THRESHOLD = (16 / 3) ** 2  # least absolute response, of grey levels up to 255
CANDIDATE = 0.8  # of the threshold: a response worth refining
EDGE_RATIO = 10.0  # largest ratio of a response's curvatures
BORDER = 5  # pixels of an octave in which no extremum is looked for
WINDOW = 19  # pixels of the window whose gradients shape a region
ITERATIONS = 16
CONVERGENCE = 0.05
RADIUS_PER_SCALE = 3 * math.sqrt(3)  # of the measurement region, in σ

# Perdoch et al. take the moments of the level in which a region is found. Its blur does not follow the
# region's shape and makes it rounder: a spot's axis ratio comes out as its square root. We take them of an
# image an octave finer, and what blur it has is accounted for.
WINDOW_STEP = 0.4  # of a pixel of the window, in σ
WEIGHT_BLUR = 2.0  # σ of the window's weights, in σ
LARGEST_RATIO = 8.0  # of a region's axes; the 6 of Perdoch et al. are of axes that blur made rounder

INTERPOLATION_BLUR = 0.5  # σ² that doubling adds, pixels of the doubled photo, the mean of its places
MAX_CANDIDATES = 100_000  # extrema of a level; a photo of nothing but noise has more


def detect(photo: DecodedPhoto, options: FeatureOptions) -> Regions:
    """The affine regions of a photo, in the order of their scales; none in a blank one."""
    parts = [_adapted(level) for level in _levels(photo.pixels.astype(np.float32), options.doubled)]
    frames = np.concatenate([np.empty((0, 2, 3)), *(part.frames for part in parts)])
    return Regions(frames, np.concatenate([np.empty(0), *(part.responses for part in parts)]))


class HessianAffine(RegionExtractor):
    """Hessian-affine regions, and a descriptor of their patches."""

    def __init__(self, options: FeatureOptions) -> None:
        super().__init__(options)
        self.closer = replace(options, doubled=True, max_features=sys.maxsize)

    def detect(self, photo: DecodedPhoto) -> Regions:
        """See the function of this name."""
        return detect(photo, self.options)


@dataclass(frozen=True)
class _Image:
    """An image of the scale space: its pixels, how many pixels of the photo one of them is, and the σ of
    its blur, pixels of the photo."""

    pixels: NDArray[np.float32]
    step: float
    blur: float


@dataclass(frozen=True)
class _Level:
    """The extrema of a level, (n, 4): x, y and σ in pixels of the photo, and the response; and an image
    that is an octave finer."""

    extrema: NDArray[np.float64]
    finer: _Image


def _adapted(level: _Level) -> Regions:
    """The extrema of a level as regions, those that have a shape."""
    extrema, finer = level.extrema, level.finer
    shapes = np.empty((len(extrema), 2, 2))
    kept = np.empty(len(extrema), np.bool_)
    adapt_shapes(
        finer.pixels,
        extrema[:, :3] * [1 / finer.step, 1 / finer.step, WINDOW_STEP / finer.step],
        gaussian_window(WINDOW, WEIGHT_BLUR / WINDOW_STEP),
        ITERATIONS,
        CONVERGENCE,
        LARGEST_RATIO,
        np.empty((WINDOW, WINDOW), np.float32),
        np.empty(3),
        shapes,
        kept,
    )
    extrema, shapes = extrema[kept], _without_blur(shapes[kept], finer.blur / extrema[kept, 2])
    frames = np.empty((len(extrema), 2, 3))
    frames[:, :, :2] = shapes * (RADIUS_PER_SCALE * extrema[:, 2])[:, None, None]
    frames[:, :, 2] = extrema[:, :2]
    return Regions(frames, extrema[:, 3])


def _without_blur(shapes: NDArray[np.float64], blur: NDArray[np.float64]) -> NDArray[np.float64]:
    """The shapes (n, 2, 2) that regions would have in a photo without blur, (n,) σ in the regions' own.

    Of a spot with axes a and b and a·b = σ², blurred by β², the moments have the axes √(a² + β²) and
    √(b² + β²). Their ratio m gives a/b = h + √(h² + m²), where h = (m² − 1)·β²/2σ².
    """
    axes, lengths, _ = np.linalg.svd(shapes)
    squares = (lengths[:, 0] / lengths[:, 1]) ** 2
    half = 0.5 * blur**2 * (squares - 1)
    roots = np.sqrt(half + np.sqrt(half**2 + squares))
    lengths = np.stack([roots, 1 / roots], axis=1)
    return np.asarray((axes * lengths[:, None, :]) @ axes.transpose(0, 2, 1))


def _levels(grey: NDArray[np.float32], doubled: bool) -> Iterator[_Level]:
    """The levels of all octaves, each with an image an octave finer: of the first, the photo itself."""
    growth = 2 ** (1 / SCALES)
    scales = [BASE_BLUR * growth**level for level in range(SCALES + 2)]
    step = 0.5 if doubled else 1.0
    blur_before = (CAMERA_BLUR / step) ** 2 + (INTERPOLATION_BLUR if doubled else 0)
    image = _double(grey) if doubled else grey
    finer = _Image(image, step, step * math.sqrt(blur_before))
    image = _blur(image, math.sqrt(BASE_BLUR**2 - blur_before))
    pixels, offsets = np.empty((MAX_CANDIDATES, 2), np.int32), np.empty(5)
    refined = np.empty((MAX_CANDIDATES, 4))
    while min(image.shape) > 2 * BORDER:
        images = [image]
        for scale in scales[:-1]:
            images.append(_blur(images[-1], scale * math.sqrt(growth**2 - 1)))
        responses = [_response(*level) for level in zip(images, scales, strict=True)]
        for level in range(1, SCALES + 1):
            around = responses[level - 1 : level + 2]
            found = find_extrema(*around, CANDIDATE * THRESHOLD, BORDER, pixels)
            candidates = pixels[: min(found, MAX_CANDIDATES)]
            edge_limit = (EDGE_RATIO + 1) ** 2 / EDGE_RATIO
            kept = refine_extrema(*around, candidates, THRESHOLD, edge_limit, BORDER, offsets, refined)
            extrema = refined[:kept].copy()
            extrema[:, 2] = scales[level] * growth ** extrema[:, 2]
            extrema[:, :3] *= step
            yield _Level(extrema, finer)
        finer = _Image(image, step, step * BASE_BLUR)
        image = np.ascontiguousarray(images[SCALES][::2, ::2])
        step *= 2


def _response(image: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    response = np.zeros_like(image)
    hessian_response(image, scale**4, response)
    return response


def _double(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """The photo at twice its size: its pixel x, y is pixel 2x, 2y, others lie between."""
    halve = np.array([[0.5, 0, 0], [0, 0.5, 0]])
    size = (2 * grey.shape[1] - 1, 2 * grey.shape[0] - 1)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(grey, halve, size, flags=flags), np.float32)


def _blur(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)
