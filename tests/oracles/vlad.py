"""VLAD in plain Python (Jégou, Douze, Schmid & Pérez 2010; Delhumeau et al. 2013; Arandjelović & Zisserman
2013)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from oracles.asmk import project, unit
from oracles.vocabulary import Vector, assign


def aggregate(
    descriptors: Sequence[Vector],
    centroids: Sequence[Vector],
    *,
    residual_norm: bool,
    power: float,
    intra: bool,
) -> list[float]:
    """The sums of what is left of the descriptors of each word, one after the other."""
    sums = [[0.0] * len(centroid) for centroid in centroids]
    words, _ = assign(descriptors, centroids)
    for descriptor, word in zip(descriptors, words, strict=True):
        residual = [x - c for x, c in zip(descriptor, centroids[word], strict=True)]
        residual = unit(residual) if residual_norm else residual
        sums[word] = [total + x for total, x in zip(sums[word], residual, strict=True)]
    sums = [[math.copysign(abs(x) ** power, x) for x in of_word] for of_word in sums]
    sums = [unit(of_word) for of_word in sums] if intra else sums
    return unit([x for of_word in sums for x in of_word])


def whiten(aggregated: Vector, mean: Vector, axes: Sequence[Vector], steps: Vector) -> list[float]:
    """The vector of a photo with this aggregate."""
    projected = project([x - m for x, m in zip(aggregated, mean, strict=True)], axes)
    return unit([x * step for x, step in zip(projected, steps, strict=True)])
