"""The vocabulary tree: its leaves, its depth, its balance, and arrays that are no tree."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import vocabulary as oracle

from handcraft.errors import VocabularyError
from handcraft.types import Fingerprint
from handcraft.vocabulary.tree import Balance, Training, VocabularyTree

MakeTree = Callable[..., VocabularyTree]

SHAPES = st.builds(
    lambda root, rest: oracle.shape([root, *rest]),
    st.integers(1, 40),
    st.lists(st.integers(0, 4), max_size=20),
)
TRAINING = Training("made by hand", 1, 1, 0.0)


@given(child_counts=SHAPES)
def test_any_shape(child_counts: list[int], make_tree: MakeTree) -> None:
    tree = make_tree(child_counts)
    assert tree.depth == oracle.depth(child_counts)
    word_of_leaf = oracle.words(child_counts)
    assert tree.words == len(word_of_leaf)
    for node, family in enumerate(oracle.children(child_counts)):
        assert tree.word_of_node[node] == word_of_leaf.get(node, -1)
        if family:
            first = tree.first_child[node]
            assert list(range(first, first + tree.child_counts[node])) == family


@given(child_counts=SHAPES)
def test_words_and_leaves_are_one_to_one(child_counts: list[int], make_tree: MakeTree) -> None:
    tree = make_tree(child_counts)
    assert tree.word_of_node[tree.leaves].tolist() == list(range(tree.words))
    assert sorted(tree.word_of_node[tree.word_of_node >= 0]) == list(range(tree.words))
    assert (tree.child_counts[tree.leaves] == 0).all()


def test_a_root_with_one_child_is_one_word(make_tree: MakeTree) -> None:
    tree = make_tree([1, 0])
    assert (tree.words, tree.depth) == (1, 1)


@given(child_counts=SHAPES, dtype=st.sampled_from(["uint8", "float32"]), data=st.data())
def test_centroids_come_out_as_they_went_in(
    child_counts: list[int], dtype: str, data: st.DataObject, make_tree: MakeTree
) -> None:
    dimension = data.draw(st.integers(1, 9))
    count = len(child_counts)
    centroids = np.random.default_rng(0).integers(0, 256, (count, dimension)).astype(dtype)
    tree = make_tree(child_counts, centroids)
    np.testing.assert_array_equal(tree.centroids, centroids)
    assert tree.centroids.dtype == dtype
    nodes = np.array(data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=9)))
    np.testing.assert_array_equal(tree.centroids_of(nodes), centroids[nodes])
    tree.centroids[:] = 0
    np.testing.assert_array_equal(tree.centroids, centroids)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_norms_are_those_of_the_centroids(dtype: str, make_tree: MakeTree) -> None:
    centroids = np.array([[0] * 128, [255] * 128, [0] * 128, [1, *[0] * 127]], dtype)
    assert make_tree([3, 0, 0, 0], centroids).panels.norms[:4].tolist() == [0, 128 * 255**2, 0, 1]


@pytest.mark.parametrize(
    "child_counts",
    [
        [0],  # a root alone
        [2, 0],  # a child is missing
        [2, 0, 0, 0],  # a node without a parent
        [0, 0],
        [0, 1],  # a node that is its own child
        [1],
        [1, 0, 1],  # a child before its parent
        [1, 0, 0, 2],
        [2, 0, 0, 0, 1, 1],
        [0, 2, 0],
    ],
)
def test_child_counts_that_are_no_tree(child_counts: list[int], make_tree: MakeTree) -> None:
    with pytest.raises(VocabularyError) as error:
        make_tree(child_counts)
    assert str(error.value) == "The vocabulary is damaged: its nodes do not form a tree."


@given(child_counts=st.lists(st.integers(0, 4), min_size=1, max_size=8))
def test_what_is_no_shape_is_no_tree(child_counts: list[int], make_tree: MakeTree) -> None:
    if oracle.shape(child_counts) == child_counts != [0]:
        assert len(make_tree(child_counts).child_counts) == len(child_counts)
    else:
        with pytest.raises(VocabularyError, match="do not form a tree"):
            make_tree(child_counts)


@pytest.mark.parametrize(
    ("nodes", "dimension", "dtype", "counts"),
    [
        (2, 4, "uint8", [2, 0, 0]),  # too few centroids
        (4, 4, "uint8", [2, 0, 0]),  # too many
        (3, 5, "uint8", [2, 0, 0]),  # of another dimension than the fingerprint's
        (0, 4, "uint8", []),  # nothing at all
        (3, 4, "float32", [2, 0, 0]),  # of another type than the fingerprint's
        (3, 4, "int32", [2, 0, 0]),
    ],
)
def test_centroids_that_do_not_fit(nodes: int, dimension: int, dtype: str, counts: list[int]) -> None:
    centroids = np.zeros((nodes, dimension), dtype)
    with pytest.raises(VocabularyError) as error:
        VocabularyTree.of(centroids, np.array(counts, np.uint32), Fingerprint("test", 4, "uint8"), TRAINING)
    assert str(error.value) == "The vocabulary is damaged: its centroids do not fit its tree."


# --- the balance ---


@pytest.mark.parametrize(
    ("populations", "imbalance", "empty"),
    [
        ([5], 1.0, 0),
        ([3, 3, 3, 3], 1.0, 0),
        ([4, 0, 0, 0], 4.0, 3),
        ([2, 2, 0, 0], 2.0, 2),
        ([3, 1], 1.25, 0),  # 2 · (9 + 1) / 16
        ([0, 0], 0.0, 2),
    ],
)
def test_the_balance_by_hand(populations: list[int], imbalance: float, empty: int) -> None:
    balance = Balance.of(np.array(populations))
    assert (balance.imbalance, balance.empty) == (imbalance, empty)


@given(populations=st.lists(st.integers(0, 50), min_size=1, max_size=60).filter(any))
def test_the_balance_of_any_words(populations: list[int]) -> None:
    balance = Balance.of(np.array(populations))
    assert balance.imbalance == pytest.approx(float(oracle.imbalance(populations)))
    assert 1 - 1e-9 <= balance.imbalance <= len(populations) + 1e-9
    assert balance.empty == populations.count(0)
    assert list(balance.percentiles) == sorted(balance.percentiles)
    assert len(balance.percentiles) == 101
    assert set(balance.percentiles) <= set(populations)
    assert (balance.percentiles[0], balance.percentiles[100]) == (min(populations), max(populations))


def test_percentiles_are_of_the_words() -> None:
    populations = np.random.default_rng(0).permutation(np.arange(0, 1010, 10))
    assert Balance.of(populations).percentiles == tuple(range(0, 1010, 10))
    assert Balance.of(np.array([7] * 90 + [1000] * 11)).percentiles == (7,) * 90 + (1000,) * 11
