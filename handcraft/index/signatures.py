"""What ASMK and its kin keep of a photo's descriptors: their residuals, as bits or as they are.

Tolias, Avrithis & Jégou (IJCV 2016): a descriptor's residual is what is left of it when its word's
centroid is subtracted; a photo's residuals of one word are summed (eq. 12) and binarised by their signs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handcraft.errors import HandcraftError, StoreError
from handcraft.index._kernels import (
    MAX_FREQUENCY,
    locate_signatures,
    pack_signs,
    sign_residuals,
    sum_residuals,
)
from handcraft.index.geometry import order_by_word
from handcraft.index.postings import Postings, are_offsets, find_lists
from handcraft.options import SignatureOptions
from handcraft.storage.hdf5 import Attribute, read_arrays, require_attributes, write_arrays

KIND = "signatures"
PLANE = 64  # bits

Rows = NDArray[np.generic]
# The centroids (w, d) of words (w,), in the descriptors' dtype.
CentroidsOf = Callable[[NDArray[np.integer]], Rows]


def _as_they_are(descriptors: Rows) -> Rows:
    return descriptors


@dataclass(frozen=True)
class Encoder:
    """Turns descriptors and their words into signatures.

    dimension: of the descriptors. centroids_of: of the vocabulary, or the medians of its words. shifted:
    what makes descriptors (n, d) comparable with these.
    """

    options: SignatureOptions
    dimension: int
    centroids_of: CentroidsOf
    shifted: Callable[[Rows], Rows] = _as_they_are

    def __post_init__(self) -> None:
        if self.dimension < 8:
            raise HandcraftError(
                f"Descriptors of {self.dimension} dimensions are too short for signatures; vote by bags of "
                "words, --method bow."
            )
        if self.bits > self.dimension:
            raise HandcraftError(
                f"Signatures of {self.bits} bits are longer than the descriptors, which have "
                f"{self.dimension} dimensions; give --bits {self.dimension} or less."
            )

        if self.options.medians and self.bits < self.dimension:
            raise HandcraftError(
                f"Medians are of the descriptors' {self.dimension} dimensions, {self.bits} bits are of "
                "fewer; leave --medians or --bits out."
            )

    @property
    def bits(self) -> int:
        """Of a signature."""
        return self.options.bits or self.dimension

    def encode(
        self, descriptors: NDArray[np.generic], words: NDArray[np.integer]
    ) -> tuple[NDArray[np.int64], NDArray[np.generic]]:
        """The words of one photo, ascending, and the signature of each.

        words: (n, k), the words of each of the descriptors (n, d), −1 for none. Gives (e,) and (planes, e)
        uint64, or (e, d) float32 of unit length where residuals are not binarised. Words repeat only
        where signatures are not aggregated.
        """
        order, ordered = _known_words(words)
        if not self.options.aggregated:
            few = _place_in_run(ordered) < MAX_FREQUENCY  # postings count no further
            order, ordered = order[few], ordered[few]
        first = _starts_of_runs(ordered)
        present, rows = ordered[first], np.cumsum(first) - 1
        found = present if self.options.aggregated else ordered
        codes = self._empty(len(found))
        places = np.flatnonzero(first) if not self.options.aggregated else np.arange(len(found))
        centroids = self.centroids_of(present)
        self._encode(order // words.shape[1], rows, descriptors, centroids, places, codes)
        return found, codes

    def encode_each(self, descriptors: NDArray[np.generic], words: NDArray[np.integer]) -> NDArray[np.uint64]:
        """(planes, q) uint64: for each of the q words of a photo that are some, ascending and of equals in
        order of the descriptors, the signature of that one descriptor's residual. words: as for encode."""
        order, ordered = _known_words(words)
        first = _starts_of_runs(ordered)
        single = replace(self, options=replace(self.options, aggregated=False))
        codes = self._empty(len(ordered))
        centroids, rows = self.centroids_of(ordered[first]), np.cumsum(first) - 1
        single._encode(order // words.shape[1], rows, descriptors, centroids, np.flatnonzero(first), codes)
        return codes.astype(np.uint64, copy=False)

    def encode_all(
        self,
        descriptors: Sequence[NDArray[np.generic]],
        words: Sequence[NDArray[np.integer]],
        postings: Postings,
    ) -> NDArray[np.generic]:
        """The signatures of the photos of these postings, whose features have one word each, in the order of
        the postings, and of the features where they are not aggregated."""
        ends = signature_offsets(postings, self.options)
        codes, places = self._empty(int(ends[-1])), ends[:-1].astype(np.int64)
        row_of_word = np.zeros(int(postings.words.max(initial=0)) + 1, np.int64)
        row_of_word[postings.words] = np.arange(len(postings.words))
        centroids = self.centroids_of(postings.words)
        for photo, of_photo in zip(descriptors, words, strict=True):
            order, rows = order_by_word(row_of_word[of_photo])
            if not self.options.aggregated:
                few = _place_in_run(rows) < MAX_FREQUENCY
                order, rows = order[few], rows[few]
            self._encode(order, rows, photo, centroids, places, codes)
        return codes

    def _empty(self, count: int) -> NDArray[np.generic]:
        """So many signatures that are yet to be written."""
        if self.options.binary:
            return np.empty((-(-self.bits // PLANE), count), np.uint64)
        return np.empty((count, self.bits), np.float32)

    def _encode(
        self,
        order: NDArray[np.int64],
        rows: NDArray[np.int64],
        descriptors: NDArray[np.generic],
        centroids: NDArray[np.generic],
        places: NDArray[np.int64],
        codes: NDArray[np.generic],
    ) -> None:
        """Write the signatures of one photo.

        order: (f,), the rows of the features' descriptors. rows: (f,), ascending, those of their centroids.
        places: of each centroid, where its next signature goes; advanced.
        """
        descriptors = np.ascontiguousarray(self.shifted(descriptors))  # rows are read 64 numbers at a time
        features = order, rows, descriptors, centroids, self.options.aggregated
        number = np.int32 if descriptors.dtype == np.uint8 else np.float32  # sums of bytes are exact
        sums = np.zeros((2, PLANE * -(-self.bits // PLANE)), number)
        if self.options.binary and self.bits == self.dimension:
            sign_residuals(*features, sums, places, codes)
            return
        values: NDArray[np.generic] = np.empty((len(order), self.dimension), number)
        values = values[: sum_residuals(*features, values)]
        if self.bits < self.dimension:
            values = values @ _projection(self.dimension, self.bits).astype(number)
        if self.options.aggregated:
            rows = rows[_starts_of_runs(rows)]
        if self.options.binary:
            pack_signs(values, rows, sums, places, codes)
            return
        lengths = np.linalg.norm(values.astype(np.float32), axis=1, keepdims=True)
        codes[places[rows]] = values / np.where(lengths > 0, lengths, 1)
        places[rows] += 1


def _known_words(words: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The places of the words (n, k) that are not −1, in order of the words, and these words."""
    order, ordered = order_by_word(words.reshape(-1))  # −1 is the largest number without a sign
    known = int(np.searchsorted(ordered, np.iinfo(np.int32).max))
    return order[:known], ordered[:known]


def _starts_of_runs(values: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Which of these ascending values are the first of their equals."""
    first = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return first


def _place_in_run(values: NDArray[np.integer]) -> NDArray[np.int64]:
    """How many of the equals of each of these ascending values come before it."""
    places = np.arange(len(values))
    return places - np.maximum.accumulate(np.where(_starts_of_runs(values), places, 0))


@cache
def _projection(dimension: int, bits: int) -> NDArray[np.int8]:
    """Directions (dimension, bits) of entries ±1: columns of a Hadamard matrix, rows drawn and signs changed
    at random. Orthogonal where the dimension is a power of two, so that all rows are there; nearly so
    otherwise. Whole numbers, so that residuals of uint8 descriptors stay exact."""
    from scipy.linalg import hadamard  # here, because it takes a fifth of a second and few need it

    size = 1 << (dimension - 1).bit_length()
    random = np.random.default_rng(0)
    signs = random.choice(np.array([-1, 1], np.int8), dimension)
    columns = np.sort(random.permutation(size)[:bits])
    rows = np.sort(random.permutation(size)[:dimension])
    return np.asarray(hadamard(size, np.int8)[np.ix_(rows, columns)] * signs[:, None])


@dataclass(frozen=True)
class Signatures:
    """The signatures of a segment, in the order of its postings.

    codes: (planes, s) uint64, bit 0 the lowest of plane 0, or (s, d) float32. offsets: (u + 1,) uint64,
    where those of each word start; empty where there is one a posting, whose offsets then are theirs.
    entries: (n,) uint32, the postings of each photo.
    """

    codes: NDArray[np.generic]
    offsets: NDArray[np.uint64]
    entries: NDArray[np.uint32]

    @classmethod
    def of(
        cls, codes: NDArray[np.generic], postings: Postings, photos: int, options: SignatureOptions
    ) -> Signatures:
        """The signatures of the postings of so many photos."""
        aggregated = options.aggregated
        offsets = np.empty(0, np.uint64) if aggregated else signature_offsets(postings, options)
        entries = np.bincount(postings.photo_ids, minlength=photos).astype(np.uint32)
        return cls(codes, offsets, entries)

    def __len__(self) -> int:
        return int(self.codes.shape[_axis(self.codes)])


def signature_offsets(postings: Postings, options: SignatureOptions) -> NDArray[np.uint64]:
    """(u + 1,), where the signatures of each word of the postings start."""
    if options.aggregated:
        return postings.offsets
    ends = np.concatenate([[0], np.cumsum(postings.frequencies, dtype=np.uint64)])
    return ends[postings.offsets.astype(np.int64)].astype(np.uint64)


def _axis(codes: NDArray[np.generic]) -> int:
    """Along which codes stand one after the other."""
    return 1 if codes.dtype == np.uint64 else 0


def _chosen(codes: NDArray[np.generic], rows: NDArray[np.integer]) -> NDArray[np.generic]:
    """The codes of these numbers, a plane after the other in memory."""
    return codes.take(rows, axis=_axis(codes))  # codes[:, rows] would be transposed


def merge_signatures(
    parts: Sequence[Signatures],
    postings: Sequence[Postings],
    live: Sequence[NDArray[np.bool_]],
    merged: Postings,
    options: SignatureOptions,
) -> Signatures:
    """The signatures of the live photos of several segments, in the order of their merged postings."""
    codes, words = [], []
    for part, of_part, alive in zip(parts, postings, live, strict=True):
        each = 1 if options.aggregated else of_part.frequencies
        rows = np.flatnonzero(np.repeat(alive[of_part.photo_ids], each))
        counts = np.diff(of_part.offsets).astype(np.int64)
        words.append(np.repeat(np.repeat(of_part.words, counts), each)[rows])
        codes.append(_chosen(part.codes, rows))
    order, _ = order_by_word(np.concatenate(words))
    joined = np.concatenate(codes, axis=_axis(codes[0]))
    photos = sum(int(alive.sum()) for alive in live)
    return Signatures.of(_chosen(joined, order), merged, photos, options)


def signatures_of(
    signatures: Signatures, postings: Postings, words: NDArray[np.uint32], local_id: int
) -> NDArray[np.uint64]:
    """(planes, f) uint64: the signature of each of a photo's features (f,), whose words ascend; features of
    one word share it where signatures are aggregated. Raises StoreError for a photo that the postings do not
    hold."""
    rows = np.empty(len(words), np.int64)
    starts, ends = find_lists(words, postings, postings.offsets)
    firsts = find_lists(words, postings, signatures.offsets)[0] if len(signatures.offsets) else starts
    single = bool(len(signatures.offsets))
    if not locate_signatures(
        words, starts, ends, firsts, local_id, single, postings.photo_ids, postings.frequencies, rows
    ):
        raise StoreError(
            "The store is damaged: a photo has words that its postings do not have; run `handcraft check`."
        )
    return np.asarray(_chosen(signatures.codes, rows), np.uint64)


def write_signatures(path: Path, signatures: Signatures, attributes: Mapping[str, Attribute]) -> None:
    """Write signatures whole or not at all; raises StoreError."""
    arrays = {field.name: [getattr(signatures, field.name)] for field in fields(Signatures)}
    write_arrays(path, KIND, arrays, attributes)


def read_signatures(
    path: Path,
    postings: Postings,
    photos: int,
    attributes: Mapping[str, Attribute],
    options: SignatureOptions,
) -> Signatures:
    """Map signatures from disk; raises StoreError, also where they are not those of these postings.

    attributes: what they must have been written with. options: what they are, `bits` above 0.
    """
    file = read_arrays(path, KIND)
    require_attributes(file, attributes)
    signatures = Signatures(file["codes"], file["offsets"], file["entries"])  # type: ignore[arg-type]
    misfit = _misfit(signatures, postings, photos, options)
    if misfit:
        raise StoreError(f"{path} is damaged: {misfit}; run `handcraft check`.")
    return signatures


def _misfit(signatures: Signatures, postings: Postings, photos: int, options: SignatureOptions) -> str:
    """How signatures fail to fit their postings, "" where they fit; looks at no signature itself."""
    codes, offsets = signatures.codes, signatures.offsets
    if codes.ndim != 2 or codes.dtype != (np.uint64 if options.binary else np.float32):
        return "the signatures are of another kind"
    width = -(-options.bits // PLANE) if options.binary else options.bits
    if codes.shape[1 - _axis(codes)] != width:
        return f"the signatures are not of {options.bits} {'bits' if options.binary else 'numbers'}"
    if len(signatures.entries) != photos:
        return "the numbers of entries do not fit the photo table"
    if options.aggregated:
        return "" if len(signatures) == len(postings.photo_ids) else "the signatures do not fit the postings"
    if not are_offsets(offsets, len(postings.words), len(signatures)):
        return "the signatures do not fit their words"
    return ""


def check_signatures(signatures: Signatures, postings: Postings, options: SignatureOptions) -> list[str]:
    """What is wrong with signatures that fit their postings in number, a sentence each."""
    expected = Signatures.of(signatures.codes, postings, len(signatures.entries), options)
    return [
        f"the signatures' {name} disagree with the postings"
        for name in ("offsets", "entries")
        if not np.array_equal(getattr(expected, name), getattr(signatures, name))
    ]
