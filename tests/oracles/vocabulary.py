"""The vocabulary in plain Python: the truth that kernels and vectorised code are held against.

A tree is a list of child counts in breadth-first order and a list of centroids; node 0 is the root,
and the leaves in order of their node are words 0, 1, 2 …
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

Vector = Sequence[int] | Sequence[float]


def shape(wishes: Sequence[int]) -> list[int]:
    """The child counts of a tree whose nodes have these wishes in turn, while there are nodes."""
    child_counts: list[int] = []
    waiting = 1
    for wish in wishes:
        if waiting:
            child_counts.append(wish)
            waiting += wish - 1
    return child_counts + [0] * waiting


def children(child_counts: Sequence[int]) -> list[list[int]]:
    """The children of each node."""
    families = []
    following = 1
    for count in child_counts:
        families.append(list(range(following, following + count)))
        following += count
    return families


def depth(child_counts: Sequence[int], node: int = 0) -> int:
    """Levels below a node."""
    return max((1 + depth(child_counts, child) for child in children(child_counts)[node]), default=0)


def words(child_counts: Sequence[int]) -> dict[int, int]:
    """The word of each leaf."""
    leaves = [node for node, count in enumerate(child_counts) if count == 0]
    return {node: word for word, node in enumerate(leaves)}


def squared_distance(a: Vector, b: Vector) -> float:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def nearest_words(
    descriptor: Vector, centroids: Sequence[Vector], child_counts: Sequence[int]
) -> list[tuple[float, int]]:
    """Every word with its distance, nearest first, without any tree."""
    return sorted(
        (squared_distance(descriptor, centroids[node]), word) for node, word in words(child_counts).items()
    )


def greedy_word(
    descriptor: Vector, centroids: Sequence[Vector], child_counts: Sequence[int]
) -> tuple[float, int]:
    """The leaf that is reached by the nearest child at each node; among equals the first child."""
    family = children(child_counts)
    node = 0
    while family[node]:
        node = min(family[node], key=lambda child: squared_distance(descriptor, centroids[child]))
    return squared_distance(descriptor, centroids[node]), words(child_counts)[node]


def beam_words(
    descriptor: Vector, centroids: Sequence[Vector], child_counts: Sequence[int], beam: int
) -> list[tuple[float, int]]:
    """The leaves that are left when each level keeps the `beam` nearest nodes, nearest first."""
    family = children(child_counts)

    def distance(node: int) -> float:
        return squared_distance(descriptor, centroids[node])

    kept = [0]
    while any(family[node] for node in kept):
        candidates = [child for node in kept for child in family[node] or [node]]
        kept = sorted(candidates, key=lambda node: (distance(node), node))[:beam]
    return [(distance(node), words(child_counts)[node]) for node in kept]


def assign(points: Sequence[Vector], centroids: Sequence[Vector]) -> tuple[list[int], list[float]]:
    """The nearest centroid of each point, the first among equals, and its squared distance."""
    labels, distances = [], []
    for point in points:
        to_each = [squared_distance(point, centroid) for centroid in centroids]
        labels.append(to_each.index(min(to_each)))
        distances.append(min(to_each))
    return labels, distances


def draw(weights: Sequence[float], uniform: float) -> int:
    """The place at which the sum of the weights exceeds `uniform` of the whole sum."""
    passed = 0.0
    for place, weight in enumerate(weights):
        passed += weight
        if passed > uniform * sum(weights):
            return place
    raise ValueError("there is no weight")


def starts(sample: Sequence[Sequence[int]], uniforms: Sequence[Sequence[float]]) -> list[int]:
    """The places that k-means++ chooses: the first one evenly, each next one of some candidates drawn
    by squared distance, the first that leaves the smallest sum; none once every point is chosen."""

    def distances(chosen: Sequence[int]) -> list[float]:
        return [min(squared_distance(point, sample[place]) for place in chosen) for point in sample]

    chosen = [int(uniforms[0][0] * len(sample))]
    for draws in uniforms[1:]:
        nearest = distances(chosen)
        if not any(nearest):
            break
        candidates = [[*chosen, draw(nearest, uniform)] for uniform in draws]
        chosen = min(candidates, key=lambda places: sum(distances(places)))
    return chosen


def imbalance(populations: Sequence[int]) -> Fraction:
    """How much longer an inverted list is, to one who comes by a descriptor, than if all were equal."""
    total = sum(populations)
    met = sum(Fraction(population, total) * population for population in populations)
    return met / Fraction(total, len(populations))


def lloyd(
    points: Sequence[Sequence[int]], start: Sequence[Sequence[int]], iterations: int, tolerance: float
) -> list[list[int]]:
    """Lloyd's k-means on integers from given centroids; means are rounded, half to even.

    A cluster without points goes to the worst served point, the next one to the next worst.
    """
    centroids = [list(centroid) for centroid in start]
    previous = float("inf")
    for _ in range(iterations):
        labels, distances = assign(points, centroids)
        distortion = sum(distances) / len(points)
        counts = [labels.count(cluster) for cluster in range(len(centroids))]
        if all(counts) and distortion >= (1 - tolerance) * previous:
            break
        previous = distortion
        worst_first = iter(sorted(range(len(points)), key=lambda i: -distances[i]))
        for cluster in range(len(centroids)):
            members = [point for point, label in zip(points, labels, strict=True) if label == cluster]
            if members:
                centroids[cluster] = [
                    round(sum(values) / len(members)) for values in zip(*members, strict=True)
                ]
            else:
                centroids[cluster] = list(points[next(worst_first)])
    return centroids


def root_sift(descriptor: Sequence[float]) -> list[float]:
    """512·√(d / ‖d‖₁), before rounding and the limit of 255."""
    total = sum(descriptor)
    return [512 * (value / total) ** 0.5 if total else 0.0 for value in descriptor]


def shifted_bytes(descriptors: Sequence[Sequence[int]], mean: Sequence[int]) -> list[list[int]]:
    """Descriptors less their mean, of length 256 about 128, cut off beyond a byte."""
    rows = []
    for descriptor in descriptors:
        difference = [x - m for x, m in zip(descriptor, mean, strict=True)]
        length = math.sqrt(sum(x * x for x in difference)) or 1.0
        rows.append([max(0, min(255, round(x / length * 256) + 128)) for x in difference])
    return rows


def medians(descriptors: Sequence[Sequence[int]]) -> list[int]:
    """In each dimension the median, the lower of two."""
    return [sorted(column)[(len(column) - 1) // 2] for column in zip(*descriptors, strict=True)]
