"""From descriptors to words, against plain descents and brute force."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from oracles import vocabulary as oracle

from handcraft.errors import FingerprintError, VocabularyError
from handcraft.vocabulary.assignment import BEAM, Assignment, assign, spread
from handcraft.vocabulary.tree import VocabularyTree

MakeTree = Callable[..., VocabularyTree]
MakeDescriptors = Callable[..., NDArray[np.generic]]

# Families of up to 90 children lie across several panels of 16, at any place in them.
FAMILIES = st.integers(0, 4) | st.sampled_from([15, 16, 17, 40, 90])
SHAPES = st.builds(
    lambda root, rest: oracle.shape([root, *rest]),
    st.integers(1, 4) | st.sampled_from([15, 16, 17, 40, 90]),
    st.lists(FAMILIES, max_size=9),
)
# Whole numbers, exact in either type; few of them give ties, large ones overflow what is too narrow.
VALUES = st.sampled_from([range(3), range(256), (0, 255)])
DTYPES = st.sampled_from(["uint8", "float32"])
DIMENSION = 5


@st.composite
def trees_and_descriptors(draw: st.DrawFn) -> tuple[list[int], NDArray[np.generic], NDArray[np.generic]]:
    """Child counts, centroids (m, 5) and descriptors (4, 5)."""
    child_counts = draw(SHAPES)
    values, dtype = draw(VALUES), draw(DTYPES)
    generator = np.random.default_rng(draw(st.integers(0, 1000)))
    centroids = generator.choice(values, (len(child_counts), DIMENSION))
    centroids[0] = 0
    return child_counts, centroids.astype(dtype), generator.choice(values, (4, DIMENSION)).astype(dtype)


Case = tuple[list[int], NDArray[np.generic], NDArray[np.generic]]


def plain(rows: NDArray[np.generic]) -> list[list[int]]:
    return [[int(value) for value in row] for row in rows]


def found(assignment: Assignment, row: int) -> list[tuple[float, int]]:
    """Distance and word of one descriptor's words, without the padding."""
    words, distances = assignment.words[row].tolist(), assignment.distances[row].tolist()
    return [(d, w) for d, w in zip(distances, words, strict=True) if w >= 0]


# --- against the oracles ---


@settings(max_examples=200)
@given(case=trees_and_descriptors())
def test_greedy_descent(case: Case, make_tree: MakeTree) -> None:
    child_counts, centroids, descriptors = case
    assignment = assign(descriptors, make_tree(child_counts, centroids), nearest=1, beam=1)
    for row, descriptor in enumerate(plain(descriptors)):
        assert found(assignment, row) == [oracle.greedy_word(descriptor, plain(centroids), child_counts)]


@settings(max_examples=200)
@given(case=trees_and_descriptors(), nearest=st.integers(1, 5), beam=st.integers(1, 8))
def test_descent_with_a_beam(case: Case, nearest: int, beam: int, make_tree: MakeTree) -> None:
    child_counts, centroids, descriptors = case
    assignment = assign(descriptors, make_tree(child_counts, centroids), nearest, beam)
    for row, descriptor in enumerate(plain(descriptors)):
        wanted = oracle.beam_words(descriptor, plain(centroids), child_counts, max(beam, nearest))
        assert found(assignment, row) == wanted[:nearest]


@settings(max_examples=200)
@given(case=trees_and_descriptors(), nearest=st.integers(1, 60))
def test_a_beam_of_all_nodes_is_brute_force(case: Case, nearest: int, make_tree: MakeTree) -> None:
    child_counts, centroids, descriptors = case
    assignment = assign(descriptors, make_tree(child_counts, centroids), nearest, beam=len(child_counts))
    for row, descriptor in enumerate(plain(descriptors)):
        everything = oracle.nearest_words(descriptor, plain(centroids), child_counts)
        nearest_few = found(assignment, row)
        # Which of several words at one distance come last is left open.
        assert [d for d, _ in nearest_few] == [d for d, _ in everything[:nearest]]
        assert set(nearest_few) <= set(everything)
        assert len(set(nearest_few)) == len(nearest_few)


@given(case=trees_and_descriptors(), nearest=st.integers(1, 60), beam=st.integers(1, 60))
def test_the_shape_of_an_assignment(case: Case, nearest: int, beam: int, make_tree: MakeTree) -> None:
    child_counts, centroids, descriptors = case
    tree = make_tree(child_counts, centroids)
    assignment = assign(descriptors, tree, nearest, beam)
    assert assignment.words.shape == assignment.distances.shape == (len(descriptors), nearest)
    assert assignment.words.dtype == np.int32
    assert assignment.distances.dtype == np.float32
    assert (np.diff(np.where(assignment.words < 0, 1e9, assignment.distances), axis=1) >= 0).all()
    missing = assignment.words < 0
    assert (assignment.words[missing] == -1).all()
    assert np.isinf(assignment.distances[missing]).all()
    assert np.isfinite(assignment.distances[~missing]).all()
    assert (missing == np.sort(missing, axis=1)).all()  # the padding comes last
    assert assignment.words.max() < tree.words
    if nearest <= tree.words and beam >= len(child_counts):
        assert not missing.any()


def test_float_descriptors(make_tree: MakeTree) -> None:
    generator = np.random.default_rng(0)
    child_counts = oracle.shape([5, 4, 0, 6, 3, 2])
    centroids = generator.normal(size=(len(child_counts), 32)).astype(np.float32)
    descriptors = generator.normal(size=(50, 32)).astype(np.float32)
    assignment = assign(descriptors, make_tree(child_counts, centroids), nearest=3, beam=100)
    for row, descriptor in enumerate(descriptors.astype(float).tolist()):
        wanted = oracle.nearest_words(descriptor, centroids.astype(float).tolist(), child_counts)[:3]
        assert assignment.words[row].tolist() == [word for _, word in wanted]
        np.testing.assert_allclose(assignment.distances[row], [d for d, _ in wanted], rtol=1e-4)


def test_the_largest_distance_is_exact(make_tree: MakeTree) -> None:
    centroids = np.array([[0] * 128, [255] * 128, [254] * 128], np.uint8)
    black, white = np.zeros((1, 128), np.uint8), np.full((1, 128), 255, np.uint8)
    tree = make_tree([2, 0, 0], centroids)
    assert found(assign(black, tree, 2), 0) == [(128 * 254**2, 1), (128 * 255**2, 0)]
    assert found(assign(white, tree, 2), 0) == [(0, 0), (128, 1)]


# --- by hand ---


def line(*values: int) -> NDArray[np.uint8]:
    return np.array(values, np.uint8)[:, None]


@pytest.fixture
def misleading(make_tree: MakeTree) -> VocabularyTree:
    """On a line: inner nodes at 10 and 100, words 0 and 1 at 0 and 20, 2 and 3 at 60 and 140."""
    return make_tree([2, 2, 2, 0, 0, 0, 0], line(0, 10, 100, 0, 20, 60, 140))


def test_greedy_descent_may_miss_the_nearest_word(misleading: VocabularyTree) -> None:
    greedy = assign(line(50), misleading, beam=1)
    assert found(greedy, 0) == [(30**2, 1)]
    assert found(assign(line(50), misleading, beam=2), 0) == [(10**2, 2)]


def test_words_come_nearest_first(misleading: VocabularyTree) -> None:
    assignment = assign(line(50, 0), misleading, nearest=3)
    assert assignment.words.tolist() == [[2, 1, 0], [0, 1, 2]]
    assert assignment.distances.tolist() == [[100, 900, 2500], [0, 400, 3600]]


def test_a_beam_is_never_narrower_than_the_words_asked_for(misleading: VocabularyTree) -> None:
    assert (assign(line(50), misleading, nearest=4, beam=1).words >= 0).all()


def test_more_words_than_there_are(misleading: VocabularyTree) -> None:
    assignment = assign(line(50), misleading, nearest=6)
    assert assignment.words.tolist() == [[2, 1, 0, 3, -1, -1]]
    assert assignment.distances.tolist() == [[100, 900, 2500, 8100, np.inf, np.inf]]


def test_a_leaf_high_in_the_tree_competes_with_deep_ones(make_tree: MakeTree) -> None:
    # The root has a leaf at 0 and an inner node at 100 with words at 90 and 110.
    tree = make_tree([2, 0, 2, 0, 0], line(0, 0, 100, 90, 110))
    assert assign(line(5, 95, 105), tree, nearest=3).words.tolist() == [[0, 1, 2], [1, 2, 0], [2, 1, 0]]


def test_an_only_child_is_the_word_of_everything(make_tree: MakeTree) -> None:
    tree = make_tree([1, 0], np.zeros((2, 4), np.uint8))
    assignment = assign(np.full((2, 4), 9, np.uint8), tree, nearest=2)
    assert assignment.words.tolist() == [[0, -1], [0, -1]]
    assert assignment.distances.tolist() == [[4 * 81, np.inf]] * 2


def test_among_equal_children_the_first_is_taken(make_tree: MakeTree) -> None:
    tree = make_tree([3, 0, 0, 0], line(0, 7, 3, 3))
    assert assign(line(3, 5), tree, nearest=3).words.tolist() == [[1, 2, 0], [0, 1, 2]]


def test_the_default_beam_finds_what_greedy_descent_misses(
    make_tree: MakeTree, distinct: MakeDescriptors
) -> None:
    child_counts = oracle.shape([20] * 21)
    inner = distinct(20, 8)
    leaves = np.clip(inner.repeat(20, axis=0) + distinct(400, 8, seed=1) * 0.3 - 38, 0, 255)
    tree = make_tree(child_counts, np.concatenate([inner[:1], inner, leaves]).astype(np.uint8))
    descriptors = distinct(200, 8, seed=2)
    everything = [oracle.nearest_words(d, plain(tree.centroids), child_counts) for d in plain(descriptors)]
    truth = np.array([distances[0][0] for distances in everything])
    assert BEAM > 1
    greedy = assign(descriptors, tree, beam=1).distances[:, 0] == truth
    default = assign(descriptors, tree).distances[:, 0] == truth
    assert default.mean() > 0.95 > greedy.mean()


# --- arguments ---


def test_no_descriptors(misleading: VocabularyTree) -> None:
    assignment = assign(np.empty((0, 1), np.uint8), misleading, nearest=2)
    assert assignment.words.shape == (0, 2)
    assert assignment.distances.shape == (0, 2)


def test_any_layout_in_memory(make_tree: MakeTree, distinct: MakeDescriptors) -> None:
    tree = make_tree(oracle.shape([3, 3, 3, 3]), dimension=8)
    descriptors = distinct(40, 8)
    wanted = assign(descriptors, tree, nearest=2).words.tolist()
    read_only = descriptors.copy()
    read_only.flags.writeable = False
    spaced = np.zeros((80, 16), np.uint8)
    spaced[::2, ::2] = descriptors
    for layout in (read_only, np.asfortranarray(descriptors), spaced[::2, ::2]):
        assert assign(layout, tree, nearest=2).words.tolist() == wanted


def test_arguments_are_left_alone(make_tree: MakeTree, distinct: MakeDescriptors) -> None:
    tree = make_tree(oracle.shape([3, 3, 3, 3]), dimension=8)
    descriptors = distinct(40, 8)
    before = descriptors.tobytes(), tree.centroids.tobytes(), tree.child_counts.tobytes()
    assign(descriptors, tree, nearest=2)
    assert (descriptors.tobytes(), tree.centroids.tobytes(), tree.child_counts.tobytes()) == before


@pytest.mark.parametrize(
    ("descriptors", "found_space"),
    [
        (np.zeros((3, 64), np.uint8), "64 x uint8"),
        (np.zeros((3, 128), np.float32), "128 x float32"),
        (np.zeros((0, 64), np.uint8), "64 x uint8"),
        (np.zeros(128, np.uint8), "128 x uint8"),
    ],
)
def test_descriptors_of_another_space(
    descriptors: NDArray[np.generic], found_space: str, make_tree: MakeTree
) -> None:
    with pytest.raises(FingerprintError) as error:
        assign(descriptors, make_tree([2, 0, 0], dimension=128))
    assert str(error.value) == (
        f"The descriptors are {found_space}, the vocabulary is test (128 x uint8); "
        "train one for these features with `handcraft build-vocab`."
    )


@pytest.mark.parametrize(("nearest", "beam"), [(0, 1), (1, 0), (-1, 5)])
def test_less_than_one_word_or_node(nearest: int, beam: int, misleading: VocabularyTree) -> None:
    with pytest.raises(VocabularyError, match="ask for 1 or more"):
        assign(line(3), misleading, nearest, beam)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_threads_may_share_a_tree(dtype: str, make_tree: MakeTree, distinct: MakeDescriptors) -> None:
    tree = make_tree(oracle.shape([16] * 17), dimension=32, dtype=dtype)
    photos = [distinct(300, 32, dtype=dtype, seed=seed) for seed in range(8)]

    def words_of(descriptors: NDArray[np.generic]) -> bytes:
        return assign(descriptors, tree, nearest=3).words.tobytes()

    alone: Sequence[bytes] = [words_of(descriptors) for descriptors in photos]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            assert list(pool.map(words_of, photos)) == alone


# --- the photos' side ---


def test_each_word_brings_the_words_near_it(make_tree: MakeTree) -> None:
    """Four words on a line, at 0, 10, 13 and 100, and a descriptor at 9."""
    centroids = np.array([[0], [0], [10], [13], [100]], np.uint8)
    tree = make_tree([4, 0, 0, 0, 0], centroids)
    near = assign(np.array([[9]], np.uint8), tree, nearest=2)
    assert found(near, 0) == [(1, 1), (16, 2)]
    assert found(spread(near, tree, 2), 0) == [(1, 1), (1 + 9, 2), (16, 2), (16 + 9, 1)]


def test_a_word_that_there_is_not_brings_none(make_tree: MakeTree) -> None:
    tree = make_tree([2, 0, 0], np.array([[0], [0], [10]], np.uint8))
    softer = spread(assign(np.array([[9], [1]], np.uint8), tree, nearest=3), tree, 2)
    assert softer.words.shape == softer.distances.shape == (2, 6)
    assert softer.words.tolist() == [[1, 0, 0, 1, -1, -1], [0, 1, 1, 0, -1, -1]]
    assert np.isinf(softer.distances[:, 4:]).all()
