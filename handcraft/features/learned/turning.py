"""Networks see a photo as it is held: for another direction the photo itself is turned, by quarters."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from handcraft.features.extractor import Described
from handcraft.features.images import DecodedPhoto
from handcraft.types import Features, RegionOfInterest

QUARTERS = 4


@dataclass(frozen=True)
class QuarterTurns:
    """A photo, and what describes it as it is held: see extractor.Found. Directions become quarters."""

    photo: DecodedPhoto
    extract: Callable[[DecodedPhoto], Features]
    _described: dict[int, Features] = field(default_factory=dict)  # by quarters: a network takes its time

    def describe(self, direction: float, limit: int, roi: RegionOfInterest | None) -> Features:
        """See Found."""
        quarters = round(direction / (math.pi / 2)) % QUARTERS
        if quarters not in self._described:
            upright = turned_upright(self.photo, quarters)
            self._described[quarters] = turned_back(self.extract(upright), quarters)
        return Described(self._described[quarters]).describe(direction, limit, roi)


def turned_upright(photo: DecodedPhoto, quarters: int) -> DecodedPhoto:
    """A photo that was turned by so many quarters, clockwise on the screen, turned back."""
    if not quarters:
        return photo
    facts = photo.photo
    if quarters % 2:
        facts = replace(facts, width=facts.height, height=facts.width)
    return DecodedPhoto(np.ascontiguousarray(np.rot90(photo.pixels, quarters)), facts)


def turned_back(features: Features, quarters: int) -> Features:
    """The features of a photo that was turned upright, where they are in the photo as it is held."""
    for _ in range(quarters):
        frames = np.empty_like(features.frames)
        frames[:, 0] = -features.frames[:, 1]
        frames[:, 1] = features.frames[:, 0]
        frames[:, 0, 2] += features.height - 1
        features = Features(frames, features.descriptors, features.height, features.width)
    return features
