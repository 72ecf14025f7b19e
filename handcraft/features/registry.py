"""The detectors and the descriptors of patches by name."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TypeVar

from handcraft.errors import HandcraftError
from handcraft.features import dense_sift, hessian_affine, mser, patch_sift, sift
from handcraft.features.description import Found, FoundRegions, PatchDescriptor
from handcraft.features.images import DecodedPhoto
from handcraft.features.regions import Regions
from handcraft.options import FeatureOptions
from handcraft.types import Features, Fingerprint

Find = Callable[[DecodedPhoto, PatchDescriptor, FeatureOptions], Found]

Entry = TypeVar("Entry")

_PATCH_DESCRIPTORS = {
    "rootsift": PatchDescriptor(patch_sift.SIDE, 128, "uint8", patch_sift.describe),
}


def _by_regions(detect: Callable[[DecodedPhoto, FeatureOptions], Regions]) -> Find:
    """Describe the patches of the regions that a detector finds."""

    def find(photo: DecodedPhoto, descriptor: PatchDescriptor, options: FeatureOptions) -> Found:
        return FoundRegions.of(detect(photo, options), photo, descriptor, options)

    return find


_DETECTORS: dict[str, Find] = {
    "sift": sift.find,
    "hessian-affine": _by_regions(hessian_affine.detect),
    "mser": _by_regions(mser.detect),
    "dense-sift": _by_regions(dense_sift.detect),
}


def register_patch_descriptor(name: str, descriptor: PatchDescriptor) -> None:
    """Offer a descriptor of patches, such as a learned one, under a name for FeatureOptions.descriptor."""
    _PATCH_DESCRIPTORS[name] = descriptor


def fingerprint_of(options: FeatureOptions) -> Fingerprint:
    """What features extracted under these options are; an unknown name is an error that lists the known."""
    _known("detector", options.detector, _DETECTORS)
    descriptor = _known("descriptor", options.descriptor, _PATCH_DESCRIPTORS)
    space = f"{options.detector}-{options.descriptor}"
    return Fingerprint(space, descriptor.dimension, descriptor.dtype, asdict(options))


def find(photo: DecodedPhoto, options: FeatureOptions) -> Found:
    """Detect the features of a photo, to be described in one direction or in several."""
    detector = _known("detector", options.detector, _DETECTORS)
    return detector(photo, _known("descriptor", options.descriptor, _PATCH_DESCRIPTORS), options)


def extract(photo: DecodedPhoto, options: FeatureOptions) -> Features:
    """The strongest features of a photo as it is held; a blank photo gives none."""
    return find(photo, options).describe(0.0, options.max_features, None)


def closer(options: FeatureOptions) -> FeatureOptions:
    """The options by which a detector looks closer, at a region of few features: at its pixels doubled, and
    whatever is stronger elsewhere in the photo; the same options where it cannot."""
    if options.detector != "hessian-affine":
        return options
    return replace(options, doubled=True, max_features=sys.maxsize)


def directions_around(count: int) -> tuple[float, ...]:
    """So many directions, radians, evenly around a full turn, the first upright."""
    return tuple(2 * math.pi * number / count for number in range(count))


def _known(kind: str, name: str, registered: dict[str, Entry]) -> Entry:
    if name not in registered:
        known = ", ".join(registered)
        raise HandcraftError(f"There is no {kind} {name!r}; the {kind}s are {known}.")
    return registered[name]
