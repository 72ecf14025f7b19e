"""The inverted file and its scores in plain Python: the truth that kernels are held against.

A photo is the list of the words of its features; a collection is a list of photos.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

Photo = Sequence[int]
MAX_FREQUENCY = 255


def frequencies(photo: Photo) -> dict[int, int]:
    """How often each word occurs, at the most 255 times."""
    return {word: min(count, MAX_FREQUENCY) for word, count in Counter(photo).items()}


def postings(photos: Sequence[Photo]) -> dict[int, list[tuple[int, int]]]:
    """For each word the photos that hold it, and how often."""
    table: dict[int, list[tuple[int, int]]] = {}
    for number, photo in enumerate(photos):
        for word, frequency in frequencies(photo).items():
            table.setdefault(word, []).append((number, frequency))
    return table


def idf(photos: Sequence[Photo], vocabulary_size: int) -> list[float]:
    """log((N + 1) / n) for a word in n of N photos, 0 for a word in none."""
    values = []
    for word in range(vocabulary_size):
        holders = sum(word in photo for photo in photos)
        values.append(math.log((len(photos) + 1) / holders) if holders else 0.0)
    return values


def vector(photo: Photo, weights: Sequence[float]) -> dict[int, float]:
    """√tf · idf of each word."""
    return {word: math.sqrt(count) * weights[word] for word, count in frequencies(photo).items()}


def norm(values: Mapping[int, float]) -> float:
    return math.sqrt(sum(value**2 for value in values.values()))


def query_frequencies(
    words: Sequence[Sequence[int]], squared_distances: Sequence[Sequence[float]], variance: float
) -> dict[int, float]:
    """Soft term frequencies: each feature gives its words exp(−d²/2σ²), scaled to sum to 1
    (Philbin et al. 2008, eq. 1). Word −1 is none."""
    totals: dict[int, float] = {}
    for feature_words, distances in zip(words, squared_distances, strict=True):
        votes = {
            word: math.exp(-distance / (2 * variance))
            for word, distance in zip(feature_words, distances, strict=True)
            if word >= 0
        }
        for word, vote in votes.items():
            totals[word] = totals.get(word, 0) + vote / sum(votes.values())
    return {word: min(total, MAX_FREQUENCY) for word, total in totals.items()}


def cosine(a: Mapping[int, float], b: Mapping[int, float]) -> float:
    """0 where one of them is zero."""
    length = norm(a) * norm(b)
    return sum(value * b.get(word, 0) for word, value in a.items()) / length if length else 0.0


def scores(
    words: Sequence[Sequence[int]],
    squared_distances: Sequence[Sequence[float]],
    variance: float,
    photos: Sequence[Photo],
    vocabulary_size: int,
) -> list[float]:
    """The cosine of a query with each photo of a collection."""
    weights = idf(photos, vocabulary_size)
    soft = query_frequencies(words, squared_distances, variance)
    query = {word: math.sqrt(frequency) * weights[word] for word, frequency in soft.items()}
    return [cosine(query, vector(photo, weights)) for photo in photos]


def ranking(values: Iterable[float], top: int) -> list[tuple[int, float]]:
    """The places and values of the largest values above 0, equals by place."""
    positive = [(place, value) for place, value in enumerate(values) if value > 0]
    return sorted(positive, key=lambda entry: (-entry[1], entry[0]))[:top]
