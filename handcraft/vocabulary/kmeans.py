"""Seeded k-means whose result is the same bits on every machine and at any thread count.

For uint8 descriptors the centroids are kept as uint8 too: every cost and sum is then an exact
integer, so neither the order of addition nor the number of threads can change a bit, and training
assigns with the very centroids that searching will use. Float32 descriptors keep float32 centroids;
their sums are made in a fixed order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handcraft.vocabulary._kernels import LANES, TILE, add_points, assign_points, choose_starts
from handcraft.vocabulary.panels import Panels, centring, cost_type, to_rows

CHUNK = 1 << 16  # points that one thread handles at once
BLOCK = 256  # points that stay in the cache while all centroids pass
START_SAMPLE = 24  # points a centroid that the k-means++ start looks at

# How chunks are handled: the built-in map, or that of a pool of threads.
Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
Sums = NDArray[np.int32 | np.int64 | np.float64]


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
    start: NDArray[np.generic] | None = None,
    over_chunks: Map = map,
    on_pass: Callable[[], None] | None = None,
) -> Clustering:
    """Lloyd's k-means of `points` (n, d), uint8 or float32, from a k-means++ start.

    The start looks at the first points alone, so points should come in no particular order; `start`
    (k, d) gives other centroids to begin with. Stops after `iterations` means, or when the mean
    distortion falls by less than the fraction `tolerance`. A cluster that loses its last point
    restarts at the worst served point. With no more distinct points than `clusters`, the distinct
    points are the centroids. on_pass is called after each pass over the points.
    """
    points = np.ascontiguousarray(points)
    centroids = plus_plus(points, clusters, generator) if start is None else np.array(start)
    if len(centroids) < clusters:  # the sample saw no others; only then is it worth sorting all points
        distinct = np.unique(points, axis=0)
        copies = np.repeat(centroids[-1:], clusters - len(centroids), axis=0)  # they lose their points
        centroids = distinct if len(distinct) <= clusters else np.concatenate([centroids, copies])
    lloyd = _Lloyd(points, over_chunks)
    previous = np.inf
    for last in [False] * iterations + [True]:
        sums, counts, distortion = lloyd.step(centroids)
        if on_pass is not None:
            on_pass()
        empty = np.flatnonzero(counts == 0)
        if last or (not len(empty) and distortion >= (1 - tolerance) * previous):
            break
        previous = distortion
        centroids = _means(centroids, sums, counts)
        if len(empty):
            centroids[empty] = points[np.argsort(-lloyd.distances(), kind="stable")[: len(empty)]]
    return Clustering(centroids, lloyd.labels, lloyd.distances())


def plus_plus(
    points: NDArray[np.generic], clusters: int, generator: np.random.Generator
) -> NDArray[np.generic]:
    """At most `clusters` starting centroids from the first points; fewer where these have fewer
    distinct points. Of 2 + ln(clusters) candidates for each the best is taken, as Arthur &
    Vassilvitskii (2007, section 6) suggest."""
    sample = points[: START_SAMPLE * clusters]
    rows = to_rows(sample)
    panels = Panels.of(sample)
    chosen = np.zeros(clusters, np.int64)
    found = choose_starts(
        rows,
        panels.values,
        panels.norms,
        centring(sample),
        generator.random((clusters, 2 + int(np.log(clusters)))),
        np.empty((1, TILE * LANES), panels.norms.dtype),
        np.empty((3, len(panels.norms)), np.float64),
        chosen,
    )
    # Rounded distances between equal float32 points need not be zero, so that one is chosen twice.
    _, first = np.unique(sample[chosen[:found]], axis=0, return_index=True)
    return np.asarray(sample[chosen[np.sort(first)]])


class _Lloyd:
    """The passes of k-means over one set of points, which remember where the points went."""

    def __init__(self, points: NDArray[np.generic], over_chunks: Map) -> None:
        self.labels = np.empty(len(points), np.int32)
        self._points = points
        self._integers = points.dtype == np.uint8
        self._costs = np.empty(len(points), cost_type(points.dtype))
        self._over_chunks = over_chunks
        self._chunks = [slice(start, start + CHUNK) for start in range(0, len(points), CHUNK)]
        self._centrings = np.empty_like(self._costs)
        self._centring = sum(float(c) for c in over_chunks(self._centre, self._chunks))

    def step(self, centroids: NDArray[np.generic]) -> tuple[Sums, NDArray[np.int64], float]:
        """Assign every point; the sums (k, d) and counts (k,) of the clusters, and the distortion."""
        panels = Panels.of(centroids)
        sums: Sums = np.zeros(centroids.shape, np.int64 if self._integers else np.float64)
        counts = np.zeros(len(centroids), np.int64)
        cost = 0.0

        def assign(chunk: slice) -> tuple[Sums, NDArray[np.int64], float]:
            return self._assign(chunk, panels, len(centroids))

        for chunk_sums, chunk_counts, chunk_cost in self._over_chunks(assign, self._chunks):
            sums += chunk_sums
            counts += chunk_counts
            cost += chunk_cost
        return sums, counts, (cost + self._centring) / len(self._points)

    def distances(self) -> NDArray[np.float32]:
        """(n,) squared distances of the points to the centroids of the last step."""
        return np.asarray(np.maximum(self._costs + self._centrings, 0), np.float32)

    def _centre(self, chunk: slice) -> float:
        """Fill in the centrings of a chunk's points; return their sum."""
        self._centrings[chunk] = centring(self._points[chunk])
        return float(self._centrings[chunk].sum(dtype=np.float64))

    def _assign(self, chunk: slice, panels: Panels, clusters: int) -> tuple[Sums, NDArray[np.int64], float]:
        points = self._points[chunk]
        number = panels.norms.dtype
        assign_points(
            to_rows(points),
            panels.values,
            panels.norms,
            np.empty((TILE, TILE * LANES), number),
            np.empty((BLOCK, LANES), number),
            np.empty((BLOCK, LANES), np.int32),
            self.labels[chunk],
            self._costs[chunk],
        )
        # A chunk's sums of bytes stay below 2³¹.
        sums: Sums = np.zeros((clusters, points.shape[1]), np.int32 if self._integers else np.float64)
        counts = np.zeros(clusters, np.int64)
        add_points(points, self.labels[chunk], sums, counts)
        return sums, counts, float(self._costs[chunk].sum(dtype=np.float64))


def _means(centroids: NDArray[np.generic], sums: Sums, counts: NDArray[np.int64]) -> NDArray[np.generic]:
    """The clusters' means in the centroids' dtype; an empty cluster keeps its centroid."""
    filled = counts > 0
    means = np.array(centroids)
    values = sums[filled] / counts[filled, None]
    means[filled] = np.rint(values) if centroids.dtype == np.uint8 else values
    return means
