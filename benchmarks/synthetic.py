"""Collections of any size that have the word statistics of real photos, drawn from a seed.

Each photo holds each word independently, with the probability measured for it on kth/database and oxford1k
under the shipped vocabulary; so words are as uneven as there, but no word goes with another. Signatures are
random bits, which cost a scan what any others do. What a vocabulary of another size has is drawn from the
shipped one's words, and scaled to the entries that a photo is to have.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import handcraft
from benchmarks.report import data_folder
from handcraft.engine.snapshot import segment_file
from handcraft.features.files import read_features
from handcraft.index.collection import Collection, make_collection
from handcraft.index.geometry import Geometry
from handcraft.index.photos import PhotoTable
from handcraft.index.postings import Postings
from handcraft.index.segment import MAX_PHOTOS, Segment
from handcraft.index.signatures import Signatures
from handcraft.options import SignatureOptions
from handcraft.types import Features, Photo
from handcraft.vocabulary.assignment import assign
from handcraft.vocabulary.files import read_vocabulary, shipped_vocabulary

NEAREST = 5  # words of a descriptor on the query's side
DIMENSION = 128
_AT_ONCE = 1 << 22  # postings that are drawn at once


@dataclass(frozen=True)
class WordStatistics:
    """photos: (w,) float64, the share of photos that hold each word. queries: (w,) float64, each word's share
    of the words that query features vote for."""

    photos: NDArray[np.float64]
    queries: NDArray[np.float64]

    def resampled(self, words: int, entries: float, generator: np.random.Generator) -> WordStatistics:
        """The statistics of so many words, photos having so many entries on average."""
        chosen = generator.integers(0, len(self.photos), words)
        photos, queries = self.photos[chosen], self.queries[chosen]
        return WordStatistics(photos * (entries / photos.sum()), queries / queries.sum())

    @classmethod
    def uniform(cls, words: int, entries: float) -> WordStatistics:
        """Words that are all as frequent."""
        return cls(np.full(words, entries / words), np.full(words, 1 / words))


def kept_store(scratch: Path, photos: str) -> handcraft.Store:
    """The store of a development set, made once."""
    store = handcraft.open(scratch / photos.replace("/", "-"))
    store.add(data_folder() / photos)
    return store


def features_of(store: handcraft.Store) -> Iterator[Features]:
    """The features of each photo of a store."""
    for entry in store.snapshot.manifest.segments:
        assert entry.features is not None
        kept = read_features(segment_file(store.path, entry.features))
        yield from (kept.features(local_id) for local_id in range(len(kept)))


@cache
def measured_statistics(scratch: Path) -> WordStatistics:
    """Of the photos of kth/database and oxford1k under the shipped vocabulary."""
    tree = read_vocabulary(shipped_vocabulary())
    photos, queries, count = np.zeros(tree.words), np.zeros(tree.words), 0
    for folder in ("kth/database", "oxford1k/jpg"):
        for features in features_of(kept_store(scratch, folder)):
            words = assign(features.descriptors, tree, NEAREST).words
            photos[np.unique(words[:, 0])] += 1
            queries[np.unique(words)] += 1
            count += 1
    return WordStatistics(photos / count, queries / queries.sum())


def random_postings(
    statistics: WordStatistics, photos: int, generator: np.random.Generator, most: int = 3
) -> Postings:
    """Postings of so many photos. most: the largest term frequency; all up to it are as frequent."""
    parts = max(1, round(float(statistics.photos.sum()) * photos / _AT_ONCE))
    drawn = [_draw(part, photos, generator) for part in np.array_split(statistics.photos, parts)]
    counts = np.concatenate([counts for counts, _ in drawn])
    photo_ids = np.concatenate([ids for _, ids in drawn])
    words = np.flatnonzero(counts)
    return Postings(
        words.astype(np.uint32),
        np.concatenate([[0], np.cumsum(counts[words])]).astype(np.uint64),
        photo_ids,
        generator.integers(1, most + 1, len(photo_ids), np.uint8),
    )


def _draw(
    shares: NDArray[np.float64], photos: int, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
    """The number of postings of each word, and their photos: a word is in a photo where events that come at
    random times, for each word at its own rate, fall into the photo's unit of time."""
    rates = -np.log1p(-shares)
    ends = np.cumsum(rates) * photos
    times = np.sort(generator.uniform(0, ends[-1], generator.poisson(ends[-1])))
    events = np.diff(np.searchsorted(times, ends, side="right"), prepend=0)
    word = np.repeat(np.arange(len(shares)), events)
    photo = ((times - (ends - rates * photos)[word]) / rates[word]).astype(np.int64)
    cells = word * photos + np.clip(photo, 0, photos - 1)
    cells = cells[np.diff(cells, prepend=-1) > 0]
    return np.bincount(cells // photos, minlength=len(shares)), (cells % photos).astype(np.uint16)


def random_segment(
    statistics: WordStatistics,
    photos: int,
    generator: np.random.Generator,
    options: SignatureOptions | None,
) -> Segment:
    """A segment without geometry. options: of its signatures, if any; of whole planes of 64 bits."""
    postings = random_postings(statistics, photos, generator)
    table = PhotoTable.of([Photo(f"{number}.jpg", bytes(16), 0, 0, 1024, 768) for number in range(photos)])
    empty = Geometry(
        np.zeros(photos + 1, np.uint64),
        np.empty(0, np.uint32),
        np.empty((0, 2), np.uint16),
        np.empty((0, 2, 2), np.float16),
    )
    if options is None:
        return Segment(table, postings, empty)
    shape = ((options.bits or DIMENSION) // 64, len(postings.photo_ids))
    codes = generator.integers(0, 1 << 64, shape, np.uint64)
    return Segment(table, postings, empty, Signatures.of(codes, postings, photos, options))


def segment_sizes(photos: int) -> list[int]:
    """The photos of each of the segments that hold so many."""
    return [min(MAX_PHOTOS, photos - start) for start in range(0, photos, MAX_PHOTOS)]


def random_collection(
    statistics: WordStatistics, photos: int, generator: np.random.Generator, options: SignatureOptions | None
) -> Collection:
    """A collection in memory, of as few segments as hold it."""
    segments = [random_segment(statistics, size, generator, options) for size in segment_sizes(photos)]
    return make_collection(segments, [[]] * len(segments), len(statistics.photos))


def random_query(
    statistics: WordStatistics, descriptors: int, nearest: int, generator: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Descriptors (n, 128) and the nearest words (n, k) of each, k different ones."""
    shares, size = statistics.queries, (descriptors, nearest)
    words = generator.choice(len(shares), size, p=shares)
    while len(repeated := np.flatnonzero((np.diff(np.sort(words)) == 0).any(axis=1))):
        words[repeated] = generator.choice(len(shares), (len(repeated), nearest), p=shares)
    values = generator.integers(0, 256, (descriptors, DIMENSION), np.uint8)
    return values, words.astype(np.int32)
