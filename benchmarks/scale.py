"""A million photos in one store: what it takes to build, to open and to ask.

    python -m benchmarks.scale --scratch FOLDER [--folder FOLDER] [--photos N]

Stores of random segments with the words of real photos (benchmarks/synthetic.py) are written one after the
other as `handcraft index` writes them, but without geometry and features, and with signatures that no encoder
made; they are deleted at the end. `asmk`: 65,536 words, 500 entries a photo. `bow`: 1,000,000 words, 900
entries. Building and asking are in new processes. Queries go from descriptors and their words to the 100 best
photos, on one thread unless it is said. `opened cold` finds nothing in the page cache, and its first query
computes the collection's statistics too. `opened again` finds the files there; its nine queries are asked in
turn, and count after the first time.

--scratch keeps stores of kth/database and oxford1k, 0.5 GB. --folder has room for 11 GB.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import handcraft
from benchmarks.report import report, seconds
from benchmarks.scanning import lists_of, postings_of
from benchmarks.synthetic import (
    DIMENSION,
    NEAREST,
    WordStatistics,
    measured_statistics,
    random_query,
    random_segment,
    segment_sizes,
)
from handcraft.engine.methods import signature_options
from handcraft.engine.voting import vote
from handcraft.engine.writing import add_index, create, writer
from handcraft.options import FeatureOptions, IndexOptions, QueryOptions
from handcraft.storage.manifest import write_manifest
from handcraft.types import Features, Fingerprint
from handcraft.vocabulary.assignment import Assignment
from handcraft.vocabulary.tree import Training, VocabularyTree

TOP = 100
QUERIES = 9
ROUNDS = 3


@dataclass(frozen=True)
class Case:
    """A store to build. root: of the number of words, the branching of its vocabulary. entries: of a photo.
    descriptors, nearest: of a query, and the words of each."""

    method: str
    root: int
    entries: int
    descriptors: int
    nearest: int


CASES = (Case("asmk", 256, 500, 700, NEAREST), Case("bow", 1000, 900, 1000, 1))

Query = tuple[NDArray[np.uint8], NDArray[np.int32]]  # descriptors (n, 128) and their words (n, k)


def build(store: Path, case: Case, words: WordStatistics, photos: int) -> dict[str, Any]:
    """Write the store, a commit a segment."""
    start, drawing = time.perf_counter(), 0.0
    generator = np.random.default_rng(0)
    with writer(store, "benchmark"):
        tree = random_vocabulary(case.root, generator)
        manifest = create(store, FeatureOptions(), tree, IndexOptions(case.method))
        for size in segment_sizes(photos):
            began = time.perf_counter()
            segment = random_segment(words, size, generator, signature_options(manifest))
            drawing += time.perf_counter() - began
            entry = add_index(store, manifest, segment, manifest.next_segment)
            segments, number = (*manifest.segments, entry), entry.number + 1
            manifest = manifest.next(segments=segments, next_segment=number)
            write_manifest(store, manifest)
    size_on_disk = sum(entry.size for entry in manifest.files)
    return {
        "s": round(time.perf_counter() - start, 1),
        "s of it, drawing at random": round(drawing, 1),
        "peak GB of memory": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        "GB on disk": round(size_on_disk / 1e9, 2),
    }


def random_vocabulary(root: int, generator: np.random.Generator) -> VocabularyTree:
    """A tree of two levels and root² words."""
    nodes = 1 + root + root**2
    counts = np.zeros(nodes, np.uint32)
    counts[: 1 + root] = root
    centroids = generator.integers(0, 256, (nodes, DIMENSION), np.uint8)
    centroids[0] = 0
    space = Fingerprint("hessian-affine-rootsift", DIMENSION, "uint8")
    return VocabularyTree.of(centroids, counts, space, Training("chance", 0, 0, 0.0))


def ask(path: Path, queries: list[Query], method: str) -> dict[str, Any]:
    """Open the store and ask each query."""
    start = time.perf_counter()
    snapshot = handcraft.open(path).snapshot
    opening, resident = time.perf_counter() - start, resident_megabytes()
    options = QueryOptions(method=method)

    def took(query: Query, threads: int = 1) -> float:
        descriptors, words = query
        features = Features(np.zeros((len(words), 2, 3), np.float32), descriptors, 1024, 768)
        assignment = Assignment(words, np.zeros(words.shape, np.float32))
        return seconds(lambda: vote(snapshot, features, assignment, options, TOP, threads))

    first, *new = [took(query) for query in queries]
    one = [took(query) for _ in range(ROUNDS) for query in queries]
    two = [took(query, 2) for _ in range(ROUNDS) for query in queries]
    words = [np.unique(each).astype(np.uint32) for _, each in queries]
    postings = statistics.mean(postings_of(lists_of(snapshot.collection, each)) for each in words)
    return {
        "s, opening": round(opening, 3),
        "MB resident before the first query": round(resident),
        "ms, first query": round(1000 * first, 1),
        "ms, queries that are new": round(1000 * statistics.median(new), 1),
        "ms, queries": round(1000 * statistics.median(one), 1),
        "ms, queries, the fastest": round(1000 * min(one), 1),
        "ms, queries, two threads": round(1000 * statistics.median(two), 1),
        "words of a query": round(statistics.mean(len(each) for each in words)),
        "M postings of a query": round(postings / 1e6, 2),
        "M postings/s": round(postings / 1e6 / statistics.median(one)),
        "MB resident at the end": round(resident_megabytes()),
    }


def resident_megabytes() -> float:
    """Of this process, mapped files included."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def forget(store: Path) -> None:
    """Have the operating system drop the files from the page cache."""
    for path in (each for each in store.rglob("*") if each.is_file()):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def in_new_process(function: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def measure(case: Case, measured: WordStatistics, photos: int, folder: Path) -> dict[str, Any]:
    """Build, open and ask a store, and delete it."""
    generator = np.random.default_rng(1)
    words = measured.resampled(case.root**2, case.entries, generator)
    queries = [random_query(words, case.descriptors, case.nearest, generator) for _ in range(QUERIES)]
    store = folder / case.method
    try:
        built = in_new_process(build, store, case, words, photos)
        forget(store)
        cold = in_new_process(ask, store, queries, case.method)
        again = in_new_process(ask, store, queries, case.method)
    finally:
        shutil.rmtree(store, ignore_errors=True)
    return {"building": built, "opened cold": {k: cold[k] for k in list(cold)[:4]}, "opened again": again}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scratch", type=Path, required=True, help="a folder for features, kept")
    parser.add_argument("--folder", type=Path, help="where the stores are built; a temporary one without")
    parser.add_argument("--photos", type=int, default=1_000_000)
    arguments = parser.parse_args()
    measured = measured_statistics(arguments.scratch)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        figures = {c.method: measure(c, measured, arguments.photos, Path(folder)) for c in CASES}
    report("scale", {"photos": arguments.photos, "top": TOP, "queries": QUERIES}, figures)


if __name__ == "__main__":
    main()
