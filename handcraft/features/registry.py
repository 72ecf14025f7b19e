"""From options to features: the extractor that they name, what it finds, and whether it keeps its word."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np

from handcraft.errors import ExtractorError, HandcraftError, PhotoError
from handcraft.features.extractor import Extractor, Found
from handcraft.features.images import DecodedPhoto
from handcraft.features.plugins import DETECTOR, EXTRACTORS, POINTS, make, with_all_settings
from handcraft.options import FeatureOptions
from handcraft.types import Features, Fingerprint, RegionOfInterest

KEPT_EXTRACTORS = 8  # of different options that a process keeps, as networks take seconds to load
PLACES = {
    "weights": "model",
    "pca_weights": "pca",
}  # parameters that are digests, and those of the files' places
BEYOND = 1.0  # pixels beyond the outermost that a point may be refined to


@lru_cache(maxsize=KEPT_EXTRACTORS)
def extractor_of(options: FeatureOptions) -> Extractor:
    """The extractor that the options ask for; an unknown name is an error that lists the known."""
    extractor: Extractor = make(EXTRACTORS, options.extractor, with_all_settings(options))
    return extractor


def fingerprint_of(options: FeatureOptions) -> Fingerprint:
    """What features extracted under these options are; raises HandcraftError."""
    extractor = extractor_of(options)
    parameters = {**extractor.parameters, **({POINTS: True} if extractor.points else {})}
    return Fingerprint(extractor.descriptor, extractor.dimension, extractor.dtype, parameters)


def options_of(fingerprint: Fingerprint) -> FeatureOptions:
    """The options that give features of this fingerprint; raises HandcraftError where none does here."""
    parameters = {name: value for name, value in fingerprint.parameters.items() if name != POINTS}
    if DETECTOR in parameters:
        parameters["extractor"] = parameters.pop(DETECTOR)
    named = {field.name for field in fields(FeatureOptions)}
    options: dict[str, Any] = {name: value for name, value in parameters.items() if name in named}
    settings = {name: value for name, value in parameters.items() if name not in named}
    return with_all_settings(FeatureOptions(**options, settings=settings))


def same_features(one: Fingerprint, other: Fingerprint) -> bool:
    """Whether photos are described alike under both. Where a file of weights is does not matter, as long as
    its digest is the same."""

    def told(fingerprint: Fingerprint) -> dict[str, str | int | float | bool]:
        parameters = dict(fingerprint.parameters)
        for digest, place in PLACES.items():
            if parameters.get(digest):
                parameters.pop(place, None)
        return parameters

    return one.same_space(other) and told(one) == told(other)


def are_points(fingerprint: Fingerprint) -> bool:
    """Whether frames of these features say where they are and nothing of their size and direction."""
    return bool(fingerprint.parameters.get(POINTS, False))


def find(photos: Sequence[DecodedPhoto], options: FeatureOptions) -> list[Found]:
    """Detect the features of photos, to be described in one direction or in several.

    Raises PhotoError for photos that the extractor fails on, and ExtractorError where it does not give what
    it has declared; describing does too.
    """
    extractor = extractor_of(options)
    with _failing(options, ", ".join(photo.photo.name for photo in photos)):
        found = list(extractor.find(photos))
    if len(found) != len(photos):
        raise ExtractorError(
            f"The extractor {options.extractor} gives {len(found)} results for {len(photos)} photos, "
            f"{photos[0].photo.name} and so on; it must give one for each."
        )
    return [
        _Checked(one, photo.photo.name, extractor, options) for one, photo in zip(found, photos, strict=True)
    ]


def extract(photo: DecodedPhoto, options: FeatureOptions) -> Features:
    """The strongest features of a photo as it is held; a blank photo gives none."""
    return find([photo], options)[0].describe(0.0, options.max_features, None)


def closer(options: FeatureOptions) -> FeatureOptions:
    """The options by which an extractor looks closer, at a region of few features, and whatever is stronger
    elsewhere in the photo; the same options where it cannot."""
    return extractor_of(options).closer or options


def directions_around(count: int) -> tuple[float, ...]:
    """So many directions, radians, evenly around a full turn, the first upright."""
    return tuple(2 * math.pi * number / count for number in range(count))


@contextmanager
def _failing(options: FeatureOptions, name: str) -> Iterator[None]:
    """Say of a photo that it cannot be described, whatever a network or other people's code raises."""
    try:
        yield
    except (HandcraftError, MemoryError):
        raise
    except Exception as error:
        reason = str(error).strip().rstrip(".") or type(error).__name__
        raise PhotoError(
            f"{name} cannot be described: the extractor {options.extractor} fails: {reason}."
        ) from error


@dataclass(frozen=True)
class _Checked:
    """What an extractor found in the photo of a name, held to what the extractor promises."""

    found: Found
    name: str
    extractor: Extractor
    options: FeatureOptions

    def describe(self, direction: float, limit: int, roi: RegionOfInterest | None) -> Features:
        """See Found; raises PhotoError or ExtractorError."""
        with _failing(self.options, self.name):
            features = self.found.describe(direction, limit, roi)
        self._require_declared(features, limit)
        self._require_sane(features)
        return features

    def _require_declared(self, features: Features, limit: int) -> None:
        """Raise ExtractorError for features of other shapes and types than the extractor declares."""
        count, extractor = len(features), self.extractor
        for kind, array, declared in (
            ("frames", features.frames, f"{count} x 2 x 3 float32"),
            ("descriptors", features.descriptors, f"{count} x {extractor.dimension} {extractor.dtype}"),
        ):
            given = f"{' x '.join(map(str, array.shape))} {array.dtype}"
            if given != declared:
                raise ExtractorError(
                    f"The extractor {self.options.extractor} gives {kind} of {given} for {self.name} "
                    f"instead of {declared}; mend the extractor, or its model."
                )
        if count > limit:
            raise ExtractorError(
                f"The extractor {self.options.extractor} gives {count} features for {self.name} where "
                f"{limit} are asked for; mend the extractor."
            )

    def _require_sane(self, features: Features) -> None:
        """Raise PhotoError for NaN, infinity, and points that are not of the photo."""
        across = np.array([features.width, features.height]) - 0.5 + BEYOND
        faults = {
            "frames with NaN or infinity": not np.isfinite(features.frames).all(),
            "descriptors with NaN or infinity": not np.isfinite(features.descriptors).all(),
            f"points outside its {features.width} x {features.height} pixels": bool(
                ((features.centres < -0.5 - BEYOND) | (features.centres > across)).any()
            ),
        }
        for fault in (fault for fault, there in faults.items() if there):
            raise PhotoError(
                f"{self.name} cannot be described: the extractor {self.options.extractor} gives {fault}."
            )
