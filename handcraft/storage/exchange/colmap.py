"""COLMAP's database (colmap/colmap): keypoints and descriptors as blobs of an SQLite file.

Coordinates have their origin at the outer corner of the top-left pixel, whose centre is (0.5, 0.5)
(src/colmap/feature/types.h), so half a pixel less than that are handcraft's. Keypoints have two columns, x
and y, or four, with scale and orientation, or six, with the affine shape a11, a12, a21, a22; the shape of a
scale and an orientation is scale * (cos, -sin, sin, cos) (src/colmap/feature/types.cc), which is the order of
handcraft's frames too. The scale is SIFT's σ (src/colmap/feature/sift.cc), and shapes map the unit circle to
that.

Descriptors are bytes. Since version 4 a column `type` tells whose: 0 is SIFT, -1 is not told, and of all
others the bytes are those of float32, so that `cols` is four times the dimension (types.h,
FeatureDescriptors and FeatureExtractorType).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handcraft.errors import FeatureFileError
from handcraft.storage.exchange.types import (
    RADIUS_PER_SCALE,
    ForeignFeatures,
    check_features,
    circles,
    damaged,
    file_error,
    photo_error,
    quietly,
    unknown_photo,
)

SIGNATURE = b"SQLite format 3\0"
_TABLES = ("images", "keypoints", "descriptors")
_AGAIN = "run COLMAP's feature_extractor again"


@dataclass(frozen=True)
class ColmapFile:
    """A database of COLMAP. typed: whether descriptors tell their type. sized: whether there are cameras."""

    path: Path
    names: tuple[str, ...]
    typed: bool
    sized: bool
    _image_ids: dict[str, int] = field(repr=False)

    def read(self, name: str) -> ForeignFeatures:
        """The features of one of its photos; raises FeatureFileError."""
        if name not in self._image_ids:
            raise unknown_photo(self.path, name)
        image_id = (self._image_ids[name],)
        with _opened(self.path, name) as database:
            keypoints = database.execute(
                "SELECT rows, cols, data FROM keypoints WHERE image_id = ?", image_id
            ).fetchone()
            kind = "type" if self.typed else "0"
            descriptors = database.execute(
                f"SELECT rows, cols, data, {kind} FROM descriptors WHERE image_id = ?", image_id
            ).fetchone()
            size = (0, 0)
            if self.sized:
                size = database.execute(
                    "SELECT width, height FROM images JOIN cameras USING (camera_id) WHERE image_id = ?",
                    image_id,
                ).fetchone() or (0, 0)
        for row, what in ((keypoints, "keypoints"), (descriptors, "descriptors")):
            if row is None:
                raise photo_error(
                    self.path,
                    name,
                    f"has no {what}",
                    f"{_AGAIN}, or read the file that they were imported to COLMAP from",
                )
        with quietly():
            points, shapes = _keypoints(self.path, name, *keypoints)
        values = _descriptors(self.path, name, *descriptors)
        return check_features(self.path, name, points, shapes, values, None, _size(size))


def open_colmap(path: Path) -> ColmapFile:
    """Open a database of COLMAP; raises FeatureFileError."""
    try:
        with path.open("rb") as file:
            start = file.read(len(SIGNATURE))
    except OSError as error:
        raise file_error(path, error) from error
    if not start:
        raise FeatureFileError(f"{path} is empty; copy or compute it again.")
    if not SIGNATURE.startswith(start):
        raise FeatureFileError(f"{path} is not an SQLite file; name COLMAP's database.db.")
    # COLMAP keeps a log of what is not yet folded into the file (database_sqlite.cc, journal_mode=WAL), and
    # an immutable file is read without it.
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        raise FeatureFileError(
            f"{path} is not finished: {log.name} beside it has more; wait for COLMAP to end, or open and "
            "close the database with it once more."
        )
    with _opened(path) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
        for table in _TABLES:
            if table not in tables:
                raise FeatureFileError(f"{path} has no table {table!r}; name a database.db of COLMAP.")
        columns = {name for _, name, *_ in database.execute("PRAGMA table_info(descriptors)")}
        rows = database.execute("SELECT image_id, name FROM images ORDER BY image_id").fetchall()
    image_ids = {str(name): image_id for image_id, name in rows}
    if not image_ids:
        raise FeatureFileError(f"{path} has no images; run COLMAP's feature_extractor first.")
    return ColmapFile(path, tuple(image_ids), "type" in columns, "cameras" in tables, image_ids)


@contextmanager
def _opened(path: Path, name: str = "") -> Iterator[sqlite3.Connection]:
    """The database for the length of a block. Nothing is written beside it, nor is it locked: a folder that
    is closed to writing, or a network disk, may have it."""
    try:
        address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(address, uri=True)) as database:
            yield database
    except (sqlite3.Error, UnicodeDecodeError, OverflowError, MemoryError) as error:
        raise damaged(path, name) from error


def _keypoints(
    path: Path, name: str, rows: Any, columns: Any, data: Any
) -> tuple[NDArray[np.float32], NDArray[Any] | None]:
    """Points (n, 2) and shapes (n, 2, 2), or None, of a blob of float32."""
    if rows == 0:
        return np.empty((0, 2), np.float32), None
    if columns not in (2, 4, 6):
        raise photo_error(path, name, f"has keypoints of {columns} columns, not 2, 4 or 6", _AGAIN)
    values = _matrix(path, name, "keypoints", rows, columns, data, "<f4")
    points = values[:, :2] - np.float32(0.5)
    if columns == 2:
        return points, None
    shapes = circles(values[:, 2], values[:, 3]) if columns == 4 else _affine(values)
    # Features without a shape, such as ALIKED's, get the unit circle (types.cc).
    return points, None if (shapes == RADIUS_PER_SCALE * np.eye(2)).all() else shapes


def _affine(values: NDArray[Any]) -> NDArray[Any]:
    return RADIUS_PER_SCALE * values[:, 2:].astype(np.float64).reshape(-1, 2, 2)


def _descriptors(path: Path, name: str, rows: Any, columns: Any, data: Any, kind: Any) -> NDArray[Any]:
    """(n, d) uint8 or float32."""
    if rows == 0:
        return np.empty((0, 0), np.uint8)
    if isinstance(data, bytes) and len(data) == 4 * _count(rows) * _count(columns):
        # Scripts that fill databases often write float32 with `cols` as their dimension.
        return _matrix(path, name, "descriptors", rows, columns, data, "<f4")
    values = _matrix(path, name, "descriptors", rows, columns, data, "u1")
    if kind in (0, -1):
        return values
    if columns % 4:
        raise photo_error(path, name, f"has descriptors of type {kind} whose bytes are no float32", _AGAIN)
    return values.view("<f4")


def _matrix(path: Path, name: str, what: str, rows: Any, columns: Any, data: Any, dtype: str) -> NDArray[Any]:
    found = len(data) if isinstance(data, bytes) else 0
    needed = _count(rows) * _count(columns) * np.dtype(dtype).itemsize
    if found != needed or needed == 0:
        raise photo_error(path, name, f"has {found} bytes of {what} for {rows} x {columns}", _AGAIN)
    return np.frombuffer(data, dtype).reshape(rows, columns)


def _count(value: Any) -> int:
    """SQLite's columns may hold anything; what is no count has no bytes."""
    return value if isinstance(value, int) and value > 0 else 0


def _size(size: tuple[Any, Any]) -> tuple[int, int]:
    width, height = _count(size[0]), _count(size[1])
    return (width, height) if width and height else (0, 0)
