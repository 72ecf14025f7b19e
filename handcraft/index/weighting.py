"""The weights of visual words: tf-idf (Sivic & Zisserman 2003) with damped term frequencies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# √tf by frequency: a word that repeats on a façade or in foliage counts less than linearly
# (Jégou, Douze & Schmid 2009, on burstiness).
TERM_WEIGHTS: NDArray[np.float32] = np.sqrt(np.arange(256, dtype=np.float32))


def inverse_document_frequency(document_frequencies: NDArray[np.int64], photos: int) -> NDArray[np.float32]:
    """log((N + 1) / n) for a word in n of N photos, 0 for a word in none.

    The + 1 keeps the words of a collection of one photo, or of a word in every photo, above zero.
    """
    seen = document_frequencies > 0
    ratios = (photos + 1) / np.where(seen, document_frequencies, photos + 1)
    return np.log(ratios).astype(np.float32)
