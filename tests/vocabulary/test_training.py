"""Training: how many words, whose share of them, the same bits on every run, and bad input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from oracles import vocabulary as oracle

from handcraft.errors import VocabularyError
from handcraft.options import MAX_BRANCHING, VocabularyOptions
from handcraft.types import Fingerprint
from handcraft.vocabulary import training
from handcraft.vocabulary.assignment import Assignment, assign
from handcraft.vocabulary.sample import DescriptorSample
from handcraft.vocabulary.shifting import mean_descriptor, shift
from handcraft.vocabulary.training import train
from handcraft.vocabulary.tree import Balance, VocabularyTree

MakeDescriptors = Callable[..., NDArray[np.generic]]

OPTIONS = VocabularyOptions(words=60, depth=2, iterations=20, tolerance=1e-3, seed=0)


def grow(
    descriptors: NDArray[np.generic],
    options: VocabularyOptions = OPTIONS,
    *,
    threads: int = 2,
    progress: Callable[[int, int], None] | None = None,
    **changes: Any,
) -> VocabularyTree:
    space = Fingerprint("test", descriptors.shape[1], str(descriptors.dtype), {"max_size": 1024})
    return train(
        descriptors,
        space,
        replace(options, **changes),
        source="a shelf",
        photos=17,
        threads=threads,
        progress=progress,
    )


def as_bytes(tree: VocabularyTree) -> tuple[bytes, bytes, float]:
    return tree.centroids.tobytes(), tree.child_counts.tobytes(), tree.training.distortion


# --- how many words ---


@pytest.mark.parametrize(
    ("words", "depth"),
    [
        *((2, 1), (2, 2), (2, 3), (3, 2), (3, 3), (5, 2), (5, 4)),
        *((60, 1), (60, 2), (60, 3), (61, 2), (100, 6)),
        *((700, 1), (700, 2), (700, 3), (699, 2), (690, 3)),  # about as many as descriptors
    ],
)
def test_distinct_descriptors_give_the_words_asked_for(
    words: int, depth: int, distinct: MakeDescriptors
) -> None:
    tree = grow(distinct(700), words=words, depth=depth)
    assert tree.words == words
    assert 1 <= tree.depth <= depth


@settings(max_examples=60)
@given(data=st.data(), count=st.integers(2, 60), depth=st.integers(1, 4))
def test_any_number_of_words(data: st.DataObject, count: int, depth: int, distinct: MakeDescriptors) -> None:
    words = data.draw(st.integers(2, count))
    descriptors = distinct(count, 3, seed=data.draw(st.integers(0, 9)))
    assert grow(descriptors, words=words, depth=depth, threads=1).words == words


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_depth_is_the_one_asked_for(depth: int, distinct: MakeDescriptors) -> None:
    tree = grow(distinct(700), words=125, depth=depth)
    assert tree.depth == depth
    assert tree.child_counts[0] == {1: 125, 2: 11, 3: 5}[depth]  # the depth-th root


@pytest.mark.parametrize(
    ("words", "levels"),
    [
        *((2, 1), (255, 1), (256, 1), (257, 2), (65_535, 2), (65_536, 2), (65_537, 3)),
        *((1_000_000, 3), (256**3, 3), (256**3 + 1, 4), (100_000_000, 4)),
    ],
)
def test_the_depth_that_is_chosen_keeps_families_small(words: int, levels: int) -> None:
    options = VocabularyOptions(words=words)
    assert options.levels == levels
    assert round(words ** (1 / levels)) <= MAX_BRANCHING
    assert levels == 1 or words ** (1 / (levels - 1)) > MAX_BRANCHING


@pytest.mark.parametrize("depth", [1, 2, 7])
@pytest.mark.parametrize("words", [2, 256, 257, 1_000_000])
def test_the_depth_that_is_given_is_the_depth(words: int, depth: int) -> None:
    assert VocabularyOptions(words=words, depth=depth).levels == depth


@pytest.mark.parametrize(("words", "depth"), [(60, 1), (256, 1), (257, 2), (600, 2)])
def test_a_tree_of_no_given_depth(words: int, depth: int, distinct: MakeDescriptors) -> None:
    descriptors = distinct(700)
    tree = grow(descriptors, words=words, depth=0)
    assert (tree.words, tree.depth) == (words, depth)
    assert tree.training.parameters["depth"] == depth
    assert as_bytes(tree) == as_bytes(grow(descriptors, words=words, depth=depth))


def test_words_are_shared_out_by_population() -> None:
    # Four far groups of 800, 400, 200 and 100: one word each, and of the other sixteen 8.53, 4.27,
    # 2.13 and 1.07; the whole parts make fifteen, the largest remainder gets the last.
    generator = np.random.default_rng(0)
    groups = [
        np.unique(60 * place + generator.integers(0, 20, (20 * size, 8)), axis=0)[:size]
        for place, size in enumerate((200, 800, 100, 400))
    ]
    descriptors = generator.permutation(np.concatenate(groups)).astype(np.uint8)
    tree = grow(descriptors, words=20, depth=2)
    assert tree.child_counts[0] == 4
    words_of_group = {
        int(tree.centroids[node, 0]) // 60: int(tree.child_counts[node]) for node in range(1, 5)
    }
    assert words_of_group == {0: 3, 1: 10, 2: 2, 3: 5}


def test_every_word_is_used(distinct: MakeDescriptors) -> None:
    descriptors = distinct(700)
    tree = grow(descriptors)
    words = assign(descriptors, tree, beam=1).words[:, 0]
    assert len(np.unique(words)) == tree.words


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize(("count", "words", "depth"), [(10, 10, 1), (10, 4, 2), (1000, 4, 1), (1000, 90, 2)])
def test_equal_descriptors_give_few_words(dtype: str, count: int, words: int, depth: int) -> None:
    descriptors = np.full((count, 8), 9, dtype)
    tree = grow(descriptors, words=words, depth=depth)
    assert 1 <= tree.words <= words
    assert (assign(descriptors, tree).distances == 0).all()
    assert tree.training.distortion == 0


def test_few_distinct_descriptors_are_words_themselves(distinct: MakeDescriptors) -> None:
    few = distinct(6)
    descriptors = np.random.default_rng(0).permutation(np.repeat(few, 40, axis=0))
    tree = grow(descriptors, words=30, depth=2)
    assert tree.training.distortion == 0
    assert len(np.unique(assign(few, tree).words)) == 6


# --- what the tree says of itself ---


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_distortion_is_that_of_greedy_descent(depth: int, dtype: str, distinct: MakeDescriptors) -> None:
    descriptors = distinct(700, dtype=dtype)
    tree = grow(descriptors, depth=depth)
    distances = assign(descriptors, tree, beam=1).distances.astype(float)
    assert tree.training.distortion == pytest.approx(distances.mean(), rel=1e-5)


@pytest.fixture
def lopsided(distinct: MakeDescriptors) -> NDArray[np.generic]:
    """700 descriptors, twenty of them so far off that they are a word below the root."""
    descriptors = distinct(700) // 32
    descriptors[100:300:10] = np.linspace(220, 255, 20)[:, None]
    return descriptors


def test_the_distortion_counts_words_high_in_the_tree(lopsided: NDArray[np.generic]) -> None:
    tree = grow(lopsided, words=5, depth=3)
    assert sorted(tree.child_counts[1:3]) == [0, 2]
    distances = assign(lopsided, tree, beam=1).distances.astype(float)
    assert distances[100:300:10].mean() > 2 * distances.mean()
    assert tree.training.distortion == pytest.approx(distances.mean(), rel=1e-5)


def test_the_training_is_on_record(distinct: MakeDescriptors) -> None:
    tree = grow(distinct(700), seed=5)
    assert (tree.training.source, tree.training.photos, tree.training.descriptors) == ("a shelf", 17, 700)
    assert tree.training.parameters == {
        "words": 60,
        "depth": 2,
        "iterations": 20,
        "tolerance": 1e-3,
        "seed": 5,
    }
    assert tree.fingerprint.descriptor == "test"
    assert tree.centroids.dtype == np.uint8
    assert not tree.centroids[0].any()


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_the_balance_is_that_of_greedy_descent(depth: int, dtype: str, lopsided: NDArray[np.generic]) -> None:
    descriptors = lopsided.astype(dtype)
    tree = grow(descriptors, depth=depth)
    words = assign(descriptors, tree, beam=1).words[:, 0]
    assert tree.training.balance == Balance.of(np.bincount(words, minlength=tree.words))


def told(descriptors: NDArray[np.generic], **changes: Any) -> list[tuple[int, int]]:
    """What a training tells of its progress."""
    steps: list[tuple[int, int]] = []
    grow(descriptors, progress=lambda done, total: steps.append((done, total)), **changes)
    return steps


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("words", "depth"), [(60, 1), (60, 2), (60, 3), (5, 3), (2, 3), (60, 12)])
def test_progress_rises_to_the_end(
    words: int, depth: int, threads: int, lopsided: NDArray[np.generic]
) -> None:
    steps = told(lopsided, words=words, depth=depth, threads=threads)
    assert steps == sorted(steps)
    assert {total for _, total in steps} == {700 * depth}
    assert steps[-1][0] == steps[-1][1]


def test_progress_is_told_inside_a_single_node(distinct: MakeDescriptors) -> None:
    passes = {done for done, _ in told(distinct(800), depth=1, iterations=7, tolerance=-1.0)}
    assert passes == {100, 200, 300, 400, 500, 600, 700, 800}


def test_progress_is_told_after_each_of_many_nodes(distinct: MakeDescriptors) -> None:
    steps = {done for done, _ in told(distinct(700), words=144, threads=3) if done > 700}
    assert len(steps) == 12


# --- the same bits ---


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_same_bits_at_any_number_of_threads(depth: int, dtype: str, distinct: MakeDescriptors) -> None:
    descriptors = distinct(900, dtype=dtype)
    trees = {as_bytes(grow(descriptors, depth=depth, threads=threads)) for threads in (1, 2, 4, 1)}
    assert len(trees) == 1


@pytest.mark.parametrize(
    "change", [{"words": 59}, {"depth": 3}, {"iterations": 1}, {"tolerance": 0.3}, {"seed": 1}]
)
def test_every_option_changes_the_vocabulary(change: dict[str, object], distinct: MakeDescriptors) -> None:
    descriptors = distinct(900)
    assert as_bytes(grow(descriptors, **change)) != as_bytes(grow(descriptors))


def test_more_iterations_serve_the_descriptors_better(distinct: MakeDescriptors) -> None:
    descriptors = distinct(900)
    hasty = grow(descriptors, iterations=1, tolerance=0.0).training.distortion
    patient = grow(descriptors, iterations=30, tolerance=0.0).training.distortion
    assert patient < 0.98 * hasty


def test_descriptors_are_left_alone(distinct: MakeDescriptors) -> None:
    descriptors = distinct(900)
    descriptors.flags.writeable = False
    before = descriptors.tobytes()
    grow(descriptors)
    assert descriptors.tobytes() == before


# --- whatever order the descriptors come in ---


def sampled(pieces: Sequence[NDArray[np.generic]], limit: int) -> NDArray[np.generic]:
    sample = DescriptorSample(limit, pieces[0].shape[1], str(pieces[0].dtype))
    for piece in pieces:
        sample.add(piece)
    return sample.descriptors()


@pytest.mark.parametrize("limit", [900, 2000])  # of 1200
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_same_bits_in_any_order_and_pieces(
    depth: int, dtype: str, limit: int, distinct: MakeDescriptors
) -> None:
    descriptors = distinct(1200, dtype=dtype)
    wanted = as_bytes(grow(sampled([descriptors], limit), depth=depth))
    for threads in (1, 3):
        shuffled = np.random.default_rng(threads).permutation(descriptors)
        pieces = np.split(shuffled, [100 * threads, 700, 701])
        assert as_bytes(grow(sampled(pieces, limit), depth=depth, threads=threads)) == wanted


# --- flat vocabularies of many words ---


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_large_flat_vocabulary_is_as_good_as_one_from_a_direct_start(
    dtype: str, distinct: MakeDescriptors, monkeypatch: pytest.MonkeyPatch
) -> None:
    descriptors = distinct(3000, 16, dtype=dtype)
    direct = grow(descriptors, words=200, depth=1)
    monkeypatch.setattr(training, "MAX_DIRECT", 199)
    tree = grow(descriptors, words=200, depth=1)
    assert (tree.words, tree.depth) == (200, 1)
    assert tree.training.balance is not None
    assert tree.training.balance.empty == 0
    assert as_bytes(tree) != as_bytes(direct)
    assert tree.training.distortion < 1.02 * direct.training.distortion


def test_a_large_flat_vocabulary_is_better_than_the_tree_that_it_starts_from(
    distinct: MakeDescriptors, monkeypatch: pytest.MonkeyPatch
) -> None:
    descriptors = distinct(3000, 16)
    monkeypatch.setattr(training, "MAX_DIRECT", 50)
    flat, tree = (grow(descriptors, words=200, depth=depth).training.distortion for depth in (1, 2))
    assert flat < 0.98 * tree


def test_a_large_flat_vocabulary_is_the_same_bits_at_any_number_of_threads(
    distinct: MakeDescriptors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "MAX_DIRECT", 50)
    descriptors = distinct(900)
    assert len({as_bytes(grow(descriptors, words=100, depth=1, threads=n)) for n in (1, 2, 5)}) == 1


def test_a_large_flat_vocabulary_of_few_distinct_descriptors(
    distinct: MakeDescriptors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "MAX_DIRECT", 5)
    few = distinct(30)
    tree = grow(np.random.default_rng(0).permutation(np.repeat(few, 10, axis=0)), words=40, depth=1)
    assert sorted(tree.centroids_of(tree.leaves).tolist()) == sorted(few.tolist())


# --- what else a vocabulary keeps ---


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("depth", [1, 2])
def test_a_shifted_vocabulary_is_one_of_shifted_descriptors(
    dtype: str, depth: int, distinct: MakeDescriptors
) -> None:
    descriptors = distinct(400, 16, dtype=dtype)
    tree = grow(descriptors, depth=depth, shifted=True)
    assert tree.mean is not None
    np.testing.assert_array_equal(tree.mean, mean_descriptor(descriptors))
    plain = grow(shift(descriptors, tree.mean), depth=depth)
    assert as_bytes(tree) == as_bytes(plain)
    assert plain.mean is None
    assert tree.training.parameters == {**plain.training.parameters, "shifted": 1}
    others = distinct(90, 16, dtype=dtype, seed=1)
    shifted = assign(shift(others, tree.mean), plain, nearest=3)
    np.testing.assert_array_equal(assign(others, tree, nearest=3).words, shifted.words)
    np.testing.assert_array_equal(assign(others, tree, nearest=3).distances, shifted.distances)


def test_a_large_flat_vocabulary_is_shifted_once(
    distinct: MakeDescriptors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "MAX_DIRECT", 50)
    descriptors = distinct(400, 16)
    tree = grow(descriptors, depth=1, shifted=True, medians=True)
    assert tree.mean is not None
    assert as_bytes(tree) == as_bytes(grow(shift(descriptors, tree.mean), depth=1))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("shifted", [False, True])
def test_medians_are_those_of_the_descriptors_of_each_word(
    dtype: str, shifted: bool, distinct: MakeDescriptors
) -> None:
    descriptors = distinct(700, 6, dtype=dtype)
    tree = grow(descriptors, medians=True, shifted=shifted)
    assert tree.medians is not None
    assert tree.medians.dtype == dtype
    words = assign(descriptors, tree).words[:, 0]
    of_words = tree.shifted(descriptors)
    for word in range(tree.words):
        expected = oracle.medians(of_words[words == word].tolist())
        assert tree.medians[word].tolist() == expected
    assert tree.training.parameters["medians"] == 1
    assert as_bytes(tree) == as_bytes(grow(descriptors, shifted=shifted))
    assert grow(descriptors).medians is None


def test_the_medians_of_a_word_without_descriptors_are_its_centroid(
    distinct: MakeDescriptors, monkeypatch: pytest.MonkeyPatch
) -> None:
    def to_word_3(descriptors: NDArray[np.generic], _: VocabularyTree) -> Assignment:
        shape = (len(descriptors), 1)
        return Assignment(np.full(shape, 3, np.int32), np.zeros(shape, np.float32))

    monkeypatch.setattr(training, "assign_shifted", to_word_3)
    tree = grow(distinct(400, 16), medians=True)
    assert tree.medians is not None
    others = np.arange(tree.words) != 3
    np.testing.assert_array_equal(tree.medians[others], tree.centroids_of(tree.leaves)[others])
    assert not np.array_equal(tree.medians[3], tree.centroids_of(tree.leaves)[3])


def test_medians_are_the_same_bytes_at_any_number_of_threads(
    distinct: MakeDescriptors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "BLOCK", 64)
    trees = [grow(distinct(700), medians=True, shifted=True, threads=threads) for threads in (1, 2, 5)]
    assert len({np.asarray(tree.medians).tobytes() for tree in trees}) == 1


# --- bad input ---


def refusal(descriptors: NDArray[np.generic], **changes: Any) -> str:
    with pytest.raises(VocabularyError) as error:
        grow(descriptors, **changes)
    return str(error.value)


@pytest.mark.parametrize("words", [-5, 0, 1, 10**9])
def test_a_number_of_words_that_cannot_be(words: int, distinct: MakeDescriptors) -> None:
    sentence = f"A vocabulary of {words} words cannot be trained; ask for 2 to 100,000,000."
    assert refusal(distinct(80), words=words) == sentence


def test_fewer_descriptors_than_words(distinct: MakeDescriptors) -> None:
    assert refusal(distinct(59), words=60) == (
        "59 descriptors are too few for 60 words; give more photos or ask for fewer words with --words."
    )
    assert refusal(np.empty((0, 8), np.uint8), words=60).startswith("0 descriptors are too few")
    assert refusal(distinct(1200), words=99_000).startswith("1,200 descriptors are too few for 99,000 words")


@pytest.mark.parametrize("change", [{"depth": -1}, {"iterations": 0}, {"iterations": -1}])
def test_no_levels_or_no_passes(change: dict[str, object], distinct: MakeDescriptors) -> None:
    sentence = "A vocabulary needs a depth of 0 or more and 1 iteration or more."
    assert refusal(distinct(80), **change) == sentence
