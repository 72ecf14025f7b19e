"""The hot loops against plain Python, and the instructions that they are compiled to."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from assembly import fresh_assembly, host_has, only_x86, run_on_a_plain_processor
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from oracles import vocabulary as oracle

from handcraft.types import Fingerprint
from handcraft.vocabulary._kernels import (
    add_points,
    assign_points,
    choose_starts,
    descend_level,
    draw,
    hash_rows,
    keep_nearest,
    order_by_node,
)
from handcraft.vocabulary.assignment import assign
from handcraft.vocabulary.kmeans import kmeans
from handcraft.vocabulary.panels import Panels, centring, to_rows
from handcraft.vocabulary.tree import Training, VocabularyTree

Values = int | Sequence[int]

DTYPES = st.sampled_from(["uint8", "float32"])
# Whole numbers, exact in either type; few of them give ties, large ones overflow what is too narrow.
VALUES = st.sampled_from([range(2), range(256), (0, 255)])


def some(
    count: int, dimension: int, dtype: str, values: Values = 256, *, seed: int = 0
) -> NDArray[np.generic]:
    return np.random.default_rng(seed).choice(values, (count, dimension)).astype(dtype)


def plain(rows: NDArray[np.generic]) -> list[list[int]]:
    return [[int(value) for value in row] for row in rows]


# --- assign_points ---


def nearest(
    points: NDArray[np.generic], centroids: NDArray[np.generic], block: int
) -> tuple[list[int], list[float]]:
    """What assign_points gives: labels and squared distances."""
    panels = Panels.of(centroids)
    labels, costs = np.full(len(points), -1, np.int32), np.zeros(len(points), panels.norms.dtype)
    tile, best = np.empty((4, 64), costs.dtype), np.empty((block, 16), costs.dtype)
    best_panels = np.empty((block, 16), np.int32)
    assign_points(to_rows(points), panels.values, panels.norms, tile, best, best_panels, labels, costs)
    return labels.tolist(), (costs + centring(points)).tolist()


@settings(max_examples=150)
@given(
    points=st.integers(1, 21),
    centroids=st.integers(1, 20) | st.sampled_from([48, 63, 64, 65, 100, 128, 150]),
    dimension=st.integers(1, 6),
    dtype=DTYPES,
    values=VALUES,
    block=st.sampled_from([4, 8, 256]),
    seed=st.integers(0, 99),
)
def test_points_go_to_their_nearest_centroid_and_the_lowest_of_several(
    points: int, centroids: int, dimension: int, dtype: str, values: Values, block: int, seed: int
) -> None:
    rows = some(points, dimension, dtype, values, seed=seed)
    middles = some(centroids, dimension, dtype, values, seed=seed + 1)
    assert nearest(rows, middles, block) == oracle.assign(plain(rows), plain(middles))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("first", [0, 1, 15, 16, 17, 63, 64, 99])
def test_the_lowest_of_equal_centroids_is_taken_wherever_it_lies(first: int, dtype: str) -> None:
    centroids = np.full((100, 5), 9, dtype)
    centroids[:first] = 200
    labels, distances = nearest(np.full((7, 5), 8, dtype), centroids, 4)
    assert (labels, distances) == ([first] * 7, [5.0] * 7)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_the_sums_and_counts_of_clusters_are_added_to(dtype: str) -> None:
    points = some(50, 3, dtype)
    labels = np.arange(50, dtype=np.int32) % 4
    sums, counts = np.ones((4, 3), np.int32 if dtype == "uint8" else np.float64), np.full(4, 7)
    add_points(points, labels, sums, counts)
    assert sums.tolist() == [
        [1 + int(column.sum()) for column in points[i::4].astype(int).T] for i in range(4)
    ]
    assert counts.tolist() == [7 + 13, 7 + 13, 7 + 12, 7 + 12]


# --- descending ---


@given(
    entries=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 4)), max_size=40, unique_by=lambda e: e[0]),
    width=st.integers(1, 8),
)
def test_the_nearest_so_far_are_kept_in_order(entries: list[tuple[int, int]], width: int) -> None:
    nodes, costs, size = np.zeros(width, np.int32), np.zeros(width, np.int32), 0
    for node, cost in entries:
        size = keep_nearest(node, cost, nodes, costs, size)
    wanted = sorted((cost, node) for node, cost in entries)[:width]
    assert list(zip(costs[:size].tolist(), nodes[:size].tolist(), strict=True)) == wanted


@given(lists=st.lists(st.lists(st.integers(0, 12), max_size=5), min_size=1, max_size=12))
def test_entries_are_ordered_by_their_nodes(lists: list[list[int]]) -> None:
    sizes = np.array([len(entries) for entries in lists])
    nodes = np.full((len(lists), 5), 99, np.int32)  # what lies beyond a list's size does not count
    for row, entries in zip(nodes, lists, strict=True):
        row[: len(entries)] = entries
    order = np.full(sizes.sum(), -1)
    last = max((node for entries in lists for node in entries), default=0)
    order_by_node(nodes, sizes, np.zeros(last + 2, np.int64), order)
    assert nodes.ravel()[order].tolist() == sorted(node for entries in lists for node in entries)
    assert sorted(order) == [5 * i + entry for i in range(len(lists)) for entry in range(sizes[i])]


# --- the start of k-means ---


@given(
    weights=st.lists(st.integers(0, 5), min_size=1, max_size=20).filter(any),
    unit=st.sampled_from([1.0, 0.1, 1e-30]),
    uniform=st.floats(0, 1, exclude_max=True) | st.sampled_from([0.0, 0.5, 0.99, 1 - 2**-53]),
    beyond=st.sampled_from([1.0, 1.5]),
)
def test_a_place_without_weight_is_never_drawn(
    weights: list[int], unit: float, uniform: float, beyond: float
) -> None:
    # A total beyond the sum stands for one that was summed with other errors.
    choice = draw(np.array([weights]).ravel() * unit, len(weights), uniform, beyond * sum(weights) * unit)
    assert weights[choice] > 0
    if (unit, beyond) == (1.0, 1.0):
        assert choice == oracle.draw(weights, uniform)


def test_only_the_first_weights_are_drawn_from() -> None:
    assert draw(np.array([1.0, 1.0, 100.0]), 2, 0.99, 2.0) == 1


def choose(points: NDArray[np.generic], uniforms: NDArray[np.float64]) -> list[int]:
    """The places that choose_starts gives."""
    panels = Panels.of(points)
    tile, work = np.empty((1, 64), panels.norms.dtype), np.empty((3, len(panels.norms)))
    chosen = np.full(len(uniforms), -1)
    arrays = (to_rows(points), panels.values, panels.norms, centring(points))
    found = choose_starts(*arrays, uniforms, tile, work, chosen)
    return chosen[:found].tolist()


@settings(max_examples=60)
@given(
    points=st.integers(1, 12) | st.sampled_from([15, 17, 63, 64, 65, 90]),
    clusters=st.integers(1, 8),
    candidates=st.integers(1, 4),
    values=VALUES,
    dtype=DTYPES,
    seed=st.integers(0, 99),
)
def test_starts_are_drawn_by_distance_and_the_best_candidate_is_taken(
    points: int, clusters: int, candidates: int, values: Values, dtype: str, seed: int
) -> None:
    rows = some(points, 3, dtype, values, seed=seed)
    uniforms = np.random.default_rng(seed).random((clusters, candidates))
    chosen = choose(rows, uniforms)
    assert chosen == oracle.starts(plain(rows), uniforms.tolist())
    distinct = len(np.unique(rows, axis=0))
    assert len(np.unique(rows[chosen], axis=0)) == len(chosen) == min(clusters, distinct)


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2**-53])
def test_no_point_is_chosen_twice_at_either_end_of_the_draw(uniform: float) -> None:
    rows = some(200, 2, "uint8", range(3))
    chosen = choose(rows, np.full((20, 3), uniform))
    assert len(np.unique(rows[chosen], axis=0)) == len(chosen) == 9


# --- hashes ---


def hashes(rows: NDArray[np.uint64], seed: int = 0) -> NDArray[np.uint64]:
    out = np.zeros(len(rows), np.uint64)
    hash_rows(rows, np.uint64(seed), out)
    return out


def test_different_rows_have_different_hashes() -> None:
    counted = np.zeros((30_000, 3), np.uint64)
    counted[:10_000, 0] = counted[10_000:20_000, 1] = counted[20_000:, 2] = np.arange(1, 10_001)
    assert len(np.unique(hashes(counted))) == 30_000
    assert len(np.unique(hashes(np.ascontiguousarray(counted[::-1])))) == 30_000


def test_equal_rows_have_equal_hashes_wherever_they_are() -> None:
    rows = np.random.default_rng(0).integers(0, 1 << 60, (50, 4), dtype=np.uint64)
    first, again = hashes(rows), hashes(np.concatenate([rows[::-1], rows]))
    assert first.tolist() == again[50:].tolist() == again[49::-1].tolist()


def test_a_hash_depends_on_the_seed() -> None:
    rows = np.arange(3000, dtype=np.uint64)[:, None]
    first, other = hashes(rows, 0x0123456789ABCDEF), hashes(rows, 0x0FEDCBA987654321)
    assert not set(first.tolist()) & set(other.tolist())
    assert np.argsort(first).tolist() != np.argsort(other).tolist()


def test_each_bit_of_a_row_changes_half_of_its_hash() -> None:
    rows = np.random.default_rng(0).integers(0, 1 << 63, (200, 2), dtype=np.uint64)
    for place, bit in ((0, 0), (0, 63), (1, 0), (1, 31), (1, 63)):
        changed = rows.copy()
        changed[:, place] ^= np.uint64(1 << bit)
        differing = (hashes(rows) ^ hashes(changed))[:, None].view(np.uint8)
        assert 31 < np.unpackbits(differing).sum() / 200 < 33


# --- the instructions ---


def descend(dtype: str) -> None:
    centroids = some(90, 8, dtype)
    counts = np.array([89] + [0] * 89, np.uint32)
    tree = VocabularyTree.of(centroids, counts, Fingerprint("test", 8, dtype), Training("", 1, 1, 0.0))
    assign(centroids, tree)


def cluster(dtype: str) -> None:
    points = some(90, 8, dtype)
    kmeans(points, 70, generator=np.random.default_rng(0), iterations=0, tolerance=0.0, start=points[:70])


KERNELS = [
    pytest.param(descend_level, descend, "handcraft.vocabulary.assignment.descend_level", id="descend_level"),
    pytest.param(assign_points, cluster, "handcraft.vocabulary.kmeans.assign_points", id="assign_points"),
]


@only_x86
@pytest.mark.parametrize(("kernel", "call", "module"), KERNELS)
def test_bytes_are_multiplied_in_vectors(kernel: Any, call: Callable[[str], None], module: str) -> None:
    assembly = fresh_assembly(kernel.py_func, lambda: call("uint8"), module)
    if host_has("avx512vnni"):
        assert re.search(r"\bvpdpbusd\b.*%zmm", assembly)
        assert not re.search(r"\bv?pmulld\b", assembly)
    else:
        assert re.search(r"\bv?(pmaddwd|pmulld|pmullw)\b.*%[xyz]mm", assembly)


@only_x86
@pytest.mark.parametrize(("kernel", "call", "module"), KERNELS)
def test_floats_are_multiplied_in_vectors_and_rounded(
    kernel: Any, call: Callable[[str], None], module: str
) -> None:
    assembly = fresh_assembly(kernel.py_func, lambda: call("float32"), module)
    assert re.search(r"\bv?mulps\b.*%" + ("zmm" if host_has("avx512f") else "[xy]mm"), assembly)
    assert "vfmadd" not in assembly


def results(dtype: str) -> str:
    """A digest of what the kernels make of some descriptors, compared with brute force before."""
    generator = np.random.default_rng(0)
    centroids, points = (generator.integers(0, 256, (n, 37)).astype(dtype) for n in (141, 50))
    if dtype == "float32":
        centroids, points = (generator.normal(size=a.shape).astype(dtype) for a in (centroids, points))
    counts = np.array([140] + [0] * 140, np.uint32)
    tree = VocabularyTree.of(centroids, counts, Fingerprint("test", 37, dtype), Training("", 1, 1, 0.0))
    assignment = assign(points, tree, nearest=3)
    clustering = kmeans(points, 7, generator=generator, iterations=0, tolerance=0.0, start=centroids[1:])
    exact = ((points[:, None].astype(float) - centroids[1:].astype(float)) ** 2).sum(2)
    np.testing.assert_array_equal(assignment.words, exact.argsort(1, kind="stable")[:, :3])
    np.testing.assert_array_equal(clustering.labels, exact.argmin(1))
    np.testing.assert_allclose(assignment.distances, np.sort(exact)[:, :3], 0 if dtype == "uint8" else 1e-4)
    bits = [assignment.distances, clustering.distances]
    return hashlib.sha256(b"".join(array.tobytes() for array in bits)).hexdigest()


PLAIN_PROCESSOR = """
import re
from handcraft.vocabulary import _kernels
from vocabulary.test_kernels import results
digests = results("uint8"), results("float32")
kernels = _kernels.descend_level, _kernels.assign_points
texts = [text for kernel in kernels for text in kernel.inspect_asm().values()]
assert len(texts) == 4 and all(len(text) > 10_000 for text in texts)
print(*digests, any(re.search("vpdpbusd|%[yz]mm", text) for text in texts))
"""


def test_a_processor_without_special_instructions_gives_the_same_bits(tmp_path: Path) -> None:
    found = run_on_a_plain_processor(PLAIN_PROCESSOR, tmp_path)
    assert found == [results("uint8"), results("float32"), "False"]
