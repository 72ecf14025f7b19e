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


def without_stop_words(weights: Sequence[float], share: float) -> list[float]:
    """0 for this share of the words that occur, those of the least idf."""
    occurring = sorted((weight, word) for word, weight in enumerate(weights) if weight > 0)
    stopped = {word for _, word in occurring[: int(share * len(occurring))]}
    return [0.0 if word in stopped else weight for word, weight in enumerate(weights)]


def vector(
    counts: Mapping[int, float], weights: Sequence[float], burstiness: bool = True
) -> dict[int, float]:
    """√tf · idf of each word, or tf · idf."""
    return {
        word: (math.sqrt(count) if burstiness else count) * weights[word] for word, count in counts.items()
    }


def norm(values: Mapping[int, float], power: int = 2) -> float:
    return sum(value**power for value in values.values()) ** (1 / power)


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


def likeness(a: Mapping[int, float], b: Mapping[int, float], power: int = 2) -> float:
    """The cosine of two vectors, or what they share where each has ℓ1 norm 1; 0 where one of them is zero."""
    if not (norm(a, power) and norm(b, power)):
        return 0.0
    pairs = [(value / norm(a, power), b.get(word, 0) / norm(b, power)) for word, value in a.items()]
    return sum(x * y if power == 2 else min(x, y) for x, y in pairs)


def votes(
    query: Sequence[tuple[float, float]],
    lists: Sequence[Sequence[tuple[int, int]]],
    term_weights: Sequence[float],
    scales: Sequence[float] | None = None,
) -> dict[int, float]:
    """The sum of what the query's words are worth to each photo.

    query: the weight of each word on the query's side and on the photos'. lists: for each of them the photos
    that hold it, and how often. scales: of the photos; with them a word is worth the lesser of what it is
    worth to both sides, without them the product.
    """
    sums: dict[int, float] = {}
    for (weight, of_word), postings in zip(query, lists, strict=True):
        for photo, frequency in postings:
            own = of_word * term_weights[frequency]
            worth = weight * own if scales is None else min(weight, own * scales[photo])
            sums[photo] = sums.get(photo, 0) + worth
    return sums


def scores(
    words: Sequence[Sequence[int]],
    squared_distances: Sequence[Sequence[float]],
    photos: Sequence[Photo],
    vocabulary_size: int,
    *,
    assignment_variance: float = 6250.0,
    norm: int = 2,
    burstiness: bool = True,
    stop_words: float = 0.0,
) -> list[float]:
    """How alike a query and each photo of a collection are."""
    weights = without_stop_words(idf(photos, vocabulary_size), stop_words)
    query = vector(query_frequencies(words, squared_distances, assignment_variance), weights, burstiness)
    vectors = [vector(frequencies(photo), weights, burstiness) for photo in photos]
    return [likeness(query, photo, norm) for photo in vectors]


def ranking(values: Iterable[float], top: int, live: Sequence[bool] | None = None) -> list[tuple[int, float]]:
    """The places and values of the largest values above 0, of live places where these are given, equals by
    place."""
    positive = [
        (place, value) for place, value in enumerate(values) if value > 0 and (live is None or live[place])
    ]
    return sorted(positive, key=lambda entry: (-entry[1], entry[0]))[:top]
