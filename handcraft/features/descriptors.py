"""What every SIFT-like detector does to its raw descriptors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def root_sift(descriptors: NDArray[np.float32]) -> NDArray[np.uint8]:
    """RootSIFT (Arandjelović & Zisserman 2012) as uint8: min(255, round(512·√(d / ‖d‖₁))).

    descriptors: (n, d) float32, not negative. A row of zeros stays zero.
    """
    sums = descriptors.sum(axis=1, keepdims=True)
    roots = np.sqrt(descriptors / np.where(sums > 0, sums, 1))
    quantised: NDArray[np.uint8] = np.minimum(np.rint(512 * roots), 255).astype(np.uint8)
    return quantised
