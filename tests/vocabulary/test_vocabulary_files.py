"""Vocabulary files: what is written is read, and files that are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from oracles import vocabulary as oracle

from handcraft.errors import StoreError, VocabularyError
from handcraft.features.files import write_features
from handcraft.storage import hdf5
from handcraft.types import Fingerprint
from handcraft.vocabulary.assignment import assign
from handcraft.vocabulary.files import read_vocabulary, write_vocabulary
from handcraft.vocabulary.tree import Training, VocabularyTree

MakeTree = Callable[..., VocabularyTree]


@pytest.fixture
def written(make_tree: MakeTree, tmp_path: Path) -> Path:
    path = tmp_path / "vocabulary.h5"
    write_vocabulary(path, make_tree(oracle.shape([4, 3, 0, 5]), dimension=128))
    return path


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("child_counts", [[0], [2, 0, 0], oracle.shape([4, 3, 0, 5, 2])])
def test_what_is_written_is_read(
    child_counts: list[int], dtype: str, make_tree: MakeTree, tmp_path: Path
) -> None:
    tree = make_tree(child_counts, dtype=dtype)
    write_vocabulary(tmp_path / "vocabulary.h5", tree)
    read = read_vocabulary(tmp_path / "vocabulary.h5")
    np.testing.assert_array_equal(read.centroids, tree.centroids)
    np.testing.assert_array_equal(read.child_counts, tree.child_counts)
    assert read.centroids.dtype == dtype
    assert read.child_counts.dtype == np.uint32
    assert read.fingerprint == tree.fingerprint
    assert read.training == tree.training


def test_what_is_written_in_words_is_read(make_tree: MakeTree, tmp_path: Path) -> None:
    tree = make_tree([2, 0, 0])
    training = Training('Übersee, "写真"\nand more', 1, 2**40, 0.1 + 0.2, {})
    tree = VocabularyTree(tree.centroids, tree.child_counts, tree.fingerprint, training)
    write_vocabulary(tmp_path / "vocabulary.h5", tree)
    assert read_vocabulary(tmp_path / "vocabulary.h5").training == training


def test_the_parameters_of_the_features_are_not_the_vocabularys(make_tree: MakeTree, tmp_path: Path) -> None:
    tree = make_tree([2, 0, 0])
    space = Fingerprint("test", 4, "uint8", {"max_size": 1024})
    write_vocabulary(
        tmp_path / "vocabulary.h5", VocabularyTree(tree.centroids, tree.child_counts, space, tree.training)
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
        read_vocabulary(written).centroids[0, 0] = 1


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
    assert "vocabulary.h5 is truncated or damaged" in refusal(tmp_path / "vocabulary.h5")


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


@pytest.mark.parametrize("attribute", ["descriptor", "dimension", "dtype", "source", "parameters"])
def test_a_file_that_does_not_say_how_it_was_made(attribute: str, written: Path) -> None:
    with h5py.File(written, "r+") as file:
        del file.attrs[attribute]
    sentence = f"{written} is damaged: it does not say how it was made; train it again."
    assert refusal(written) == sentence


@pytest.mark.parametrize(("attribute", "value"), [("dimension", "many"), ("parameters", "{"), ("photos", "")])
def test_a_file_that_says_nonsense(attribute: str, value: str, written: Path) -> None:
    with h5py.File(written, "r+") as file:
        file.attrs[attribute] = value
    sentence = f"{written} is damaged: it does not say how it was made; train it again."
    assert refusal(written) == sentence


@pytest.mark.parametrize("array", ["centroids", "child_counts"])
def test_a_file_without_its_arrays(array: str, written: Path) -> None:
    with h5py.File(written, "r+") as file:
        del file[array]
    assert f"it has no array '{array}'" in refusal(written)


@pytest.mark.parametrize(
    ("child_counts", "dimension"), [([3, 0, 0], 128), ([0, 0, 2, 0], 128), ([2, 0, 0], 64)]
)
def test_a_file_whose_arrays_are_no_tree(child_counts: list[int], dimension: int, written: Path) -> None:
    with h5py.File(written, "r+") as file:
        del file["centroids"], file["child_counts"]
        file["centroids"] = np.zeros((len(child_counts), dimension), np.uint8)
        file["child_counts"] = np.array(child_counts, np.uint32)
    with pytest.raises(VocabularyError, match="The vocabulary is damaged"):
        read_vocabulary(written)
