"""The loops of signatures against plain Python, and the instructions that they are compiled to."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import numba
import numpy as np
import pytest
from assembly import fresh_assembly, host_has, only_x86, run_on_a_plain_processor
from hypothesis import example, given
from hypothesis import strategies as st
from index.signed import KINDS, Space, make_signed_collection
from numpy.typing import NDArray
from oracles import asmk as oracle

from handcraft.index._kernels import (
    add_self_similarities,
    count_ones,
    locate_lists,
    pack_signs,
    sum_residuals,
    vote_codes,
    vote_runs,
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


@given(
    st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 9), max_size=12).map(sorted),
    st.dictionaries(st.integers(0, 2**32 - 1) | st.integers(0, 9), st.integers(0, 3), max_size=12),
)
def test_lists_are_those_of_the_oracle(query: list[int], sizes: dict[int, int]) -> None:
    words = sorted(sizes)
    offsets = np.cumsum([0, *(sizes[word] for word in words)])
    starts, ends = np.full((2, len(query)), -1, np.int64)
    arrays = np.array(query, np.uint32), np.array(words, np.uint32), offsets.astype(np.uint64)
    locate_lists(*arrays, starts, ends)
    found = list(zip(starts.tolist(), ends.tolist(), strict=True))
    assert found == oracle.locate(query, words, offsets.tolist())


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


@given(st.integers(0, 4), st.integers(1, 200), st.integers(0, 99), st.sampled_from(["int32", "float32"]))
def test_signs_are_those_of_the_oracle(count: int, bits: int, seed: int, dtype: str) -> None:
    values = np.random.default_rng(seed).integers(-1, 2, (count, bits)).astype(dtype)
    codes = np.full((-(-bits // 64), count), 2**64 - 1, np.uint64)
    pack_signs(values, codes)
    assert codes.T.tolist() == [oracle.pack(oracle.signs(row)) for row in values.tolist()]


# --- votes ---


@st.composite
def scans(draw: st.DrawFn) -> tuple[Lists, list[int], int, int]:
    """The lists of some words, the words of a query, the planes of signatures and a seed."""
    postings = st.dictionaries(st.integers(0, PHOTOS - 1), st.integers(1, 4), min_size=1)
    lists = draw(
        st.dictionaries(st.integers(0, 5), postings.map(lambda one: sorted(one.items())), max_size=5)
    )
    query = draw(st.lists(st.integers(0, 6), max_size=6).map(sorted))
    return dict(sorted(lists.items())), query, draw(st.integers(1, 3)), draw(st.integers(0, 999))


def random_codes(planes: int, count: int, seed: int) -> NDArray[np.uint64]:
    """(planes, count), some of them equal."""
    generator = np.random.default_rng(seed)
    few = generator.integers(0, 2**64, (planes, 4), dtype=np.uint64)
    return few[:, generator.integers(0, 4, count)] ^ (generator.random((planes, count)) < 0.3).astype(
        np.uint64
    )


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
            word: [(photo, [next(rows) for _ in range(count)]) for photo, count in postings]
            for word, postings in lists.items()
        }

    def located(self, offsets: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        starts, ends = np.zeros((2, len(self.query_words)), np.int64)
        locate_lists(self.query_words, self.words, offsets, starts, ends)
        return starts, ends

    def expected(self, burstiness: bool = False) -> list[float]:
        query = zip(self.query_codes.T.tolist(), self.query_weights.tolist(), strict=True)
        lists = [self.plain.get(word, []) for word in self.query_words.tolist()]
        sums = oracle.votes(list(query), lists, self.table.tolist(), burstiness)
        return [sums.get(photo, 0) for photo in range(PHOTOS)]


@given(scans(), st.integers(1, 9))
def test_votes_are_those_of_the_oracle(case: tuple[Lists, list[int], int, int], block: int) -> None:
    scan, scores = Scan(case, single=False), np.zeros(PHOTOS, np.float32)
    vote_codes(
        *scan.located(scan.offsets),
        scan.query_codes,
        scan.query_weights,
        scan.table,
        scan.photo_ids,
        scan.codes,
        np.empty(block, np.uint16),
        scores,
    )
    assert scores.tolist() == pytest.approx(scan.expected(), rel=1e-5, abs=1e-6)


@given(scans(), st.booleans())
def test_votes_of_single_features_are_those_of_the_oracle(
    case: tuple[Lists, list[int], int, int], burstiness: bool
) -> None:
    scan, scores = Scan(case, single=True), np.zeros(PHOTOS, np.float32)
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
    scan, squares = Scan(case, single=True), np.zeros(PHOTOS)
    assert add_selves(scan, scan.frequencies, squares)
    sums = oracle.self_votes(scan.plain, range(6), scan.table.tolist())
    assert squares.tolist() == pytest.approx([sums.get(photo, 0) for photo in range(PHOTOS)])


@given(scans(), st.integers(0, 50), st.sampled_from([-1, 1, 100]))
def test_frequencies_that_do_not_fit_are_told(
    case: tuple[Lists, list[int], int, int], place: int, change: int
) -> None:
    """Compiled loops would read beyond the signatures."""
    scan = Scan(case, single=True)
    if len(scan.frequencies):
        frequencies = scan.frequencies.copy()
        frequencies[place % len(frequencies)] += np.int8(change)
        assert not add_selves(scan, frequencies, np.zeros(PHOTOS))


# --- the instructions ---


def scores(kind: str, dimension: int = 128) -> NDArray[np.float32]:
    """Of 50 photos of many features, with the last of them."""
    space, generator = Space(dimension), np.random.default_rng(0)
    photos = [generator.integers(0, 12, 30).tolist() for _ in range(50)]
    collection = make_signed_collection(photos, space, KINDS[kind])
    scorer = AsmkScorer(collection, space.encoder(KINDS[kind]), AsmkOptions())
    query = scorer.query(space.describe(photos[-1], 49), np.array(photos[-1], np.int32)[:, None])
    return scorer.score(query, 0)


@only_x86
def test_several_distances_are_counted_at_a_time() -> None:
    assembly = fresh_assembly(vote_codes.py_func, lambda: scores("asmk*"), "handcraft.index.asmk.vote_codes")
    if host_has("avx512vpopcntdq"):
        assert re.search(r"\bvpopcntq\b.*%[yz]mm", assembly)
    else:
        assert re.search(r"\bpopcnt|%[xyz]mm", assembly)


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
