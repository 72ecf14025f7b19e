"""The hot loop of the shortlist; the caller validates, casts and allocates."""

from __future__ import annotations

import numpy as np

from handcraft.compilation import kernel

BLOCK = 64  # scores that are compared with the least of the best at a time


@kernel
def keep_best(scores, live, best_scores, best_places):
    """Keep the largest scores above zero of live places, of equals the first.

    scores: (n,) float32. live: (n,) bool. Written: best_scores (k,) float32 and best_places (k,) int64,
    k at least 1, in no order. Returns how many they are.
    """
    count, least = 0, np.float32(0)
    for first in range(0, scores.shape[0], BLOCK):
        last = min(first + BLOCK, scores.shape[0])
        larger = 0  # counted without a branch, because most blocks have none
        for place in range(first, last):
            larger += scores[place] > least
        if not larger:
            continue
        for place in range(first, last):
            if not (scores[place] > least and live[place]):
                continue
            if count < best_scores.shape[0]:
                _rise(best_scores, best_places, count, scores[place], place)
                count += 1
            else:
                _sink(best_scores, best_places, scores[place], place)
            if count == best_scores.shape[0]:
                least = best_scores[0]
    return count


@kernel
def _worse(score, place, other_score, other_place):
    return score < other_score or (score == other_score and place > other_place)


@kernel
def _rise(scores, places, at, score, place):
    """Put a new score at the end of a heap whose root is the worst, and lift it to where it belongs."""
    while at > 0:
        parent = (at - 1) // 2
        if not _worse(score, place, scores[parent], places[parent]):
            break
        scores[at], places[at] = scores[parent], places[parent]
        at = parent
    scores[at], places[at] = score, place


@kernel
def _sink(scores, places, score, place):
    """Put a new score in the place of the root of a full heap, and let it down to where it belongs."""
    at = 0
    while 2 * at + 1 < scores.shape[0]:
        child = 2 * at + 1
        if child + 1 < scores.shape[0] and _worse(
            scores[child + 1], places[child + 1], scores[child], places[child]
        ):
            child += 1
        if not _worse(scores[child], places[child], score, place):
            break
        scores[at], places[at] = scores[child], places[child]
        at = child
    scores[at], places[at] = score, place
