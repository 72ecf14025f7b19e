"""Vocabulary files: what is written is read, and files that are none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from oracles import vocabulary as oracle

from handcraft.errors import HandcraftError, StoreError, VocabularyError
from handcraft.features.files import write_features
from handcraft.storage import hdf5
from handcraft.types import Fingerprint
from handcraft.vocabulary.assignment import assign
from handcraft.vocabulary.files import KIND, read_vocabulary, write_vocabulary
from handcraft.vocabulary.panels import Panels
from handcraft.vocabulary.tree import Balance, Training, VocabularyTree

MakeTree = Callable[..., VocabularyTree]


@pytest.fixture
def written(make_tree: MakeTree, tmp_path: Path) -> Path:
    path = tmp_path / "vocabulary.h5"
    write_vocabulary(path, make_tree(oracle.shape([4, 3, 0, 5]), dimension=128))
    return path


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("dimension", [1, 5, 128])
@pytest.mark.parametrize("child_counts", [[1, 0], [2, 0, 0], oracle.shape([4, 3, 0, 5, 20])])
def test_what_is_written_is_read(
    child_counts: list[int], dimension: int, dtype: str, make_tree: MakeTree, tmp_path: Path
) -> None:
    tree = make_tree(child_counts, dimension=dimension, dtype=dtype)
    write_vocabulary(tmp_path / "vocabulary.h5", tree)
    read = read_vocabulary(tmp_path / "vocabulary.h5")
    np.testing.assert_array_equal(read.centroids, tree.centroids)
    np.testing.assert_array_equal(read.panels.norms, tree.panels.norms)
    np.testing.assert_array_equal(read.child_counts, tree.child_counts)
    assert read.centroids.dtype == dtype
    assert read.child_counts.dtype == np.uint32
    assert read.fingerprint == tree.fingerprint
    assert read.training == tree.training


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("kept", [{"mean"}, {"medians"}, {"mean", "medians"}])
def test_means_and_medians_are_read(kept: set[str], dtype: str, make_tree: MakeTree, tmp_path: Path) -> None:
    tree = make_tree([2, 0, 0], dimension=8, dtype=dtype)
    numbers = np.arange(24).astype(dtype)
    extras = {"mean": numbers[:8], "medians": numbers[8:].reshape(2, 8)}
    tree = replace(tree, **{name: extras[name] for name in kept})
    write_vocabulary(tmp_path / "vocabulary.h5", tree)
    read = read_vocabulary(tmp_path / "vocabulary.h5")
    for name, rows in extras.items():
        found = getattr(read, name)
        assert (found is not None) == (name in kept)
        if found is not None:
            assert found.dtype == dtype
            np.testing.assert_array_equal(found, rows)


@pytest.mark.parametrize(
    "extra",
    [
        {"mean": np.zeros(7, np.uint8)},
        {"mean": np.zeros(8, np.float32)},
        {"medians": np.zeros((3, 8), np.uint8)},
        {"medians": np.zeros((2, 8), np.float32)},
        {"medians": np.zeros(16, np.uint8)},
    ],
)
def test_means_and_medians_that_do_not_fit(extra: dict[str, np.ndarray], make_tree: MakeTree) -> None:
    with pytest.raises(VocabularyError) as error:
        replace(make_tree([2, 0, 0], dimension=8), **extra)
    assert str(error.value) == "The vocabulary is damaged: its mean or its medians do not fit it."


@pytest.mark.parametrize("balance", [None, Balance.of(np.array([0, 3, 2**40, 1]))])
def test_what_is_told_of_the_training_is_read(
    balance: Balance | None, make_tree: MakeTree, tmp_path: Path
) -> None:
    tree = make_tree([2, 0, 0])
    training = Training('Übersee, "写真"\nand more', 1, 2**40, 0.1 + 0.2, {}, balance)
    tree = VocabularyTree.of(tree.centroids, tree.child_counts, tree.fingerprint, training)
    write_vocabulary(tmp_path / "vocabulary.h5", tree)
    assert read_vocabulary(tmp_path / "vocabulary.h5").training == training


def test_the_parameters_of_the_features_are_not_the_vocabularys(make_tree: MakeTree, tmp_path: Path) -> None:
    tree = make_tree([2, 0, 0])
    space = Fingerprint("test", 4, "uint8", {"max_size": 1024})
    write_vocabulary(
        tmp_path / "vocabulary.h5", VocabularyTree.of(tree.centroids, tree.child_counts, space, tree.training)
    )
    assert read_vocabulary(tmp_path / "vocabulary.h5").fingerprint.same_space(space)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_vocabulary_from_disk_assigns_the_same_words(
    dtype: str, make_tree: MakeTree, tmp_path: Path
) -> None:
    tree = make_tree(oracle.shape([4, 3, 0, 5, 2]), dimension=16, dtype=dtype)
    write_vocabulary(tmp_path / "vocabulary.h5", tree)
    descriptors = np.random.default_rng(0).integers(0, 256, (50, 16)).astype(dtype)
    wanted = assign(descriptors, tree, nearest=3)
    read = assign(descriptors, read_vocabulary(tmp_path / "vocabulary.h5"), nearest=3)
    np.testing.assert_array_equal(read.words, wanted.words)
    np.testing.assert_array_equal(read.distances, wanted.distances)


def test_the_same_vocabulary_is_the_same_bytes(written: Path, tmp_path: Path) -> None:
    write_vocabulary(tmp_path / "again.h5", read_vocabulary(written))
    assert (tmp_path / "again.h5").read_bytes() == written.read_bytes()


def test_what_is_read_cannot_be_changed(written: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        read_vocabulary(written).panels.values[0, 0] = 1


def test_an_opened_vocabulary_outlives_its_replacement(written: Path, make_tree: MakeTree) -> None:
    tree = read_vocabulary(written)
    before = tree.centroids.copy()
    write_vocabulary(written, make_tree([2, 0, 0], dimension=128, seed=9))
    np.testing.assert_array_equal(tree.centroids, before)
    assert len(read_vocabulary(written).centroids) == 3
    assert [path.name for path in written.parent.iterdir()] == [written.name]


# --- files that cannot be used ---


def refusal(path: Path) -> str:
    with pytest.raises(StoreError) as error:
        read_vocabulary(path)
    return str(error.value)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.4, 0.8, 0.999])
def test_a_truncated_file(share: float, written: Path) -> None:
    data = written.read_bytes()
    written.write_bytes(data[: int(share * len(data))])
    assert refusal(written) == f"{written} is truncated or damaged; make it again."


def test_a_file_cut_anywhere_is_refused(written: Path) -> None:
    data = written.read_bytes()
    for length in range(0, len(data), 1 + len(data) // 150):
        written.write_bytes(data[:length])
        assert str(written) in refusal(written)


def test_a_text_file_is_no_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "vocabulary.h5").write_text("Dear reader,")
    assert "vocabulary.h5 is not a handcraft vocabulary file" in refusal(tmp_path / "vocabulary.h5")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path / "vocabulary.h5") == f"{tmp_path / 'vocabulary.h5'} is missing."
    assert str(tmp_path) in refusal(tmp_path)


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "features.h5"
    write_features(path, [], Fingerprint("test", 4, "uint8"))
    assert refusal(path) == f"{path} is not a handcraft vocabulary file, it is features."


def test_a_file_of_another_program(tmp_path: Path) -> None:
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["centroids"] = np.zeros((3, 4), np.uint8)
    assert refusal(path) == f"{path} is not a handcraft vocabulary file, it is something else."


def test_a_file_of_a_newer_format(written: Path) -> None:
    newer = hdf5.FORMAT + 1
    with h5py.File(written, "r+") as file:
        file.attrs["format"] = newer
    assert refusal(written) == (
        f"{written} has format {newer}, this handcraft reads up to {hdf5.FORMAT}; install a newer handcraft."
    )


@pytest.mark.parametrize("attribute", ["descriptor", "dimension", "dtype", "source", "parameters", "balance"])
def test_a_file_that_does_not_say_how_it_was_made(attribute: str, written: Path) -> None:
    with h5py.File(written, "r+") as file:
        del file.attrs[attribute]
    sentence = f"{written} is damaged: it does not say how it was made; train it again."
    assert refusal(written) == sentence


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("dimension", "many"),
        ("parameters", "{"),
        ("photos", ""),
        *(("balance", text) for text in ("", "{", "{}", "3", "[]", '{"imbalance": 1.0, "empty": 0}')),
        ("balance", '{"imbalance": 1.0, "empty": 0, "percentiles": ["many"]}'),
        ("balance", '{"imbalance": [], "empty": 0, "percentiles": []}'),
    ],
)
def test_a_file_that_says_nonsense(attribute: str, value: str, written: Path) -> None:
    with h5py.File(written, "r+") as file:
        file.attrs[attribute] = value
    sentence = f"{written} is damaged: it does not say how it was made; train it again."
    assert refusal(written) == sentence


def test_a_file_of_a_type_of_numbers_that_there_is_not(written: Path) -> None:
    with h5py.File(written, "r+") as file:
        file.attrs["dtype"] = "uint3"
    with pytest.raises(HandcraftError, match="damaged"):
        read_vocabulary(written)


@pytest.mark.parametrize("array", ["panels", "norms", "child_counts"])
def test_a_file_without_its_arrays(array: str, written: Path) -> None:
    with h5py.File(written, "r+") as file:
        del file[array]
    assert f"it has no array '{array}'" in refusal(written)


def change(path: Path, **arrays: NDArray[np.generic]) -> None:
    """Write a file again with some other arrays."""
    file = hdf5.read_arrays(path, KIND)
    attributes = {name: value for name, value in file.attributes.items() if name not in ("kind", "format")}
    changed = {**file.arrays, **arrays}
    hdf5.write_arrays(path, KIND, {name: [array] for name, array in changed.items()}, attributes)


@pytest.mark.parametrize(
    "child_counts", [[4, 3, 0, 5] + [0] * 8, [4, 3, 0, 6] + [0] * 9, [0] + [1] * 12, [0] * 13]
)
def test_a_file_whose_nodes_are_no_tree(child_counts: list[int], written: Path) -> None:
    change(written, child_counts=np.array(child_counts, np.uint32))
    with pytest.raises(VocabularyError) as error:
        read_vocabulary(written)
    assert str(error.value) == "The vocabulary is damaged: its nodes do not form a tree."


@pytest.mark.parametrize(
    ("count", "dimension", "dtype"), [(17, 128, "uint8"), (13, 64, "uint8"), (13, 128, "f4")]
)
def test_a_file_whose_panels_do_not_fit(count: int, dimension: int, dtype: str, written: Path) -> None:
    panels = Panels.of(np.zeros((count, dimension), dtype))
    change(written, panels=panels.values, norms=panels.norms)
    with pytest.raises(VocabularyError) as error:
        read_vocabulary(written)
    assert str(error.value) == "The vocabulary is damaged: its centroids do not fit its tree."


def test_a_file_whose_nodes_are_too_many_for_its_panels(written: Path) -> None:
    change(written, child_counts=np.array([19] + [0] * 19, np.uint32))
    with pytest.raises(VocabularyError, match="centroids do not fit"):
        read_vocabulary(written)


def test_a_file_whose_arrays_can_be_used_is_read(written: Path) -> None:
    change(written, child_counts=np.array([12] + [0] * 12, np.uint32))
    assert read_vocabulary(written).words == 12
