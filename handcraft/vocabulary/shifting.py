"""Descriptors less their mean, normed again: "RootSIFT + SHIFT" of Tolias, Avrithis & Jégou (ICCV 2013).

All entries of RootSIFT are positive, so all descriptors point into one corner of their space; about their
mean they spread in all directions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ZERO = 128  # what stands for 0 in shifted bytes
LENGTH = 256  # of shifted bytes


def mean_descriptor(descriptors: NDArray[np.generic]) -> NDArray[np.generic]:
    """(d,): the mean of (n, d) descriptors, in their dtype; that of bytes is rounded, so that what is shifted
    by it stays the same on every machine."""
    if descriptors.dtype == np.uint8:
        return np.asarray(np.rint(descriptors.sum(axis=0, dtype=np.int64) / len(descriptors)), np.uint8)
    return np.asarray(descriptors.mean(axis=0, dtype=np.float64).astype(descriptors.dtype))


def shift(descriptors: NDArray[np.generic], mean: NDArray[np.generic]) -> NDArray[np.generic]:
    """(n, d) in their dtype: descriptors less their mean (d,), and normed.

    float32 has length 1. uint8 has length 256 about 128, and what is beyond a byte is cut off.
    """
    wide = np.int32 if descriptors.dtype == np.uint8 else np.float64  # whose sums of squares are exact
    shifted = descriptors.astype(wide) - mean.astype(wide)
    lengths = np.sqrt(np.square(shifted).sum(axis=1, keepdims=True))
    units = shifted / np.where(lengths > 0, lengths, 1)
    if descriptors.dtype == np.uint8:
        return np.asarray(np.clip(np.rint(units * LENGTH) + ZERO, 0, 255), np.uint8)
    return np.asarray(units, descriptors.dtype)
