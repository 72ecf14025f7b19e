"""Extractors and descriptors for tests, and the names of those that come with handcraft."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handcraft.features.extractor import PatchDescriptor
from handcraft.features.plugins import EXTRACTORS, plugs

REGIONS = ("sift", "hessian-affine", "mser", "dense-sift")  # extractors that describe patches of regions


@dataclass(frozen=True)
class Patches(PatchDescriptor):
    """A descriptor of patches by a function."""

    side: int
    dimension: int
    dtype: str
    function: Callable[[NDArray[np.float32]], NDArray[np.generic]]

    def describe(self, patches: NDArray[np.float32]) -> NDArray[np.generic]:
        return self.function(patches)


def unknown_extractor(name: str) -> str:
    """The sentence about an extractor that there is not."""
    return f"There is no extractor {name!r}; the extractors are {', '.join(plugs(EXTRACTORS))}."
