"""The loops of signatures against plain Python, and the instructions that they are compiled to."""

from __future__ import annotations

import hashlib
import math
import mmap
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numba
import numpy as np
import pytest
from assembly import fresh_assembly, host_has, only_x86, run_on_a_plain_processor
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from index.samples import make_collection_in_pieces, scores_of
from index.signed import KINDS, Space, make_signed_collection
from numpy.typing import NDArray
from oracles import asmk as oracle
from oracles import index as words_oracle

from handcraft.compilation import count_ones
from handcraft.index._kernels import (
    add_self_similarities,
    add_weights,
    count_differences,
    fill_slots,
    larger,
    locate_lists,
    next_posting,
    pack_signs,
    prefetch,
    sign_residuals,
    sum_residuals,
    vote,
    vote_codes,
    vote_runs,
    vote_shared,
)
from handcraft.index.asmk import AsmkScorer
from handcraft.options import AsmkOptions

Lists = dict[int, list[tuple[int, int]]]  # of a word: the photos that hold it, and how many features have it

uint64s = st.integers(0, 2**64 - 1)
PHOTOS = 6


@numba.njit
def ones_of(value):  # type: ignore[no-untyped-def]
    return count_ones(value)


@given(uint64s)
@example(0)
@example(2**64 - 1)
@example(2**63)
def test_ones_are_counted(value: int) -> None:
    assert ones_of(np.uint64(value)) == value.bit_count()


@numba.njit
def differences(codes, place, query_codes, i, distances):  # type: ignore[no-untyped-def]
    count_differences(codes, place, query_codes, i, distances)


@given(st.integers(0, 12), st.integers(0, 4), st.integers(0, 999))
def test_differences_of_eight_signatures_are_counted(place: int, i: int, seed: int) -> None:
    """Wherever they stand, and none of those around them."""
    codes, query_codes = random_codes(2, 20, seed), random_codes(2, 5, seed + 1)
    distances = np.full(10, 99, np.uint64)
    differences(tuple(codes), place, tuple(query_codes), i, distances[1:9])
    rows, own = codes.T.tolist(), query_codes.T.tolist()[i]
    expected = [oracle.hamming(row, own) for row in rows[place : place + 8]]
    assert distances.tolist() == [99, *expected, 99]


@numba.njit
def larger_of(values, others, place):  # type: ignore[no-untyped-def]
    return larger(values, others, place)


EXTREMES = {
    "uint8": [0, 1, 127, 128, 255],
    "int32": [-(2**31), -1, 0, 1, 255, 256, 2**31 - 1],
    "float32": [-math.inf, -1.0, -1e-45, -0.0, 0.0, 1e-45, 1.0, math.inf, math.nan],
}


@pytest.mark.parametrize("dtype", EXTREMES)
@given(data=st.data(), place=st.integers(0, 5))
def test_larger_values_are_told(dtype: str, data: st.DataObject, place: int) -> None:
    """Without a sign, with one, and of numbers of which some compare with nothing."""
    numbers = hnp.arrays(dtype, 70, elements=st.sampled_from(EXTREMES[dtype]), fill=st.nothing())
    values, others = data.draw(numbers), data.draw(numbers)
    pairs = list(zip(values.tolist(), others.tolist(), strict=True))[place : place + 64]
    assert int(larger_of(values, others, place)) == sum(1 << k for k, (a, b) in enumerate(pairs) if a > b)


@numba.njit
def read_ahead(array, place):  # type: ignore[no-untyped-def]
    prefetch(array, place)


@pytest.mark.parametrize("place", [0, 3, 4, -1, 10**6, 2**40, -(2**40)])
def test_what_is_not_there_may_be_read_ahead(place: int) -> None:
    array = np.arange(4, dtype=np.uint16)
    read_ahead(array, place)
    assert array.tolist() == [0, 1, 2, 3]


# --- where lists are ---

BORDERS = [0, 1, 62, 63, 64, 65, 126, 127, 128, 129, 191, 192]
some_words = st.sampled_from(BORDERS) | st.integers(0, 200) | st.integers(0, 10_000)
any_words = some_words | st.sampled_from([2**31 - 1, 2**31, 2**32 - 1]) | st.integers(0, 2**32 - 1)


def make_slots(words: list[int], count: int) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
    """So many slots, and behind them, as in a file, others that would have every word."""
    bits, ranks = np.full(count + 1, 2**64 - 1, np.uint64), np.zeros(count + 1, np.uint32)
    bits[:count], ranks[:count] = 0, 2**32 - 1
    fill_slots(np.array(words, np.uint32), bits[:count], ranks[:count])
    assert (bits[count], ranks[count]) == (2**64 - 1, 0)
    return bits[:count], ranks[:count]


def slots_for(words: list[int]) -> int:
    """How many are needed."""
    return max(words, default=0) // 64 + 1


@given(st.sets(some_words, max_size=150).map(sorted), st.integers(0, 2))
@example([], 0)
@example([63], 0)
@example([64], 0)
@example([63, 64, 65], 2)
@example(list(range(200)), 0)
def test_slots_are_those_of_the_oracle(words: list[int], more: int) -> None:
    """Full ones, and those after the last word."""
    count = slots_for(words) + more
    bits, ranks = make_slots(words, count)
    places = [[place for place in range(64) if slot >> place & 1] for slot in bits.tolist()]
    assert list(zip(places, ranks.tolist(), strict=True)) == oracle.slots(words, count)


@given(
    st.lists(any_words, max_size=12),
    st.dictionaries(some_words, st.integers(0, 3), max_size=12),
    st.integers(0, 2),
)
@example([2, 64, 127, 128, 2**31, 2**32 - 1], {2: 1, 63: 2, 64: 1, 65: 3, 127: 1}, 0)
@example([64, 63, 64, 65, 63], {63: 2, 65: 1}, 0)  # in no order
@example([0, 64, 2**32 - 1], {}, 0)
def test_lists_are_those_of_the_oracle(query: list[int], sizes: dict[int, int], more: int) -> None:
    """Of any words, also of those beyond the last slot."""
    words = sorted(sizes)
    bits, ranks = make_slots(words, slots_for(words) + more)
    offsets = np.cumsum([0, *(sizes[word] for word in words)])
    starts, ends = np.full((2, len(query)), -1, np.int64)
    locate_lists(np.array(query, np.uint32), bits, ranks, offsets.astype(np.uint64), starts, ends)
    found = list(zip(starts.tolist(), ends.tolist(), strict=True))
    assert found == oracle.locate(query, words, offsets.tolist())


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 100)), max_size=8), st.sampled_from([8, 32]))
@example([], 8)
@example([(7, 0), (3, 0)], 8)
@example([(0, 0), (5, 33), (0, 0), (5, 32), (0, 0)], 32)
def test_a_reader_visits_every_list(sizes: list[tuple[int, int]], length: int) -> None:
    """Lists may be empty, and stand anywhere."""
    lists = [(start, start + size) for start, size in sizes]
    starts, ends = np.array(lists, np.int64).reshape(-1, 2).T.copy()
    visited, (i, place) = [], next_posting(starts, ends, -1, 0)
    while i < len(lists):
        visited.append((i, place))
        i, place = next_posting(starts, ends, i, place + length)
    assert visited == oracle.steps(lists, length)
    assert next_posting(starts, ends, i, place + length)[0] == len(lists)


# --- signatures ---


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("aggregated", [True, False])
@given(words=st.lists(st.integers(0, 4), max_size=20), dimension=st.integers(1, 9), seed=st.integers(0, 99))
def test_residuals_are_those_of_the_oracle(
    dtype: str, aggregated: bool, words: list[int], dimension: int, seed: int
) -> None:
    """Of the extreme bytes, and of numbers of which all sums are exact."""
    generator = np.random.default_rng(seed)
    values = [0, 1, 128, 255] if dtype == "uint8" else np.arange(-40, 40) / 8
    descriptors = generator.choice(values, (len(words), dimension)).astype(dtype)
    centroids = generator.choice(values, (5, dimension)).astype(dtype)
    order = np.argsort(words, kind="stable")
    found = np.full((len(words), dimension), 7, np.int32 if dtype == "uint8" else np.float32)
    ordered = np.array(words, np.int64)[order]
    count = sum_residuals(order, ordered, descriptors, centroids, aggregated, found)
    of_words = oracle.residuals(descriptors.tolist(), [[word] for word in words], centroids.tolist())
    expected = [
        vector
        for vectors in of_words.values()
        for vector in ([oracle.total(vectors)] if aggregated else vectors)
    ]
    assert found[:count].tolist() == expected


def room_for(words: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the entries of each of five words start and end, those of all photos after each other, with a
    place between words that nobody writes."""
    ends = np.cumsum([sum(own.count(word) for own in words) + 1 for word in range(5)])
    return np.concatenate([[0], ends[:-1]]), ends - 1


@given(
    st.lists(st.lists(st.integers(0, 4), max_size=4).map(sorted), min_size=1, max_size=3),
    st.integers(1, 200),
    st.integers(0, 99),
    st.sampled_from(["int32", "float32"]),
)
def test_signs_are_those_of_the_oracle(words: list[list[int]], bits: int, seed: int, dtype: str) -> None:
    """Of several photos, each word's after each other."""
    generator, planes = np.random.default_rng(seed), -(-bits // 64)
    (starts, ends), expected = room_for(words), [[] for _ in range(5)]
    places, nobody = starts.copy(), 2**64 - 1
    codes = np.full((planes, int(ends[-1]) + 1), nobody, np.uint64)
    rows = np.zeros((2, 64 * planes), dtype)
    for own in words:
        values = generator.integers(-1, 2, (len(own), bits)).astype(dtype)
        pack_signs(values, np.array(own, np.int64), rows, places, codes)
        for word, row in zip(own, values.tolist(), strict=True):
            expected[word].append(oracle.pack(oracle.signs(row)))
    assert places.tolist() == ends.tolist()
    assert codes.T.tolist() == [row for of_word in expected for row in [*of_word, [nobody] * planes]]


DIMENSIONS = [8, 9, 40, 63, 64, 65, 72, 100, 127, 128, 129, 136]


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("aggregated", [True, False])
@given(
    words=st.lists(st.lists(st.integers(0, 4), max_size=20), min_size=1, max_size=2),
    dimension=st.sampled_from(DIMENSIONS),
    seed=st.integers(0, 99),
)
@example(words=[[1], [1]], dimension=8, seed=0)
@example(words=[[0, 1, 2, 3, 4], [4, 3]], dimension=64, seed=1)
@example(words=[[0, 0, 1, 2, 2, 2], []], dimension=128, seed=2)
@example(words=[[3] * 20, [3] * 20], dimension=136, seed=3)
def test_signs_of_residuals_are_those_of_the_oracle(
    dtype: str, aggregated: bool, words: list[list[int]], dimension: int, seed: int
) -> None:
    """At once, or sums first and then their signs. Of extreme bytes, and of numbers of which all sums are
    exact; a residual of nothing among them."""
    generator = np.random.default_rng(seed)
    values = np.array([0, 1, 128, 255] if dtype == "uint8" else [-5, -0.125, -0.0, 0, 0.125, 3])
    number = np.int32 if dtype == "uint8" else np.float32
    centroids = generator.choice(values, (5, dimension)).astype(dtype)
    entries = [sorted(set(own)) if aggregated else sorted(own) for own in words]
    (starts, ends), planes, nobody = room_for(entries), -(-dimension // 64), 2**64 - 1
    places, other_places = starts.copy(), starts.copy()
    codes, other_codes = np.full((2, planes, int(ends[-1]) + 1), nobody, np.uint64)
    sums, rows = np.zeros((2, 2, 64 * planes), number)
    expected: list[list[list[int]]] = [[] for _ in range(5)]
    for own in words:
        order = np.argsort(own, kind="stable")
        ordered = np.array(own, np.int64)[order]
        descriptors = generator.choice(values, (len(own), dimension)).astype(dtype)
        features = order, ordered, descriptors, centroids, aggregated
        sign_residuals(*features, sums, places, codes)

        residuals = np.empty((len(own), dimension), number)
        count = sum_residuals(*features, residuals)
        of_entries = np.unique(ordered) if aggregated else ordered
        pack_signs(residuals[:count], of_entries, rows, other_places, other_codes)

        plain = descriptors.tolist(), [[word] for word in own], centroids.tolist()
        for word, signatures in oracle.sign(*plain, aggregated=aggregated).items():
            expected[word] += [oracle.pack(signature) for signature in signatures]
    assert codes.T.tolist() == [row for of_word in expected for row in [*of_word, [nobody] * planes]]
    assert codes.tolist() == other_codes.tolist()
    assert places.tolist() == other_places.tolist() == ends.tolist()


# --- votes ---


@st.composite
def scans(draw: st.DrawFn) -> tuple[Lists, list[int], int, int]:
    """The lists of some words, the words of a query, the planes of signatures and a seed. Some ids are of no
    photo."""
    ids = st.integers(0, PHOTOS - 1) | st.integers(0, PHOTOS - 1) | st.sampled_from([PHOTOS, 65535])
    postings = st.dictionaries(ids, st.integers(1, 4), min_size=1)
    lists = draw(
        st.dictionaries(st.integers(0, 5), postings.map(lambda one: sorted(one.items())), max_size=5)
    )
    query = draw(st.lists(st.integers(0, 6) | st.just(2**32 - 1), max_size=6))
    return dict(sorted(lists.items())), query, draw(st.integers(1, 3)), draw(st.integers(0, 999))


def random_codes(planes: int, count: int, seed: int) -> NDArray[np.uint64]:
    """(planes, count), some of them equal."""
    generator = np.random.default_rng(seed)
    few = generator.integers(0, 2**64, (planes, 4), dtype=np.uint64)
    flips = (generator.random((planes, count)) < 0.3).astype(np.uint64)
    return few.take(generator.integers(0, 4, count), axis=1) ^ flips


def random_table(planes: int, seed: int) -> NDArray[np.float32]:
    """What distances are worth, half of them nothing."""
    values = np.random.default_rng(seed).integers(-8, 9, 64 * planes + 1) / 8
    return np.where(values > 0, values, 0).astype(np.float32)


def offsets_of(counts: Sequence[int]) -> NDArray[np.uint64]:
    return np.concatenate([[0], np.cumsum(np.array(counts, np.int64))]).astype(np.uint64)


class Scan:
    """The arrays of a scan, and the same as lists for the oracle."""

    def __init__(self, case: tuple[Lists, list[int], int, int], single: bool) -> None:
        lists, query, planes, seed = case
        if not single:
            lists = {word: [(photo, 1) for photo, _ in postings] for word, postings in lists.items()}
        entries = [entry for postings in lists.values() for entry in postings]
        self.words = np.array(list(lists), np.uint32)
        self.offsets = offsets_of([len(postings) for postings in lists.values()])
        self.photo_ids = np.array([photo for photo, _ in entries], np.uint16)
        self.frequencies = np.array([count for _, count in entries], np.uint8)
        self.code_offsets = offsets_of([sum(count for _, count in postings) for postings in lists.values()])
        self.codes = random_codes(planes, int(self.frequencies.sum()), seed)
        self.table = random_table(planes, seed)
        self.query_words = np.array(query, np.uint32)
        self.query_codes = random_codes(planes, len(query), seed + 1)
        self.query_weights = np.random.default_rng(seed).random(len(query)).astype(np.float32)
        rows = iter(self.codes.T.tolist())
        self.plain = {
            word: [(min(photo, PHOTOS), [next(rows) for _ in range(count)]) for photo, count in postings]
            for word, postings in lists.items()
        }

    def located(self, offsets: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        starts, ends = np.zeros((2, len(self.query_words)), np.int64)
        words = self.words.tolist()
        locate_lists(self.query_words, *make_slots(words, slots_for(words)), offsets, starts, ends)
        return starts, ends

    def expected(self, burstiness: bool = False) -> list[float]:
        query = zip(self.query_codes.T.tolist(), self.query_weights.tolist(), strict=True)
        lists = [self.plain.get(word, []) for word in self.query_words.tolist()]
        sums = oracle.votes(list(query), lists, self.table.tolist(), burstiness)
        return with_strangers(sums)


def with_strangers(sums: dict[int, float]) -> list[float]:
    """(PHOTOS + 1,), the last one of ids that no photo has."""
    return [sums.get(photo, 0) for photo in range(PHOTOS + 1)]


@given(scans())
def test_votes_are_those_of_the_oracle(case: tuple[Lists, list[int], int, int]) -> None:
    scan, scores = Scan(case, single=False), np.zeros(PHOTOS + 1, np.float32)
    vote_codes(
        *scan.located(scan.offsets),
        tuple(scan.query_codes),
        scan.query_weights,
        scan.table,
        scan.photo_ids,
        tuple(scan.codes),
        np.full(8, 2**64 - 1, np.uint64),
        scores,
    )
    assert scores.tolist() == pytest.approx(scan.expected(), rel=1e-5, abs=1e-6)


@given(scans(), st.booleans())
def test_votes_of_single_features_are_those_of_the_oracle(
    case: tuple[Lists, list[int], int, int], burstiness: bool
) -> None:
    scan, scores = Scan(case, single=True), np.zeros(PHOTOS + 1, np.float32)
    vote_runs(
        *scan.located(scan.offsets),
        scan.located(scan.code_offsets)[0],
        scan.query_codes,
        scan.query_weights,
        scan.table,
        burstiness,
        scan.photo_ids,
        scan.frequencies,
        scan.codes,
        scores,
    )
    assert scores.tolist() == pytest.approx(scan.expected(burstiness), rel=1e-5, abs=1e-6)


def add_selves(scan: Scan, frequencies: NDArray[np.uint8], squares: NDArray[np.float64]) -> bool:
    return bool(
        add_self_similarities(
            scan.words,
            scan.offsets,
            scan.code_offsets,
            scan.photo_ids,
            frequencies,
            scan.codes,
            np.arange(6, dtype=np.float32),
            scan.table,
            squares,
        )
    )


@given(scans())
def test_self_similarities_are_those_of_the_oracle(case: tuple[Lists, list[int], int, int]) -> None:
    scan, squares = Scan(case, single=True), np.zeros(PHOTOS + 1)
    assert add_selves(scan, scan.frequencies, squares)
    sums = oracle.self_votes(scan.plain, range(6), scan.table.tolist())
    assert squares.tolist() == pytest.approx(with_strangers(sums))


@given(scans(), st.integers(0, 50), st.sampled_from([-1, 1, 100]))
def test_frequencies_that_do_not_fit_are_told(
    case: tuple[Lists, list[int], int, int], place: int, change: int
) -> None:
    """Compiled loops would read beyond the signatures."""
    scan = Scan(case, single=True)
    if len(scan.frequencies):
        frequencies = scan.frequencies.copy()
        frequencies[place % len(frequencies)] += np.int8(change)
        assert not add_selves(scan, frequencies, np.zeros(PHOTOS + 1))


# --- votes of lists that are read ahead ---

LENGTHS = [0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 255, 256, 257, 300]
LONGEST = [1023, 1024, 1025, 1100]  # as many as are asked of the memory at a time, and more
FREQUENCIES = [0, 1, 2, 3, 254, 255]


class LongScan:
    """Lists of these lengths, in this order behind each other, and others before and after them, that a
    query asks for in an order of its own. All sums are exact."""

    def __init__(self, lengths: Sequence[int], asked: Sequence[int], planes: int, seed: int) -> None:
        generator = np.random.default_rng(seed)
        self.ends = 3 + np.cumsum(np.array(lengths, np.int64))
        self.starts = self.ends - np.array(lengths, np.int64)
        self.asked = [k % len(lengths) for k in asked] if lengths else []
        count, own = 6 + sum(lengths), slice(0, 3 + sum(lengths))
        ids = np.array([*range(PHOTOS), *range(PHOTOS), PHOTOS, 65535])
        self.photo_ids = generator.choice(ids, count).astype(np.uint16)[own]
        self.frequencies = generator.choice(FREQUENCIES, count).astype(np.uint8)[own]
        self.codes = tuple(plane[own] for plane in random_codes(planes, count, seed))
        self.table = random_table(planes, seed)
        self.query_codes = random_codes(planes, len(self.asked), seed + 1)
        self.weights, self.word_weights = (
            generator.integers(1, 9, (2, len(self.asked))).astype(np.float32) / 8
        )
        self.term_weights = generator.integers(1, 9, 256).astype(np.float32) / 8
        self.scales = np.float32(2) ** generator.integers(-3, 3, PHOTOS + 1).astype(np.float32)
        self.lists = [(int(self.starts[k]), int(self.ends[k])) for k in self.asked]

    @property
    def located(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return self.starts[self.asked], self.ends[self.asked]

    def photo(self, posting: int) -> int:
        return min(int(self.photo_ids[posting]), PHOTOS)

    def with_frequencies(self) -> list[list[tuple[int, int]]]:
        frequencies = self.frequencies.tolist()
        return [[(self.photo(k), frequencies[k]) for k in range(*bounds)] for bounds in self.lists]

    def with_codes(self) -> list[list[tuple[int, list[list[int]]]]]:
        rows = np.array(self.codes).T.tolist()
        return [[(self.photo(k), [rows[k]]) for k in range(*bounds)] for bounds in self.lists]


def long_scans(planes: int) -> st.SearchStrategy[LongScan]:
    lengths = st.lists(st.sampled_from(LENGTHS) | st.integers(0, 70), max_size=6)
    asked = st.lists(st.integers(0, 5), max_size=6)
    return st.builds(LongScan, lengths, asked, st.just(planes), st.integers(0, 999))


def check_codes(scan: LongScan) -> None:
    scores = np.zeros(PHOTOS + 1, np.float32)
    distances = np.full(8, 2**64 - 1, np.uint64)
    tables = scan.weights, scan.table, scan.photo_ids, scan.codes, distances
    vote_codes(*scan.located, tuple(scan.query_codes), *tables, scores)
    query = list(zip(scan.query_codes.T.tolist(), scan.weights.tolist(), strict=True))
    expected = oracle.votes(query, scan.with_codes(), scan.table.tolist(), False)
    assert scores.tolist() == with_strangers(expected)


def check_frequencies(scan: LongScan) -> None:
    scores = np.zeros((2, PHOTOS + 1), np.float32)
    arrays = scan.photo_ids, scan.frequencies, scan.term_weights
    vote(*scan.located, scan.weights, *arrays, scores[0])
    vote_shared(*scan.located, scan.weights, scan.word_weights, *arrays, scan.scales, scores[1])
    lists, term_weights = scan.with_frequencies(), scan.term_weights.tolist()
    product = words_oracle.votes([(w, 1.0) for w in scan.weights.tolist()], lists, term_weights)
    both = list(zip(scan.weights.tolist(), scan.word_weights.tolist(), strict=True))
    lesser = words_oracle.votes(both, lists, term_weights, scan.scales.tolist())
    assert scores.tolist() == [with_strangers(product), with_strangers(lesser)]


@pytest.mark.parametrize("planes", [1, 2, 3])
@given(data=st.data())
def test_votes_of_long_lists_are_those_of_the_oracle(planes: int, data: st.DataObject) -> None:
    """Exactly: nothing is left out, counted twice, or taken from a list's neighbours."""
    check_codes(data.draw(long_scans(planes)))


@given(long_scans(1))
def test_votes_of_words_in_long_lists_are_those_of_the_oracle(scan: LongScan) -> None:
    check_frequencies(scan)


@pytest.mark.parametrize("check", [check_codes, check_frequencies])
@pytest.mark.parametrize("length", LONGEST)
def test_votes_of_lists_longer_than_what_is_read_ahead(
    check: Callable[[LongScan], None], length: int
) -> None:
    """Alone, between short and empty ones, and asked for twice."""
    check(LongScan([length], [0], 2, length))
    check(LongScan([5, 0, length, 0, 33, 0], [0, 1, 2, 3, 4, 5], 2, length))
    check(LongScan([length, 40], [1, 0, 1, 0], 2, length))


@pytest.mark.parametrize("check", [check_codes, check_frequencies])
def test_votes_of_many_short_lists(check: Callable[[LongScan], None]) -> None:
    """More of them than are read ahead, and most of them empty."""
    check(LongScan([1] * 100, range(100), 2, 1))
    check(LongScan([0] * 99 + [9], range(100), 2, 2))
    check(LongScan([3] + [0] * 99, range(100), 2, 3))
    check(LongScan([0] * 50, range(50), 2, 4))


@pytest.mark.parametrize("planes", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 5, 7, 8, 9])
def test_votes_of_fewer_signatures_than_are_counted_at_a_time(planes: int, count: int) -> None:
    """In all, with nothing behind them."""
    for start in range(count + 1):
        scan = LongScan([count], [0], planes, 7)
        scan.photo_ids, scan.codes = scan.photo_ids[3:], tuple(plane[3:] for plane in scan.codes)
        scan.starts, scan.ends = np.array([start]), np.array([count])
        scan.lists = [(start, count)]
        assert len(scan.photo_ids) == len(scan.codes[0]) == count
        check_codes(scan)


def at_the_end(path: Path, array: NDArray[np.generic]) -> NDArray[np.generic]:
    """The array as the last bytes of a file that is mapped: whoever reads further is ended by the system."""
    room = mmap.PAGESIZE * -(-array.nbytes // mmap.PAGESIZE)
    with path.open("w+b") as file:
        file.truncate(room + mmap.PAGESIZE)
        memory = mmap.mmap(file.fileno(), room + mmap.PAGESIZE)
        file.truncate(room)
    values = np.frombuffer(memory, np.uint8)[room - array.nbytes : room].view(array.dtype)
    values = values.reshape(array.shape)
    values[...] = array
    return values


@pytest.mark.parametrize("count", [1, 7, 8, 9, 15, 33, 300])
def test_nothing_is_read_beyond_the_postings(count: int, tmp_path: Path) -> None:
    scan = LongScan([count], [0, 0], 2, count)
    scan.photo_ids = at_the_end(tmp_path / "photo_ids", scan.photo_ids[3:])
    scan.frequencies = at_the_end(tmp_path / "frequencies", scan.frequencies[3:])
    scan.codes = tuple(at_the_end(tmp_path / "codes", plane[3:]) for plane in scan.codes)
    for start in range(max(0, count - 9), count):
        scan.starts, scan.ends, scan.lists = np.array([start]), np.array([count]), [(start, count)] * 2
        check_codes(scan)
        check_frequencies(scan)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("dimension", [8, 64, 72, 128])
def test_nothing_is_read_beyond_the_descriptors(dtype: str, dimension: int, tmp_path: Path) -> None:
    generator = np.random.default_rng(dimension)
    values = generator.integers(0, 256, (2, 3, dimension)).astype(dtype)
    descriptors, centroids = (at_the_end(tmp_path / "values", of_all) for of_all in values)
    planes, order = -(-dimension // 64), np.arange(3)
    sums = np.zeros((2, 64 * planes), np.int32 if dtype == "uint8" else np.float32)
    codes = np.zeros((planes, 3), np.uint64)
    sign_residuals(order, order, descriptors, centroids, True, sums, order.copy(), codes)
    signed = oracle.sign(descriptors.tolist(), [[0], [1], [2]], centroids.tolist())
    assert codes.T.tolist() == [oracle.pack(row) for (row,) in signed.values()]


@given(long_scans(1), st.integers(0, 9))
def test_weights_of_ids_that_no_photo_has_are_apart(scan: LongScan, first: int) -> None:
    words = np.arange(first, first + len(scan.starts), dtype=np.uint32)
    offsets = np.append(scan.starts, scan.ends[-1:]).astype(np.uint64)
    sums, word_weights = np.zeros(PHOTOS + 1), np.arange(20) / 4
    of_terms = scan.term_weights.astype(np.float64)
    add_weights(words, offsets, scan.photo_ids, scan.frequencies, word_weights, of_terms, sums)
    scan.lists = list(zip(scan.starts.tolist(), scan.ends.tolist(), strict=True))
    weights = [(float(word_weights[word]), 1.0) for word in words]
    assert sums.tolist() == with_strangers(
        words_oracle.votes(weights, scan.with_frequencies(), of_terms.tolist())
    )


# --- the instructions ---


def scores(kind: str, dimension: int = 128) -> NDArray[np.float32]:
    """Of 50 photos of many features, with the last of them."""
    space, generator = Space(dimension), np.random.default_rng(0)
    photos = [generator.integers(0, 12, 30).tolist() for _ in range(50)]
    collection = make_signed_collection(photos, space, KINDS[kind])
    scorer = AsmkScorer(collection, space.encoder(KINDS[kind]), AsmkOptions())
    query = scorer.query(space.describe(photos[-1], 49), np.array(photos[-1], np.int32)[:, None])
    return scorer.score(query, 0)


@cache
def assembly_of_vote_codes() -> str:
    return fresh_assembly(vote_codes.py_func, lambda: scores("asmk*"), "handcraft.index.asmk.vote_codes")


@only_x86
def test_eight_distances_are_counted_at_a_time() -> None:
    assembly = assembly_of_vote_codes()
    if host_has("avx512vpopcntdq"):
        assert re.search(r"\bvpopcntq\b.*%zmm", assembly)
    else:
        assert re.search(r"\bpopcnt|%[xyz]mm", assembly)


@only_x86
def test_the_memory_is_asked_before_lists_are_read() -> None:
    words_alone = make_collection_in_pieces([[1, 2], [2]])
    for assembly in (
        assembly_of_vote_codes(),
        fresh_assembly(vote.py_func, lambda: scores_of(words_alone, [2])(0), "handcraft.index.bow.vote"),
    ):
        assert re.search(r"\bprefetch", assembly)


PLAIN_PROCESSOR = """
import re
from handcraft.index import _kernels
from index.test_index_kernels import digests
print(*digests())
kernels = _kernels.vote_codes, _kernels.vote_runs
print(any(re.search("popcnt|%[yz]mm", text) for kernel in kernels for text in kernel.inspect_asm().values()))
"""


def digests() -> list[str]:
    return [hashlib.sha256(scores(kind).tobytes()).hexdigest() for kind in ("asmk*", "smk*")]


def test_a_processor_without_special_instructions_gives_the_same_bits(tmp_path: Path) -> None:
    assert run_on_a_plain_processor(PLAIN_PROCESSOR, tmp_path) == [*digests(), "False"]
