"""Votes by signatures, against plain formulas and against the asmk package."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index.samples import VOCABULARY_SIZE, Words, make_segment, photos, same_bits
from index.signed import KINDS, Space, directions, make_signed_collection, sign_segment
from numpy.typing import NDArray
from oracles import asmk as oracle
from oracles import index as words_oracle

from handcraft.errors import HandcraftError, StoreError
from handcraft.index.asmk import AsmkScorer, selectivity
from handcraft.index.collection import Collection, make_collection
from handcraft.index.segment import merge_segments, with_signatures
from handcraft.index.signatures import Encoder
from handcraft.options import AsmkOptions, SignatureOptions
from handcraft.types import Features

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "asmk.json").read_text(encoding="utf-8"))

SPACES = [
    (Space(16), 8),
    (Space(40), 0),
    (Space(64, "float32"), 0),
    (Space(72), 0),
    (Space(72, "float32"), 64),
]
kinds = pytest.mark.parametrize("kind", KINDS)
spaces = st.sampled_from([Space(40), Space(72, "float32")])
cuts = st.lists(st.integers(0, 8), max_size=3)
numbers = st.sets(st.integers(0, 7))
options = st.fixed_dictionaries(
    {
        "alpha": st.sampled_from([1.0, 2.5, 3.0, 4.0]),
        "tau": st.sampled_from([-1.0, -0.25, 0.0, 0.25]),
        "deviation": st.sampled_from([0.0, 0.0, 0.25]),
        "idf": st.booleans(),
        "burstiness": st.booleans(),
    }
)


@st.composite
def queries(draw: st.DrawFn) -> list[list[int]]:
    """The nearest words of some features; −1 is none."""
    nearest = draw(st.integers(1, 3))
    word = st.integers(0, VOCABULARY_SIZE - 1)
    rows = st.lists(word, min_size=1, max_size=nearest, unique=True)
    return [row + [-1] * (nearest - len(row)) for row in draw(st.lists(rows, min_size=1, max_size=8))]


def describe(
    space: Space, words: list[list[int]], number: int
) -> tuple[NDArray[np.generic], NDArray[np.int32]]:
    """The descriptors of features near the first of their words, and the words."""
    return space.describe([row[0] for row in words], number), np.array(words, np.int32).reshape(
        len(words), -1
    )


def make_scorer(
    collection: Collection, space: Space, signatures: SignatureOptions, **options: Any
) -> AsmkScorer:
    return AsmkScorer(collection, space.encoder(signatures), AsmkOptions(**options))


def live_scores(
    scorer: AsmkScorer, descriptors: NDArray[np.generic], words: NDArray[np.int32]
) -> NDArray[np.float32]:
    """(live photos,) in order of their ids."""
    query = scorer.query(descriptors, words)
    parts = [scorer.score(query, place)[alive] for place, alive in enumerate(scorer.collection.live)]
    return np.concatenate([np.empty(0, np.float32), *parts])


def scores_with(
    collection: Sequence[Words], number: int, kind: str = "asmk*", **options: Any
) -> NDArray[np.float32]:
    """The scores of a collection with one of its photos."""
    space = Space(64)
    scorer = make_scorer(
        make_signed_collection(collection, space, KINDS[kind]), space, KINDS[kind], **options
    )
    return live_scores(
        scorer, space.describe(collection[number], number), np.array(collection[number])[:, None]
    )


# --- formulas ---


@pytest.mark.parametrize("alpha", [1.0, 3.0, 4.0])
def test_selectivity_by_hand(alpha: float) -> None:
    u = np.array([-1, -0.5, 0, 0.25, 0.5, 1])
    assert selectivity(u, AsmkOptions(alpha=alpha)).tolist() == [0, 0, 0, 0.25**alpha, 0.5**alpha, 1]
    assert selectivity(u, AsmkOptions(alpha=alpha, tau=0.25)).tolist() == [0, 0, 0, 0, 0.5**alpha, 1]
    negative = selectivity(u, AsmkOptions(alpha=alpha, tau=-0.75)).tolist()
    assert negative == [0, -(0.5**alpha), 0, 0.25**alpha, 0.5**alpha, 1]


def test_the_gaussian_weight_by_hand() -> None:
    """Jégou, Douze & Schmid 2008: exp(−h²/σ²), there with σ = 16 of 64 bits."""
    distances = np.array([0, 12, 16, 31, 32])
    found = selectivity(1 - 2 * distances / 64, AsmkOptions(deviation=0.25))
    expected = [1, math.exp(-((12 / 16) ** 2)), math.exp(-1), math.exp(-((31 / 16) ** 2)), 0]
    assert found.tolist() == pytest.approx(expected)


@kinds
@pytest.mark.parametrize(("space", "bits"), SPACES)
@settings(max_examples=20)
@given(collection=photos(5), query=queries(), options=options, cuts=cuts, dead=numbers)
def test_scores_are_those_of_the_oracle(
    kind: str,
    space: Space,
    bits: int,
    collection: list[Words],
    query: list[list[int]],
    options: dict[str, Any],
    cuts: list[int],
    dead: set[int],
) -> None:
    signatures = replace(KINDS[kind], bits=bits)
    found = make_signed_collection(collection, space, signatures, cuts, sorted(dead))
    scorer = make_scorer(found, space, signatures, **options)
    descriptors, words = describe(space, query, 99)
    scores = live_scores(scorer, descriptors, words)

    def sign(descriptors: NDArray[np.generic], words: list[list[int]]) -> oracle.Signed:
        kind = {"aggregated": signatures.aggregated, "binary": signatures.binary}
        axes = directions(space.dimension, scorer.encoder.bits)
        return oracle.sign(descriptors.tolist(), words, space.centroids.tolist(), **kind, directions=axes)

    alive = [i for i in range(len(collection)) if i not in dead]
    idf = words_oracle.idf([collection[i] for i in alive], VOCABULARY_SIZE)
    weights = [value**2 if options["idf"] else 1.0 for value in idf]
    expected = [
        oracle.score(
            sign(descriptors, query),
            sign(space.describe(collection[i], i), [[word] for word in collection[i]]),
            weights,
            aggregated=signatures.aggregated,
            binary=signatures.binary,
            **{name: value for name, value in options.items() if name != "idf"},
        )
        for i in alive
    ]
    assert scores.dtype == np.float32
    assert scores.tolist() == pytest.approx(expected, rel=1e-5, abs=1e-6)


@kinds
@pytest.mark.parametrize("idf", [True, False])
@settings(max_examples=40)
@given(collection=photos(), space=spaces, cuts=cuts)
def test_a_photo_s_score_with_itself_is_1(
    kind: str, idf: bool, collection: list[Words], space: Space, cuts: list[int]
) -> None:
    found = make_signed_collection(collection, space, KINDS[kind], cuts)
    scorer = make_scorer(found, space, KINDS[kind], idf=idf)
    for number, own in enumerate(collection):
        words = np.array(own, np.int32)[:, None]
        scores = live_scores(scorer, space.describe(own, number), words)
        assert scores[number] == (pytest.approx(1, abs=1e-5) if own else 0)
        assert scores.max(initial=0) <= 1
        assert scores.min(initial=0) >= 0


@pytest.mark.parametrize("kind", ["asmk*", "smk*"])
def test_a_photo_of_many_features_of_a_word_is_like_itself(kind: str) -> None:
    """More than postings count; in single signatures the first ones, on both sides."""
    collection = [[5] * 300 + [1, 2], [5] * 20, [1]]
    scores = scores_with(collection, 0, kind)
    assert scores[0] == pytest.approx(1, abs=1e-4)  # thousands of terms, added as float32
    assert scores.argmax() == 0


def test_scores_may_be_none_where_unlike_signatures_count() -> None:
    """Three signatures that differ in two thirds of their bits: their similarities add up to less than 0."""
    space = Space(24)
    segment = sign_segment([[1, 1, 1]], space, space.encoder(KINDS["smk*"]))
    assert segment.signatures is not None
    codes = np.array([[0xFF0000, 0x00FF00, 0x0000FF]], np.uint64)
    segment = replace(segment, signatures=replace(segment.signatures, codes=codes))
    collection = make_collection([segment], [[]], VOCABULARY_SIZE)
    scorer = make_scorer(collection, space, KINDS["smk*"], alpha=0.5, tau=-1.0)
    assert live_scores(scorer, space.describe([1], 0), np.array([[1]], np.int32)).tolist() == [0]


# --- options ---

SAMPLE = [[1, 1, 2, 3, 3], [1, 2, 3, 3, 4], [1, 1, 1, 1, 3], [5], [1, 2, 3]]


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        ("asmk*", {"alpha": 1.0}),
        ("asmk*", {"tau": 0.3}),
        ("asmk*", {"deviation": 0.25}),
        ("asmk*", {"idf": True}),
        ("asmk", {"alpha": 1.0}),
        ("smk*", {"burstiness": True}),
        ("smk*", {"deviation": 0.25}),
    ],
)
def test_options_change_the_scores(kind: str, changed: dict[str, Any]) -> None:
    before, after = (scores_with(SAMPLE, 0, kind, **options) for options in ({}, changed))
    assert not np.allclose(before, after, atol=1e-4)


@pytest.mark.parametrize("changed", [{"bits": 32}, {"aggregated": False}, {"binary": False}])
def test_options_of_signatures_change_the_scores(changed: dict[str, Any]) -> None:
    space, found = Space(64), []
    for signatures in (SignatureOptions(), SignatureOptions(**changed)):
        scorer = make_scorer(make_signed_collection(SAMPLE, space, signatures), space, signatures)
        found.append(live_scores(scorer, space.describe(SAMPLE[0], 0), np.array(SAMPLE[0])[:, None]))
    assert not np.allclose(*found, atol=1e-3)


def test_more_words_a_feature_change_the_scores() -> None:
    space = Space(64)
    scorer = make_scorer(make_signed_collection(SAMPLE, space, KINDS["asmk*"]), space, KINDS["asmk*"])
    descriptors, words = describe(space, [[5, 1], [5, 3]], 0)
    assert live_scores(scorer, descriptors, words[:, :1])[:3].tolist() == [0, 0, 0]
    assert scorer.query(descriptors, words).words.tolist() == [1, 3, 5]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"alpha": 0.0}, "alpha=0.0 is not a number above 0; give 3, for example."),
        ({"alpha": -1.0}, "alpha=-1.0 is not a number above 0; give 3, for example."),
        ({"alpha": math.nan}, "alpha=nan is not a number above 0; give 3, for example."),
        ({"tau": 1.0}, "tau=1.0 is not from -1 to below 1; give 0, for example."),
        ({"tau": -1.1}, "tau=-1.1 is not from -1 to below 1; give 0, for example."),
        ({"deviation": -0.1}, "deviation=-0.1 is too small; give 0 or more."),
        ({"assignments": 0}, "assignments=0 is too small; give 1 or more."),
    ],
)
def test_options_that_cannot_be(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(HandcraftError) as error:
        AsmkOptions(**wrong)
    assert str(error.value) == sentence


# --- queries ---


@kinds
def test_a_word_that_is_none_does_not_vote(kind: str) -> None:
    space = Space(64)
    scorer = make_scorer(make_signed_collection(SAMPLE, space, KINDS[kind]), space, KINDS[kind])
    descriptors = space.describe([1, 3, 2], 0)
    whole = live_scores(scorer, descriptors[:2], np.array([[1], [3]], np.int32))
    holes = live_scores(scorer, descriptors, np.array([[1, -1], [3, -1], [-1, -1]], np.int32))
    assert same_bits(whole, holes)


@kinds
@pytest.mark.parametrize("idf", [True, False])
def test_a_query_without_words(kind: str, idf: bool) -> None:
    space = Space(64)
    scorer = make_scorer(
        make_signed_collection([[1], [], [2]], space, KINDS[kind]), space, KINDS[kind], idf=idf
    )
    for words in (np.empty((0, 1), np.int32), np.full((2, 3), -1, np.int32)):
        assert live_scores(scorer, space.describe([0] * len(words), 0), words).tolist() == [0, 0, 0]


@kinds
@pytest.mark.parametrize("idf", [True, False])
def test_words_that_no_photo_has(kind: str, idf: bool) -> None:
    space = Space(64)
    scorer = make_scorer(make_signed_collection([[1], []], space, KINDS[kind]), space, KINDS[kind], idf=idf)
    assert live_scores(scorer, space.describe([3], 0), np.array([[3]], np.int32)).tolist() == [0, 0]


@kinds
def test_an_empty_collection(kind: str) -> None:
    space = Space(64)
    for cuts in ([], [0]):
        scorer = make_scorer(make_signed_collection([], space, KINDS[kind], cuts), space, KINDS[kind])
        assert live_scores(scorer, space.describe([3], 0), np.array([[3]], np.int32)).tolist() == []


# --- pieces, removals and merges ---


@kinds
@settings(max_examples=40)
@given(collection=photos(), cuts=cuts, dead=numbers, query=queries(), options=options)
def test_pieces_and_merges_score_as_the_whole_bit_for_bit(
    kind: str,
    collection: list[Words],
    cuts: list[int],
    dead: set[int],
    query: list[list[int]],
    options: dict[str, Any],
) -> None:
    space, signatures = Space(72), KINDS[kind]
    pieces = make_signed_collection(collection, space, signatures, cuts, sorted(dead))
    merged = merge_segments(pieces.segments, pieces.live, VOCABULARY_SIZE, signatures)
    alive = [i for i in range(len(collection)) if i not in dead]
    whole = sign_segment([collection[i] for i in alive], space, space.encoder(signatures), alive)
    found = [
        live_scores(make_scorer(collection, space, signatures, **options), *describe(space, query, 99))
        for collection in (
            pieces,
            make_collection([merged], [[]], VOCABULARY_SIZE),
            make_collection([whole], [[]], VOCABULARY_SIZE),
        )
    ]
    assert same_bits(found[0], found[2])
    assert same_bits(found[1], found[2])


@kinds
@pytest.mark.parametrize("idf", [True, False])
def test_many_photos_in_pieces_score_as_the_whole_bit_for_bit(kind: str, idf: bool) -> None:
    """Sums of many terms, where another order of adding would show."""
    generator = np.random.default_rng(3)
    collection = [generator.integers(0, VOCABULARY_SIZE, 12).tolist() for _ in range(400)]
    space, signatures = Space(16), KINDS[kind]
    query = describe(space, [[word, (word + 1) % 12] for word in range(12)] * 5, 0)
    scores = [
        live_scores(make_scorer(found, space, signatures, idf=idf), *query)
        for found in (
            make_signed_collection(collection, space, signatures),
            make_signed_collection(collection, space, signatures, [1, 170, 171, 333]),
        )
    ]
    assert same_bits(*scores)


# --- damage ---


def damage(kind: str, **changed: NDArray[np.generic]) -> AsmkScorer:
    """What scores a segment of which a column of the postings, or the signatures, are these."""
    space = Space(40)
    segment = sign_segment([[1, 2], [2, 2]], space, space.encoder(KINDS[kind]))
    assert segment.signatures is not None
    if "codes" in changed:
        segment = replace(segment, signatures=replace(segment.signatures, **changed))
    else:
        segment = replace(segment, postings=replace(segment.postings, **changed))
    return make_scorer(make_collection([segment], [[]], VOCABULARY_SIZE), space, KINDS[kind])


def score(scorer: AsmkScorer) -> NDArray[np.float32]:
    space = Space(40)
    return live_scores(scorer, space.describe([1, 2], 0), np.array([[1], [2]], np.int32))


@kinds
@pytest.mark.parametrize("idf", [True, False])
@pytest.mark.parametrize("photo", [2, 65535])
def test_a_posting_of_a_photo_that_the_segment_does_not_hold(kind: str, idf: bool, photo: int) -> None:
    scorer = damage(kind, photo_ids=np.array([photo, 0, 1], np.uint16))
    with pytest.raises(StoreError) as error:
        score(replace(scorer, options=AsmkOptions(idf=idf)))
    assert str(error.value) == (
        "The store is damaged: a segment votes for a photo that it does not hold; run `handcraft check`."
    )


@kinds
def test_votes_tell_a_photo_that_the_segment_does_not_hold(kind: str) -> None:
    """Where the scales are sound."""
    scorer = damage(kind, photo_ids=np.array([0, 0, 65535], np.uint16))
    scorer.__dict__["scales"] = damage(kind, photo_ids=np.array([0, 0, 1], np.uint16)).scales
    with pytest.raises(StoreError, match="a segment votes for a photo that it does not hold; run `handcr"):
        score(scorer)


@kinds
def test_scoring_leaves_the_scales_as_they_were(kind: str) -> None:
    scorer = damage(kind, photo_ids=np.array([0, 0, 1], np.uint16))
    before = scorer.scales[0].copy()
    assert same_bits(score(scorer), score(scorer))
    assert same_bits(scorer.scales[0], before)


@pytest.mark.parametrize("frequencies", [[1, 1, 255], [2, 1, 1], [1, 1, 1], [1, 2, 2]])
def test_frequencies_that_are_not_those_of_the_signatures(frequencies: list[int]) -> None:
    with pytest.raises(StoreError) as error:
        score(damage("smk*", frequencies=np.array(frequencies, np.uint8)))
    assert str(error.value) == (
        "The store is damaged: a segment's signatures are not those of its postings; run `handcraft check`."
    )


@pytest.mark.parametrize("kind", ["asmk*", "smk*"])
def test_bits_beyond_a_signature(kind: str) -> None:
    """Distances of more than 40 bits, which a sound store does not have, are worth nothing."""
    count = 3 if kind == "asmk*" else 4
    scorer = damage(kind, codes=np.full((1, count), 2**64 - 1, np.uint64))
    assert len(scorer.table) == 65  # compiled loops look no further
    assert score(scorer)[0] == 0


# --- the asmk package ---


@dataclass(frozen=True, eq=False)
class PlainIdf(Collection):
    """With the idf of that package, log(N / n)."""

    @cached_property
    def idf(self) -> NDArray[np.float32]:
        (segment,) = self.segments
        return np.log(len(self) / np.diff(segment.postings.offsets)).astype(np.float32)  # every word occurs


def decoded(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(-1, GOLDEN["dimension"])


@pytest.mark.parametrize(
    "case", GOLDEN["scores"], ids=lambda case: f"binary={case['binary']}, idf={case['idf']}"
)
def test_scores_are_those_of_the_asmk_package(case: dict[str, Any]) -> None:
    """To 1e-5, and rankings but for ties; idf is not the same there, which is made up for."""
    centroids = decoded(GOLDEN["centroids"])
    signatures = SignatureOptions(binary=case["binary"])
    encoder = Encoder(signatures, GOLDEN["dimension"], lambda words: centroids[words])
    words = [np.array(rows)[:, 0] for rows in GOLDEN["photo_words"]]
    features = [
        Features(np.zeros((len(own), 2, 3), np.float32), decoded(text), 300, 200)
        for own, text in zip(words, GOLDEN["photos"], strict=True)
    ]
    segment = make_segment([own.tolist() for own in words], vocabulary_size=len(centroids))
    segment = with_signatures(segment, features, words, encoder)
    collection = PlainIdf((segment,), (np.ones(len(words), bool),), len(centroids))
    scorer = AsmkScorer(collection, encoder, AsmkOptions(alpha=GOLDEN["alpha"], idf=case["idf"]))
    for text, rows, expected in zip(GOLDEN["queries"], GOLDEN["query_words"], case["queries"], strict=True):
        scores = live_scores(scorer, decoded(text), np.array(rows, np.int32))
        assert scores.tolist() == pytest.approx(expected, abs=1e-5)
        ranked = np.array(expected)[np.argsort(-scores, kind="stable")]
        assert (np.diff(ranked) <= 1e-7).all()
