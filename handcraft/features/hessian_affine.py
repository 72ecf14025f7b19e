"""Hessian-affine regions (Mikolajczyk & Schmid 2004) in the form of Perdoch, Chum & Matas (2009).

Extrema of the determinant of the Hessian in scale and space, adapted to the shape in which their
gradients are isotropic, described by SIFT. Upright regions keep the photo's vertical (the gravity
vector of Perdoch et al.): their frame is lower-triangular. Others are turned to their dominant
gradients.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from handcraft.features._kernels import (
    BINS,
    ORIENTATIONS,
    adapt_shapes,
    describe_patches,
    find_extrema,
    hessian_response,
    patch_orientations,
    refine_extrema,
)
from handcraft.features.descriptors import root_sift, root_sift_fingerprint
from handcraft.features.images import DecodedPhoto
from handcraft.features.patches import CAMERA_BLUR, PatchPyramid
from handcraft.options import FeatureOptions
from handcraft.types import Features, Fingerprint, scale_coordinates

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
PATCH = 41  # pixels of a patch along each side

CLIP = 0.2  # largest value of a descriptor before it is normalised (Lowe 2004, section 6.1)
WEIGHT_BLUR = 2 / 3  # σ of the weights of a patch's gradients, in half sides of the patch
ORIENTATION_BINS = 36
SECOND_PEAK = 0.8  # of the highest: an orientation of its own (Lowe 2004, section 5)
MAX_CANDIDATES = 100_000  # extrema of a level; a photo of nothing but noise has more


def fingerprint(options: FeatureOptions) -> Fingerprint:
    """What Hessian-affine gives under these options."""
    return root_sift_fingerprint("hessian-affine-rootsift", "hessian-affine", options)


def extract(photo: DecodedPhoto, options: FeatureOptions) -> Features:
    """Detect and describe the strongest regions of a photo; a blank photo gives none."""
    grey = photo.grey.astype(np.float32)
    regions = detect(grey)
    pyramid = PatchPyramid.of(grey)
    frames, patches = _oriented(regions, pyramid, options)
    descriptors = root_sift(_describe(patches))
    return Features(_in_original(frames, photo), descriptors, photo.photo.width, photo.photo.height)


@dataclass(frozen=True)
class Regions:
    """Affine regions, strongest first. frames: (n, 2, 3) float64, [A | t] from the unit circle to the
    measurement region, A lower-triangular, pixels. responses: (n,) float64."""

    frames: NDArray[np.float64]
    responses: NDArray[np.float64]


def detect(grey: NDArray[np.float32]) -> Regions:
    """The affine regions of an (h, w) photo of grey levels up to 255."""
    frames, responses = [np.empty((0, 2, 3))], [np.empty(0)]
    for step, image, extrema in _extrema(grey):
        places = np.column_stack([extrema[:, :2], extrema[:, 2] / BASE_BLUR])
        shapes = np.empty((len(extrema), 2, 2))
        kept = np.empty(len(extrema), np.bool_)
        adapt_shapes(
            image,
            places,
            _gaussian(WINDOW, (WINDOW // 2) / 3),
            ITERATIONS,
            CONVERGENCE,
            LARGEST_RATIO,
            np.empty((WINDOW, WINDOW), np.float32),
            np.empty(3),
            shapes,
            kept,
        )
        radii = RADIUS_PER_SCALE * step * extrema[kept, 2]
        linear = _upright(shapes[kept]) * radii[:, None, None]
        frames.append(np.concatenate([linear, step * extrema[kept, :2, None]], axis=2))
        responses.append(extrema[kept, 3])
    strengths = np.concatenate(responses)
    order = np.argsort(-np.abs(strengths), kind="stable")
    return Regions(np.concatenate(frames)[order], strengths[order])


def _extrema(
    grey: NDArray[np.float32],
) -> Iterator[tuple[float, NDArray[np.float32], NDArray[np.float64]]]:
    """For each level of each octave: pixels of the photo a pixel of the octave, the level's image, and
    its extrema (n, 4): x, y and σ in pixels of the octave, and the response."""
    growth = 2 ** (1 / SCALES)
    scales = [BASE_BLUR * growth**level for level in range(SCALES + 2)]
    image = _blur(grey, math.sqrt(BASE_BLUR**2 - CAMERA_BLUR**2))
    step = 1.0
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


def _blur(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)


def _gaussian(size: int, sigma: float) -> NDArray[np.float32]:
    """(size, size): the weights of a window, 1 in the middle."""
    line = np.exp(-((np.arange(size) - size // 2) ** 2) / (2 * sigma**2))
    return np.outer(line, line).astype(np.float32)


def _upright(shapes: NDArray[np.float64]) -> NDArray[np.float64]:
    """The lower-triangular matrices that map the unit circle to the same ellipses as (n, 2, 2)."""
    ellipses = shapes @ shapes.transpose(0, 2, 1)
    return np.asarray(np.linalg.cholesky(ellipses))


def _oriented(
    regions: Regions, pyramid: PatchPyramid, options: FeatureOptions
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """The frames (n, 2, 3) of the strongest regions whose patches lie in the photo, and these patches."""
    frames = regions.frames
    patches, inside = pyramid.sample(frames, PATCH)
    frames, patches = frames[inside], patches[inside]
    if options.upright:
        return frames[: options.max_features], patches[: options.max_features]
    turned = _turn(frames[: options.max_features], patches[: options.max_features])
    patches, inside = pyramid.sample(turned, PATCH)
    return turned[inside][: options.max_features], patches[inside][: options.max_features]


def _turn(frames: NDArray[np.float64], patches: NDArray[np.float32]) -> NDArray[np.float64]:
    """The frames turned to the dominant orientations of their patches, at most two of each."""
    angles = np.empty((len(frames), 2))
    size = patches.shape[1]
    patch_orientations(
        patches,
        _gaussian(size, WEIGHT_BLUR * (size // 2)),
        SECOND_PEAK,
        np.empty((size, size), np.float32),
        np.empty((size, size), np.float32),
        np.empty(ORIENTATION_BINS, np.float32),
        np.empty(ORIENTATION_BINS, np.float32),
        angles,
    )
    rows, columns = np.nonzero(np.isfinite(angles))
    cosine, sine = np.cos(angles[rows, columns]), np.sin(angles[rows, columns])
    turns = np.stack([np.stack([cosine, -sine], axis=1), np.stack([sine, cosine], axis=1)], axis=1)
    linear = frames[rows, :, :2] @ turns
    return np.concatenate([linear, frames[rows, :, 2:]], axis=2)


def _describe(patches: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, 128) SIFT descriptors, not normalised."""
    size = patches.shape[1]
    positions = (np.arange(size) + 0.5) / size * BINS - 0.5
    lower = np.floor(positions)
    descriptors = np.empty((len(patches), BINS * BINS * ORIENTATIONS), np.float32)
    describe_patches(
        patches,
        _gaussian(size, WEIGHT_BLUR * (size // 2)),
        lower.astype(np.int64) + 1,
        (positions - lower).astype(np.float32),
        CLIP,
        np.empty((size, size), np.float32),
        np.empty((size, size), np.float32),
        np.empty((BINS + 2, BINS + 2, ORIENTATIONS), np.float32),
        descriptors,
    )
    return descriptors


def _in_original(frames: NDArray[np.float64], photo: DecodedPhoto) -> NDArray[np.float32]:
    """Frames in pixels of the reduced photo as frames in pixels of the original."""
    height, width = photo.grey.shape
    scales = np.array([photo.photo.width / width, photo.photo.height / height])
    linear = frames[:, :, :2] * scales[:, None]
    places = scale_coordinates(frames[:, :, 2], scales)
    return np.concatenate([linear, places[:, :, None]], axis=2).astype(np.float32)
