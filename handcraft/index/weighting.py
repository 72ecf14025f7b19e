"""The weights of visual words: tf-idf (Sivic & Zisserman 2003), soft assignment, stop words, norms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from handcraft.index._kernels import MAX_FREQUENCY


def inverse_document_frequency(document_frequencies: NDArray[np.int64], photos: int) -> NDArray[np.float32]:
    """log((N + 1) / n) for a word in n of N photos, 0 for a word in none.

    The + 1 keeps the words of a collection of one photo, or of a word in every photo, above zero.
    """
    seen = document_frequencies > 0
    ratios = (photos + 1) / np.where(seen, document_frequencies, photos + 1)
    return np.log(ratios).astype(np.float32)


def without_stop_words(idf: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """idf (words,) with 0 for this share of the words that occur, the most frequent, of equals the first."""
    occurring = np.flatnonzero(idf > 0)
    stopped = occurring[np.argsort(idf[occurring], kind="stable")[: int(share * len(occurring))]]
    kept = idf.copy()
    kept[stopped] = 0
    return kept


def soft_frequencies(
    words: NDArray[np.int32], distances: NDArray[np.float32], variance: float
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """The words (w,) of softly assigned features, ascending, and how often each occurs (w,).

    A feature counts at its k nearest words with weights exp(−d²/2σ²) that sum to 1 (Philbin et al. 2008,
    eq. 1). words, distances: (n, k), the nearest words, −1 for none, and their squared distances.
    variance: σ².
    """
    if not words.size:
        return np.empty(0, np.int32), np.empty(0, np.float64)
    # Relative to the nearest word: the same weights, and no underflow.
    votes = np.exp((distances[:, :1] - distances.astype(np.float64)) / (2 * variance))
    votes /= votes.sum(axis=1, keepdims=True)
    valid = words >= 0
    present, inverse = np.unique(words[valid], return_inverse=True)
    return present, np.minimum(np.bincount(inverse, weights=votes[valid]), MAX_FREQUENCY)


def scales(norms: NDArray[np.floating]) -> NDArray[np.float32]:
    """What scores are multiplied by for these norms (n,): 1 over each, 0 where there is none."""
    norms = norms.astype(np.float32)
    scales: NDArray[np.float32] = np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0)
    return scales


def normalise(scores: NDArray[np.float32], scales: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores (n,) scaled in place, 1 at the most."""
    scores *= scales
    return np.minimum(scores, 1, out=scores)  # rounding may add some 1e-5
