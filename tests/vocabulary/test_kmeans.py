"""k-means against Lloyd's algorithm in plain Python, and its bits at any number of threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from oracles import vocabulary as oracle
from threadpoolctl import threadpool_limits

from handcraft.vocabulary import kmeans as module
from handcraft.vocabulary.kmeans import Clustering, Map, kmeans

MakeDescriptors = Callable[..., NDArray[np.generic]]


def cluster(
    points: NDArray[np.generic],
    clusters: int,
    *,
    seed: int = 0,
    iterations: int = 20,
    tolerance: float = 0.0,
    start: NDArray[np.generic] | None = None,
    over_chunks: Map = map,
    on_pass: Callable[[], None] | None = None,
) -> Clustering:
    return kmeans(
        points,
        clusters,
        generator=np.random.default_rng(seed),
        iterations=iterations,
        tolerance=tolerance,
        start=start,
        over_chunks=over_chunks,
        on_pass=on_pass,
    )


def start(points: NDArray[np.generic], clusters: int, *, seed: int = 0) -> NDArray[np.generic]:
    """The centroids before the first pass."""
    return cluster(points, clusters, seed=seed, iterations=0).centroids


def as_bytes(clustering: Clustering) -> tuple[bytes, bytes, bytes]:
    return clustering.centroids.tobytes(), clustering.labels.tobytes(), clustering.distances.tobytes()


def plain(rows: NDArray[np.generic]) -> list[list[int]]:
    return [[int(value) for value in row] for row in rows]


def groups(*sizes: int, dimension: int = 8, seed: int = 0) -> NDArray[np.uint8]:
    """So many distinct points a group, shuffled; the groups are far from each other."""
    generator = np.random.default_rng(seed)
    middles = generator.permutation(np.arange(len(sizes)))[:, None] * (230 // len(sizes)) + 10
    members = [
        np.unique(middle + generator.integers(-6, 7, (8 * size, dimension)), axis=0)
        for middle, size in zip(middles, sizes, strict=True)
    ]
    chosen = [generator.permutation(m)[:size] for m, size in zip(members, sizes, strict=True)]
    return generator.permutation(np.concatenate(chosen)).astype(np.uint8)


# --- against the oracle ---


@pytest.mark.parametrize("tolerance", [0.0, 0.01, 0.2])
@pytest.mark.parametrize("iterations", [1, 2, 5, 30])
@pytest.mark.parametrize("seed", [0, 1])
def test_lloyds_passes(seed: int, iterations: int, tolerance: float, distinct: MakeDescriptors) -> None:
    points = distinct(150, 4, seed=seed)
    clustering = cluster(points, 7, seed=seed, iterations=iterations, tolerance=tolerance)
    centroids = plain(start(points, 7, seed=seed))
    assert all(centroid in plain(points) for centroid in centroids)
    assert plain(clustering.centroids) == oracle.lloyd(plain(points), centroids, iterations, tolerance)


@settings(max_examples=60)
@given(
    points=arrays(np.uint8, st.tuples(st.integers(30, 60), st.just(2)), elements=st.integers(0, 9)),
    clusters=st.integers(2, 3),
    seed=st.integers(0, 9),
)
def test_lloyds_passes_with_ties(points: NDArray[np.uint8], clusters: int, seed: int) -> None:
    if len(np.unique(points, axis=0)) <= clusters:
        return
    clustering = cluster(points, clusters, seed=seed, iterations=8)
    wanted = oracle.lloyd(plain(points), plain(start(points, clusters, seed=seed)), 8, 0.0)
    assert plain(clustering.centroids) == wanted


@settings(max_examples=60)
@given(
    points=arrays(np.uint8, st.tuples(st.integers(1, 40), st.just(3)), elements=st.integers(0, 5)),
    clusters=st.integers(1, 12),
)
def test_labels_are_the_nearest_and_distances_theirs(points: NDArray[np.uint8], clusters: int) -> None:
    clustering = cluster(points, clusters)
    labels, distances = oracle.assign(plain(points), plain(clustering.centroids))
    assert clustering.labels.tolist() == labels
    assert clustering.distances.tolist() == distances
    assert clustering.labels.dtype == np.int32
    assert clustering.distances.dtype == np.float32
    assert clustering.centroids.dtype == np.uint8


def test_a_finished_clustering_is_a_fixed_point(distinct: MakeDescriptors) -> None:
    points = distinct(400, 4)
    clustering = cluster(points, 10, iterations=200)
    for label, centroid in enumerate(clustering.centroids):
        members = points[clustering.labels == label].astype(float)
        np.testing.assert_array_equal(centroid, np.rint(members.mean(0)))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_distortion_falls(dtype: str, distinct: MakeDescriptors) -> None:
    points = distinct(500, 6, dtype=dtype)
    distortions = [float(cluster(points, 12, iterations=n).distances.mean()) for n in range(10)]
    assert all(after <= before * (1 + 1e-6) for before, after in pairwise(distortions))
    assert distortions[-1] < 0.9 * distortions[0]


def test_many_points_are_handled_like_few(distinct: MakeDescriptors) -> None:
    points = distinct(20_000, 8)
    clustering = cluster(points, 5, iterations=3)
    exact = points.astype(int)
    to_each = ((exact[:, None] - clustering.centroids.astype(int)) ** 2).sum(2)
    np.testing.assert_array_equal(clustering.labels, to_each.argmin(1))
    np.testing.assert_array_equal(clustering.distances, to_each.min(1))
    before = cluster(points, 5, iterations=2)
    for label in range(5):
        members = exact[before.labels == label]
        np.testing.assert_array_equal(clustering.centroids[label], np.rint(members.mean(0)))


# --- the start ---


@pytest.mark.parametrize("seed", range(10))
def test_the_start_spreads_out(seed: int) -> None:
    group = np.array([0] * 100 + [1, 2, 3, 4, 5] * 10)  # six points at random are mostly of group 0
    points = (38 * group[:, None] + 10) * np.ones((1, 8), int)
    points[:, 0] += np.random.default_rng(0).integers(-1, 2, 150)
    centroids = start(points.astype(np.uint8), 6, seed=seed)
    assert {tuple(c) for c in plain(centroids)} <= {tuple(p) for p in plain(points)}
    assert sorted(centroids[:, 1] // 38) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("seed", range(10))
def test_far_groups_are_found(seed: int) -> None:
    points = groups(200, 40, 30, 20, seed=seed)
    clustering = cluster(points, 4, seed=seed)
    assert sorted(np.bincount(clustering.labels)) == [20, 30, 40, 200]


def test_start_points_are_distinct_while_there_are_any() -> None:
    several = np.repeat(np.arange(12, dtype=np.uint8), 50)[:, None] * np.ones((1, 3), np.uint8)
    points = np.random.default_rng(0).permutation(several)
    for seed in range(5):
        assert len(np.unique(start(points, 11, seed=seed), axis=0)) == 11


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_another_start_may_be_given(dtype: str, distinct: MakeDescriptors) -> None:
    points, given_start = distinct(150, 4, dtype=dtype), distinct(7, 4, dtype=dtype, seed=9)
    given_start.flags.writeable = False
    before = given_start.tobytes()
    unmoved = cluster(points, 7, start=given_start, iterations=0)
    np.testing.assert_array_equal(unmoved.centroids, given_start)
    assert not np.shares_memory(unmoved.centroids, given_start)
    moved = [cluster(points, 7, start=given_start, seed=seed) for seed in (0, 1)]
    assert as_bytes(moved[0]) == as_bytes(moved[1])  # nothing is drawn
    assert given_start.tobytes() == before
    if dtype == "uint8":
        assert plain(moved[0].centroids) == oracle.lloyd(plain(points), plain(given_start), 20, 0.0)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_start_that_is_too_small_is_filled_up(dtype: str, distinct: MakeDescriptors) -> None:
    points = distinct(150, 4, dtype=dtype)
    clustering = cluster(points, 20, start=points[:3])
    assert len(clustering.centroids) == 20
    assert np.bincount(clustering.labels, minlength=20).all()


def test_a_start_of_equal_centroids_spreads_out(distinct: MakeDescriptors) -> None:
    points = distinct(150, 4)
    clustering = cluster(points, 12, start=points[:1].repeat(12, axis=0))
    assert np.bincount(clustering.labels, minlength=12).all()


@pytest.mark.parametrize("iterations", [0, 1, 4])
def test_each_pass_is_told(iterations: int, distinct: MakeDescriptors) -> None:
    passes: list[int] = []
    points = distinct(500, 6)
    cluster(points, 12, iterations=iterations, tolerance=-1.0, on_pass=lambda: passes.append(1))
    assert len(passes) == iterations + 1


def test_passes_end_when_nothing_changes(distinct: MakeDescriptors) -> None:
    passes: list[int] = []
    points = distinct(500, 6)
    clustering = cluster(points, 12, iterations=500, on_pass=lambda: passes.append(1))
    assert 2 < len(passes) < 100
    again = cluster(points, 12, iterations=len(passes) - 1)
    assert as_bytes(clustering) == as_bytes(again)
    assert as_bytes(clustering) == as_bytes(cluster(points, 12, iterations=len(passes) - 2))


def test_another_seed_is_another_clustering(distinct: MakeDescriptors) -> None:
    points = distinct(2000, 8)
    first, again, other = (cluster(points, 20, seed=seed).centroids.tobytes() for seed in (0, 0, 1))
    assert first == again != other


# --- few distinct points ---


@pytest.mark.parametrize("copies", [1, 3, 100])
@pytest.mark.parametrize("clusters", [5, 6, 20])
def test_no_more_distinct_points_than_clusters(clusters: int, copies: int, distinct: MakeDescriptors) -> None:
    few = distinct(5, 4)
    clustering = cluster(np.tile(few, (copies, 1)), clusters)
    assert sorted(plain(clustering.centroids)) == sorted(plain(few))
    assert (clustering.distances == 0).all()


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("count", [1, 2, 30, 1000])
def test_all_points_equal(count: int, dtype: str) -> None:
    clustering = cluster(np.full((count, 4), 7, dtype), 3)
    np.testing.assert_array_equal(clustering.centroids, [[7] * 4])
    assert (clustering.labels == 0).all()
    assert (clustering.distances == 0).all()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("distinct_points", [1, 5])
def test_few_distinct_points_whose_distances_are_rounded(distinct_points: int, seed: int) -> None:
    few = np.random.default_rng(seed).normal(size=(distinct_points, 128)).astype(np.float32)
    clustering = cluster(np.tile(few, (30, 1)), 6)
    np.testing.assert_array_equal(np.unique(clustering.centroids, axis=0), np.unique(few, axis=0))
    assert len(clustering.centroids) == distinct_points
    assert np.bincount(clustering.labels).tolist() == [30] * distinct_points


def test_one_cluster_is_the_mean(distinct: MakeDescriptors) -> None:
    points = distinct(200, 4)
    np.testing.assert_array_equal(cluster(points, 1).centroids[0], np.rint(points.astype(float).mean(0)))


def test_as_many_clusters_as_points(distinct: MakeDescriptors) -> None:
    points = distinct(50, 4)
    clustering = cluster(points, 50)
    assert sorted(plain(clustering.centroids)) == sorted(plain(points))
    assert sorted(clustering.labels) == list(range(50))


def test_an_empty_cluster_restarts_at_the_worst_served_point() -> None:
    # Of 1000 equal points the start's sample hardly sees the three rare ones, so that its centroids
    # are equal; the clusters that stay empty must find the rare ones, the farthest first.
    for seed in range(10):
        points = np.full((1003, 2), 100, np.uint8)
        points[[300, 500, 700]] = [[0, 2], [250, 250], [0, 0]]
        clustering = cluster(points, 3, seed=seed)
        assert sorted(plain(clustering.centroids)) == [[0, 1], [100, 100], [250, 250]]
        assert clustering.distances.sum() == 2


@settings(max_examples=100)
@given(data=st.data(), clusters=st.integers(2, 15), copies=st.sampled_from([10, 300, 3000]))
def test_lopsided_points_leave_no_cluster_empty(data: st.DataObject, clusters: int, copies: int) -> None:
    dtype = data.draw(st.sampled_from(["uint8", "float32"]))
    generator = np.random.default_rng(data.draw(st.integers(0, 999)))
    rare = generator.integers(0, data.draw(st.sampled_from([5, 30, 256])), (60, 3))
    points = generator.permutation(np.concatenate([np.full((copies, 3), 7), rare])).astype(dtype)
    clustering = cluster(points, clusters, seed=data.draw(st.integers(0, 9)))
    assert len(clustering.centroids) == min(clusters, len(np.unique(points, axis=0)))
    assert np.bincount(clustering.labels, minlength=len(clustering.centroids)).all()


@pytest.mark.parametrize("tolerance", [0.0, 0.99])  # an empty cluster is worth another pass
def test_equal_points_that_are_worst_served_do_not_share_the_empty_clusters(tolerance: float) -> None:
    points = np.full((1003, 2), 100, np.uint8)
    points[[300, 500, 700]] = [[250, 250], [250, 250], [0, 0]]
    clustering = cluster(points, 3, start=np.full((3, 2), 100, np.uint8), tolerance=tolerance)
    assert sorted(plain(clustering.centroids)) == [[0, 0], [100, 100], [250, 250]]


# --- float32 ---


def test_float_points() -> None:
    generator = np.random.default_rng(0)
    points = generator.normal(size=(600, 16)).astype(np.float32)
    clustering = cluster(points, 9, iterations=200)
    assert clustering.centroids.dtype == np.float32
    exact = points.astype(float)
    to_each = ((exact[:, None] - clustering.centroids.astype(float)) ** 2).sum(2)
    np.testing.assert_array_equal(clustering.labels, to_each.argmin(1))
    np.testing.assert_allclose(clustering.distances, to_each.min(1), rtol=1e-3, atol=1e-4)
    for label in range(9):
        np.testing.assert_allclose(
            clustering.centroids[label], exact[clustering.labels == label].mean(0), atol=1e-5
        )


# --- exactness ---


def test_blas_threads_do_not_change_a_bit() -> None:
    generator = np.random.default_rng(0)
    points = generator.integers(0, 256, (10_000, 128), dtype=np.uint8)  # the largest sums there can be
    results = set()
    for threads in (1, 2):
        with threadpool_limits(threads):
            clustering = cluster(points, 40, iterations=3)
        results.add(as_bytes(clustering))
    assert len(results) == 1
    np.testing.assert_array_equal(
        clustering.distances,
        ((points.astype(int) - clustering.centroids[clustering.labels]) ** 2).sum(1),
    )


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_same_bits_in_any_number_of_threads(
    threads: int, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 100)
    points = np.random.default_rng(0).normal(100, 40, (1234, 7)).clip(0, 255).astype(dtype)
    with ThreadPoolExecutor(threads) as pool:
        threaded = cluster(points, 9, over_chunks=pool.map)
    assert as_bytes(threaded) == as_bytes(cluster(points, 9))


def backwards(function: Callable[[Any], Any], chunks: Iterable[Any]) -> Iterator[Any]:
    """A map that begins with the last chunk."""
    return reversed([function(chunk) for chunk in reversed(list(chunks))])


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_the_same_bits_whichever_chunk_is_done_first(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 100)
    points = np.random.default_rng(0).normal(100, 40, (1234, 7)).clip(0, 255).astype(dtype)
    assert as_bytes(cluster(points, 9, over_chunks=backwards)) == as_bytes(cluster(points, 9))


@pytest.mark.parametrize("size", [1, 7, 64, 255, 1000])
def test_the_size_of_a_chunk_does_not_change_a_bit(
    size: int, distinct: MakeDescriptors, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = distinct(500, 128)
    whole = cluster(points, 9)
    monkeypatch.setattr(module, "CHUNK", size)
    assert as_bytes(cluster(points, 9)) == as_bytes(whole)


@pytest.mark.parametrize("block", [4, 12, 1024])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_the_size_of_a_block_does_not_change_a_bit(
    dtype: str, block: int, distinct: MakeDescriptors, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = distinct(501, 8, dtype=dtype)
    whole = cluster(points, 9)
    monkeypatch.setattr(module, "BLOCK", block)
    assert as_bytes(cluster(points, 9)) == as_bytes(whole)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_points_are_left_alone(dtype: str, distinct: MakeDescriptors) -> None:
    points = distinct(300, 6, dtype=dtype)
    points.flags.writeable = False
    before = points.tobytes()
    clustering = cluster(points, 8)
    assert points.tobytes() == before
    assert not np.shares_memory(clustering.centroids, points)
