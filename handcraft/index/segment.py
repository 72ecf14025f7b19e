"""A segment: an immutable part of the collection, at most 65,536 photos with local ids 0, 1, 2 …"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from handcraft.errors import StoreError
from handcraft.index.geometry import ALL, Geometry
from handcraft.index.photos import PhotoTable
from handcraft.index.postings import Postings, are_offsets, largest_word
from handcraft.index.signatures import Encoder, Signatures, merge_signatures, signatures_of
from handcraft.index.vectors import Vectors, merge_vectors
from handcraft.options import SignatureOptions
from handcraft.storage.hdf5 import Attribute, read_arrays, require_attributes, write_arrays
from handcraft.types import Features, Photo

MAX_PHOTOS = 1 << 16  # local ids are uint16
KIND = "segment"


Number = TypeVar("Number", bound=np.generic)

_PARTS = {"photos": PhotoTable, "postings": Postings, "geometry": Geometry}


@dataclass(frozen=True)
class Segment:
    """The photos, the inverted file and the compact geometry of a part of the collection; the signatures of
    the postings and the vectors of the photos in a store that votes by them."""

    photos: PhotoTable
    postings: Postings
    geometry: Geometry
    signatures: Signatures | None = None
    vectors: Vectors | None = None

    def __len__(self) -> int:
        return len(self.photos)

    def signatures_of(self, local_id: int, chosen: NDArray[np.integer] | slice = ALL) -> NDArray[np.uint64]:
        """(planes, f) uint64: of each feature of a photo in the order of its geometry, the signature of its
        word or its own; no planes where the segment has no bits of residuals. chosen: of which of them, all
        or none of a word. Raises StoreError."""
        words = self.geometry.words_of(local_id)[chosen]
        if self.signatures is None or self.signatures.codes.dtype != np.uint64:
            return np.empty((0, len(words)), np.uint64)
        return signatures_of(self.signatures, self.postings, words, local_id)

    def sums(self, number: type[Number]) -> NDArray[Number]:
        """Zeros (n + 1,) for compiled loops to add to, the last one for ids that no photo has."""
        return np.zeros(len(self) + 1, number)

    def of_photos(self, sums: NDArray[Number]) -> NDArray[Number]:
        """The sums (n,) of the photos; raises StoreError where there is any of others."""
        if sums[-1]:
            raise StoreError(
                "The store is damaged: a segment votes for a photo that it does not hold; "
                "run `handcraft check`."
            )
        return sums[:-1]


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


def with_signatures(
    segment: Segment,
    features: Sequence[Features],
    words: Sequence[NDArray[np.integer]],
    encoder: Encoder | None,
) -> Segment:
    """The segment of photos with these features and words, with the signatures of an encoder if any."""
    if encoder is None:
        return replace(segment, signatures=None)
    codes = encoder.encode_all([photo.descriptors for photo in features], words, segment.postings)
    return replace(segment, signatures=Signatures.of(codes, segment.postings, len(segment), encoder.options))


def merge_segments(
    segments: Sequence[Segment],
    live: Sequence[NDArray[np.bool_]],
    vocabulary_size: int,
    options: SignatureOptions | None,
) -> Segment:
    """One segment of the live photos of several, in their order. options: of their signatures, if any."""
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
    postings = Postings.of(geometry, vocabulary_size)
    signatures = vectors = None
    if options is not None:
        parts = [s.signatures for s in segments if s.signatures is not None]
        signatures = merge_signatures(parts, [s.postings for s in segments], live, postings, options)
    if all(s.vectors is not None for s in segments):
        vectors = merge_vectors([s.vectors for s in segments if s.vectors is not None], live)
    return Segment(photos, postings, geometry, signatures, vectors)


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


def write_segment(path: Path, segment: Segment, attributes: Mapping[str, Attribute]) -> None:
    """Write a segment whole or not at all; raises StoreError."""
    arrays = {
        f"{part}.{field.name}": [getattr(getattr(segment, part), field.name)]
        for part, kind in _PARTS.items()
        for field in fields(kind)
    }
    write_arrays(path, KIND, arrays, attributes)


def read_segment(path: Path, vocabulary_size: int, attributes: Mapping[str, Attribute]) -> Segment:
    """Map a segment from disk, without signatures; raises StoreError, also where its parts do not fit each
    other. attributes: what it must have been written with."""
    file = read_arrays(path, KIND)
    require_attributes(file, attributes)
    parts: dict[str, Any] = {
        part: kind(**{field.name: file[f"{part}.{field.name}"] for field in fields(kind)})
        for part, kind in _PARTS.items()
    }
    segment = Segment(**parts)
    misfit = _misfit(segment, vocabulary_size)
    if misfit:
        raise StoreError(f"{path} is damaged: {misfit}; run `handcraft check`.")
    file.let_go()  # words and offsets, 12 bytes each; the checks have read all of them
    return segment


def _misfit(segment: Segment, vocabulary_size: int) -> str:
    """How the parts of a segment fail to fit each other, "" where they fit.

    Looks at photos and words, not at features and postings, which may be larger than memory.
    """
    photos, postings, geometry = segment.photos, segment.postings, segment.geometry
    if any(len(getattr(photos, field.name)) != len(photos) for field in fields(PhotoTable)[1:]):
        return "the columns of the photo table differ in length"
    if not are_offsets(np.insert(photos.name_ends, 0, 0), len(photos), len(photos.name_bytes)):
        return "the names of the photo table do not fit it"
    if not are_offsets(geometry.offsets, len(photos), len(geometry.words)):
        return "the geometry does not fit the photo table"
    if not len(geometry.words) == len(geometry.positions) == len(geometry.shapes):
        return "the columns of the geometry differ in length"
    words = postings.words
    if len(words) and (bool(np.any(words[1:] <= words[:-1])) or int(words[-1]) >= vocabulary_size):
        return "the words of the postings are out of order or out of the vocabulary"
    if not are_offsets(postings.offsets, len(words), len(postings.photo_ids)):
        return "the postings do not fit their words"
    if len(postings.photo_ids) != len(postings.frequencies):
        return "the columns of the postings differ in length"
    return ""


def check_segment(segment: Segment, vocabulary_size: int) -> list[str]:
    """What is wrong with a segment, a sentence each; empty for a sound one."""
    misfit = _misfit(segment, vocabulary_size)
    if misfit:
        return [misfit]
    postings, geometry = segment.postings, segment.geometry
    if largest_word(geometry) >= vocabulary_size:
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
