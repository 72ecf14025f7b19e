"""Training: how many words, whose share of them, the same bits on every run, and bad input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from handcraft.engine.vocabularies import train_vocabulary
from handcraft.errors import VocabularyError
from handcraft.options import FeatureOptions, VocabularyOptions
from handcraft.types import Fingerprint
from handcraft.vocabulary.assignment import assign
from handcraft.vocabulary.training import train
from handcraft.vocabulary.tree import VocabularyTree

MakeDescriptors = Callable[..., NDArray[np.generic]]

OPTIONS = VocabularyOptions(words=60, depth=2, iterations=20, tolerance=1e-3, seed=0)


def grow(
    descriptors: NDArray[np.generic],
    options: VocabularyOptions = OPTIONS,
    *,
    threads: int = 2,
    progress: Callable[[int, int], None] | None = None,
    **changes: object,
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


@pytest.mark.parametrize(("words", "depth"), [(60, 1), (60, 2), (60, 3), (5, 3)])
def test_progress_rises_to_the_end(words: int, depth: int, lopsided: NDArray[np.generic]) -> None:
    steps: list[tuple[int, int]] = []
    grow(lopsided, words=words, depth=depth, progress=lambda done, total: steps.append((done, total)))
    assert steps == sorted(steps)
    assert len({total for _, total in steps}) == 1
    assert steps[-1][0] == steps[-1][1]


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


# --- the sample, drawn where photos become descriptors ---


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Path]:
    """A folder with three photos of cloudy noise."""
    folder = tmp_path_factory.mktemp("photos") / "shelf"
    folder.mkdir()
    for seed in range(3):
        noise = np.random.default_rng(seed).normal(size=(120, 160))
        clouds = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)
        cv2.imwrite(str(folder / f"{seed}.png"), clouds.astype(np.uint8))
    return [folder]


def from_photos(shelf: Sequence[Path], threads: int = 2, **changes: object) -> VocabularyTree:
    options = replace(VocabularyOptions(words=9, depth=1), **changes)
    return train_vocabulary(shelf, options, FeatureOptions(), threads=threads).tree


def test_the_sample_limits_the_descriptors(shelf: Sequence[Path]) -> None:
    everything, sampled = from_photos(shelf), from_photos(shelf, sample=90)
    assert sampled.training.descriptors == 90  # thirty of each photo
    assert everything.training.descriptors > 300
    assert as_bytes(sampled) != as_bytes(everything)
    assert (sampled.training.source, sampled.training.photos) == ("shelf", 3)


def test_the_sample_is_that_of_the_seed(shelf: Sequence[Path]) -> None:
    first = as_bytes(from_photos(shelf, sample=90))
    assert as_bytes(from_photos(shelf, sample=90, threads=1)) == first
    assert as_bytes(from_photos(shelf, sample=90, seed=1)) != first


# --- bad input ---


def refusal(descriptors: NDArray[np.generic], **changes: object) -> str:
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


@pytest.mark.parametrize("change", [{"depth": 0}, {"depth": -1}, {"iterations": 0}])
def test_no_levels_or_no_passes(change: dict[str, object], distinct: MakeDescriptors) -> None:
    sentence = "A vocabulary needs a depth and a number of iterations of 1 or more."
    assert refusal(distinct(80), **change) == sentence


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_descriptors_that_are_no_numbers(value: float, distinct: MakeDescriptors) -> None:
    descriptors = distinct(80, dtype="float32")
    descriptors[41, 3] = value
    sentence = "The descriptors hold NaN or infinity; leave those features out."
    assert refusal(descriptors) == sentence
