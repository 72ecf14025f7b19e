"""Signatures: of descriptors, of merged segments and on disk."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index.samples import VOCABULARY_SIZE, Words, photos, same_bits
from index.signed import KINDS, Space, directions, sign_segment
from numpy.typing import NDArray
from oracles import asmk as oracle

from handcraft.errors import HandcraftError, StoreError
from handcraft.index.segment import Segment, merge_segments
from handcraft.index.signatures import (
    Encoder,
    Signatures,
    check_signatures,
    read_signatures,
    write_signatures,
)
from handcraft.options import SignatureOptions
from handcraft.storage.hdf5 import write_arrays

SPACES = [
    (Space(16), 8),
    (Space(40), 0),
    (Space(64, "float32"), 0),
    (Space(72), 0),
    (Space(72, "float32"), 64),
]
SAMPLE = [[3, 1, 1, 7], [], [1, 0, 11, 11], [7, 1, 1, 1]]
ATTRIBUTES = {"vocabulary": "abc", "parameters": "{}"}

kinds = pytest.mark.parametrize("kind", KINDS)
words_of_features = st.integers(1, 3).flatmap(
    lambda k: st.lists(
        st.lists(st.integers(-1, VOCABULARY_SIZE - 1), min_size=k, max_size=k), min_size=1, max_size=10
    )
)


def as_lists(codes: NDArray[np.generic]) -> list[list[float]]:
    """A list for each signature."""
    return (codes.T if codes.dtype == np.uint64 else codes).tolist()


def packed(signed: oracle.Signed, binary: bool) -> list[list[float]]:
    """The signatures of the oracle in order of their words, as they are kept."""
    return [
        list(oracle.pack(signature)) if binary else list(signature)
        for signatures in signed.values()
        for signature in signatures
    ]


def sign(
    space: Space, options: SignatureOptions, descriptors: NDArray[np.generic], words: list[list[int]]
) -> oracle.Signed:
    return oracle.sign(
        descriptors.tolist(),
        words,
        space.centroids.tolist(),
        aggregated=options.aggregated,
        binary=options.binary,
        directions=directions(space.dimension, space.encoder(options).bits),
    )


def agree(codes: NDArray[np.generic], expected: list[list[float]]) -> bool:
    """Bits to the last, numbers nearly."""
    if codes.dtype == np.uint64:
        return as_lists(codes) == expected
    return np.allclose(codes, np.array(expected).reshape(codes.shape), atol=1e-6)


# --- one photo ---


@kinds
@pytest.mark.parametrize(("space", "bits"), SPACES)
@settings(max_examples=15)
@given(words=words_of_features, seed=st.integers(0, 99))
def test_signatures_are_those_of_the_oracle(
    kind: str, space: Space, bits: int, words: list[list[int]], seed: int
) -> None:
    options = replace(KINDS[kind], bits=bits)
    descriptors = space.describe([max(row) if max(row) >= 0 else 0 for row in words], seed)
    found, codes = space.encoder(options).encode(descriptors, np.array(words, np.int32))
    expected = sign(space, options, descriptors, words)
    assert found.tolist() == [word for word, signatures in expected.items() for _ in signatures]
    assert agree(codes, packed(expected, options.binary))


@kinds
@pytest.mark.parametrize(
    ("dimension", "bits"), [(128, 0), (128, 64), (100, 0), (100, 72), (40, 0), (65, 0), (65, 13)]
)
def test_signatures_of_long_descriptors(kind: str, dimension: int, bits: int) -> None:
    space, options = Space(dimension), replace(KINDS[kind], bits=bits)
    words = [[1], [4], [1], [9], [4], [4]]
    descriptors = space.describe([row[0] for row in words], 5)
    encoder = space.encoder(options)
    assert encoder.bits == (bits or dimension)
    _, codes = encoder.encode(descriptors, np.array(words))
    assert agree(codes, packed(sign(space, options, descriptors, words), options.binary))


@kinds
@pytest.mark.parametrize("space", [Space(128), Space(64, "float32"), Space(72)])
def test_descriptors_may_lie_in_memory_in_any_order(kind: str, space: Space) -> None:
    words = np.array([[1], [4], [1], [9]])
    encoder, descriptors = space.encoder(KINDS[kind]), space.describe([1, 4, 1, 9], 5)
    _, expected = encoder.encode(descriptors, words)
    wide, apart = np.zeros((8, space.dimension + 3), descriptors.dtype), np.repeat(descriptors, 2, axis=1)
    wide[::2, 3:] = descriptors
    for same in (np.asfortranarray(descriptors), wide[::2, 3:], apart[:, ::2]):
        assert same.tolist() == descriptors.tolist()
        assert same_bits(encoder.encode(same, words)[1], expected)


def test_signs_of_extreme_bytes_do_not_overflow() -> None:
    """A thousand features of a word."""
    descriptors = np.tile(np.array([[0, 255, 255, 0, 128, 127, 255, 0]], np.uint8), (1000, 1))
    centroids = np.array([[255, 0, 254, 0, 127, 128, 255, 1]], np.uint8)
    encoder = Encoder(SignatureOptions(), 8, lambda words: centroids[words])
    _, codes = encoder.encode(descriptors, np.zeros((1000, 1), np.int32))
    assert codes.tolist() == [[0b00010110]]


@kinds
def test_a_word_that_is_none_is_left_out(kind: str) -> None:
    space = Space(64)
    encoder, descriptors = space.encoder(KINDS[kind]), space.describe([1, 2, 2], 0)
    whole = encoder.encode(descriptors[:2], np.array([[1, 2], [2, 5]]))
    holes = encoder.encode(descriptors, np.array([[1, 2, -1], [2, 5, -1], [-1, -1, -1]]))
    assert all(same_bits(a, b) for a, b in zip(whole, holes, strict=True))


@kinds
@pytest.mark.parametrize("shape", [(0, 1), (0, 5), (2, 1)])
def test_a_photo_without_words(kind: str, shape: tuple[int, int]) -> None:
    space = Space(72)
    words = np.full(shape, -1, np.int32)
    found, codes = space.encoder(KINDS[kind]).encode(space.describe([0] * shape[0], 0), words)
    assert found.tolist() == []
    assert (codes.dtype, codes.shape) == ((np.float32, (0, 72)) if kind == "asmk" else (np.uint64, (2, 0)))


# --- directions ---


@pytest.mark.parametrize(("dimension", "bits"), [(128, 64), (128, 40), (64, 8), (16, 8)])
def test_directions_are_orthogonal(dimension: int, bits: int) -> None:
    found = np.array(directions(dimension, bits))
    assert np.unique(found).tolist() == [-1, 1]
    assert (found @ found.T).tolist() == (dimension * np.eye(bits)).tolist()


@pytest.mark.parametrize(("dimension", "bits"), [(100, 96), (72, 64), (129, 128), (65, 64), (9, 8)])
def test_directions_of_other_dimensions_are_independent(dimension: int, bits: int) -> None:
    found = np.array(directions(dimension, bits))
    assert np.unique(found).tolist() == [-1, 1]
    assert np.linalg.matrix_rank(found) == bits


def test_directions_are_the_same_for_ever() -> None:
    """A store's signatures and a query's must be of the same ones."""
    found = np.array(directions(128, 64)) > 0, np.array(directions(100, 96)) > 0
    digests = [hashlib.sha256(np.packbits(rows).tobytes()).hexdigest()[:16] for rows in found]
    assert digests == ["7c885e5c69a8b90d", "b14608a8a109a574"]


# --- a segment ---


@kinds
@settings(max_examples=30)
@given(collection=photos(5), space=st.sampled_from([Space(16), Space(72, "float32")]))
def test_signatures_stand_in_the_order_of_postings(kind: str, collection: list[Words], space: Space) -> None:
    encoder = space.encoder(KINDS[kind])
    segment = sign_segment(collection, space, encoder)
    signatures, postings = segment.signatures, segment.postings
    assert signatures is not None
    codes = as_lists(signatures.codes)
    single = not KINDS[kind].aggregated
    ends = np.cumsum(postings.frequencies if single else np.ones_like(postings.frequencies), dtype=int)
    assert len(signatures) == len(codes) == (ends[-1] if len(ends) else 0)
    words = np.repeat(postings.words, np.diff(postings.offsets).astype(int)).tolist()
    for posting, (word, photo) in enumerate(zip(words, postings.photo_ids.tolist(), strict=True)):
        own = np.array(collection[photo])[:, None]
        found, alone = encoder.encode(space.describe(collection[photo], photo), own)
        expected = list(itertools.compress(as_lists(alone), found == word))
        assert codes[ends[posting] - len(expected) : ends[posting]] == expected
    starts = [0, *ends.tolist()]
    assert signatures.offsets.tolist() == [starts[int(i)] for i in postings.offsets] * single
    assert signatures.entries.tolist() == [len(set(words)) for words in collection]


@kinds
def test_a_word_of_more_features_than_postings_count(kind: str) -> None:
    collection = [[2, 1, 2], [5] * 40 + [1] * 300, [1]]
    space = Space(16)
    encoder = space.encoder(KINDS[kind])
    signatures = sign_segment(collection, space, encoder).signatures
    assert signatures is not None
    plain = [
        sign(space, encoder.options, space.describe(words, photo), [[word] for word in words])
        for photo, words in enumerate(collection)
    ]
    expected = [
        packed({word: photo.get(word, [])}, encoder.options.binary) for word in (1, 2, 5) for photo in plain
    ]
    assert agree(signatures.codes, list(itertools.chain(*expected)))
    if kind == "smk*":
        assert signatures.offsets.tolist() == [0, 257, 259, 299]


@kinds
def test_signatures_of_no_photos(kind: str) -> None:
    space = Space(72)
    signatures = sign_segment([], space, space.encoder(KINDS[kind])).signatures
    assert signatures is not None
    assert (len(signatures), signatures.entries.tolist()) == (0, [])


def test_a_segment_without_an_encoder_has_no_signatures() -> None:
    assert sign_segment(SAMPLE, Space(16), None).signatures is None


# --- merge ---


@kinds
@settings(max_examples=40)
@given(photos(), st.lists(st.integers(0, 8), max_size=3), st.sets(st.integers(0, 7)))
def test_merging_is_signing_the_live_photos_at_once(
    kind: str, collection: list[Words], cuts: list[int], dead: set[int]
) -> None:
    space = Space(72)
    encoder = space.encoder(KINDS[kind])
    ends = [0, *sorted(min(cut, len(collection)) for cut in cuts), len(collection)]
    pieces = [
        sign_segment(collection[start:end], space, encoder, range(start, end))
        for start, end in itertools.pairwise(ends)
    ]
    live = [
        np.array([i not in dead for i in range(start, end)], bool) for start, end in itertools.pairwise(ends)
    ]
    merged = merge_segments(pieces, live, VOCABULARY_SIZE, KINDS[kind])
    alive = [i for i in range(len(collection)) if i not in dead]
    at_once = sign_segment([collection[i] for i in alive], space, encoder, alive)
    assert same_signatures(merged, at_once)


def same_signatures(a: Segment, b: Segment) -> bool:
    return all(
        same_bits(getattr(a.signatures, field.name), getattr(b.signatures, field.name))
        for field in fields(Signatures)
    )


@kinds
def test_merging_photos_of_many_features(kind: str) -> None:
    """More features of a word than postings count."""
    collection = [[5] * 300 + [2], [2] * 2, [5] * 256, [1]]
    space = Space(16)
    encoder = space.encoder(KINDS[kind])
    pieces = [sign_segment([words], space, encoder, [i]) for i, words in enumerate(collection)]
    live = [np.array([alive]) for alive in (True, False, True, True)]
    merged = merge_segments(pieces, live, VOCABULARY_SIZE, KINDS[kind])
    assert same_signatures(
        merged, sign_segment([collection[i] for i in (0, 2, 3)], space, encoder, [0, 2, 3])
    )


def test_merging_without_signatures_makes_none() -> None:
    segment = sign_segment(SAMPLE, Space(16), Space(16).encoder(SignatureOptions()))
    assert merge_segments([segment], [np.ones(4, bool)], VOCABULARY_SIZE, None).signatures is None


# --- disk ---


def signed_sample(kind: str, features: int = 1) -> Segment:
    """The sample with each feature repeated."""
    space = Space(72)
    return sign_segment([words * features for words in SAMPLE], space, space.encoder(KINDS[kind]))


def write(path: Path, segment: Segment, **changed: NDArray[np.generic]) -> None:
    assert segment.signatures is not None
    write_signatures(path, replace(segment.signatures, **changed), ATTRIBUTES)


def read(path: Path, segment: Segment, kind: str) -> Signatures:
    options = replace(KINDS[kind], bits=72)
    return read_signatures(path, segment.postings, len(segment), ATTRIBUTES, options)


@kinds
def test_signatures_come_back(kind: str, tmp_path: Path) -> None:
    for segment in (signed_sample(kind), sign_segment([], Space(72), Space(72).encoder(KINDS[kind]))):
        write(tmp_path / "file", segment)
        found = read(tmp_path / "file", segment, kind)
        assert same_signatures(replace(segment, signatures=found), segment)
        assert check_signatures(found, segment.postings, KINDS[kind]) == []


@kinds
def test_a_file_that_ends_early(kind: str, tmp_path: Path) -> None:
    """At every 4 KiB."""
    segment = signed_sample(kind, 200 if kind == "smk*" else 1)
    write(tmp_path / "whole", segment)
    content = (tmp_path / "whole").read_bytes()
    path = tmp_path / "000001.signatures.h5"
    for size in {*range(0, len(content), 4096), len(content) - 1}:
        path.write_bytes(content[:size])
        with pytest.raises(StoreError) as error:
            read(path, segment, kind)
        assert str(path) in str(error.value)


Change = Callable[[NDArray[np.generic]], NDArray[np.generic]]
MISFITS: list[tuple[str, str, Change, str]] = [
    ("asmk*", "codes", lambda a: a[:, :-1], "the signatures do not fit the postings"),
    ("asmk", "codes", lambda a: a[:-1], "the signatures do not fit the postings"),
    ("smk*", "codes", lambda a: a[:, :-1], "the signatures do not fit their words"),
    ("smk*", "offsets", lambda a: a[:-1], "the signatures do not fit their words"),
    ("smk*", "offsets", lambda a: a[::-1], "the signatures do not fit their words"),
    ("smk*", "offsets", lambda a: a[:0], "the signatures do not fit their words"),
    ("asmk*", "codes", lambda a: a.astype(np.float32), "the signatures are of another kind"),
    ("asmk*", "codes", lambda a: a[0], "the signatures are of another kind"),
    ("asmk", "codes", lambda a: a.astype(np.uint64), "the signatures are of another kind"),
    ("asmk*", "codes", lambda a: a[:1], "the signatures are not of 72 bits"),
    ("smk*", "codes", lambda a: np.repeat(a, 2, axis=0), "the signatures are not of 72 bits"),
    ("asmk", "codes", lambda a: a[:, :64], "the signatures are not of 72 numbers"),
    *(
        (kind, "entries", lambda a: a[:-1], "the numbers of entries do not fit the photo table")
        for kind in KINDS
    ),
]


@pytest.mark.parametrize(("kind", "name", "change", "misfit"), MISFITS)
def test_signatures_that_do_not_fit_are_not_opened(
    kind: str, name: str, change: Change, misfit: str, tmp_path: Path
) -> None:
    """Compiled loops trust these numbers."""
    segment, path = signed_sample(kind), tmp_path / "000001.signatures.h5"
    write(path, segment, **{name: change(getattr(segment.signatures, name))})
    with pytest.raises(StoreError) as error:
        read(path, segment, kind)
    assert str(error.value) == f"{path} is damaged: {misfit}; run `handcraft check`."


def test_signatures_of_another_vocabulary_are_not_opened(tmp_path: Path) -> None:
    segment, path = signed_sample("asmk*"), tmp_path / "000001.signatures.h5"
    write(path, segment)
    other = {**ATTRIBUTES, "vocabulary": "abd"}
    with pytest.raises(StoreError) as error:
        read_signatures(path, segment.postings, len(segment), other, KINDS["asmk*"])
    assert str(error.value) == (
        f"{path} is of another store: its vocabulary is abc, not abd; run `handcraft check`."
    )


def test_a_file_without_one_of_its_arrays(tmp_path: Path) -> None:
    path = tmp_path / "000001.signatures.h5"
    write_arrays(path, "signatures", {"codes": [np.zeros((2, 3), np.uint64)]}, ATTRIBUTES)
    with pytest.raises(StoreError, match="has no array 'offsets'"):
        read(path, signed_sample("asmk*"), "asmk*")


@pytest.mark.parametrize(
    ("kind", "name"), [("smk*", "offsets"), ("smk*", "entries"), ("asmk*", "entries"), ("asmk", "entries")]
)
def test_what_a_check_finds(kind: str, name: str) -> None:
    segment = signed_sample(kind)
    assert segment.signatures is not None
    other = getattr(segment.signatures, name).copy()
    other[1] += 1
    problems = check_signatures(replace(segment.signatures, **{name: other}), segment.postings, KINDS[kind])
    assert problems == [f"the signatures' {name} disagree with the postings"]


# --- options ---


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"bits": -8}, "bits=-8 is too small; give 0 or more."),
        (
            {"aggregated": False, "binary": False},
            "Real residuals are kept of a word's features together; leave --real out, or --single.",
        ),
    ],
)
def test_options_that_cannot_be(wrong: dict[str, int], sentence: str) -> None:
    with pytest.raises(HandcraftError) as error:
        SignatureOptions(**wrong)  # type: ignore[arg-type]
    assert str(error.value) == sentence


def test_signatures_longer_than_the_descriptors() -> None:
    Space(100).encoder(SignatureOptions(bits=100))
    with pytest.raises(HandcraftError) as error:
        Space(100).encoder(SignatureOptions(bits=104))
    assert str(error.value) == (
        "Signatures of 104 bits are longer than the descriptors, which have 100 dimensions; "
        "give --bits 100 or less."
    )


@pytest.mark.parametrize("bits", [0, 8])
def test_descriptors_too_short_for_signatures(bits: int) -> None:
    with pytest.raises(HandcraftError) as error:
        Space(7).encoder(SignatureOptions(bits=bits))
    assert str(error.value) == (
        "Descriptors of 7 dimensions are too short for signatures; vote by bags of words, --method bow."
    )


# --- the signatures of one photo's features ---


@pytest.mark.parametrize(("space", "bits"), SPACES)
@settings(max_examples=15)
@given(words=words_of_features, seed=st.integers(0, 99))
def test_each_feature_is_signed_for_each_of_its_words(
    space: Space, bits: int, words: list[list[int]], seed: int
) -> None:
    """Whether the store's signatures are aggregated or not."""
    descriptors = space.describe([max(row) if max(row) >= 0 else 0 for row in words], seed)
    single = SignatureOptions(bits=bits, aggregated=False)
    expected = packed(sign(space, single, descriptors, words), binary=True)
    for options in (single, SignatureOptions(bits=bits)):
        codes = space.encoder(options).encode_each(descriptors, np.array(words, np.int32))
        assert agree(codes, expected)


def test_more_features_of_a_word_than_postings_count_are_all_signed() -> None:
    space = Space(16)
    codes = space.encoder(SignatureOptions()).encode_each(space.describe([2] * 300, 0), np.full((300, 1), 2))
    assert codes.shape == (1, 300)


@pytest.mark.parametrize("kind", ["asmk*", "smk*"])
@settings(max_examples=30)
@given(collection=photos())
def test_the_signatures_of_a_photo_are_those_of_its_features(kind: str, collection: list[Words]) -> None:
    """Those of one word share one where signatures are aggregated."""
    space, options = Space(16), KINDS[kind]
    encoder = space.encoder(options)
    segment = sign_segment(collection, space, encoder)
    for photo, words in enumerate(collection):
        descriptors, order = space.describe(words, photo), np.argsort(words, kind="stable")
        found, codes = encoder.encode(descriptors, np.array(words, np.int32).reshape(-1, 1))
        ordered = np.array(words, np.int64)[order]
        rows = np.searchsorted(found, ordered) if options.aggregated else np.arange(len(ordered))
        assert same_bits(segment.signatures_of(photo), codes[:, rows])


def test_features_beyond_what_postings_count_have_the_last_signature() -> None:
    segment = sign_segment([[4] * 300], Space(16), Space(16).encoder(KINDS["smk*"]))
    codes = segment.signatures_of(0)
    assert codes.shape == (1, 300)
    assert len({int(code) for code in codes[0, 254:]}) == 1


@pytest.mark.parametrize("kind", [None, "asmk"])
def test_without_bits_there_are_no_planes(kind: str | None) -> None:
    space = Space(16)
    segment = sign_segment([[3, 1, 1]], space, space.encoder(KINDS[kind]) if kind else None)
    assert segment.signatures_of(0).shape == (0, 3)


def test_a_photo_that_the_postings_do_not_hold_is_damage() -> None:
    segment = sign_segment(SAMPLE, Space(16), Space(16).encoder(SignatureOptions()))
    ids = segment.postings.photo_ids.copy()
    ids[segment.postings.photo_ids == 3] = 9
    damaged = replace(segment, postings=replace(segment.postings, photo_ids=ids))
    assert same_bits(damaged.signatures_of(0), segment.signatures_of(0))
    with pytest.raises(StoreError) as error:
        damaged.signatures_of(3)
    assert str(error.value) == (
        "The store is damaged: a photo has words that its postings do not have; run `handcraft check`."
    )
