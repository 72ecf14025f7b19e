"""Photos whose features have given words, and collections of them."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Sequence

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from handcraft.index.bow import BowQuery, BowScorer
from handcraft.index.collection import Collection, make_collection
from handcraft.index.segment import Segment, build_segment
from handcraft.options import BowOptions
from handcraft.types import Features, Photo

VOCABULARY_SIZE = 12

Words = list[int]


def photos(max_photos: int = 8) -> st.SearchStrategy[list[Words]]:
    """A collection as the words of each photo's features, some without any."""
    words = st.lists(st.integers(0, VOCABULARY_SIZE - 1), max_size=12)
    return st.lists(words, max_size=max_photos)


def make_photo(number: int) -> Photo:
    """Unlike every other one, some with a place and a time."""
    name = f"folder {number % 3}/{'photo' * (number % 4)}{number}.jpg"
    digest = hashlib.blake2b(name.encode(), digest_size=16).digest()
    place = (48.5 + number, -2.25 * number) if number % 2 else (float("nan"), float("nan"))
    taken = "2024-02-29T23:59:59" if number % 5 == 0 else ""
    size = (300 + number, 200 + 7 * number)
    return Photo(name, digest, 10**10 + number, 1_700_000_000_123_456_789 + number, *size, *place, taken)


def make_features(count: int, seed: int, width: int = 300, height: int = 200) -> Features:
    """Frames anywhere in the photo, and no descriptors."""
    generator = np.random.default_rng(seed)
    frames = np.empty((count, 2, 3), np.float32)
    frames[:, :, :2] = generator.normal(0, 8, (count, 2, 2))
    frames[:, :, 2] = generator.uniform(-0.5, (width - 0.5, height - 0.5), (count, 2))
    return Features(frames, np.zeros((count, 0), np.uint8), width, height)


def make_segment(
    collection: Sequence[Sequence[int]], first: int = 0, vocabulary_size: int = VOCABULARY_SIZE
) -> Segment:
    """A segment of photos with these words; `first` counts the photos before it."""
    numbers = range(first, first + len(collection))
    table = [make_photo(number) for number in numbers]
    features = [
        make_features(len(words), number, photo.width, photo.height)
        for words, number, photo in zip(collection, numbers, table, strict=True)
    ]
    words = [np.array(words, np.int32) for words in collection]
    return build_segment(table, features, words, vocabulary_size)


def make_collection_in_pieces(
    collection: Sequence[Sequence[int]],
    cuts: Sequence[int] = (),
    dead: Sequence[int] = (),
    vocabulary_size: int = VOCABULARY_SIZE,
) -> Collection:
    """The collection cut into segments at these places, without the photos of these numbers."""
    ends = [0, *sorted(min(cut, len(collection)) for cut in cuts), len(collection)]
    pairs = list(itertools.pairwise(ends))
    segments = [make_segment(collection[start:end], start, vocabulary_size) for start, end in pairs]
    removed = [[i - start for i in sorted(set(dead)) if start <= i < end] for start, end in pairs]
    return make_collection(segments, removed, vocabulary_size)


def bow(collection: Collection, **options: float) -> BowScorer:
    """What scores a collection by bags of words with these options."""
    return BowScorer(collection, BowOptions(**options))


def hard_query(scorer: BowScorer, words: Sequence[int]) -> BowQuery:
    """The query whose features have one word each."""
    table = np.array(words, np.int32).reshape(-1, 1)
    return scorer.query(table, np.zeros(table.shape, np.float32))


def scores_of(collection: Collection, words: Sequence[int]) -> Callable[[int], NDArray[np.float32]]:
    """The scores of the photos of a segment, by its place, with the query of these words."""
    scorer = bow(collection)
    query = hard_query(scorer, words)
    return lambda place: scorer.score(query, place)


def same_bits(a: NDArray[np.generic], b: NDArray[np.generic]) -> bool:
    return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
