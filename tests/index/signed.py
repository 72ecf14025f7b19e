"""Photos whose features have given words and descriptors, and collections that vote by their signatures."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
from index.samples import VOCABULARY_SIZE, Words, make_collection_in_pieces, make_segment
from numpy.typing import NDArray

from handcraft.index.collection import Collection
from handcraft.index.segment import Segment, with_signatures
from handcraft.index.signatures import Encoder
from handcraft.options import SignatureOptions
from handcraft.types import Features

KINDS = {
    "asmk*": SignatureOptions(),
    "smk*": SignatureOptions(aggregated=False),
    "asmk": SignatureOptions(binary=False),
}


@dataclass(frozen=True)
class Space:
    """Descriptors of a dimension and dtype, and words for them. All numbers are multiples of 1/8, so that
    sums are exact."""

    dimension: int
    dtype: str = "uint8"

    @cached_property
    def centroids(self) -> NDArray[np.generic]:
        """(VOCABULARY_SIZE, d)"""
        return self._numbers(np.random.default_rng(0).integers(100, 156, (VOCABULARY_SIZE, self.dimension)))

    def describe(self, words: Sequence[int], seed: int) -> NDArray[np.generic]:
        """(n, d): descriptors of features with these words; those of a word are of three sorts."""
        sorts = np.random.default_rng(1).integers(-40, 41, (3, VOCABULARY_SIZE, self.dimension))
        generator = np.random.default_rng((2, seed))
        sort = sorts[generator.integers(0, 3, len(words)), np.array(words, np.int64)]
        noise = generator.integers(-25, 26, sort.shape)
        own = self.centroids[np.array(words, np.int64)].astype(np.float64)
        scale = 1 if self.dtype == "uint8" else 8
        return self._numbers(np.rint(own * scale).astype(np.int64) + sort + noise)

    def encoder(self, options: SignatureOptions) -> Encoder:
        return Encoder(options, self.dimension, lambda words: self.centroids[words])

    def _numbers(self, values: NDArray[np.integer]) -> NDArray[np.generic]:
        if self.dtype == "uint8":
            return values.astype(np.uint8)
        return (values / 8).astype(self.dtype)


@cache
def directions(dimension: int, bits: int) -> list[list[float]] | None:
    """On what residuals are projected, (bits, dimension) numbers; None where they are not."""
    if bits == dimension:
        return None
    options = SignatureOptions(bits=bits, binary=False)
    encoder = Encoder(options, dimension, lambda words: np.zeros((len(words), dimension), np.uint8))
    _, rows = encoder.encode(np.eye(dimension, dtype=np.uint8), np.arange(dimension)[:, None])
    return np.rint(np.asarray(rows).T * np.sqrt(bits)).tolist()


def sign_segment(
    collection: Sequence[Words], space: Space, encoder: Encoder | None, numbers: Sequence[int] | None = None
) -> Segment:
    """A segment of photos with these words, with signatures; their descriptors are those of their numbers,
    in the order of the photos unless given."""
    numbers = range(len(collection)) if numbers is None else numbers
    frames = [np.zeros((len(words), 2, 3), np.float32) for words in collection]
    features = [
        Features(of_photo, space.describe(words, number), 300, 200)
        for of_photo, words, number in zip(frames, collection, numbers, strict=True)
    ]
    words = [np.array(words, np.int32) for words in collection]
    return with_signatures(make_segment(collection), features, words, encoder)


def make_signed_collection(
    collection: Sequence[Words],
    space: Space,
    options: SignatureOptions,
    cuts: Sequence[int] = (),
    dead: Sequence[int] = (),
) -> Collection:
    """As make_collection_in_pieces, with signatures; a photo's descriptors are those of its number."""
    unsigned = make_collection_in_pieces(collection, cuts, dead)
    encoder = space.encoder(options)
    segments = [
        sign_segment(collection[start:end], space, encoder, range(start, end))
        for start, end in itertools.pairwise(unsigned.starts.tolist())
    ]
    return replace(unsigned, segments=tuple(segments))
