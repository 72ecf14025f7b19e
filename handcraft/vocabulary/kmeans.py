"""Seeded k-means whose result is the same bits on every machine and at any thread count.

For uint8 descriptors the centroids are kept as uint8 too. Every product and sum is then an integer
that its float type holds exactly (for 128 dimensions ‖x‖², ‖c‖² and 2·x·c all stay below 2²⁴), so
neither the order in which BLAS adds nor its number of threads can change a bit, and training
assigns with the very centroids that searching will use. Float32 descriptors keep float32 centroids
and are as reproducible as the machine's BLAS.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handcraft.vocabulary._kernels import assign_and_accumulate

BLOCK = 8192  # points a matrix product handles at once: 8192 x 1000 float32 is 32 MiB
START_SAMPLE = 24  # points a centroid that the k-means++ start looks at


@dataclass(frozen=True)
class Clustering:
    """Centroids and where the points went.

    centroids: (k, d), dtype of the points. labels: (n,) int32. distances: (n,) float32, squared,
    of each point to its centroid.
    """

    centroids: NDArray[np.generic]
    labels: NDArray[np.int32]
    distances: NDArray[np.float32]


def kmeans(
    points: NDArray[np.generic],
    clusters: int,
    *,
    generator: np.random.Generator,
    iterations: int,
    tolerance: float,
) -> Clustering:
    """Lloyd's k-means of `points` (n, d), uint8 or float32, from a k-means++ start.

    Stops after `iterations` passes, or when the mean distortion falls by less than the fraction
    `tolerance`. A cluster that loses its last point restarts at the worst served point. With no
    more distinct points than `clusters`, the distinct points are the centroids.
    """
    centroids = _plus_plus_start(points, clusters, generator)
    # A start with equal points saw no others; only then is it worth sorting all the points.
    if len(np.unique(centroids, axis=0)) < clusters:
        distinct = np.unique(points, axis=0)
        if len(distinct) <= clusters:
            labels, distances, _, _ = _assign(points, distinct)
            return Clustering(distinct, labels, distances)
    previous = np.inf
    for _ in range(iterations):
        labels, distances, sums, counts = _assign(points, centroids)
        distortion = float(distances.mean(dtype=np.float64))
        if previous - distortion < tolerance * previous:
            break
        previous = distortion
        centroids = _means(points, centroids, distances, sums, counts)
    labels, distances, _, _ = _assign(points, centroids)
    return Clustering(centroids, labels, distances)


def _assign(
    points: NDArray[np.generic], centroids: NDArray[np.generic]
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float64], NDArray[np.int64]]:
    """Labels and squared distances of the points; sums and counts of the clusters."""
    matrix = np.ascontiguousarray(centroids.T, dtype=np.float32)
    half_norms = _squared_norms(centroids) / np.float32(2)
    labels = np.empty(len(points), np.int32)
    distances = np.empty(len(points), np.float32)
    sums = np.zeros(centroids.shape, np.float64)
    counts = np.zeros(len(centroids), np.int64)
    for start in range(0, len(points), BLOCK):
        stop = start + BLOCK
        block = points[start:stop]
        values = block.astype(np.float32)
        assign_and_accumulate(
            values @ matrix, half_norms, block, labels[start:stop], distances[start:stop], sums, counts
        )
        distances[start:stop] = 2 * distances[start:stop] + _squared_norms(block)
    return labels, np.maximum(distances, 0), sums, counts


def _squared_norms(rows: NDArray[np.generic]) -> NDArray[np.float32]:
    values = rows.astype(np.float32)
    return np.asarray(np.einsum("ij,ij->i", values, values))


def _plus_plus_start(
    points: NDArray[np.generic], clusters: int, generator: np.random.Generator
) -> NDArray[np.generic]:
    """Each next centroid is a point drawn with a probability in proportion to its squared distance
    from the nearest one so far (Arthur & Vassilvitskii 2007)."""
    sample = points
    if len(points) > START_SAMPLE * clusters:
        sample = points[np.sort(generator.choice(len(points), START_SAMPLE * clusters, replace=False))]
    values = sample.astype(np.float32)
    norms = _squared_norms(sample)
    chosen = np.empty(clusters, np.int64)
    chosen[0] = generator.integers(len(sample))
    nearest = np.full(len(sample), np.inf, np.float32)
    for i in range(1, clusters):
        latest = chosen[i - 1]
        distances = norms - 2 * (values @ values[latest]) + norms[latest]
        np.minimum(nearest, np.maximum(distances, 0), out=nearest)
        cumulative = np.cumsum(nearest, dtype=np.float64)
        if cumulative[-1] == 0:  # fewer distinct points in the sample than clusters
            chosen[i:] = latest
            break
        draw = generator.random() * cumulative[-1]
        chosen[i] = min(np.searchsorted(cumulative, draw, side="right"), len(sample) - 1)
    return sample[chosen]


def _means(
    points: NDArray[np.generic],
    centroids: NDArray[np.generic],
    distances: NDArray[np.float32],
    sums: NDArray[np.float64],
    counts: NDArray[np.int64],
) -> NDArray[np.generic]:
    """The clusters' means in the points' dtype; empty clusters take the worst served points."""
    filled = counts > 0
    means = np.array(centroids)
    values = sums[filled] / counts[filled, None]
    means[filled] = np.rint(values) if np.issubdtype(points.dtype, np.integer) else values
    empty = np.flatnonzero(~filled)
    if len(empty):
        means[empty] = points[np.argsort(-distances, kind="stable")[: len(empty)]]
    return means
