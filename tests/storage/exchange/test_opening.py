"""The kind of a file is found out by what it is, or the sentence says what kinds there are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from foreign import write_archive, write_database, write_hdf5
from permissions import a_common_user

from handcraft.errors import FeatureFileError
from handcraft.storage.exchange import KINDS, open_foreign

POINTS = np.zeros((1, 2), np.float32)
DESCRIPTORS = np.zeros((1, 4), np.uint8)


@pytest.fixture
def protobuf(kind: str) -> None:
    """Skips what needs the extra `learned` without it."""
    if kind == "delf":
        pytest.importorskip("google.protobuf", reason="needs the extra: learned")


@pytest.mark.parametrize("suffix", [".h5", ".bin", ""])
def test_first_bytes_tell(tmp_path: Path, suffix: str) -> None:
    hloc = write_hdf5(
        tmp_path / f"one{suffix}", {"a.jpg": {"keypoints": POINTS, "descriptors": DESCRIPTORS.T}}
    )
    colmap = write_database(tmp_path / f"two{suffix}", {"b.jpg": (POINTS, DESCRIPTORS)})
    assert open_foreign(hloc).names == ("a.jpg",)
    assert open_foreign(colmap).names == ("b.jpg",)


@pytest.mark.parametrize("name", ["file.h5", "file.HDF5", "file.db", "file.sqlite"])
def test_suffixes_tell_what_is_damaged(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"something else altogether")
    with pytest.raises(FeatureFileError, match=r"is truncated or damaged; copy|is not an SQLite file"):
        open_foreign(tmp_path / name)


@pytest.mark.parametrize("kind", ["", *KINDS])
@pytest.mark.usefixtures("protobuf")
def test_no_such_file(tmp_path: Path, kind: str) -> None:
    with pytest.raises(
        FeatureFileError, match=r"There is no (file|folder) of .* at .*nowhere; check its name"
    ):
        open_foreign(tmp_path / "nowhere", kind)


@pytest.mark.parametrize("kind", ["", "hloc", "colmap"])
def test_empty_and_closed_files(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "empty.h5"
    path.touch()
    with pytest.raises(FeatureFileError, match=r"empty\.h5 is empty; copy or compute it again"):
        open_foreign(path, kind)


@pytest.mark.parametrize("kind", ["", *KINDS])
@pytest.mark.usefixtures("protobuf")
def test_closed_files_and_folders(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "closed" / "features"
    write_archive(path / "a.jpg.npz", keypoints=POINTS, descriptors=DESCRIPTORS)
    path.parent.chmod(0)
    try:
        with a_common_user(), pytest.raises(FeatureFileError, match="No permission to read"):
            open_foreign(path, kind)
    finally:
        path.parent.chmod(0o755)


@pytest.mark.parametrize("kind", ["hloc", "colmap"])
def test_a_folder_instead_of_a_file(tmp_path: Path, kind: str) -> None:
    with pytest.raises(FeatureFileError, match="is a folder, not a file of features; name the file in it"):
        open_foreign(tmp_path, kind)


def test_what_tells_nothing(tmp_path: Path) -> None:
    with pytest.raises(FeatureFileError, match=r"has neither \.npz nor \.delf files; name a folder"):
        open_foreign(tmp_path)
    (tmp_path / "file.txt").write_text("text")
    with pytest.raises(FeatureFileError, match=r"what kind .*; say which: hloc, colmap, npz, delf\.$"):
        open_foreign(tmp_path / "file.txt")
    archive = write_archive(tmp_path / "a.jpg.npz", keypoints=POINTS, descriptors=DESCRIPTORS)
    with pytest.raises(FeatureFileError, match="is the file of one photo; name the folder that it lies in"):
        open_foreign(archive)
    with pytest.raises(
        FeatureFileError, match="no kind of feature file 'surf'; known are hloc, colmap, npz, delf"
    ):
        open_foreign(tmp_path, "surf")
