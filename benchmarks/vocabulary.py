"""Training and assignment of large vocabularies, beside faiss (pip install ".[bench]") in the same run.

Descriptors are RootSIFT of train, oxford1k and kth/database, again and again with Gaussian noise
until there are enough. Recall is measured on kth/queries, which no vocabulary here has seen, against
exact search. Each part runs in a process of its own, so that its memory is its own:

    python -m benchmarks.vocabulary --scratch FOLDER            all parts
    python -m benchmarks.vocabulary --scratch FOLDER million    one part; the others keep their figures

FOLDER keeps extracted features and the trained vocabularies: about 3 GB. faiss is tuned: OpenBLAS's
kernels for this processor, one BLAS thread, as many OpenMP threads as handcraft has.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import handcraft
from benchmarks.report import data_folder, earlier_figures, median_seconds, report, seconds
from handcraft.engine.snapshot import segment_file
from handcraft.engine.vocabularies import give_vocabulary
from handcraft.features.files import read_features
from handcraft.options import FeatureOptions, QueryOptions, VocabularyOptions
from handcraft.types import Fingerprint
from handcraft.vocabulary.assignment import assign
from handcraft.vocabulary.files import read_vocabulary, shipped_vocabulary, write_vocabulary
from handcraft.vocabulary.kmeans import kmeans
from handcraft.vocabulary.sample import DescriptorSample
from handcraft.vocabulary.training import train
from handcraft.vocabulary.tree import VocabularyTree

SPACE = Fingerprint("sift-rootsift", 128, "uint8")
NOISE = 6.0  # standard deviation of the noise on repeated descriptors, of values up to 255
QUERIES = 10_000
PHOTO = 2000  # descriptors that are assigned at once, as those of one photo
BEAMS = (1, 2, 4, 6, 8, 12, 16, 20, 24, 32, 40, 48)


# --- descriptors ---


def stored_descriptors(scratch: Path, folder: str) -> Iterator[NDArray[np.uint8]]:
    """The descriptors of a development set, extracted once."""
    features = FeatureOptions(max_features=4000 if folder == "train" else 2000)
    store = handcraft.open(scratch / folder.replace("/", "-"), features=features)
    store.add(data_folder() / folder)
    for entry in store.snapshot.manifest.segments:
        assert entry.features is not None
        yield read_features(segment_file(store.path, entry.features)).descriptors  # type: ignore[misc]


def training_descriptors(scratch: Path, count: int) -> NDArray[np.generic]:
    """`count` descriptors in random order: the real ones, then copies with noise."""
    parts = [p for f in ("train", "oxford1k/jpg", "kth/database") for p in stored_descriptors(scratch, f)]
    sample = DescriptorSample(count, SPACE.dimension, SPACE.dtype)
    generator = np.random.default_rng(0)
    noisy = False
    while sample.seen < count:
        for start, part in ((s, p) for p in parts for s in range(0, len(p), 1 << 18)):
            chunk = np.asarray(part[start : start + (1 << 18)])
            if noisy:
                chunk = np.clip(chunk + generator.normal(0, NOISE, chunk.shape), 0, 255).astype(np.uint8)
            sample.add(chunk)
        noisy = True
    return sample.descriptors()


def query_descriptors(scratch: Path) -> NDArray[np.generic]:
    """Descriptors of photos that no vocabulary here was trained on."""
    everything = np.concatenate(list(stored_descriptors(scratch, "kth/queries")))
    return everything[np.sort(np.random.default_rng(0).choice(len(everything), QUERIES, replace=False))]


# --- parts ---


def million(scratch: Path) -> dict[str, Any]:
    """Train 1,000,000 words on 10,000,000 descriptors, beside the matrix products of plain k-means."""
    options = VocabularyOptions(words=1_000_000, iterations=10, tolerance=0.0)
    descriptors = training_descriptors(scratch, 10_000_000)
    before = peak_gigabytes()
    trees: list[VocabularyTree] = []
    took = seconds(
        lambda: trees.append(
            train(descriptors, SPACE, options, source="benchmark", photos=0, threads=2, progress=None)
        )
    )
    write_vocabulary(scratch / "million.h5", trees[0])
    bound = sgemm_seconds(len(descriptors), 100) * options.iterations * options.levels
    balance = trees[0].training.balance
    assert balance is not None
    return {
        "s": round(took, 1),
        "s, matrix products of as many passes": round(bound, 1),
        "ratio": round(took / bound, 2),
        "words": trees[0].words,
        "distortion": round(trees[0].training.distortion, 1),
        "imbalance": round(balance.imbalance, 3),
        "empty words": balance.empty,
        "peak GB": round(peak_gigabytes(), 2),
        "peak GB, when training began": round(before, 2),
    }


def flat(scratch: Path) -> dict[str, Any]:
    """A pass of flat k-means with 65,536 words over 2,000,000 descriptors, beside faiss; and the
    distortion after 10 iterations at an eighth of that size."""
    faiss = tuned_faiss(threads=2)
    descriptors = training_descriptors(scratch, 2_000_000)
    start = descriptors[:65_536]
    took = seconds(lambda: flat_kmeans(descriptors, start, iterations=0))
    index = faiss.IndexFlatL2(SPACE.dimension)
    index.add(start.astype(np.float32))
    share = descriptors[: len(descriptors) // 20].astype(np.float32)
    theirs = 20 * seconds(lambda: index.search(share, 1))
    small = descriptors[: len(descriptors) // 8]
    options = VocabularyOptions(words=8192, depth=1, iterations=10, tolerance=0.0)
    tree = train(small, SPACE, options, source="benchmark", photos=0, threads=2)
    peer = faiss.Kmeans(SPACE.dimension, 8192, niter=10, seed=0, max_points_per_centroid=10**9)
    peer.train(small.astype(np.float32))
    distances, _ = peer.index.search(small.astype(np.float32), 1)
    return {
        "s a pass, 65,536 words, 2,000,000 descriptors": round(took, 1),
        "s a pass, faiss, from a twentieth of the descriptors": round(theirs, 1),
        "ratio": round(took / theirs, 3),
        "distortion, 8192 words, 250,000 descriptors": round(tree.training.distortion, 1),
        "distortion, faiss": round(float(distances.mean()), 1),
        "ratio of distortions": round(tree.training.distortion / float(distances.mean()), 4),
    }


def assignment(scratch: Path) -> dict[str, Any]:
    """Assignment to a million words on one thread, beside faiss's graph and inverted lists."""
    faiss = tuned_faiss(threads=1)
    tree = read_vocabulary(scratch / "million.h5")
    queries = query_descriptors(scratch)
    words = tree.centroids_of(tree.leaves).astype(np.float32)
    wide = queries.astype(np.float32)
    truth = exact_words(tree, queries, 1)
    ours = {f"beam {beam}": beam_figures(tree, queries, beam, truth) for beam in BEAMS}
    peers = {}
    graph = faiss.IndexHNSWFlat(SPACE.dimension, 16)
    graph.add(words)
    for effort in (16, 32, 64, 96, 128, 256, 512):
        graph.hnsw.efSearch = effort
        peers[f"HNSW16, ef {effort}"] = peer_figures(graph, wide, truth)
    del graph
    lists = faiss.index_factory(SPACE.dimension, "IVF2048,Flat")
    lists.train(words[:: len(words) // 200_000])
    lists.add(words)
    for probes in (1, 4, 8, 16, 32, 64, 128):
        lists.nprobe = probes
        peers[f"IVF2048, nprobe {probes}"] = peer_figures(lists, wide, truth)
    figures: dict[str, Any] = {"handcraft": ours, "faiss": peers}
    for recall in (0.94, 0.98):
        figures[f"µs at a recall@1 of {recall}"] = {
            "handcraft": fastest_at(ours, recall),
            "faiss": fastest_at(peers, recall),
        }
    return figures


def several(scratch: Path) -> dict[str, Any]:
    """The five nearest of 65,536 words, on one thread."""
    descriptors = training_descriptors(scratch, 2_000_000)
    options = VocabularyOptions(words=65_536, iterations=10)
    tree = train(descriptors, SPACE, options, source="benchmark", photos=0, threads=2)
    queries = query_descriptors(scratch)
    truth = exact_words(tree, queries, 5)
    return {f"beam {beam}": beam_figures(tree, queries, beam, truth) for beam in BEAMS if beam >= 5}


def accuracy(scratch: Path) -> dict[str, Any]:
    """mAP of BoW on oxford1k with the shipped tree's assignment, and with exact assignment to its words."""
    features = FeatureOptions()
    store = handcraft.open(scratch / "oxford1k-jpg", features=features)
    store.add(data_folder() / "oxford1k/jpg")
    tree = read_vocabulary(shipped_vocabulary())
    figures: dict[str, Any] = {"words": tree.words}
    for kind, vocabulary in (("tree", tree), ("exact", flat_tree(tree))):
        give_vocabulary(store.path, vocabulary, features)
        store.refresh()
        for truth in ("gt", "gt_whole"):
            found = store.evaluate(
                data_folder() / "oxford1k/jpg", data_folder() / "oxford1k" / truth, options=QueryOptions()
            )
            figures[f"{truth}, {kind}"] = round(found.mean_average_precision, 4)
    return figures


PARTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    part.__name__: part for part in (million, flat, assignment, several, accuracy)
}


# --- measuring ---


def sgemm_seconds(points: int, clusters: int) -> float:
    """What the matrix products of one pass of k-means take at least, on both processors."""
    block = np.ones((100_000, SPACE.dimension), np.float32)
    centroids = np.ones((SPACE.dimension, clusters), np.float32)
    out = np.empty((len(block), clusters), np.float32)
    return points / len(block) * median_seconds(lambda: np.matmul(block, centroids, out=out), 21)


def flat_kmeans(points: NDArray[np.generic], start: NDArray[np.generic], iterations: int) -> None:
    """One pass over the points, and one more for each iteration, on two threads."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        kmeans(
            points,
            len(start),
            generator=np.random.default_rng(0),
            iterations=iterations,
            tolerance=0.0,
            start=start,
            over_chunks=pool.map,
        )


def flat_tree(tree: VocabularyTree) -> VocabularyTree:
    """The same words without a tree above them: every assignment to them is exact."""
    words = tree.centroids_of(tree.leaves)
    counts = np.zeros(len(words) + 1, np.uint32)
    counts[0] = len(words)
    root = np.zeros((1, words.shape[1]), words.dtype)
    return VocabularyTree.of(np.concatenate([root, words]), counts, tree.fingerprint, tree.training)


def exact_words(tree: VocabularyTree, queries: NDArray[np.generic], nearest: int) -> NDArray[np.float32]:
    """(n, nearest): the distances of the true nearest words. Recall compares distances, so that equally
    near words count alike."""
    return assign(queries, flat_tree(tree), nearest).distances


def beam_figures(
    tree: VocabularyTree, queries: NDArray[np.generic], beam: int, truth: NDArray[np.float32]
) -> dict[str, float]:
    nearest = truth.shape[1]
    photos = [queries[start : start + PHOTO] for start in range(0, len(queries), PHOTO)]

    def run() -> list[NDArray[np.float32]]:
        return [assign(photo, tree, nearest, beam).distances for photo in photos]

    found = np.concatenate(run())
    return {
        "recall": recall(found, truth),
        "µs": round(1e6 * median_seconds(run, 5) / len(queries), 2),
    }


def peer_figures(index: Any, queries: NDArray[np.float32], truth: NDArray[np.float32]) -> dict[str, float]:
    found, _ = index.search(queries, truth.shape[1])
    took = median_seconds(lambda: index.search(queries, truth.shape[1]), 3)
    return {"recall": recall(found, truth), "µs": round(1e6 * took / len(queries), 2)}


def recall(found: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """The share of found distances that are not above the largest true one."""
    return round(float((found <= truth[:, -1:] + 0.5).mean()), 4)


def fastest_at(figures: dict[str, dict[str, float]], least: float) -> float | None:
    """The least time of those with this recall; None where none has it."""
    return min((figure["µs"] for figure in figures.values() if figure["recall"] >= least), default=None)


def peak_gigabytes() -> float:
    """Of this process, so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def tuned_faiss(threads: int) -> Any:
    import faiss

    faiss.omp_set_num_threads(threads)
    faiss.cvar.distance_compute_blas_threshold = 20
    return faiss


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scratch", type=Path, required=True, help="a folder for features, kept")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all without")
    parser.add_argument("--print", dest="alone", action="store_true", help="print one part, write nothing")
    arguments = parser.parse_args()
    arguments.scratch.mkdir(parents=True, exist_ok=True)
    if arguments.alone:
        print(json.dumps(PARTS[arguments.parts[0]](arguments.scratch)))
        return
    for part in arguments.parts or PARTS:
        command = [sys.executable, "-m", "benchmarks.vocabulary", "--scratch", str(arguments.scratch)]
        # faiss's own OpenBLAS takes the kernels of an old processor unless it is told.
        environment = {**os.environ, "OPENBLAS_CORETYPE": "SkylakeX"}
        if part != "million":
            environment["OPENBLAS_NUM_THREADS"] = "1"
        done = subprocess.run(
            [*command, "--print", part], env=environment, check=True, stdout=subprocess.PIPE, text=True
        )
        figures = {**earlier_figures("vocabulary"), part: json.loads(done.stdout.splitlines()[-1])}
        report("vocabulary", {"queries": QUERIES, "noise": NOISE, "descriptors at once": PHOTO}, figures)


if __name__ == "__main__":
    main()
