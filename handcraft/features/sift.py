"""OpenCV's SIFT (Lowe 2004) as affine frames and RootSIFT descriptors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from handcraft.features.description import PatchDescriptor, describe_frames, in_original
from handcraft.features.descriptors import root_sift
from handcraft.features.images import DecodedPhoto
from handcraft.features.patches import PatchPyramid
from handcraft.features.regions import Regions, strongest
from handcraft.options import FeatureOptions
from handcraft.types import Features

# The descriptor's 4 x 4 grid has bins of 3σ (Lowe 2004, section 6.1); KeyPoint.size is 2σ. The
# measurement circle is the one inscribed in the grid: a radius of 6σ.
RADIUS_PER_SIZE = 3.0


def describe(
    photo: DecodedPhoto, descriptor: PatchDescriptor, options: FeatureOptions, directions: Sequence[float]
) -> tuple[Features, ...]:
    """The strongest SIFT features of a photo, once for each direction; a blank photo gives none.

    RootSIFT is OpenCV's own; other descriptors see the patches inscribed by the descriptor's grid.
    directions: radians by which the photo may be turned from upright, of upright features.
    """
    if options.descriptor == "rootsift" and not options.upright and not options.spread:
        return (_detect_and_describe(photo, options.max_features),) * len(directions)
    keypoints = _sift().detect(photo.grey, None)
    if not options.upright:
        return (_described(photo, keypoints, descriptor, options),) * len(directions)
    distinct = _distinct(keypoints)
    return tuple(
        _described(photo, _turned(distinct, direction), descriptor, options) for direction in directions
    )


def _sift(limit: int = 0) -> cv2.SIFT:
    # Without enable_precise_upscale OpenCV's positions are off by a quarter of a pixel.
    return cv2.SIFT.create(nfeatures=limit, enable_precise_upscale=True)


def _detect_and_describe(photo: DecodedPhoto, limit: int) -> Features:
    """Detecting and describing at once spares a second pyramid."""
    keypoints, raw = _sift(limit).detectAndCompute(photo.grey, None)
    # OpenCV's own limit keeps ties, so there may be a few features more than it was asked for.
    rows = strongest(_responses(keypoints), np.zeros((len(keypoints), 2)), limit, spread=False)
    return _features(photo, [keypoints[row] for row in rows], None if raw is None else raw[rows])


def _described(
    photo: DecodedPhoto,
    keypoints: Sequence[cv2.KeyPoint],
    descriptor: PatchDescriptor,
    options: FeatureOptions,
) -> Features:
    """The strongest of the keypoints as features."""
    regions = Regions(_frames(keypoints), _responses(keypoints))
    if options.descriptor == "rootsift":
        rows = strongest(
            regions.responses, regions.frames[:, :, 2], options.max_features, spread=options.spread
        )
        # OpenCV cannot compute no keypoints on a photo of one or two pixels.
        chosen = [keypoints[row] for row in rows]
        return _features(photo, *(_sift().compute(photo.grey, chosen) if chosen else (chosen, None)))
    pyramid = PatchPyramid.of(photo.grey.astype(np.float32))
    inside = regions.chosen(pyramid.inside(regions.frames, descriptor.side))
    kept = inside.strongest(options.max_features, options.spread)
    return describe_frames(kept.frames, pyramid, photo, descriptor)


def _distinct(keypoints: Sequence[cv2.KeyPoint]) -> list[cv2.KeyPoint]:
    """Keypoints that differ only in orientation become one."""
    return list({(*keypoint.pt, keypoint.size): keypoint for keypoint in reversed(keypoints)}.values())[::-1]


def _turned(keypoints: Sequence[cv2.KeyPoint], direction: float) -> list[cv2.KeyPoint]:
    """The keypoints, all of one orientation."""
    degrees = math.degrees(direction) % 360
    return [
        cv2.KeyPoint(k.pt[0], k.pt[1], k.size, degrees, k.response, k.octave, k.class_id) for k in keypoints
    ]


def _responses(keypoints: Sequence[cv2.KeyPoint]) -> NDArray[np.float64]:
    return np.array([keypoint.response for keypoint in keypoints], np.float64)


def _features(
    photo: DecodedPhoto, keypoints: Sequence[cv2.KeyPoint], raw: cv2.typing.MatLike | None
) -> Features:
    """OpenCV's keypoints and descriptors (n, 128), None of no keypoints, as features."""
    descriptors = np.empty((0, 128), np.float32) if raw is None else np.asarray(raw, np.float32)
    frames = in_original(_frames(keypoints), photo)
    return Features(frames, root_sift(descriptors), photo.photo.width, photo.photo.height)


def _frames(keypoints: Sequence[cv2.KeyPoint]) -> NDArray[np.float64]:
    """The frames (n, 2, 3) of keypoints, pixels of the photo that was searched.

    A maps the unit vector (1, 0) to the feature's orientation, clockwise on the screen.
    """
    x, y, size, degrees = np.array([(*k.pt, k.size, k.angle) for k in keypoints]).reshape(-1, 4).T
    cosine = RADIUS_PER_SIZE * size * np.cos(np.deg2rad(degrees))
    sine = RADIUS_PER_SIZE * size * np.sin(np.deg2rad(degrees))
    return np.stack([np.stack([cosine, -sine, x], axis=1), np.stack([sine, cosine, y], axis=1)], axis=1)
