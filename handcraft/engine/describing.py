"""The features of one photo, without a store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from handcraft.features.extraction import available_threads, extract_directions, opencv_threads
from handcraft.features.registry import UPRIGHT
from handcraft.options import FeatureOptions
from handcraft.types import Features


def describe(
    path: Path, options: FeatureOptions, directions: Sequence[float] = UPRIGHT
) -> tuple[Features, ...]:
    """The features of a photo once for each direction, radians by which it may be turned from upright;
    none of a blank photo. Raises PhotoError."""
    with opencv_threads(available_threads()):
        _, described = extract_directions(path, options, directions)
    return described
