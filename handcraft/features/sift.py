"""OpenCV's SIFT (Lowe 2004) as affine frames and RootSIFT descriptors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from handcraft.features.description import PatchDescriptor, describe_frames, in_original
from handcraft.features.descriptors import root_sift
from handcraft.features.images import DecodedPhoto
from handcraft.features.patches import PatchPyramid
from handcraft.features.regions import Regions, strongest
from handcraft.options import FeatureOptions
from handcraft.types import Features, RegionOfInterest

# The descriptor's 4 x 4 grid has bins of 3σ (Lowe 2004, section 6.1); KeyPoint.size is 2σ. The
# measurement circle is the one inscribed in the grid: a radius of 6σ.
RADIUS_PER_SIZE = 3.0
OPENCVS = "rootsift"  # the descriptor that OpenCV computes itself


@dataclass(frozen=True)
class FoundKeypoints:
    """OpenCV's keypoints in a photo, and how they are to be described: see description.Found.

    RootSIFT is OpenCV's own; other descriptors see the patches inscribed by the descriptor's grid.
    keypoints: None where they are found and described at once, which spares a second pyramid.
    """

    keypoints: Sequence[cv2.KeyPoint] | None
    photo: DecodedPhoto
    descriptor: PatchDescriptor
    options: FeatureOptions

    def describe(self, direction: float, limit: int, roi: RegionOfInterest | None) -> Features:
        """See Found; a blank photo gives none."""
        if self.keypoints is None:
            features = _detect_and_describe(self.photo, self.options.max_features)
            return (features if roi is None else features.inside(roi)).head(limit)
        keypoints = _turned(self.keypoints, direction) if self.options.upright else self.keypoints
        regions = Regions(_frames(keypoints), _responses(keypoints))
        rows = np.arange(len(regions))
        pyramid = None
        if self.options.descriptor != OPENCVS:
            pyramid = PatchPyramid.of(self.photo.grey.astype(np.float32))
            rows = np.flatnonzero(pyramid.inside(regions.frames, self.descriptor.side))
        held = regions.chosen(rows)
        rows = rows[
            strongest(held.responses, held.frames[:, :, 2], self.options.max_features, self.options.spread)
        ]
        if roi is not None:
            rows = rows[roi.holds(in_original(regions.frames[rows], self.photo)[:, :, 2])]
        rows = rows[:limit]
        if pyramid is not None:
            return describe_frames(regions.frames[rows], pyramid, self.photo, self.descriptor)
        # OpenCV cannot compute no keypoints on a photo of one or two pixels.
        chosen = [keypoints[row] for row in rows.tolist()]
        return _features(
            self.photo, *(_sift().compute(self.photo.grey, chosen) if chosen else (chosen, None))
        )


def find(photo: DecodedPhoto, descriptor: PatchDescriptor, options: FeatureOptions) -> FoundKeypoints:
    """Detect the SIFT features of a photo."""
    if options.descriptor == OPENCVS and not options.upright and not options.spread:
        return FoundKeypoints(None, photo, descriptor, options)
    keypoints = _sift().detect(photo.grey, None)
    return FoundKeypoints(_distinct(keypoints) if options.upright else keypoints, photo, descriptor, options)


def _sift(limit: int = 0) -> cv2.SIFT:
    # Without enable_precise_upscale OpenCV's positions are off by a quarter of a pixel.
    return cv2.SIFT.create(nfeatures=limit, enable_precise_upscale=True)


def _detect_and_describe(photo: DecodedPhoto, limit: int) -> Features:
    keypoints, raw = _sift(limit).detectAndCompute(photo.grey, None)
    # OpenCV's own limit keeps ties, so there may be a few features more than it was asked for.
    rows = strongest(_responses(keypoints), np.zeros((len(keypoints), 2)), limit, spread=False)
    return _features(photo, [keypoints[row] for row in rows], None if raw is None else raw[rows])


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
