"""From affine regions to features: orientation, patches, descriptors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from handcraft.features.images import DecodedPhoto
from handcraft.features.patch_sift import dominant_orientations
from handcraft.features.patches import PatchPyramid
from handcraft.features.regions import Regions, upright
from handcraft.options import FeatureOptions
from handcraft.types import Features, RegionOfInterest, scale_coordinates

ORIENTATION_SIDE = 41  # pixels of the patch whose gradients orient a region


@dataclass(frozen=True)
class PatchDescriptor:
    """A descriptor of patches, hand-crafted or learned.

    side: pixels of the patches along each side. dimension, dtype: of the descriptors.
    describe: patches (n, side, side) float32, grey levels up to 255, to descriptors (n, dimension).
    """

    side: int
    dimension: int
    dtype: str
    describe: Callable[[NDArray[np.float32]], NDArray[np.generic]]


class Found(Protocol):
    """What a detector found in a photo, to be described in whatever direction it is asked for."""

    def describe(self, direction: float, limit: int, roi: RegionOfInterest | None) -> Features:
        """The strongest features, at most `limit` of those that the options keep and whose centres lie in
        the region. direction: radians from x towards y by which the photo may be turned from upright; it
        changes nothing where features are not described upright."""
        ...


@dataclass(frozen=True)
class FoundRegions:
    """The regions of a photo, and how they are to be described: see Found."""

    regions: Regions
    photo: DecodedPhoto
    descriptor: PatchDescriptor
    options: FeatureOptions
    pyramid: PatchPyramid

    @classmethod
    def of(
        cls, regions: Regions, photo: DecodedPhoto, descriptor: PatchDescriptor, options: FeatureOptions
    ) -> FoundRegions:
        """Make the pyramid that their patches are sampled from."""
        return cls(regions, photo, descriptor, options, PatchPyramid.of(photo.grey.astype(np.float32)))

    def describe(self, direction: float, limit: int, roi: RegionOfInterest | None) -> Features:
        """See Found. Regions that are not described upright are oriented by their gradients."""
        held = _upright(self.regions, direction if self.options.upright else 0.0)
        if not self.options.upright:
            held = _oriented(held, self.pyramid, self.options)
        inside = held.chosen(self.pyramid.inside(held.frames, self.descriptor.side))
        frames = inside.strongest(self.options.max_features, self.options.spread).frames
        if roi is not None:
            frames = frames[roi.holds(in_original(frames, self.photo)[:, :, 2])]
        return describe_frames(frames[:limit], self.pyramid, self.photo, self.descriptor)


def describe_frames(
    frames: NDArray[np.float64], pyramid: PatchPyramid, photo: DecodedPhoto, descriptor: PatchDescriptor
) -> Features:
    """The features of frames (n, 2, 3) whose patches lie in the photo."""
    patches = pyramid.sample(frames, descriptor.side)
    return Features(
        in_original(frames, photo), descriptor.describe(patches), photo.photo.width, photo.photo.height
    )


def in_original(frames: NDArray[np.float64], photo: DecodedPhoto) -> NDArray[np.float32]:
    """Frames in pixels of the reduced photo as frames in pixels of the original."""
    height, width = photo.grey.shape
    scales = np.array([photo.photo.width / width, photo.photo.height / height])
    linear = frames[:, :, :2] * scales[:, None]
    places = scale_coordinates(frames[:, :, 2], scales)
    return np.concatenate([linear, places[:, :, None]], axis=2).astype(np.float32)


def _upright(regions: Regions, direction: float) -> Regions:
    linear = upright(regions.frames[:, :, :2], direction)
    return Regions(np.concatenate([linear, regions.frames[:, :, 2:]], axis=2), regions.responses)


def _oriented(regions: Regions, pyramid: PatchPyramid, options: FeatureOptions) -> Regions:
    """The strongest regions turned to the dominant orientations of their patches, at most two of each."""
    inside = regions.chosen(pyramid.inside(regions.frames, ORIENTATION_SIDE))
    regions = inside.strongest(options.max_features, options.spread)
    angles = dominant_orientations(pyramid.sample(regions.frames, ORIENTATION_SIDE))
    rows, columns = np.nonzero(np.isfinite(angles))
    cosine, sine = np.cos(angles[rows, columns]), np.sin(angles[rows, columns])
    turns = np.stack([np.stack([cosine, -sine], axis=1), np.stack([sine, cosine], axis=1)], axis=1)
    linear = regions.frames[rows, :, :2] @ turns
    frames = np.concatenate([linear, regions.frames[rows, :, 2:]], axis=2)
    return Regions(frames, regions.responses[rows])
