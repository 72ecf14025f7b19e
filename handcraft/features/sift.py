"""OpenCV's SIFT (Lowe 2004) as affine frames and RootSIFT descriptors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from handcraft.features.description import FoundRegions, PatchExtractor
from handcraft.features.descriptors import root_sift
from handcraft.features.extractor import Described, Found, PatchDescriptor
from handcraft.features.images import DecodedPhoto
from handcraft.features.regions import Regions, rotation, strongest
from handcraft.options import FeatureOptions
from handcraft.types import Features, RegionOfInterest

# The descriptor's 4 x 4 grid has bins of 3σ (Lowe 2004, section 6.1); KeyPoint.size is 2σ. The
# measurement circle is the one inscribed in the grid: a radius of 6σ.
RADIUS_PER_SIZE = 3.0
OPENCVS = "rootsift"  # the descriptor that OpenCV computes itself


@dataclass(frozen=True)
class FoundKeypoints:
    """OpenCV's keypoints in a photo, those that the options keep, for OpenCV to describe: see
    description.Found."""

    keypoints: Sequence[cv2.KeyPoint]
    photo: DecodedPhoto
    upright: bool

    def describe(self, direction: float, limit: int, roi: RegionOfInterest | None) -> Features:
        """See Found; a blank photo gives none."""
        keypoints = _turned(self.keypoints, direction) if self.upright else self.keypoints
        if roi is not None:
            held = roi.holds(self.photo.in_original(_frames(keypoints))[:, :, 2])
            keypoints = [keypoints[row] for row in np.flatnonzero(held).tolist()]
        keypoints = keypoints[:limit]
        if not keypoints:  # OpenCV refuses to compute none on a photo of one or two pixels
            return _features(self.photo, keypoints, None)
        return _features(self.photo, *_sift().compute(self.photo.pixels, keypoints))


class Sift(PatchExtractor):
    """OpenCV's SIFT, whose patches another descriptor may describe."""

    def find_one(self, photo: DecodedPhoto) -> Found:
        """See the function find."""
        return find(photo, self.patches, self.options)


def find(photo: DecodedPhoto, descriptor: PatchDescriptor, options: FeatureOptions) -> Found:
    """Detect the SIFT features of a photo.

    RootSIFT is OpenCV's own; other descriptors see the patches inscribed by the descriptor's grid.
    """
    if options.descriptor == OPENCVS and not options.upright and not options.spread:
        return Described(_detect_and_describe(photo, options.max_features))
    keypoints = _sift().detect(photo.pixels, None)
    if options.upright:
        keypoints = _distinct(keypoints)
    regions = Regions(_frames(keypoints), _responses(keypoints))
    if options.descriptor != OPENCVS:
        return FoundRegions.of(regions, photo, descriptor, options, oriented=True)
    rows = strongest(regions.responses, regions.places, options.max_features, options.spread)
    return FoundKeypoints([keypoints[row] for row in rows.tolist()], photo, options.upright)


def _sift(limit: int = 0) -> cv2.SIFT:
    # Without enable_precise_upscale OpenCV's positions are off by a quarter of a pixel.
    return cv2.SIFT.create(nfeatures=limit, enable_precise_upscale=True)


def _detect_and_describe(photo: DecodedPhoto, limit: int) -> Features:
    keypoints, raw = _sift(limit).detectAndCompute(photo.pixels, None)
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
    return photo.features(_frames(keypoints), root_sift(descriptors))


def _frames(keypoints: Sequence[cv2.KeyPoint]) -> NDArray[np.float64]:
    """The frames (n, 2, 3) of keypoints, pixels of the photo that was searched.

    A maps the unit vector (1, 0) to the feature's orientation, clockwise on the screen.
    """
    x, y, size, degrees = np.array([(*k.pt, k.size, k.angle) for k in keypoints]).reshape(-1, 4).T
    linear = RADIUS_PER_SIZE * size[:, None, None] * rotation(np.deg2rad(degrees))
    return np.concatenate([linear, np.stack([x, y], axis=1)[:, :, None]], axis=2)
