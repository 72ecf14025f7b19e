"""From affine regions to features: orientation, patches, descriptors."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from handcraft.features.extractor import Extractor, Found, PatchDescriptor
from handcraft.features.images import DecodedPhoto
from handcraft.features.patch_sift import dominant_orientations
from handcraft.features.patches import PatchPyramid
from handcraft.features.plugins import DESCRIPTORS, make
from handcraft.features.regions import Regions, rotation, upright
from handcraft.options import FeatureOptions, Setting
from handcraft.types import Features, RegionOfInterest

ORIENTATION_SIDE = 41  # pixels of the patch whose gradients orient a region


class PatchExtractor(Extractor):
    """Finds something in a photo whose patches the descriptor that the options name describes."""

    def __init__(self, options: FeatureOptions) -> None:
        self.options = options
        self.patches: PatchDescriptor = make(DESCRIPTORS, options.descriptor, options)
        self.descriptor = f"{options.extractor}-{self.patches.name or options.descriptor}"
        self.dimension, self.dtype = self.patches.dimension, self.patches.dtype
        self.parameters: Mapping[str, Setting] = {**plain_options(options), **self.patches.parameters}
        self.directions = sys.maxsize if options.upright else 1

    @abstractmethod
    def find_one(self, photo: DecodedPhoto) -> Found:
        """What there is in a photo."""

    def find(self, photos: Sequence[DecodedPhoto]) -> Sequence[Found]:
        """See Extractor."""
        return [self.find_one(photo) for photo in photos]


class RegionExtractor(PatchExtractor):
    """Detects regions, whose patches are described."""

    @abstractmethod
    def detect(self, photo: DecodedPhoto) -> Regions:
        """The regions of a photo; none in a blank one."""

    def find_one(self, photo: DecodedPhoto) -> Found:
        """See PatchExtractor."""
        return FoundRegions.of(self.detect(photo), photo, self.patches, self.options)


def plain_options(options: FeatureOptions) -> dict[str, Setting]:
    """The options without the settings, by name."""
    named = asdict(options)
    del named["settings"]
    return named


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
        pyramid = PatchPyramid.of(photo.pixels.astype(np.float32))
        return cls(regions, oriented, photo, descriptor, options, pyramid)

    def describe(self, direction: float, limit: int, roi: RegionOfInterest | None) -> Features:
        """See Found."""
        held = self._held(direction)
        inside = held.chosen(self.pyramid.inside(held.frames, self.descriptor.side))
        frames = inside.strongest(self.options.max_features, self.options.spread).frames
        if roi is not None:
            frames = frames[roi.holds(self.photo.in_original(frames)[:, :, 2])]
        frames = frames[:limit]
        descriptors = self.descriptor.describe(self.pyramid.sample(frames, self.descriptor.side))
        return self.photo.features(frames, descriptors)

    def _held(self, direction: float) -> Regions:
        """The regions turned in the direction that they are described in."""
        if self.options.upright:
            return self.regions.shaped(upright(self.regions.linear, direction))
        return self.regions if self.oriented else _oriented(self.regions, self.pyramid, self.options)


def _oriented(regions: Regions, pyramid: PatchPyramid, options: FeatureOptions) -> Regions:
    """The strongest regions turned to the dominant orientations of their patches, at most two of each."""
    regions = regions.shaped(upright(regions.linear))
    inside = regions.chosen(pyramid.inside(regions.frames, ORIENTATION_SIDE))
    regions = inside.strongest(options.max_features, options.spread)
    angles = dominant_orientations(pyramid.sample(regions.frames, ORIENTATION_SIDE))
    rows, columns = np.nonzero(np.isfinite(angles))
    regions = regions.chosen(rows)
    return regions.shaped(regions.linear @ rotation(angles[rows, columns]))
