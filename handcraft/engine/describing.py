"""The features of one photo, without a store."""

from __future__ import annotations

from pathlib import Path

from handcraft.features.extraction import available_threads, extract_photo, opencv_threads
from handcraft.options import FeatureOptions
from handcraft.types import Features


def describe(path: Path, options: FeatureOptions) -> Features:
    """The features of a photo; none of a blank one. Raises PhotoError."""
    with opencv_threads(available_threads()):
        return extract_photo(path, options)[1]
