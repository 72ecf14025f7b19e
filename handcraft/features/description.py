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
from handcraft.features.regions import Regions, rotation, upright
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
    """The regions of a photo, and how their patches are to be described: see Found.

    oriented: the detector has turned the regions to their gradients, unless they are described upright.
    """

    regions: Regions
    oriented: bool
    photo: DecodedPhoto
    descriptor: PatchDescriptor
    options: FeatureOptions
    pyramid: PatchPyramid

    @classmethod
    def of(
        cls,
        regions: Regions,
        photo: DecodedPhoto,
        descriptor: PatchDescriptor,
        options: FeatureOptions,
        oriented: bool = False,
    ) -> FoundRegions:
        """Make the pyramid that their patches are sampled from."""
        pyramid = PatchPyramid.of(photo.grey.astype(np.float32))
        return cls(regions, oriented, photo, descriptor, options, pyramid)

    def describe(self, direction: float, limit: int, roi: RegionOfInterest | None) -> Features:
        """See Found."""
        held = self._held(direction)
        inside = held.chosen(self.pyramid.inside(held.frames, self.descriptor.side))
        frames = inside.strongest(self.options.max_features, self.options.spread).frames
        if roi is not None:
            frames = frames[roi.holds(in_original(frames, self.photo)[:, :, 2])]
        frames = frames[:limit]
        descriptors = self.descriptor.describe(self.pyramid.sample(frames, self.descriptor.side))
        photo = self.photo.photo
        return Features(in_original(frames, self.photo), descriptors, photo.width, photo.height)

    def _held(self, direction: float) -> Regions:
        """The regions turned in the direction that they are described in."""
        if self.options.upright:
            return self.regions.shaped(upright(self.regions.linear, direction))
        return self.regions if self.oriented else _oriented(self.regions, self.pyramid, self.options)


def in_original(frames: NDArray[np.float64], photo: DecodedPhoto) -> NDArray[np.float32]:
    """Frames in pixels of the reduced photo as frames in pixels of the original."""
    height, width = photo.grey.shape
    scales = np.array([photo.photo.width / width, photo.photo.height / height])
    linear = frames[:, :, :2] * scales[:, None]
    places = scale_coordinates(frames[:, :, 2], scales)
    return np.concatenate([linear, places[:, :, None]], axis=2).astype(np.float32)


def _oriented(regions: Regions, pyramid: PatchPyramid, options: FeatureOptions) -> Regions:
    """The strongest regions turned to the dominant orientations of their patches, at most two of each."""
    regions = regions.shaped(upright(regions.linear))
    inside = regions.chosen(pyramid.inside(regions.frames, ORIENTATION_SIDE))
    regions = inside.strongest(options.max_features, options.spread)
    angles = dominant_orientations(pyramid.sample(regions.frames, ORIENTATION_SIDE))
    rows, columns = np.nonzero(np.isfinite(angles))
    regions = regions.chosen(rows)
    return regions.shaped(regions.linear @ rotation(angles[rows, columns]))
