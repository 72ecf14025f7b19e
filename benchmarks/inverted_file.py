"""What the inverted file costs beside asmk 0.1.1 and scipy (pip install ".[bench]") in the same run.

    python -m benchmarks.inverted_file --scratch FOLDER          all parts
    python -m benchmarks.inverted_file --scratch FOLDER scan     one part; the others keep their figures

FOLDER keeps stores of kth/database and oxford1k, 0.5 GB. `agreement` is of real photos, which asmk adds by
its own means. The others are of random collections (benchmarks/synthetic.py). In `speed` asmk's lists are
copied from ours, since its own loops take 9 ms a photo: it has the same codes, and the same scores come out.
`scan` reads the lists of 20 queries in turn, 1.2 GB; the bare loop (benchmarks/scanning.py) reads and adds in
the same places, but counts nothing and looks nothing up. All is on one thread unless it is said, peers take
turns, of several calls where one is short, and times are medians. Bytes are those of arrays on disk, features
and geometry aside.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import tempfile
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers import Asmk, SparseMatrix
from benchmarks.report import earlier_figures, in_turns, median_seconds, report
from benchmarks.scanning import lists_of, loop_all, postings_of, search, vote_all
from benchmarks.synthetic import (
    DIMENSION,
    NEAREST,
    WordStatistics,
    features_of,
    kept_store,
    measured_statistics,
    random_collection,
    random_query,
    random_segment,
)
from handcraft.index.asmk import AsmkScorer
from handcraft.index.bow import BowScorer
from handcraft.index.postings import Postings
from handcraft.index.segment import MAX_PHOTOS, Segment, build_segment, write_segment
from handcraft.index.signatures import Encoder, write_signatures
from handcraft.options import AsmkOptions, BowOptions, SignatureOptions
from handcraft.search.scoring import best
from handcraft.types import Features, Photo
from handcraft.vocabulary.assignment import assign

WORDS = 65_536
DESCRIPTORS = 700  # of a photo and of a query
TOP = 100
CALLS = 5  # of a turn, where one takes a millisecond
TIE = 1e-6  # scores that differ by less are equal
OPTIONS = AsmkOptions(alpha=3.0, tau=0.0, idf=False)  # asmk's


# --- parts ---


def agreement(scratch: Path) -> dict[str, Any]:
    """Scores of kth/database, asked for every third of its photos, beside asmk's."""
    store = kept_store(scratch, "kth/database")
    tree, photos = store.snapshot.vocabulary, list(features_of(store))
    words = [assign(photo.descriptors, tree, NEAREST).words for photo in photos]
    centroids = tree.centroids_of(tree.leaves)
    scorer = AsmkScorer(store.snapshot.collection, encoder(centroids), OPTIONS)
    peer = Asmk(centroids, OPTIONS.alpha, OPTIONS.tau)
    peer.add([photo.descriptors for photo in photos], [each[:, :1] for each in words])
    differences, falls = [], []
    for photo, nearest in list(zip(photos, words, strict=True))[::3]:
        ours = scorer.score(scorer.query(photo.descriptors, nearest), 0)
        theirs = np.empty(len(photos))
        ranks, scores = peer.search(
            peer.aggregate(photo.descriptors.astype(np.float32), nearest), len(photos)
        )
        theirs[ranks] = scores
        differences.append(float(np.abs(ours - theirs).max()))
        in_our_order = theirs[np.argsort(-ours, kind="stable")]
        falls.append(float((np.maximum.accumulate(in_our_order[::-1])[::-1] - in_our_order).max()))
    return {
        "greatest difference of scores": max(differences),
        "greatest difference of asmk's scores of two photos in another order": max(falls),
        "rankings identical but for ties": max(falls) <= TIE,
    }


def speed(scratch: Path) -> dict[str, Any]:
    """Aggregation and search, beside asmk: words as uneven as those of real photos, and even ones."""
    words = measured_statistics(scratch).resampled(WORDS, DESCRIPTORS, np.random.default_rng(0))
    kinds = {"": words, ", even words": WordStatistics.uniform(WORDS, DESCRIPTORS)}
    sizes = (10_000, 100_000)
    return {f"{size:,} photos{kind}": speed_at(size, kinds[kind]) for kind in kinds for size in sizes}


def speed_at(photos: int, words: WordStatistics) -> dict[str, Any]:
    generator = np.random.default_rng(1)
    centroids = generator.integers(0, 256, (WORDS, DIMENSION), np.uint8)
    collection = random_collection(words, photos, generator, SignatureOptions())
    scorer = AsmkScorer(collection, encoder(centroids), OPTIONS)
    peer = Asmk(centroids, OPTIONS.alpha, OPTIONS.tau)
    peer.fill(collection)
    descriptors, nearest = random_query(words, DESCRIPTORS, NEAREST, generator)
    wide = descriptors.astype(np.float32)
    query, aggregated = scorer.query(descriptors, nearest), peer.aggregate(wide, nearest)
    found, (_, scores) = search(scorer, query, TOP), peer.search(aggregated, TOP)
    aggregation = in_turns(
        lambda: scorer.query(descriptors, nearest), lambda: peer.aggregate(wide, nearest), calls=CALLS
    )
    scanning = in_turns(lambda: search(scorer, query, TOP), lambda: peer.search(aggregated, TOP), calls=CALLS)
    return {
        "ms, aggregation": round(1000 * aggregation[0], 3),
        "ms, search": round(1000 * scanning[0], 3),
        "ms, aggregation, asmk": round(1000 * aggregation[1], 1),
        "ms, search, asmk": round(1000 * scanning[1], 1),
        "times as fast as asmk": round((aggregation[1] + scanning[1]) / (aggregation[0] + scanning[0]), 1),
        "postings of the query": postings_of(lists_of(collection, query.words)),
        "greatest difference of scores": float(np.abs(found.scores - scores).max()),
    }


def scan(scratch: Path) -> dict[str, Any]:
    """Postings scored a second, in lists of 1000 over all photos; and by two threads."""
    return {f"{photos:,} photos": scan_at(photos) for photos in (100_000, 1_000_000)}


def scan_at(photos: int) -> dict[str, Any]:
    generator = np.random.default_rng(0)
    words = WordStatistics.uniform(WORDS, WORDS * 1000 / photos)
    collection = random_collection(words, photos, generator, SignatureOptions())
    scorer = AsmkScorer(collection, encoder(np.zeros((WORDS, DIMENSION), np.uint8)), OPTIONS)
    queries = [scorer.query(*random_query(words, DESCRIPTORS, NEAREST, generator)) for _ in range(20)]
    lists = [lists_of(collection, query.words) for query in queries]
    millions = sum(postings_of(each) for each in lists) / 1e6
    kernels = in_turns(lambda: vote_all(scorer, queries, lists), lambda: loop_all(scorer, lists))
    threads = in_turns(
        lambda: [search(scorer, query, TOP, 1) for query in queries],
        lambda: [search(scorer, query, TOP, 2) for query in queries],
    )
    return {
        "M postings/s": round(millions / kernels[0]),
        "M postings/s, bare loop": round(millions / kernels[1]),
        "share of the bare loop": round(kernels[1] / kernels[0], 3),
        "M postings/s, whole search": round(millions / threads[0]),
        "speed-up of two threads": round(threads[0] / threads[1], 2),
    }


def disk(scratch: Path) -> dict[str, Any]:
    """Bytes an entry of a full segment with 500 entries a photo, and of the store of kth/database."""
    generator = np.random.default_rng(0)
    words = measured_statistics(scratch).resampled(WORDS, 500, generator)
    full = random_segment(words, MAX_PHOTOS, generator, SignatureOptions())
    assert full.signatures is not None
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        write_segment(Path(folder) / "index", full, {})
        write_signatures(Path(folder) / "signatures", full.signatures, {})
        written = sum(path.stat().st_size for path in Path(folder).iterdir())
    store = kept_store(scratch, "kth/database")
    small, files = store.snapshot.collection.segments[0], store.snapshot.manifest.segments[0]
    sizes = sum(file.size for file in (files.index, files.signatures) if file)
    least = 19 * len(small.postings.photo_ids) + 16 * len(small.geometry.words)
    whole = {"bytes an entry, both, files whole": round(written / len(full.postings.photo_ids), 3)}
    return {
        "full segment": {**bytes_of(full), **whole},
        "kth/database": {**bytes_of(small), "files over entries and geometry alone": round(sizes / least, 3)},
    }


def adding(scratch: Path) -> dict[str, Any]:
    """Entries that are made of words and descriptors a second, beside asmk."""
    generator = np.random.default_rng(0)
    words = measured_statistics(scratch).resampled(WORDS, DESCRIPTORS, generator)
    drawn = [random_query(words, DESCRIPTORS, 1, generator) for _ in range(500)]  # as many as one commit
    centroids = generator.integers(0, 256, (WORDS, DIMENSION), np.uint8)
    frames = np.zeros((DESCRIPTORS, 2, 3), np.float32)
    features = [Features(frames, descriptors, 1024, 768) for descriptors, _ in drawn]
    photos = [Photo(f"{number}.jpg", bytes(16), 0, 0, 1024, 768) for number in range(len(drawn))]
    nearest = [each[:, 0] for _, each in drawn]
    peer = Asmk(centroids, OPTIONS.alpha, OPTIONS.tau)
    segment = build_segment(photos, features, nearest, WORDS)
    descriptors = [each for each, _ in drawn]
    encoding, theirs = in_turns(
        lambda: encoder(centroids).encode_all(descriptors, nearest, segment.postings),
        lambda: peer.add(descriptors[:20], [each for _, each in drawn[:20]]),
    )
    inverting = median_seconds(lambda: Postings.of(segment.geometry, WORDS), 15)
    building = median_seconds(lambda: build_segment(photos, features, nearest, WORDS), 15)
    entries = sum(len(np.unique(each)) for each in nearest)
    return {
        "M entries/s, signatures": round(entries / encoding / 1e6, 2),
        "M entries/s, signatures and postings": round(entries / (encoding + inverting) / 1e6, 2),
        "M entries/s, signatures, postings and geometry": round(entries / (encoding + building) / 1e6, 2),
        "M entries/s, asmk": round(entries / 25 / theirs / 1e6, 3),
        "times as fast as asmk": round(25 * theirs / (encoding + inverting), 1),
    }


def bow(scratch: Path) -> dict[str, Any]:
    """BoW of 10,000 photos and 1,000,000 words, from the query's vector to its best photos, beside scipy."""
    generator = np.random.default_rng(0)
    words = measured_statistics(scratch).resampled(1_000_000, DESCRIPTORS, generator)
    collection = random_collection(words, 10_000, generator, None)
    scorer, postings = BowScorer(collection, BowOptions()), collection.segments[0].postings
    _, nearest = random_query(words, DESCRIPTORS, 1, generator)
    query = scorer.query(nearest, np.zeros(nearest.shape, np.float32))
    peer = SparseMatrix(scorer)
    live = collection.live[0]
    found, (_, scores) = best(scorer.score(query, 0), live, TOP), peer.search(query, TOP)
    ours, theirs = in_turns(
        lambda: best(scorer.score(query, 0), live, TOP), lambda: peer.search(query, TOP), 101, CALLS
    )
    own = sum(array.nbytes for array in (*astuple(postings), *postings.slots, scorer.scales[0]))
    return {
        "ms": round(1000 * ours, 3),
        "ms, scipy": round(1000 * theirs, 3),
        "times as fast as scipy": round(theirs / ours, 2),
        "bytes a photo": round(own / len(collection)),
        "bytes a photo, scipy": round(peer.bytes / len(collection)),
        "greatest difference of scores": float(np.abs(found[1] - scores).max()),
    }


PARTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    part.__name__: part for part in (agreement, speed, scan, disk, adding, bow)
}


# --- means ---


def encoder(centroids: NDArray[np.generic]) -> Encoder:
    return Encoder(SignatureOptions(), DIMENSION, lambda words: centroids[words])


def bytes_of(segment: Segment) -> dict[str, Any]:
    """Bytes an entry of what each method reads."""
    assert segment.signatures is not None
    postings, entries = segment.postings, len(segment.postings.photo_ids)
    lists = postings.words.nbytes + postings.offsets.nbytes + postings.photo_ids.nbytes
    codes = segment.signatures.codes.nbytes + segment.signatures.entries.nbytes
    return {
        "entries": entries,
        "bytes an entry, ASMK*": round((lists + codes) / entries, 3),
        "bytes an entry, BoW": round((lists + postings.frequencies.nbytes) / entries, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True, help="a folder for features, kept")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all without")
    arguments = parser.parse_args()
    parameters = {"words": WORDS, "descriptors": DESCRIPTORS, "asmk": importlib.metadata.version("asmk")}
    for part in arguments.parts or PARTS:
        figures = {**earlier_figures("inverted_file"), part: PARTS[part](arguments.scratch)}
        report("inverted_file", parameters, figures)


if __name__ == "__main__":
    main()
