"""OpenCV's SIFT (Lowe 2004) as affine frames and RootSIFT descriptors."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from handcraft.features.descriptors import root_sift, root_sift_fingerprint
from handcraft.features.images import DecodedPhoto
from handcraft.options import FeatureOptions
from handcraft.types import Features, Fingerprint, scale_coordinates

# The descriptor's 4 x 4 grid has bins of 3σ (Lowe 2004, section 6.1); KeyPoint.size is 2σ. The
# measurement circle is the one inscribed in the grid: a radius of 6σ.
RADIUS_PER_SIZE = 3.0


def fingerprint(options: FeatureOptions) -> Fingerprint:
    """What SIFT gives under these options."""
    return root_sift_fingerprint("sift-rootsift", "sift", options)


def extract(photo: DecodedPhoto, options: FeatureOptions) -> Features:
    """Detect and describe the strongest SIFT features of a photo; a blank photo gives none."""
    keypoints, raw = _describe(photo.grey, options)
    table = np.array([(*k.pt, k.size, k.angle, k.response) for k in keypoints], np.float32).reshape(-1, 5)
    # OpenCV's own limit keeps ties, so there may be a few features more than it was asked for.
    strongest = np.argsort(-table[:, 4], kind="stable")[: options.max_features]
    table = table[strongest]
    frames = _frames(table, photo)
    return Features(frames, root_sift(raw[strongest]), photo.photo.width, photo.photo.height)


def _describe(
    grey: NDArray[np.uint8], options: FeatureOptions
) -> tuple[Sequence[cv2.KeyPoint], NDArray[np.float32]]:
    """OpenCV's keypoints and raw descriptors (n, 128)."""
    # Without enable_precise_upscale OpenCV's positions are off by a quarter of a pixel.
    if options.upright:
        sift = cv2.SIFT.create(enable_precise_upscale=True)
        chosen = _upright_keypoints(sift.detect(grey, None), options.max_features)
        # OpenCV cannot compute no keypoints on a photo of one or two pixels.
        keypoints, raw = sift.compute(grey, chosen) if chosen else ((), None)
    else:
        sift = cv2.SIFT.create(nfeatures=options.max_features, enable_precise_upscale=True)
        keypoints, raw = sift.detectAndCompute(grey, None)
    if raw is None:  # a blank photo
        return (), np.empty((0, 128), np.float32)
    return keypoints, np.asarray(raw, np.float32)


def _upright_keypoints(keypoints: Sequence[cv2.KeyPoint], limit: int) -> list[cv2.KeyPoint]:
    """The strongest keypoints turned upright; those that differed only in orientation become one."""
    distinct: dict[tuple[float, ...], cv2.KeyPoint] = {}
    for keypoint in keypoints:
        keypoint.angle = 0
        distinct.setdefault((*keypoint.pt, keypoint.size), keypoint)
    return sorted(distinct.values(), key=lambda keypoint: -keypoint.response)[:limit]


def _frames(table: NDArray[np.float32], photo: DecodedPhoto) -> NDArray[np.float32]:
    """Rows of x, y, size and angle in the reduced photo to frames in pixels of the original.

    A maps the unit vector (1, 0) to the feature's orientation, clockwise on the screen.
    """
    height, width = photo.grey.shape
    scale_x = photo.photo.width / width
    scale_y = photo.photo.height / height
    radius = RADIUS_PER_SIZE * table[:, 2]
    angle = np.deg2rad(table[:, 3].astype(np.float64))
    frames = np.empty((len(table), 2, 3), np.float32)
    frames[:, 0, 0] = scale_x * radius * np.cos(angle)
    frames[:, 0, 1] = -scale_x * radius * np.sin(angle)
    frames[:, 1, 0] = scale_y * radius * np.sin(angle)
    frames[:, 1, 1] = scale_y * radius * np.cos(angle)
    frames[:, 0, 2] = scale_coordinates(table[:, 0], scale_x)
    frames[:, 1, 2] = scale_coordinates(table[:, 1], scale_y)
    return frames
