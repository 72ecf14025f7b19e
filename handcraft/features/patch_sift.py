"""SIFT of patches (Lowe 2004): gradients vote for 4 x 4 places and 8 orientations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from handcraft.features._kernels import BINS, ORIENTATIONS, describe_patches, patch_orientations
from handcraft.features.descriptors import root_sift
from handcraft.features.extractor import PatchDescriptor
from handcraft.options import FeatureOptions

SIDE = 41  # pixels of a patch (Perdoch, Chum & Matas 2009)
CLIP = 0.2  # largest value of a descriptor before it is normalised (Lowe 2004, section 6.1)
WEIGHT_BLUR = 2 / 3  # σ of the weights of a patch's gradients, in half sides of the patch
ORIENTATION_BINS = 36
SECOND_PEAK = 0.8  # of the highest: an orientation of its own (Lowe 2004, section 5)


class RootSift(PatchDescriptor):
    """RootSIFT of patches."""

    side = SIDE
    dimension = BINS * BINS * ORIENTATIONS
    dtype = "uint8"

    def __init__(self, options: FeatureOptions) -> None:
        """There is nothing to choose."""

    def describe(self, patches: NDArray[np.float32]) -> NDArray[np.generic]:
        """See the function of this name."""
        return describe(patches)


def describe(patches: NDArray[np.float32]) -> NDArray[np.uint8]:
    """RootSIFT (n, 128) of patches (n, m, m)."""
    size = patches.shape[1]
    positions = (np.arange(size) + 0.5) / size * BINS - 0.5
    lower = np.floor(positions)
    descriptors = np.empty((len(patches), BINS * BINS * ORIENTATIONS), np.float32)
    describe_patches(
        patches,
        gaussian_window(size, WEIGHT_BLUR * (size // 2)),
        lower.astype(np.int64) + 1,
        (positions - lower).astype(np.float32),
        CLIP,
        np.empty((size, size), np.float32),
        np.empty((size, size), np.float32),
        np.empty((BINS + 2, BINS + 2, ORIENTATIONS), np.float32),
        descriptors,
    )
    return root_sift(descriptors)


def dominant_orientations(patches: NDArray[np.float32]) -> NDArray[np.float64]:
    """The directions of most gradient in patches (n, m, m): (n, 2), radians from x towards y, the
    stronger first, NaN where there is no second."""
    angles = np.empty((len(patches), 2))
    size = patches.shape[1]
    patch_orientations(
        patches,
        gaussian_window(size, WEIGHT_BLUR * (size // 2)),
        SECOND_PEAK,
        np.empty((size, size), np.float32),
        np.empty((size, size), np.float32),
        np.empty(ORIENTATION_BINS, np.float32),
        np.empty(ORIENTATION_BINS, np.float32),
        angles,
    )
    return angles


def gaussian_window(size: int, sigma: float) -> NDArray[np.float32]:
    """(size, size) float32: the weights of a window, 1 in the middle."""
    line = np.exp(-((np.arange(size) - size // 2) ** 2) / (2 * sigma**2))
    return np.outer(line, line).astype(np.float32)
