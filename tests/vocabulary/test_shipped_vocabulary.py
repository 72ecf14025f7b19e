"""The vocabulary that ships with the package."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.shipped_vocabulary import VOCABULARY
from handcraft.features.descriptors import root_sift
from handcraft.features.registry import fingerprint_of
from handcraft.options import FeatureOptions
from handcraft.vocabulary.assignment import assign
from handcraft.vocabulary.files import read_vocabulary, shipped_vocabulary
from handcraft.vocabulary.tree import VocabularyTree


@pytest.fixture(scope="module")
def tree() -> VocabularyTree:
    return read_vocabulary(shipped_vocabulary())


@pytest.fixture(scope="module")
def descriptors() -> NDArray[np.uint8]:
    """RootSIFT of cloudy noise."""
    noise = np.random.default_rng(0).normal(size=(240, 320))
    clouds = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)
    _, raw = cv2.SIFT.create(300, enable_precise_upscale=True).detectAndCompute(clouds.astype(np.uint8), None)
    return root_sift(raw)


def test_it_is_at_most_8_mib() -> None:
    assert shipped_vocabulary().stat().st_size <= 8 * 1024 * 1024


def test_it_is_what_its_benchmark_trains(tree: VocabularyTree) -> None:
    assert tree.words == VOCABULARY.words
    assert tree.depth == VOCABULARY.levels
    assert tree.centroids.dtype == np.uint8
    assert tree.training.parameters == {
        "words": VOCABULARY.words,
        "depth": VOCABULARY.levels,
        "iterations": VOCABULARY.iterations,
        "tolerance": VOCABULARY.tolerance,
        "seed": VOCABULARY.seed,
    }


def test_all_its_words_serve_the_descriptors_that_it_was_trained_on(tree: VocabularyTree) -> None:
    balance = tree.training.balance
    assert balance is not None
    assert balance.empty == 0
    assert balance.imbalance < 1.5
    assert balance.percentiles[0] <= tree.training.descriptors / tree.words <= balance.percentiles[100]


def test_it_fits_sift_under_any_options(tree: VocabularyTree) -> None:
    for options in (
        FeatureOptions(),
        FeatureOptions(upright=True, max_size=640, max_features=500, spread=True, doubled=True),
    ):
        assert tree.fingerprint.same_space(fingerprint_of(options))


def test_it_was_trained_on_the_training_photos_alone(tree: VocabularyTree) -> None:
    assert tree.training.source == "train"
    assert tree.training.photos == 1498
    assert tree.training.descriptors > 10 * tree.words


def test_its_words_are_near(tree: VocabularyTree, descriptors: NDArray[np.uint8]) -> None:
    assignment = assign(descriptors, tree, nearest=3)
    assert (assignment.words >= 0).all()
    assert (assignment.words < tree.words).all()
    assert (np.diff(assignment.distances, axis=1) >= 0).all()
    words = tree.centroids[tree.leaves][assignment.words].astype(int)
    exact = ((words - descriptors[:, None].astype(int)) ** 2).sum(2)
    np.testing.assert_array_equal(assignment.distances, exact)
    assert np.sqrt(assignment.distances[:, 0]).mean() < 0.6 * 512  # two descriptors at random: 0.9


def test_the_default_beam_finds_the_nearest_words(
    tree: VocabularyTree, descriptors: NDArray[np.uint8]
) -> None:
    words = tree.centroids[tree.leaves].astype(np.float32)
    products = descriptors.astype(np.float32) @ words.T
    nearest = ((words**2).sum(1) - 2 * products).min(1) + (descriptors.astype(np.float32) ** 2).sum(1)
    assert (assign(descriptors, tree).distances[:, 0] == nearest).mean() > 0.95


def test_a_training_descriptor_is_nearer_than_chance(tree: VocabularyTree) -> None:
    assert 0 < np.sqrt(tree.training.distortion) < 0.6 * 512
