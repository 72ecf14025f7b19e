"""DELF's files are read byte by byte as its protocol buffers are defined."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from foreign import datum, delf_features, field

from handcraft.errors import DependencyError, FeatureFileError
from handcraft.storage.exchange import delf as module
from handcraft.storage.exchange import open_foreign
from handcraft.storage.exchange.delf import open_delf, read_datum

pytest.importorskip("google.protobuf", reason="needs the extra: learned")

DESCRIPTORS = np.array([[0.25, -0.5, 1], [1, 2, 3]], np.float32)
# x, y, scale, orientation, strength: cells (row 3, column 2) and (0, 0) of a photo halved and doubled
FEATURES = [((128, 192, 2, 0, 130.5), DESCRIPTORS[0]), ((0, 0, 0.5, 0, 101), DESCRIPTORS[1])]


def test_a_folder_of_delf(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("b.delf", "a.jpg.delf", "sub/c.delg_local"):
        (tmp_path / name).write_bytes(delf_features(FEATURES))
    file = open_foreign(tmp_path)
    assert (file.path, file.names) == (tmp_path, ("a.jpg", "b", "sub/c"))
    for name in file.names:
        found = file.read(name)
        np.testing.assert_array_equal(found.points, [[128, 192], [0, 0]])
        # The receptive field is 291 pixels wide at the network's input.
        np.testing.assert_array_equal(found.shapes, [np.eye(2) * 291, np.eye(2) * 72.75])
        np.testing.assert_array_equal(found.descriptors, DESCRIPTORS)
        np.testing.assert_array_equal(found.scores, [130.5, 101])
        assert (found.descriptors.dtype, found.width, found.height) == (np.float32, 0, 0)


def test_what_the_protocol_leaves_open(tmp_path: Path) -> None:
    (tmp_path / "points.delf").write_bytes(delf_features([((1, 2), DESCRIPTORS[0])]))
    (tmp_path / "none.delf").write_bytes(b"")  # what DELF writes for a photo of 9 pixels
    file = open_delf(tmp_path)
    assert len(file.read("none")) == 0
    found = file.read("points")
    np.testing.assert_array_equal(found.points, [[1, 2]])
    assert (found.shapes, found.scores) == (None, None)


def test_a_datum(tmp_path: Path) -> None:
    matrix = np.arange(6, dtype=np.float32).reshape(2, 3) / 4
    path = tmp_path / "pca.datum"
    path.write_bytes(datum(matrix))
    np.testing.assert_array_equal(read_datum(path), matrix)
    path.write_bytes(datum(np.array([[7, 300]]), kind=3))
    np.testing.assert_array_equal(read_datum(path), [[7, 300]])
    path.write_bytes(datum(matrix)[:10] + datum(matrix[:1])[4:])
    with pytest.raises(FeatureFileError):
        read_datum(path)
    path.write_bytes(field(1, field(1, b"\x02\x03")) + field(2, field(1, bytes(4))))
    with pytest.raises(FeatureFileError, match=r"has 1 values for an array of \(2, 3\); name a \.datum file"):
        read_datum(path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            delf_features([FEATURES[0], ((0, 0, 1), DESCRIPTORS[0, :2])]),
            r"descriptors of \[2, 3\] values for a;",
        ),
        (delf_features([((0, 0, 1), DESCRIPTORS[0, :0])]), r"descriptors of \[0\] values for a;"),
        (delf_features([((0, np.nan, 1), DESCRIPTORS[0])]), "has points that are not finite .* for a;"),
        (delf_features([((0, 0, 1), DESCRIPTORS[0] + np.inf)]), "has descriptors that are not finite"),
        (delf_features([((0, 0, 0), DESCRIPTORS[0])]), "has shapes that are no ellipses"),
        (delf_features([((0, 0, np.inf), DESCRIPTORS[0])]), "has shapes that are not finite"),
        (field(9, b"something else"), "has no DelfFeatures; name a folder of DELF's local features"),
        (b"something else", "is truncated or damaged"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "a.delf").write_bytes(content)
    with pytest.raises(FeatureFileError, match=sentence) as caught:
        open_delf(tmp_path).read("a")
    assert str(caught.value).startswith(str(tmp_path / "a.delf"))


def test_folders_and_photos_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(FeatureFileError, match=r"has no \.delf files"):
        open_delf(tmp_path)
    (tmp_path / "a.delf").write_bytes(b"")
    file = open_delf(tmp_path)
    with pytest.raises(FeatureFileError, match=r"has no features for b; compute them"):
        file.read("b")
    (tmp_path / "a.delf").unlink()
    with pytest.raises(FeatureFileError, match=r"There is no file of features at .*a\.delf"):
        file.read("a")


def test_without_protobuf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module._messages.cache_clear()
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    with pytest.raises(DependencyError, match=r'need protobuf.*: pip install "handcraft\[learned\]"\.$'):
        open_delf(tmp_path)
    monkeypatch.undo()
    (tmp_path / "a.delf").write_bytes(delf_features(FEATURES))
    assert len(open_delf(tmp_path).read("a")) == 2


def test_truncated_and_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "a.delf"
    whole = delf_features(FEATURES * 5)
    path.write_bytes(whole)
    file = open_delf(tmp_path)
    generator = np.random.default_rng(0)
    contents = [whole[:length] for length in range(1, len(whole), 3)]
    for _ in range(100):
        spoilt = np.frombuffer(whole, np.uint8).copy()
        spoilt[generator.integers(0, len(whole), 2)] = generator.integers(0, 256, 2)
        contents.append(spoilt.tobytes())
    told = []
    for content in contents:
        path.write_bytes(content)
        try:
            file.read("a")
        except FeatureFileError as error:
            told.append(str(error))
    assert len(told) > len(whole) / 3 - 10  # between two features a cut cannot be seen
    assert all(sentence.startswith(str(path)) for sentence in told)
