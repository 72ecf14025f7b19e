"""ASMK and its kin in plain Python (Tolias, Avrithis & Jégou, IJCV 2016; Jégou, Douze & Schmid 2008).

A photo is the descriptors of its features and the words of each, −1 for none. Signed, it is a list of
signatures for each word: one of the whole word, or one of each feature. A signature is a list of bits or
a vector of unit length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

Vector = Sequence[float]
Signed = Mapping[int, Sequence[Vector]]
Selectivity = Callable[[float], float]
MAX_FREQUENCY = 255


# --- signatures ---


def residuals(
    descriptors: Sequence[Vector], words: Sequence[Sequence[int]], centroids: Sequence[Vector]
) -> dict[int, list[list[float]]]:
    """What is left of each feature when the centroid of its word is subtracted, by word."""
    found: dict[int, list[list[float]]] = {}
    for descriptor, its_words in zip(descriptors, words, strict=True):
        for word in its_words:
            if word >= 0:
                residual = [x - c for x, c in zip(descriptor, centroids[word], strict=True)]
                found.setdefault(word, []).append(residual)
    return dict(sorted(found.items()))


def total(vectors: Sequence[Vector]) -> list[float]:
    return [sum(values) for values in zip(*vectors, strict=True)]


def project(vector: Vector, directions: Sequence[Vector]) -> list[float]:
    """directions: each of as many numbers as the vector has."""
    return [sum(x * d for x, d in zip(vector, direction, strict=True)) for direction in directions]


def signs(vector: Vector) -> list[float]:
    return [1 if x > 0 else 0 for x in vector]


def unit(vector: Vector) -> list[float]:
    length = math.sqrt(sum(x * x for x in vector))
    return [x / length if length else 0.0 for x in vector]


def sign(
    descriptors: Sequence[Vector],
    words: Sequence[Sequence[int]],
    centroids: Sequence[Vector],
    *,
    aggregated: bool = True,
    binary: bool = True,
    directions: Sequence[Vector] | None = None,
) -> dict[int, list[list[float]]]:
    """A photo's signatures by word."""
    of_words = residuals(descriptors, words, centroids)
    signed = {}
    for word, vectors in of_words.items():
        chosen = [total(vectors)] if aggregated else vectors[:MAX_FREQUENCY]
        projected = chosen if directions is None else [project(vector, directions) for vector in chosen]
        signed[word] = [signs(vector) if binary else unit(vector) for vector in projected]
    return signed


def pack(bits: Sequence[float]) -> list[int]:
    """64 bits a number, the first the lowest."""
    return [
        sum(1 << place for place, bit in enumerate(bits[start : start + 64]) if bit)
        for start in range(0, len(bits), 64)
    ]


# --- scores ---


def hamming(a: Sequence[int], b: Sequence[int]) -> int:
    """Of packed signatures."""
    return sum((x ^ y).bit_count() for x, y in zip(a, b, strict=True))


def similarity(a: Vector, b: Vector, binary: bool = True) -> float:
    """−1 to 1."""
    if binary:
        return 1 - 2 * sum(x != y for x, y in zip(a, b, strict=True)) / len(a)
    return sum(x * y for x, y in zip(a, b, strict=True))


def selectivity(u: float, alpha: float = 3, tau: float = 0, deviation: float = 0) -> float:
    if u <= tau:
        return 0.0
    if deviation:
        return math.exp(-(((1 - u) / 2 / deviation) ** 2))
    return math.copysign(abs(u) ** alpha, u) if u else 0.0


def self_similarity(
    photo: Signed, weights: Sequence[float], worth: Callable[[Vector, Vector], float]
) -> float:
    return sum(weights[word] * worth(a, b) for word, own in photo.items() for a in own for b in own)


def score(
    query: Signed,
    photo: Signed,
    weights: Sequence[float],
    *,
    aggregated: bool = True,
    binary: bool = True,
    burstiness: bool = False,
    alpha: float = 3,
    tau: float = 0,
    deviation: float = 0,
) -> float:
    """How alike two photos are, 1 at the most. weights: of each word."""

    def worth(a: Vector, b: Vector) -> float:
        return selectivity(similarity(a, b, binary), alpha, tau, deviation)

    norms = []
    for signed in (query, photo):
        square = sum(weights[word] for word in signed)
        if not aggregated:
            square = self_similarity(signed, weights, worth)
        norms.append(math.sqrt(max(square, 0)))
    if not all(norms):
        return 0.0
    votes = 0.0
    for word in query.keys() & photo.keys():
        for signature in query[word]:
            matches = [value for other in photo[word] if (value := worth(signature, other))]
            votes += weights[word] * sum(matches) / (math.sqrt(len(matches) or 1) if burstiness else 1)
    return min(votes / norms[0] / norms[1], 1)


# --- the scan, with arrays as lists ---


def locate(query_words: Sequence[int], words: Sequence[int], offsets: Sequence[int]) -> list[tuple[int, int]]:
    """Where the list of each word of a query starts and ends, (0, 0) where there is none."""
    lists = {word: (offsets[place], offsets[place + 1]) for place, word in enumerate(words)}
    return [lists.get(word, (0, 0)) for word in query_words]


def slots(words: Sequence[int], count: int) -> list[tuple[list[int], int]]:
    """For each of so many slots of 64 words which of them there are, and how many come before them all."""
    return [
        (
            [word % 64 for word in words if word // 64 == slot],
            sum(word < 64 * slot for word in words),
        )
        for slot in range(count)
    ]


def steps(lists: Sequence[tuple[int, int]], length: int) -> list[tuple[int, int]]:
    """The list and the place of every so many entries of lists that start and end here."""
    return [(i, place) for i, (start, end) in enumerate(lists) for place in range(start, end, length)]


def votes(
    query: Sequence[tuple[Sequence[int], float]],
    lists: Sequence[Sequence[tuple[int, Sequence[Sequence[int]]]]],
    table: Sequence[float],
    burstiness: bool,
) -> dict[int, float]:
    """The sum of what each photo's signatures are worth. query: packed signatures and their weights.
    lists: for each of them the photos that hold its word, and their signatures. table: by distance."""
    sums: dict[int, float] = {}
    for (code, weight), postings in zip(query, lists, strict=True):
        for photo, codes in postings:
            matches = [value for other in codes if (value := table[hamming(code, other)])]
            share = math.sqrt(len(matches)) if burstiness and matches else 1
            sums[photo] = sums.get(photo, 0) + weight * sum(matches) / share
    return sums


def self_votes(
    lists: Mapping[int, Sequence[tuple[int, Sequence[Sequence[int]]]]],
    weights: Sequence[float],
    table: Sequence[float],
) -> dict[int, float]:
    """What each photo's signatures are worth with each other. lists: by word."""
    sums: dict[int, float] = {}
    for word, postings in lists.items():
        for photo, codes in postings:
            worth = sum(table[hamming(a, b)] for a in codes for b in codes)
            sums[photo] = sums.get(photo, 0) + weights[word] * worth
    return sums
