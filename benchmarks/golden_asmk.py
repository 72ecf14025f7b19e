"""Makes tests/golden/asmk.json: what the asmk package (github.com/jenicek/asmk, 0.1.1) scores a small
collection with, for a test that runs without it."""

from __future__ import annotations

import base64
import importlib.metadata
import itertools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from asmk.inverted_file import IVF
from asmk.kernel import ASMKKernel
from numpy.typing import NDArray

GOLDEN = Path(__file__).parents[1] / "tests" / "golden" / "asmk.json"
PHOTOS, FEATURES, DIMENSION, WORDS = 12, 40, 64, 20
QUERIED = (0, 5, 11)  # the photos whose descriptors, with noise, are the queries
ASSIGNMENTS = 3  # words of a query's feature
ALPHA = 3.0


def main() -> None:
    generator = np.random.default_rng(0)
    centroids = generator.integers(60, 196, (WORDS, DIMENSION))
    sorts = generator.integers(-30, 31, (3, WORDS, DIMENSION))
    photos = []
    for _ in range(PHOTOS):
        words = generator.choice(generator.choice(WORDS, 10, replace=False), FEATURES)
        sort = sorts[generator.integers(0, 3, FEATURES), words]
        photos.append(centroids[words] + sort + generator.integers(-15, 16, sort.shape))
    queries = [photos[i] + generator.integers(-15, 16, photos[i].shape) for i in QUERIED]
    photo_words = [nearest_words(photo, centroids, 1) for photo in photos]
    query_words = [nearest_words(query, centroids, ASSIGNMENTS) for query in queries]
    assert len(np.unique(np.concatenate(photo_words))) == WORDS  # a word of no photo has idf 1 there
    golden = {
        "package": f"asmk {importlib.metadata.version('asmk')}",
        "command": "python -m benchmarks.golden_asmk",
        "dimension": DIMENSION,
        "alpha": ALPHA,
        "centroids": encoded(centroids),
        "photos": [encoded(photo) for photo in photos],
        "photo_words": [words.tolist() for words in photo_words],
        "queries": [encoded(query) for query in queries],
        "query_words": [words.tolist() for words in query_words],
        "scores": [
            {
                "binary": binary,
                "idf": idf,
                "queries": scores(centroids, photos, photo_words, queries, query_words, binary, idf),
            }
            for binary, idf in itertools.product((True, False), repeat=2)
        ],
    }
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")


def nearest_words(
    descriptors: NDArray[np.int64], centroids: NDArray[np.int64], nearest: int
) -> NDArray[np.int64]:
    """(n, nearest)"""
    distances = ((descriptors[:, None] - centroids) ** 2).sum(axis=2)
    return np.argsort(distances, axis=1, kind="stable")[:, :nearest]


def encoded(values: NDArray[np.int64]) -> str:
    """Bytes as text."""
    assert values.min() >= 0
    assert values.max() <= 255
    return base64.b64encode(values.astype(np.uint8).tobytes()).decode()


def scores(
    centroids: NDArray[np.int64],
    photos: list[NDArray[np.int64]],
    photo_words: list[NDArray[np.int64]],
    queries: list[NDArray[np.int64]],
    query_words: list[NDArray[np.int64]],
    binary: bool,
    idf: bool,
) -> list[list[float]]:
    """The score of each photo with each query."""
    kernel = ASMKKernel(SimpleNamespace(centroids=centroids.astype(np.float32)), binary=binary)
    inverted_file = IVF.initialize_empty(codebook_size=WORDS, use_idf=idf)
    image_ids = np.repeat(np.arange(PHOTOS), FEATURES)
    inverted_file.add(
        *kernel.aggregate(np.concatenate(photos).astype(np.float32), np.concatenate(photo_words), image_ids)
    )

    def similarity(*arguments: Any) -> Any:
        return kernel.similarity(*arguments, alpha=ALPHA, similarity_threshold=0.0)

    found = []
    for descriptors, words in zip(queries, query_words, strict=True):
        signatures = kernel.aggregate_image(descriptors.astype(np.float32), words)
        ranks, values = inverted_file.search(*signatures, similarity_func=similarity, topk=PHOTOS)
        by_photo = np.empty(PHOTOS)
        by_photo[ranks] = values
        found.append([round(float(value), 9) for value in by_photo])
    return found


if __name__ == "__main__":
    main()
