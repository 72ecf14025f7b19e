"""A million photos of one vector each: what a search for VLADs takes, and what its few bytes lose.

Vectors of unit length, drawn at random, in segments in memory; queries are some of them with as much noise
added as they have length. The 100 nearest by the cosines of the float32 vectors are what is to be found.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import median_seconds, report
from benchmarks.synthetic import segment_sizes
from handcraft.index.collection import Collection
from handcraft.index.geometry import Geometry
from handcraft.index.photos import PhotoTable
from handcraft.index.postings import Postings
from handcraft.index.segment import Segment
from handcraft.index.vectors import Vectors
from handcraft.index.vlad import VladScorer
from handcraft.search.scoring import shortlist
from handcraft.types import Photo

TOP = 100
QUERIES = 20

Floats = NDArray[np.float32]


def vectors_of(photos: int, dimension: int) -> Iterator[Floats]:
    """The vectors of each segment."""
    for number, size in enumerate(segment_sizes(photos)):
        generator = np.random.default_rng(number)
        yield unit(generator.standard_normal((size, dimension), np.float32))


def unit(vectors: Floats) -> Floats:
    lengths: Floats = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths


def queries_of(vectors: Floats) -> Floats:
    """Some vectors, with noise."""
    noise = np.random.default_rng(99).standard_normal((QUERIES, vectors.shape[1]), np.float32)
    return unit(vectors[:QUERIES] + unit(noise))


def segment_of(vectors: Vectors) -> Segment:
    """A segment that has nothing but vectors."""
    photos = len(vectors)
    table = PhotoTable.of([Photo(f"{number}.jpg", bytes(16), 0, 0, 1024, 768) for number in range(photos)])
    geometry = Geometry(
        np.zeros(photos + 1, np.uint64),
        np.empty(0, np.uint32),
        np.empty((0, 2), np.uint16),
        np.empty((0, 2, 2), np.float16),
    )
    return Segment(table, Postings.of(geometry, 1), geometry, None, vectors)


def nearest(photos: int, queries: Floats) -> NDArray[np.int64]:
    """(queries, TOP): the photos of the largest cosines of float32 vectors."""
    ids = np.empty((len(queries), 0), np.int64)
    cosines = np.empty((len(queries), 0), np.float32)
    start = 0
    for vectors in vectors_of(photos, queries.shape[1]):
        found = np.broadcast_to(np.arange(start, start + len(vectors)), (len(queries), len(vectors)))
        ids, cosines = np.hstack([ids, found]), np.hstack([cosines, queries @ vectors.T])
        best = np.argpartition(-cosines, TOP, axis=1)[:, :TOP]
        ids, cosines = np.take_along_axis(ids, best, 1), np.take_along_axis(cosines, best, 1)
        start += len(vectors)
    return ids


def measure(photos: int, dimension: int, half: bool, queries: Floats, truth: NDArray[np.int64]) -> object:
    segments = tuple(segment_of(Vectors.of(each, half)) for each in vectors_of(photos, dimension))
    live = tuple(np.ones(len(segment), bool) for segment in segments)
    collection = Collection(segments, live, 1)
    scorer = VladScorer(collection)

    def search(query: Floats, threads: int) -> NDArray[np.int64]:
        return shortlist(lambda place: scorer.score(query, place), collection, TOP, threads).ids

    found = [search(query, 1) for query in queries]
    shared = [len(np.intersect1d(ours, best)) for ours, best in zip(found, truth, strict=True)]
    taken = sum(each.vectors.rows.nbytes + each.vectors.scales.nbytes for each in segments if each.vectors)
    return {
        "ms a query": round(1000 * median_seconds(lambda: search(queries[0], 1), 21), 1),
        "ms a query, two threads": round(1000 * median_seconds(lambda: search(queries[0], 2), 21), 1),
        "GB": round(taken / 1e9, 3),
        "recall@100 against float32": round(float(np.mean(shared)) / TOP, 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=512)
    arguments = parser.parse_args()
    photos, dimension = arguments.photos, arguments.dimension
    queries = queries_of(next(vectors_of(photos, dimension)))
    truth = nearest(photos, queries)
    figures = {
        name: measure(photos, dimension, half, queries, truth)
        for name, half in (("1 byte a number", False), ("2 bytes a number", True))
    }
    report("vectors", {"photos": photos, "dimension": dimension, "top": TOP, "queries": QUERIES}, figures)


if __name__ == "__main__":
    main()
