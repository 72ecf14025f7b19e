"""VLAD models: the vectors they make, how they are learned, their files, and those that ship."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from oracles import vlad as oracle

from handcraft.errors import FingerprintError, StoreError, VocabularyError
from handcraft.features.files import write_features
from handcraft.features.registry import fingerprint_of
from handcraft.options import FeatureOptions, VladTraining
from handcraft.storage.hdf5 import read_arrays, write_arrays
from handcraft.types import Fingerprint
from handcraft.vocabulary.files import shipped_vlad
from handcraft.vocabulary.tree import VocabularyTree
from handcraft.vocabulary.vlad import KIND, VladModel, aggregate_residuals, learn_vlad, read_vlad, write_vlad

MakeTree = Callable[..., VocabularyTree]
Photos = list[NDArray[np.generic]]

WORDS, LENGTH, DIMENSION = 4, 6, 8
OPTIONS = VladTraining(words=WORDS, dimension=DIMENSION)
VARIANTS = [
    VladTraining(residual_norm=norm, power=power, intra=intra)
    for norm, power, intra in itertools.product([True, False], [0.5, 1.0], [True, False])
]

dtypes = pytest.mark.parametrize("dtype", ["uint8", "float32"])


def describe(count: int, dtype: str = "uint8", seed: int = 0) -> NDArray[np.generic]:
    """(count, LENGTH) descriptors whose differences are exact."""
    values = np.random.default_rng(seed).integers(0, 256, (count, LENGTH))
    return values.astype(np.uint8) if dtype == "uint8" else (values / 8).astype(dtype)


def describe_photos(count: int, dtype: str = "uint8") -> Photos:
    return [describe(5 + 3 * seed % 20, dtype, seed) for seed in range(count)]


@pytest.fixture(scope="module")
def codebooks(make_tree: MakeTree) -> dict[str, VocabularyTree]:
    """One for each dtype."""
    return {
        dtype: make_tree([WORDS] + [0] * WORDS, describe(1 + WORDS, dtype, 99))
        for dtype in ("uint8", "float32")
    }


@pytest.fixture(scope="module")
def model(codebooks: dict[str, VocabularyTree]) -> VladModel:
    """Made by hand."""
    generator = np.random.default_rng(1)
    return VladModel(
        codebooks["uint8"],
        generator.normal(0, 0.1, WORDS * LENGTH).astype(np.float32),
        generator.integers(-127, 128, (DIMENSION, WORDS * LENGTH)).astype(np.int8),
        generator.uniform(0.01, 1, DIMENSION).astype(np.float32),
        replace(OPTIONS, power=0.75, intra=True),
    )


def learn(photos: Photos, options: VladTraining = OPTIONS, threads: int = 2) -> VladModel:
    dtype = str(photos[0].dtype) if photos else "uint8"
    return learn_vlad(photos, Fingerprint("test", LENGTH, dtype), options, source="a shelf", threads=threads)


def words_of(codebook: VocabularyTree) -> list[list[float]]:
    return codebook.centroids[1:].tolist()


# --- aggregates ---


@dtypes
@settings(max_examples=40)
@given(count=st.integers(0, 30), seed=st.integers(0, 999), options=st.sampled_from(VARIANTS))
def test_aggregates_are_those_of_the_oracle(
    dtype: str, count: int, seed: int, options: VladTraining, codebooks: dict[str, VocabularyTree]
) -> None:
    descriptors, codebook = describe(count, dtype, seed), codebooks[dtype]
    expected = oracle.aggregate(
        descriptors.tolist(),
        words_of(codebook),
        residual_norm=options.residual_norm,
        power=options.power,
        intra=options.intra,
    )
    found = aggregate_residuals(descriptors, codebook, options)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-3)  # roots of small numbers


@dtypes
@pytest.mark.parametrize("change", [{"residual_norm": False}, {"power": 1.0}, {"intra": True}])
def test_each_option_changes_the_aggregate(
    change: dict[str, Any], dtype: str, codebooks: dict[str, VocabularyTree]
) -> None:
    plain, changed = (
        aggregate_residuals(describe(20, dtype), codebooks[dtype], options)
        for options in (OPTIONS, replace(OPTIONS, **change))
    )
    assert np.abs(plain - changed).max() > 0.01


def test_an_aggregate_by_hand(make_tree: MakeTree) -> None:
    codebook = make_tree([2, 0, 0], np.array([[0, 0], [10, 10], [200, 200]], np.uint8))
    descriptors = np.array([[13, 10], [10, 14], [200, 200], [10, 10]], np.uint8)
    plain = VladTraining(residual_norm=False, power=1)
    assert aggregate_residuals(descriptors, codebook, plain).tolist() == pytest.approx([0.6, 0.8, 0, 0])
    normed = aggregate_residuals(descriptors, codebook, replace(plain, residual_norm=True))
    assert normed.tolist() == pytest.approx([0.5**0.5, 0.5**0.5, 0, 0])


@settings(max_examples=20)
@given(seed=st.integers(0, 99))
def test_the_order_of_descriptors_does_not_matter(seed: int, codebooks: dict[str, VocabularyTree]) -> None:
    descriptors = describe(25, seed=seed)
    turned = aggregate_residuals(descriptors[::-1], codebooks["uint8"], OPTIONS)
    np.testing.assert_allclose(
        turned, aggregate_residuals(descriptors, codebooks["uint8"], OPTIONS), atol=1e-3
    )


# --- vectors ---


@settings(max_examples=40)
@given(count=st.integers(1, 30), seed=st.integers(0, 99), dimension=st.integers(1, DIMENSION))
def test_vectors_are_those_of_the_oracle(count: int, seed: int, dimension: int, model: VladModel) -> None:
    descriptors = describe(count, seed=seed)
    aggregated = aggregate_residuals(descriptors, model.codebook, model.training).tolist()
    axes, steps = model.axes[:dimension].tolist(), model.steps[:dimension].tolist()
    vector = model.vector(descriptors, dimension)
    assert (vector.dtype, vector.shape) == (np.float32, (dimension,))
    np.testing.assert_allclose(vector, oracle.whiten(aggregated, model.mean.tolist(), axes, steps), atol=1e-5)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("dimension", [1, 3, DIMENSION])
def test_fewer_numbers_are_the_head_of_more(dimension: int, model: VladModel) -> None:
    descriptors = describe(20)
    head = model.vector(descriptors, DIMENSION)[:dimension]
    np.testing.assert_allclose(model.vector(descriptors, dimension), head / np.linalg.norm(head), atol=1e-6)


@pytest.mark.parametrize("dimension", [1, DIMENSION])
def test_no_descriptors_give_zeros(dimension: int, model: VladModel) -> None:
    none = describe(0)
    assert aggregate_residuals(none, model.codebook, OPTIONS).tolist() == [0] * (WORDS * LENGTH)
    vector = model.vector(none, dimension)
    assert (vector.dtype, vector.tolist()) == (np.float32, [0] * dimension)


def test_descriptors_that_are_words_give_zeros(model: VladModel) -> None:
    assert not model.vector(model.codebook.centroids[1:], DIMENSION).any()


def test_descriptors_of_another_kind(model: VladModel) -> None:
    with pytest.raises(FingerprintError, match="The descriptors are 6 x float32"):
        model.vector(describe(3, "float32"), DIMENSION)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_descriptors_that_are_no_numbers(number: float, codebooks: dict[str, VocabularyTree]) -> None:
    photos = describe_photos(20, "float32")
    photos[7] = photos[7].copy()
    photos[7][2, 3] = number
    with pytest.raises(VocabularyError) as error:
        aggregate_residuals(photos[7], codebooks["float32"], OPTIONS)
    assert str(error.value) == "The descriptors hold NaN or infinity; leave those features out."
    with pytest.raises(VocabularyError, match="NaN or infinity"):
        learn(photos)


# --- learning ---


@pytest.fixture(scope="module")
def learned() -> VladModel:
    return learn(describe_photos(60))


@dtypes
def test_learning_twice_gives_the_same_codebook(dtype: str) -> None:
    """At any number of threads; the axes are the same but for rounding."""
    first, second = (learn(describe_photos(30, dtype), threads=threads) for threads in (1, 2))
    np.testing.assert_array_equal(first.codebook.centroids, second.codebook.centroids)
    vectors = [model.vector(describe(20, dtype), DIMENSION) for model in (first, second)]
    np.testing.assert_allclose(*vectors, atol=0.02)


def test_another_seed_gives_another_codebook(learned: VladModel) -> None:
    other = learn(describe_photos(60), replace(OPTIONS, seed=1))
    assert not np.array_equal(other.codebook.centroids, learned.codebook.centroids)
    assert not other.equals(learned)


def test_a_learned_model_tells_what_it_is(learned: VladModel) -> None:
    photos = describe_photos(60)
    assert (learned.dimension, learned.codebook.words, learned.codebook.depth) == (DIMENSION, WORDS, 1)
    assert learned.codebook.fingerprint == Fingerprint("test", LENGTH, "uint8")
    told = learned.codebook.training
    assert (told.source, told.photos, told.descriptors) == ("a shelf", 60, sum(map(len, photos)))
    assert learned.training == OPTIONS


def test_the_photos_are_whitened(learned: VladModel) -> None:
    """Their projections vary by one and not together, but for the rounding of the axes."""
    photos = describe_photos(60)
    aggregates = np.stack([aggregate_residuals(p, learned.codebook, OPTIONS) for p in photos])
    np.testing.assert_allclose(aggregates.mean(axis=0), learned.mean, atol=1e-6)
    projected = (aggregates - learned.mean) @ learned.axes.T.astype(np.float32) * learned.steps
    np.testing.assert_allclose(np.cov(projected.T), np.eye(DIMENSION), atol=0.05)


def test_the_first_axis_is_that_of_the_greatest_variance(learned: VladModel) -> None:
    lengths = np.linalg.norm(learned.axes * learned.steps[:, None], axis=1)
    assert (np.diff(lengths) > 0).all()  # one over the deviation


def test_a_sample_is_what_the_codebook_is_trained_on() -> None:
    learned = learn(describe_photos(30), replace(OPTIONS, sample=100))
    assert learned.codebook.training.descriptors == 100


@pytest.mark.parametrize(
    ("photos", "limit", "found"),
    [(0, 1000, "0"), (1, 1000, "1"), (DIMENSION, 1000, "8"), (30, 5, "5")],
)
def test_too_few_photos(photos: int, limit: int, found: str) -> None:
    with pytest.raises(VocabularyError) as error:
        learn(describe_photos(photos), replace(OPTIONS, photos=limit))
    assert str(error.value) == (
        f"{found} photos are too few to learn 8 dimensions from; give more photos or a smaller --dimension."
    )


def test_more_dimensions_than_numbers() -> None:
    assert learn(describe_photos(30), replace(OPTIONS, dimension=24)).dimension == 24
    with pytest.raises(VocabularyError) as error:
        learn(describe_photos(30), replace(OPTIONS, dimension=25))
    assert str(error.value) == (
        "Aggregates of 4 words have 24 numbers, fewer than the 25 dimensions; "
        "give a smaller --dimension or more --words."
    )


def test_photos_without_descriptors() -> None:
    with pytest.raises(VocabularyError, match="0 descriptors are too few for 4 words"):
        learn([describe(0)] * 30)


def test_photos_that_do_not_differ_enough() -> None:
    """Whitening would make noise of rounding as large as all else."""
    photos = [*describe_photos(3), *[describe(0)] * 20]
    with pytest.raises(VocabularyError) as error:
        learn(photos)
    assert str(error.value) == (
        f"The photos differ in 3 dimensions alone, fewer than {DIMENSION}; give more photos or a smaller "
        "--dimension."
    )


# --- which are equal ---


@pytest.mark.parametrize("name", ["mean", "axes", "steps"])
def test_a_model_of_other_numbers_is_another(name: str, model: VladModel) -> None:
    assert model.equals(replace(model))
    assert not model.equals(replace(model, **{name: getattr(model, name) // 2}))


def test_a_model_of_another_codebook_is_another(
    model: VladModel, codebooks: dict[str, VocabularyTree]
) -> None:
    assert not model.equals(replace(model, codebook=codebooks["float32"]))


def test_models_that_make_other_vectors_are_others(model: VladModel) -> None:
    other = replace(model, training=replace(model.training, power=0.25))
    assert np.abs(model.vector(describe(9), 8) - other.vector(describe(9), 8)).max() > 0.01
    assert not model.equals(other)


# --- disk ---


@pytest.fixture
def written(model: VladModel, tmp_path: Path) -> Path:
    path = tmp_path / "model.vlad.h5"
    write_vlad(path, model)
    return path


def test_what_is_written_is_read(written: Path, model: VladModel, tmp_path: Path) -> None:
    read = read_vlad(written)
    assert read.equals(model)
    assert read.training == model.training
    told, known = read.codebook.training, model.codebook.training
    assert (told.source, told.photos, told.descriptors) == (known.source, known.photos, known.descriptors)
    for count in (0, 1, 25):
        np.testing.assert_array_equal(read.vector(describe(count), 5), model.vector(describe(count), 5))
    write_vlad(tmp_path / "again", read)
    assert (tmp_path / "again").read_bytes() == written.read_bytes()


def test_a_model_of_floats_is_read(codebooks: dict[str, VocabularyTree], tmp_path: Path) -> None:
    learned = learn(describe_photos(30, "float32"))
    write_vlad(tmp_path / "file", learned)
    read, descriptors = read_vlad(tmp_path / "file"), describe(20, "float32")
    np.testing.assert_array_equal(read.vector(descriptors, 8), learned.vector(descriptors, 8))


def refusal(path: Path, kind: type[Exception] = StoreError) -> str:
    with pytest.raises(kind) as error:
        read_vlad(path)
    return str(error.value)


def change(path: Path, **arrays: NDArray[np.generic]) -> None:
    """Write a file again with some other arrays."""
    file = read_arrays(path, KIND)
    attributes = {name: value for name, value in file.attributes.items() if name not in ("kind", "format")}
    changed = {**file.arrays, **arrays}
    write_arrays(path, KIND, {name: [array] for name, array in changed.items()}, attributes)


Change = Callable[[NDArray[np.generic]], NDArray[np.generic]]
AXES = "The VLAD model is damaged: its axes do not fit its codebook."
NUMBERS = "The VLAD model is damaged: its numbers are of another kind."
CENTROIDS = "The vocabulary is damaged: its centroids do not fit its tree."


@pytest.mark.parametrize(
    ("name", "changed", "sentence"),
    [
        ("mean", lambda a: a[:-1], AXES),
        ("mean", lambda a: a[:, None], AXES),
        ("axes", lambda a: a[:-1], AXES),
        ("axes", lambda a: a[:, :-1], AXES),
        ("axes", lambda a: a.ravel(), AXES),
        ("steps", lambda a: a[:-1], AXES),
        ("steps", lambda a: a[:0], AXES),
        ("steps", lambda a: a[:, None], AXES),
        ("steps", lambda a: a.astype(np.float64), NUMBERS),
        ("steps", lambda a: a * np.float32(np.nan), NUMBERS),
        ("mean", lambda a: a * np.float32(np.inf), NUMBERS),
        ("axes", lambda a: a.astype(np.int16), NUMBERS),
        ("centroids", lambda a: a[:-1], AXES),
        ("centroids", lambda a: a[:, :-1], CENTROIDS),
        ("centroids", lambda a: a[:0], CENTROIDS),
        ("centroids", lambda a: a.astype(np.float32), CENTROIDS),
        ("centroids", lambda a: a[:1], "The vocabulary is damaged: its nodes do not form a tree."),
    ],
)
def test_arrays_that_do_not_fit(name: str, changed: Change, sentence: str, written: Path) -> None:
    change(written, **{name: changed(read_arrays(written, KIND)[name])})
    assert refusal(written, VocabularyError) == sentence


def test_a_model_without_dimensions(written: Path) -> None:
    change(written, axes=np.zeros((0, WORDS * LENGTH), np.int8), steps=np.zeros(0, np.float32))
    assert refusal(written, VocabularyError) == AXES


def unexplained(path: Path) -> str:
    return f"{path} is damaged: it does not say how it was made; learn it again."


@pytest.mark.parametrize(
    "name",
    ["descriptor", "dimension", "dtype", "source", "photos", "descriptors", "distortion", "training"],
)
def test_a_file_that_does_not_say_how_it_was_made(name: str, written: Path) -> None:
    with h5py.File(written, "r+") as file:
        del file.attrs[name]
    assert refusal(written) == unexplained(written)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dimension", "many"),
        ("dtype", "uint3"),
        ("distortion", ""),
        *(("training", text) for text in ("", "{", "3", "[1]", '{"colour": 1}', '{"words": "many"}')),
        ("training", '{"power": 0}'),
    ],
)
def test_a_file_that_says_nonsense(name: str, value: str, written: Path) -> None:
    with h5py.File(written, "r+") as file:
        file.attrs[name] = value
    assert refusal(written) == unexplained(written)


@pytest.mark.parametrize("name", ["centroids", "mean", "axes", "steps"])
def test_a_file_without_one_of_its_arrays(name: str, written: Path) -> None:
    with h5py.File(written, "r+") as file:
        del file[name]
    assert refusal(written) == f"{written} is damaged: it has no array '{name}'; run `handcraft check`."


def test_a_file_that_ends_early(written: Path) -> None:
    content = written.read_bytes()
    for size in {*range(0, len(content), 512), len(content) - 1}:
        written.write_bytes(content[:size])
        assert str(written) in refusal(written)


def test_a_missing_file_and_one_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "model.vlad.h5"
    assert refusal(path) == f"{path} is missing."
    write_features(path, [], Fingerprint("test", LENGTH, "uint8"))
    assert refusal(path) == f"{path} is not a handcraft vlad file, it is features."


# --- those that ship ---


@pytest.mark.parametrize("extractor", ["hessian-affine", "sift"])
def test_a_model_ships(extractor: str) -> None:
    space = fingerprint_of(FeatureOptions(extractor=extractor))
    shipped = read_vlad(shipped_vlad(space))
    assert shipped.codebook.fingerprint.same_space(space)
    assert shipped.dimension == 256
    descriptors = np.random.default_rng(0).integers(0, 90, (50, 128)).astype(np.uint8)
    vectors = [shipped.vector(part, 256) for part in (descriptors, descriptors[:45], descriptors[25:])]
    assert np.linalg.norm(vectors, axis=1).tolist() == pytest.approx([1, 1, 1])
    near, far = vectors[0] @ vectors[1], vectors[1] @ vectors[2]
    assert near > max(0.5, far)


@pytest.mark.parametrize("name", ["mser", "hessian-affine-daisy"])
def test_no_model_ships_for_others(name: str) -> None:
    with pytest.raises(VocabularyError) as error:
        shipped_vlad(Fingerprint("mser-rootsift" if name == "mser" else name, 128, "uint8"))
    assert str(error.value) == (
        f"No VLAD model for {name} comes with handcraft; learn one on other photos with "
        "`handcraft build-vlad`."
    )
