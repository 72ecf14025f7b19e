"""Hessian-affine regions (Mikolajczyk & Schmid 2004) in the form of Perdoch, Chum & Matas (2009).

Extrema of the determinant of the Hessian in scale and space, adapted to the shape in which their
gradients are isotropic.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from handcraft.features._kernels import adapt_shapes, find_extrema, hessian_response, refine_extrema
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
LARGEST_RATIO = 6.0  # of a region's axes
RADIUS_PER_SCALE = 3 * math.sqrt(3)  # of the measurement region, in σ
INTERPOLATION_BLUR = 0.5  # σ² that doubling adds, pixels of the doubled photo, the mean of its places
MAX_CANDIDATES = 100_000  # extrema of a level; a photo of nothing but noise has more


def detect(photo: DecodedPhoto, options: FeatureOptions) -> Regions:
    """The affine regions of a photo, in the order of their scales; none in a blank one."""
    frames, responses = [np.empty((0, 2, 3))], [np.empty(0)]
    for step, image, extrema in _extrema(photo.grey.astype(np.float32), options.doubled):
        places = np.column_stack([extrema[:, :2], extrema[:, 2] / BASE_BLUR])
        shapes = np.empty((len(extrema), 2, 2))
        kept = np.empty(len(extrema), np.bool_)
        adapt_shapes(
            image,
            places,
            gaussian_window(WINDOW, (WINDOW // 2) / 3),
            ITERATIONS,
            CONVERGENCE,
            LARGEST_RATIO,
            np.empty((WINDOW, WINDOW), np.float32),
            np.empty(3),
            shapes,
            kept,
        )
        radii = RADIUS_PER_SCALE * step * extrema[kept, 2]
        frames.append(
            np.concatenate([shapes[kept] * radii[:, None, None], step * extrema[kept, :2, None]], axis=2)
        )
        responses.append(extrema[kept, 3])
    return Regions(np.concatenate(frames), np.concatenate(responses))


def _extrema(
    grey: NDArray[np.float32], doubled: bool
) -> Iterator[tuple[float, NDArray[np.float32], NDArray[np.float64]]]:
    """For each level of each octave: pixels of the photo a pixel of the octave, the level's image, and
    its extrema (n, 4): x, y and σ in pixels of the octave, and the response."""
    growth = 2 ** (1 / SCALES)
    scales = [BASE_BLUR * growth**level for level in range(SCALES + 2)]
    step = 0.5 if doubled else 1.0
    blur_before = (CAMERA_BLUR / step) ** 2 + (INTERPOLATION_BLUR if doubled else 0)
    image = _blur(_double(grey) if doubled else grey, math.sqrt(BASE_BLUR**2 - blur_before))
    pixels = np.empty((MAX_CANDIDATES, 2), np.int32)
    refined, offsets = np.empty((MAX_CANDIDATES, 4)), np.empty(5)
    while min(image.shape) > 2 * BORDER:
        images = [image]
        for scale in scales[:-1]:
            images.append(_blur(images[-1], scale * math.sqrt(growth**2 - 1)))
        responses = []
        for level_image, scale in zip(images, scales, strict=True):
            response = np.zeros_like(level_image)
            hessian_response(level_image, scale**4, response)
            responses.append(response)
        for level in range(1, SCALES + 1):
            around = responses[level - 1 : level + 2]
            found = find_extrema(*around, CANDIDATE * THRESHOLD, BORDER, pixels)
            candidates = pixels[: min(found, MAX_CANDIDATES)]
            edge_limit = (EDGE_RATIO + 1) ** 2 / EDGE_RATIO
            kept = refine_extrema(*around, candidates, THRESHOLD, edge_limit, BORDER, offsets, refined)
            extrema = refined[:kept].copy()
            extrema[:, 2] = scales[level] * growth ** extrema[:, 2]
            yield step, images[level], extrema
        image = np.ascontiguousarray(images[SCALES][::2, ::2])
        step *= 2


def _double(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """The photo at twice its size: its pixel x, y is pixel 2x, 2y, others lie between."""
    halve = np.array([[0.5, 0, 0], [0, 0.5, 0]])
    size = (2 * grey.shape[1] - 1, 2 * grey.shape[0] - 1)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(grey, halve, size, flags=flags), np.float32)


def _blur(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)
