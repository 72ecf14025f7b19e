"""Two photos without a store: features → mutual nearest descriptors → verified evidence."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from handcraft.engine.reporting import Progress, silent
from handcraft.errors import PhotoError
from handcraft.features.extraction import available_threads, find_features, opencv_threads
from handcraft.features.registry import directions_around, extractor_of
from handcraft.options import FeatureOptions, MatchOptions
from handcraft.types import Features, Match
from handcraft.verification.matching import match_descriptors
from handcraft.verification.spatial import verify_pairs


@dataclass(frozen=True)
class MatchResult:
    """Whether two photos show the same thing, and why.

    features: of the first photo and of the second. sizes: width and height of each, pixels. tentative:
    pairs whose descriptors match. match: the evidence, the first photo being the query; None where there
    is too little. seconds: in all.
    """

    features: tuple[int, int]
    sizes: tuple[tuple[int, int], tuple[int, int]]
    tentative: int
    match: Match | None
    seconds: float

    @property
    def inliers(self) -> int:
        """Inliers of the evidence, 0 without any."""
        return self.match.inliers if self.match else 0


def match(
    a: str | os.PathLike[str],
    b: str | os.PathLike[str],
    *,
    features: FeatureOptions | None = None,
    options: MatchOptions | None = None,
    progress: Progress = silent,
) -> MatchResult:
    """Match two photos by their descriptors and verify the matches by their geometry.

    a is the query: the evidence maps its pixels to those of b. Photos that are described upright match
    too where one is turned: a is described in several directions. Raises
    PhotoError for a photo that cannot be read or has no features.
    """
    start = time.perf_counter()
    features, options = features or FeatureOptions(), options or MatchOptions()
    extractor = extractor_of(features)
    if extractor.points:
        options = replace(options, verification=options.verification.of_points())
    progress("extracting", 0, 2)
    turned = _described(Path(a), features, min(options.directions, extractor.directions))
    progress("extracting", 1, 2)
    (photo,) = _described(Path(b), features, 1)
    progress("extracting", 2, 2)
    query, tentative, found = match_features(turned, photo, options)
    return MatchResult(
        features=(len(query), len(photo)),
        sizes=((query.width, query.height), (photo.width, photo.height)),
        tentative=tentative,
        match=found,
        seconds=time.perf_counter() - start,
    )


def match_features(
    turned: Sequence[Features], photo: Features, options: MatchOptions
) -> tuple[Features, int, Match | None]:
    """Match a query that is described once or several times, such as in several directions.

    Returns the description with the most inliers, or the most tentative matches where none has any; its
    tentative matches, and the evidence. Each is tried at its share of the false alarms.
    """
    share = options.verification.max_false_alarms / len(turned)
    verification = replace(options.verification, max_false_alarms=share)
    tried = []
    for query in turned:
        pairs = match_descriptors(query, photo, options)
        evidence = verify_pairs(query, photo, pairs, np.ones(len(pairs)), verification)
        tried.append((query, len(pairs), evidence))
    return max(tried, key=lambda one: (one[2].inliers if one[2] else 0, one[1]))


def _described(path: Path, options: FeatureOptions, directions: int) -> list[Features]:
    """The features of a photo in so many directions; raises PhotoError, for a blank photo too."""
    with opencv_threads(available_threads()):
        _, found = find_features(path, options)
        described = [
            found.describe(direction, options.max_features, None)
            for direction in directions_around(directions)
        ]
    if not any(len(features) for features in described):
        raise PhotoError(f"No features were found in {path}: it shows too little texture to match.")
    return described
