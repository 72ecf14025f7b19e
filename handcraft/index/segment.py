"""A segment: an immutable part of the collection, at most 65,536 photos with local ids 0, 1, 2 …"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handcraft.errors import StoreError
from handcraft.index._kernels import count_postings, fill_postings
from handcraft.index.geometry import Geometry
from handcraft.index.photos import PhotoTable
from handcraft.storage.hdf5 import read_arrays, write_arrays
from handcraft.types import Features, Photo

MAX_PHOTOS = 1 << 16  # local ids are uint16
KIND = "segment"


@dataclass(frozen=True)
class Postings:
    """An inverted file: which photos hold a word, and how often.

    words: (u,) uint32, ascending, only those that occur. offsets: (u + 1,) uint64.
    photo_ids: (p,) uint16, ascending within a word. frequencies: (p,) uint8, saturating at 255.
    """

    words: NDArray[np.uint32]
    offsets: NDArray[np.uint64]
    photo_ids: NDArray[np.uint16]
    frequencies: NDArray[np.uint8]

    @classmethod
    def of(cls, geometry: Geometry, vocabulary_size: int) -> Postings:
        """Invert the words of each photo; raises StoreError for a word out of range."""
        if _largest_word(geometry) >= vocabulary_size:
            raise StoreError(
                f"A feature has word {_largest_word(geometry)}, the vocabulary has {vocabulary_size}; "
                "index the photos again into a new store."
            )
        counts = np.zeros(vocabulary_size, np.int64)
        count_postings(geometry.offsets, geometry.words, counts)
        words = np.flatnonzero(counts)
        ends = np.cumsum(counts)
        photo_ids = np.empty(ends[-1], np.uint16)
        frequencies = np.empty(ends[-1], np.uint8)
        fill_postings(geometry.offsets, geometry.words, ends - counts, photo_ids, frequencies)
        offsets = np.concatenate([[0], np.cumsum(counts[words])]).astype(np.uint64)
        return cls(words.astype(np.uint32), offsets, photo_ids, frequencies)


def _largest_word(geometry: Geometry) -> int:
    return int(geometry.words.max(initial=0))


_PARTS = {"photos": PhotoTable, "postings": Postings, "geometry": Geometry}


@dataclass(frozen=True)
class Segment:
    """The photos, the inverted file and the compact geometry of a part of the collection."""

    photos: PhotoTable
    postings: Postings
    geometry: Geometry

    def __len__(self) -> int:
        return len(self.photos)


def build_segment(
    photos: Sequence[Photo],
    features: Sequence[Features],
    words: Sequence[NDArray[np.integer]],
    vocabulary_size: int,
) -> Segment:
    """The segment of photos whose features have these words, each (f,) below `vocabulary_size`."""
    if len(photos) > MAX_PHOTOS:
        raise StoreError(f"A segment holds at most {MAX_PHOTOS} photos, not {len(photos)}.")
    geometry = Geometry.of(features, words)
    return Segment(PhotoTable.of(photos), Postings.of(geometry, vocabulary_size), geometry)


def merge_segments(
    segments: Sequence[Segment], live: Sequence[NDArray[np.bool_]], vocabulary_size: int
) -> Segment:
    """One segment of the live photos of several, in their order."""
    photos = PhotoTable.of(
        [
            segment.photos.photo(int(i))
            for segment, alive in zip(segments, live, strict=True)
            for i in np.flatnonzero(alive)
        ]
    )
    if len(photos) > MAX_PHOTOS:
        raise StoreError(f"A segment holds at most {MAX_PHOTOS} photos, not {len(photos)}.")
    geometry = _merge_geometry([s.geometry for s in segments], live)
    return Segment(photos, Postings.of(geometry, vocabulary_size), geometry)


def _merge_geometry(parts: Sequence[Geometry], live: Sequence[NDArray[np.bool_]]) -> Geometry:
    sizes, rows = [], []
    for part, alive in zip(parts, live, strict=True):
        counts = np.diff(part.offsets)
        sizes.append(counts[alive])
        rows.append(np.repeat(alive, counts.astype(np.int64)))
    return Geometry(
        offsets=np.concatenate([[0], np.cumsum(np.concatenate(sizes))]).astype(np.uint64),
        words=np.concatenate([part.words[r] for part, r in zip(parts, rows, strict=True)]),
        positions=np.concatenate([part.positions[r] for part, r in zip(parts, rows, strict=True)]),
        shapes=np.concatenate([part.shapes[r] for part, r in zip(parts, rows, strict=True)]),
    )


def write_segment(path: Path, segment: Segment, attributes: Mapping[str, str]) -> None:
    """Write a segment whole or not at all; raises StoreError."""
    arrays = {
        f"{part}.{field.name}": [getattr(getattr(segment, part), field.name)]
        for part, kind in _PARTS.items()
        for field in fields(kind)
    }
    write_arrays(path, KIND, arrays, attributes)


def read_segment(path: Path, vocabulary_size: int) -> Segment:
    """Map a segment from disk; raises StoreError, also where its parts do not fit each other."""
    file = read_arrays(path, KIND)
    parts: dict[str, Any] = {
        part: kind(**{field.name: file[f"{part}.{field.name}"] for field in fields(kind)})
        for part, kind in _PARTS.items()
    }
    segment = Segment(**parts)
    misfit = _misfit(segment, vocabulary_size)
    if misfit:
        raise StoreError(f"{path} is damaged: {misfit}; run `handcraft check`.")
    return segment


def _misfit(segment: Segment, vocabulary_size: int) -> str:
    """How the parts of a segment fail to fit each other, "" where they fit.

    Looks at photos and words, not at features and postings, which may be larger than memory.
    """
    photos, postings, geometry = segment.photos, segment.postings, segment.geometry
    if any(len(getattr(photos, field.name)) != len(photos) for field in fields(PhotoTable)[1:]):
        return "the columns of the photo table differ in length"
    if not _are_offsets(np.insert(photos.name_ends, 0, 0), len(photos), len(photos.name_bytes)):
        return "the names of the photo table do not fit it"
    if not _are_offsets(geometry.offsets, len(photos), len(geometry.words)):
        return "the geometry does not fit the photo table"
    if not len(geometry.words) == len(geometry.positions) == len(geometry.shapes):
        return "the columns of the geometry differ in length"
    words = postings.words
    if len(words) and (bool(np.any(words[1:] <= words[:-1])) or int(words[-1]) >= vocabulary_size):
        return "the words of the postings are out of order or out of the vocabulary"
    if not _are_offsets(postings.offsets, len(words), len(postings.photo_ids)):
        return "the postings do not fit their words"
    if len(postings.photo_ids) != len(postings.frequencies):
        return "the columns of the postings differ in length"
    return ""


def _are_offsets(offsets: NDArray[np.generic], parts: int, end: int) -> bool:
    """Whether these are the parts + 1 bounds of consecutive parts of `end` entries."""
    bounds = offsets.astype(np.uint64)
    if len(bounds) != parts + 1 or int(bounds[0]) != 0 or int(bounds[-1]) != end:
        return False
    return not bool(np.any(bounds[1:] < bounds[:-1]))


def check_segment(segment: Segment, vocabulary_size: int) -> list[str]:
    """What is wrong with a segment, a sentence each; empty for a sound one."""
    misfit = _misfit(segment, vocabulary_size)
    if misfit:
        return [misfit]
    postings, geometry = segment.postings, segment.geometry
    if _largest_word(geometry) >= vocabulary_size:
        return ["a feature has a word that the vocabulary does not have"]
    problems = []
    falls = np.flatnonzero(np.diff(geometry.words.astype(np.int64)) < 0) + 1
    if not np.isin(falls, geometry.offsets.astype(np.int64)).all():
        problems.append("the words of a photo are out of order")
    expected = Postings.of(geometry, vocabulary_size)
    for field in fields(Postings):
        if not np.array_equal(getattr(expected, field.name), getattr(postings, field.name)):
            problems.append(f"the postings' {field.name} disagree with the geometry")
    return problems
