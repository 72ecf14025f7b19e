"""COLMAP's databases are read as COLMAP means them, and nothing is written beside them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign import write_database
from permissions import a_common_user

from handcraft.errors import FeatureFileError
from handcraft.storage.exchange import open_foreign
from handcraft.storage.exchange.colmap import open_colmap

DESCRIPTORS = np.arange(2 * 128, dtype=np.uint8).reshape(2, 128)
POINTS = np.array([[0.5, 0.5], [10, 20.25]], np.float32)
SIFT = np.array([[0.5, 0.5, 1, 0], [10, 20.25, 2, np.pi / 2]], np.float32)
AFFINE = np.array([[0.5, 0.5, 1, 0, 0.5, 2], [10, 20.25, 3, 0, 0, 1]], np.float32)


def as_bytes(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(array, np.float32).view(np.uint8)


def test_the_centre_of_the_first_pixel_is_half_a_pixel_from_the_corner(tmp_path: Path) -> None:
    path = write_database(
        tmp_path / "database.db",
        {
            "z/points.jpg": (POINTS, DESCRIPTORS),
            "a/sift.jpg": (SIFT, DESCRIPTORS),
            "affine.jpg": (AFFINE, DESCRIPTORS),
        },
    )
    file = open_foreign(path)
    assert file.names == ("z/points.jpg", "a/sift.jpg", "affine.jpg")
    found = {name: file.read(name) for name in file.names}
    for features in found.values():
        np.testing.assert_array_equal(features.points, [[0, 0], [9.5, 19.75]])
        np.testing.assert_array_equal(features.descriptors, DESCRIPTORS)
        assert features.descriptors.dtype == np.uint8
        assert (features.width, features.height, features.scores) == (640, 480, None)
    assert found["z/points.jpg"].shapes is None
    sift = [[[6, 0], [0, 6]], [[0, -12], [12, 0]]]
    np.testing.assert_allclose(found["a/sift.jpg"].shapes, sift, atol=1e-5)
    np.testing.assert_array_equal(found["affine.jpg"].shapes, [[[6, 0], [3, 12]], [[18, 0], [0, 6]]])


def test_unit_circles_are_no_shapes(tmp_path: Path) -> None:
    keypoints = np.array([[1, 2, 1, 0, 0, 1], [3, 4, 1, 0, 0, 1]], np.float32)
    file = open_colmap(write_database(tmp_path / "database.db", {"a.jpg": (keypoints, DESCRIPTORS)}))
    assert file.read("a.jpg").shapes is None


@pytest.mark.parametrize(
    ("kind", "stored", "dtype", "dimension"),
    [
        (0, DESCRIPTORS, np.uint8, 128),
        (-1, DESCRIPTORS, np.uint8, 128),
        (1, as_bytes(np.ones((2, 128))), np.float32, 128),
        (2, as_bytes(np.ones((2, 64))), np.float32, 64),
    ],
)
def test_the_type_of_version_4(
    tmp_path: Path, kind: int, stored: np.ndarray[Any, Any], dtype: type, dimension: int
) -> None:
    path = write_database(tmp_path / "database.db", {"a.jpg": (POINTS, stored)}, kind)
    found = open_colmap(path).read("a.jpg").descriptors
    assert (found.dtype, found.shape) == (dtype, (2, dimension))
    if dtype is np.float32:
        assert (found == 1).all()


def test_float32_by_dimension(tmp_path: Path) -> None:
    floats = np.linspace(0, 1, 8, dtype=np.float32).reshape(2, 4)
    found = open_colmap(write_database(tmp_path / "database.db", {"a.jpg": (POINTS, floats)})).read("a.jpg")
    np.testing.assert_array_equal(found.descriptors, floats)


def test_a_photo_without_features(tmp_path: Path) -> None:
    nothing = (np.empty((0, 6), np.float32), np.empty((0, 128), np.uint8))
    assert len(open_colmap(write_database(tmp_path / "database.db", {"a.jpg": nothing})).read("a.jpg")) == 0


def test_no_cameras(tmp_path: Path) -> None:
    path = write_database(tmp_path / "database.db", {"a.jpg": (POINTS, DESCRIPTORS)})
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TABLE cameras")
    found = open_colmap(path).read("a.jpg")
    assert (found.width, found.height) == (0, 0)


def test_nothing_is_written_beside_it(closed_folder: Path, tmp_path: Path) -> None:
    path = write_database(tmp_path / "a #%? b.db", {"a.jpg": (POINTS, DESCRIPTORS)})
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=WAL")  # a reader of those makes files unless told not to
    closed_folder.chmod(0o755)
    copy = closed_folder / path.name
    copy.write_bytes(path.read_bytes())
    copy.chmod(0o444)
    closed_folder.chmod(0o555)
    with a_common_user():
        assert len(open_foreign(copy).read("a.jpg")) == 2
    assert list(closed_folder.iterdir()) == [copy]


def test_a_log_that_is_not_folded_in(tmp_path: Path) -> None:
    path = write_database(tmp_path / "database.db", {"a.jpg": (POINTS, DESCRIPTORS)})
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("INSERT INTO images VALUES (2, 'b.jpg', 1)")
        database.commit()
        with pytest.raises(FeatureFileError, match=r"is not finished: database.db-wal beside it has more"):
            open_colmap(path)
    assert open_colmap(path).names == ("a.jpg", "b.jpg")


@pytest.mark.parametrize(
    ("keypoints", "descriptors", "sentence"),
    [
        (
            None,
            DESCRIPTORS,
            "has no keypoints for a.jpg; run COLMAP's feature_extractor again, or read the file",
        ),
        (
            POINTS,
            None,
            "has no descriptors for a.jpg; run COLMAP's feature_extractor again, or read the file",
        ),
        (POINTS[:1], DESCRIPTORS, "has 1 keypoints and 2 descriptors for a.jpg"),
        (np.zeros((2, 3), np.float32), DESCRIPTORS, "has keypoints of 3 columns, not 2, 4 or 6 for a.jpg"),
        (POINTS.astype(np.float16), DESCRIPTORS, "has 8 bytes of keypoints for 2 x 2 for a.jpg"),
        (POINTS, DESCRIPTORS.astype(np.float64), "has 2048 bytes of descriptors for 2 x 128 for a.jpg"),
        (POINTS * np.inf, DESCRIPTORS, "has points that are not finite .* for a.jpg"),
        (SIFT * [1, 1, 0, 1], DESCRIPTORS, "has shapes that are no ellipses"),
        (SIFT * [1, 1, np.nan, 1], DESCRIPTORS, "has shapes that are not finite"),
        (POINTS, np.full((2, 4), np.nan, np.float32), "has descriptors that are not finite"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, keypoints: Any, descriptors: Any, sentence: str) -> None:
    if keypoints is not None and keypoints.dtype == np.float64:
        keypoints = keypoints.astype(np.float32)
    path = write_database(tmp_path / "database.db", {"a.jpg": (keypoints, descriptors)})
    with pytest.raises(FeatureFileError, match=sentence) as caught:
        open_colmap(path).read("a.jpg")
    assert str(caught.value).startswith(str(path))


def test_a_type_whose_bytes_are_no_floats(tmp_path: Path) -> None:
    path = write_database(tmp_path / "database.db", {"a.jpg": (POINTS, np.zeros((2, 7), np.uint8))}, 1)
    with pytest.raises(FeatureFileError, match="has descriptors of type 1 whose bytes are no float32"):
        open_colmap(path).read("a.jpg")


@pytest.mark.parametrize(
    "values", ["NULL, 2, x'00'", "'two', 2, x'00'", "-1, -1, x'00'", "2, 2, 'text'", "2, 2, NULL"]
)
def test_columns_of_anything(tmp_path: Path, values: str) -> None:
    path = write_database(tmp_path / "database.db", {"a.jpg": (None, DESCRIPTORS)})
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TABLE keypoints")
        database.execute("CREATE TABLE keypoints (image_id, rows, cols, data)")
        database.execute(f"INSERT INTO keypoints VALUES (1, {values})")
        database.commit()
    with pytest.raises(FeatureFileError, match=r"a\.jpg"):
        open_colmap(path).read("a.jpg")


def test_other_databases(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE images (image_id)")
    with pytest.raises(FeatureFileError, match=r"has no table 'keypoints'; name a database.db of COLMAP"):
        open_foreign(path)
    with pytest.raises(FeatureFileError, match="has no images; run COLMAP's feature_extractor first"):
        open_colmap(write_database(tmp_path / "none.db", {}))
    path.write_bytes(b"PK something else")
    with pytest.raises(FeatureFileError, match=r"is not an SQLite file; name COLMAP's database.db"):
        open_colmap(path)


def test_a_photo_that_is_not_there(tmp_path: Path) -> None:
    file = open_colmap(write_database(tmp_path / "database.db", {"a.jpg": (POINTS, DESCRIPTORS)}))
    with pytest.raises(FeatureFileError, match=r"has no features for b.jpg; compute them"):
        file.read("b.jpg")


def test_truncated_and_damaged_files(tmp_path: Path) -> None:
    photos: dict[str, Any] = {f"{i}.jpg": (SIFT, DESCRIPTORS) for i in range(30)}
    whole = write_database(tmp_path / "whole.db", photos).read_bytes()
    path = tmp_path / "cut.db"
    generator = np.random.default_rng(0)
    contents = [whole[:length] for length in np.linspace(0, len(whole) - 1, 40).astype(int)]
    for _ in range(100):
        spoilt = np.frombuffer(whole, np.uint8).copy()
        places = generator.integers(0, len(whole), 30)
        spoilt[places] = generator.integers(0, 256, 30)
        contents.append(spoilt.tobytes())
    told = []
    for content in contents:
        path.write_bytes(content)
        try:
            file = open_colmap(path)
            for name in file.names:
                file.read(name)
        except FeatureFileError as error:
            told.append(str(error))
    assert len(told) >= 40
    assert all(sentence.startswith(str(path)) for sentence in told)
