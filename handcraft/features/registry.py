"""The detectors by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from handcraft.errors import HandcraftError
from handcraft.features import hessian_affine, sift
from handcraft.features.images import DecodedPhoto
from handcraft.options import FeatureOptions
from handcraft.types import Features, Fingerprint


@dataclass(frozen=True)
class Extractor:
    """What a detector offers: its features of a photo, and the fingerprint that they carry."""

    extract: Callable[[DecodedPhoto, FeatureOptions], Features]
    fingerprint: Callable[[FeatureOptions], Fingerprint]


_EXTRACTORS = {
    "sift": Extractor(sift.extract, sift.fingerprint),
    "hessian-affine": Extractor(hessian_affine.extract, hessian_affine.fingerprint),
}


def extractor(name: str) -> Extractor:
    """The extractor of this name; an unknown name is an error that lists the known ones."""
    if name not in _EXTRACTORS:
        raise HandcraftError(f"There is no detector {name!r}; the detectors are {', '.join(_EXTRACTORS)}.")
    return _EXTRACTORS[name]
