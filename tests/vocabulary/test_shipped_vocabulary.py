"""The vocabularies that ship with the package."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from plugs import REGIONS

from benchmarks.shipped_vocabulary import EXTRACTORS as SHIPPED
from benchmarks.shipped_vocabulary import PACKAGE, VOCABULARY
from handcraft.errors import VocabularyError
from handcraft.features.images import DecodedPhoto
from handcraft.features.registry import extract, fingerprint_of
from handcraft.options import FeatureOptions
from handcraft.types import Photo
from handcraft.vocabulary.assignment import assign
from handcraft.vocabulary.files import read_vocabulary, shipped_vocabulary
from handcraft.vocabulary.tree import Balance, VocabularyTree

WIDTH, HEIGHT = 320, 240


@pytest.fixture(scope="module", params=SHIPPED)
def extractor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def tree(extractor: str) -> VocabularyTree:
    return read_vocabulary(shipped_vocabulary(extractor))


@pytest.fixture(scope="module")
def balance(tree: VocabularyTree) -> Balance:
    assert tree.training.balance is not None
    return tree.training.balance


@pytest.fixture(scope="module")
def descriptors(extractor: str) -> NDArray[np.uint8]:
    """RootSIFT of cloudy noise."""
    noise = np.random.default_rng(0).normal(size=(HEIGHT, WIDTH))
    clouds = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)
    photo = DecodedPhoto(clouds.astype(np.uint8), Photo("clouds.png", b"", 0, 0, WIDTH, HEIGHT))
    features = extract(photo, FeatureOptions(extractor=extractor, max_features=300))
    assert len(features) > 200
    return np.asarray(features.descriptors, np.uint8)


# --- which there are ---


def test_there_is_one_for_each_extractor_of_the_benchmark_and_for_no_other() -> None:
    models = {f"{extractor}.vlad" for extractor in SHIPPED}
    assert {path.stem for path in PACKAGE.glob("*.h5")} == {*SHIPPED, *models}
    assert shipped_vocabulary() == shipped_vocabulary(FeatureOptions().extractor)
    assert len({shipped_vocabulary(extractor) for extractor in SHIPPED}) == len(SHIPPED)


@pytest.mark.parametrize("other", sorted(set(REGIONS) - set(SHIPPED)))
def test_an_extractor_without_one_is_told_how_to_train_it(other: str) -> None:
    with pytest.raises(VocabularyError) as error:
        shipped_vocabulary(other)
    assert str(error.value) == (
        f"No vocabulary for {other} comes with handcraft; train one for your photos with "
        f"`handcraft build-vocab PHOTOS --extractor {other}`."
    )


def test_it_is_at_most_8_mib(extractor: str) -> None:
    assert shipped_vocabulary(extractor).stat().st_size <= 8 * 1024 * 1024


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


def test_it_fits_its_extractor_under_any_options_and_no_other(extractor: str, tree: VocabularyTree) -> None:
    for other in REGIONS:
        for options in (
            FeatureOptions(extractor=other),
            FeatureOptions(extractor=other, upright=False, max_size=640, max_features=500, spread=True),
        ):
            assert tree.fingerprint.same_space(fingerprint_of(options)) == (other == extractor)


# --- what it was trained on ---


def test_it_was_trained_on_the_training_photos_alone(tree: VocabularyTree) -> None:
    assert tree.training.source == "train"
    assert tree.training.photos == 1498
    assert tree.training.descriptors > 10 * tree.words


def test_all_its_words_serve_the_descriptors_that_it_was_trained_on(
    extractor: str, tree: VocabularyTree, balance: Balance
) -> None:
    assert balance.empty == 0
    # 1.24 and 1.84: the descriptors of Hessian-affine regions, upright or not, are crowded in some places
    # and scattered in others, where one word in seven has a single one.
    assert balance.imbalance < {"sift": 1.3, "hessian-affine": 1.9}[extractor]
    mean = tree.training.descriptors / tree.words
    assert balance.percentiles[40] <= mean <= balance.percentiles[65]


def test_its_balance_and_its_percentiles_tell_the_same(tree: VocabularyTree, balance: Balance) -> None:
    percentiles = np.array(balance.percentiles)
    assert len(percentiles) == 101
    assert percentiles[0] >= 1
    assert (np.diff(percentiles) >= 0).all()
    mean = tree.training.descriptors / tree.words
    for power, moment in ((1, mean), (2, balance.imbalance * mean**2)):
        assert (percentiles[:-1] ** power).mean() <= moment <= (percentiles[1:] ** power).mean()


def test_a_training_descriptor_is_nearer_than_chance(tree: VocabularyTree) -> None:
    assert 0 < np.sqrt(tree.training.distortion) < 0.6 * 512


# --- what it does ---


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
