"""Files of features as other programs write them, made with nothing but the libraries of their formats."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]

# The tables that concern features, of COLMAP 3 (scene/database_sqlite.cc).
SCHEMA = """
CREATE TABLE cameras (camera_id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, model INTEGER NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL, params BLOB, prior_focal_length INTEGER NOT NULL);
CREATE TABLE images (image_id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, name TEXT NOT NULL UNIQUE,
    camera_id INTEGER NOT NULL);
CREATE TABLE keypoints (image_id INTEGER PRIMARY KEY NOT NULL, rows INTEGER NOT NULL, cols INTEGER NOT NULL,
    data BLOB);
CREATE TABLE descriptors (image_id INTEGER PRIMARY KEY NOT NULL, rows INTEGER NOT NULL, cols INTEGER NOT NULL,
    data BLOB);
INSERT INTO cameras VALUES (1, 2, 640, 480, x'', 0);
"""


def write_hdf5(path: Path, photos: Mapping[str, Arrays], **attributes: float) -> Path:
    """As hloc's extract_features.py does. attributes: of the keypoints."""
    with h5py.File(path, "w", libver="latest") as file:
        for name, arrays in photos.items():
            group = file.create_group(name)
            for key, array in arrays.items():
                group.create_dataset(key, data=array)
            if "keypoints" in arrays:
                group["keypoints"].attrs.update(attributes)
    return path


def write_database(
    path: Path,
    photos: Mapping[str, tuple[NDArray[Any] | None, NDArray[Any] | None]],
    descriptor_type: int | None = None,
) -> Path:
    """As COLMAP's database_sqlite.cc does. photos: keypoints and descriptors. descriptor_type: since 4."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA synchronous=OFF")
        database.executescript(SCHEMA)
        if descriptor_type is not None:
            database.execute("ALTER TABLE descriptors ADD COLUMN type INTEGER NOT NULL DEFAULT 0")
        for image_id, (name, (keypoints, descriptors)) in enumerate(photos.items(), 1):
            database.execute("INSERT INTO images VALUES (?, ?, 1)", (image_id, name))
            tables = (("keypoints", keypoints, ()), ("descriptors", descriptors, _row_of(descriptor_type)))
            for table, array, more in tables:
                if array is not None:
                    row = (image_id, *array.shape, array.tobytes(), *more)
                    database.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
        database.commit()
    return path


def _row_of(descriptor_type: int | None) -> tuple[int, ...]:
    return () if descriptor_type is None else (descriptor_type,)


def write_archive(path: Path, **arrays: NDArray[Any]) -> Path:
    """A NumPy archive, in a folder that is made for it; the folder's path need not be there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def varint(value: int) -> bytes:
    """A number as protobuf writes it."""
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def field(number: int, content: bytes) -> bytes:
    """A field of protobuf that has a length."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def datum(array: NDArray[Any], kind: int = 2) -> bytes:
    """A DatumProto. kind: the field of the values, 2 for floats and 3 for whole numbers."""
    shape = field(1, b"".join(varint(side) for side in array.shape))
    flat = array.ravel()
    values = flat.astype("<f4").tobytes() if kind == 2 else b"".join(varint(int(value)) for value in flat)
    return field(1, shape) + field(kind, field(1, values))


def delf_features(features: Sequence[tuple[Sequence[float], NDArray[Any]]]) -> bytes:
    """A DelfFeatures of x, y, scale, orientation and strength, and the descriptor."""
    content = b""
    for numbers, descriptor in features:
        floats = b"".join(varint(n << 3 | 5) + np.float32(v).tobytes() for n, v in enumerate(numbers, 2))
        content += field(1, field(1, datum(descriptor)) + floats)
    return content
