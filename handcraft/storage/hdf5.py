"""HDF5 files of flat arrays: contiguous, so that they are memory-mapped and never copied.

A file is laid out by h5py and filled by plain writes at the offsets that HDF5 gives. So a full disk
is an ordinary OSError, and arrays larger than memory are written part by part.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from handcraft.errors import StoreError
from handcraft.storage.atomic import atomic_path

Attribute = str | int | float
FORMAT = 1


@dataclass(frozen=True)
class ArrayFile:
    """An opened file: read-only arrays mapped from disk, and the attributes."""

    path: Path
    arrays: Mapping[str, NDArray[np.generic]]
    attributes: Mapping[str, Attribute]

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        if name not in self.arrays:
            raise StoreError(f"{self.path} is damaged: it has no array {name!r}; run `handcraft check`.")
        return self.arrays[name]


def write_arrays(
    path: Path,
    kind: str,
    arrays: Mapping[str, Sequence[NDArray[np.generic]]],
    attributes: Mapping[str, Attribute],
) -> None:
    """Write a file whole or not at all; raises StoreError.

    kind: what the file is, checked when it is read. arrays: each the parts to be joined along the
    first axis; all parts of an array have one dtype.
    """
    with atomic_path(path) as temporary:
        offsets = _lay_out(temporary, arrays, {**attributes, "kind": kind, "format": FORMAT})
        with temporary.open("rb+", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)  # a full disk shows here, not half-way
            for name, parts in arrays.items():
                file.seek(offsets[name])
                for part in parts:
                    if part.size:
                        _write_all(file.fileno(), np.ascontiguousarray(part).data.cast("B"))


def read_arrays(path: Path, kind: str) -> ArrayFile:
    """Open a file that write_arrays made; raises StoreError, which names the remedy."""
    try:
        with h5py.File(path, "r") as file:
            attributes = {name: _plain(value) for name, value in file.attrs.items()}
            _check_kind(path, kind, attributes)
            places = {name: (data.shape, data.dtype, data.id.get_offset()) for name, data in file.items()}
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise StoreError(f"{path} is missing.") from error
    except PermissionError as error:
        raise StoreError(f"No permission to read {path}; change its mode or your user.") from error
    except (OSError, RuntimeError, KeyError) as error:
        raise StoreError(f"{path} is truncated or damaged; make it again.") from error
    arrays = {}
    for name, (shape, dtype, offset) in places.items():
        count = int(np.prod(shape))
        if count == 0:
            arrays[name] = np.empty(shape, dtype)
            continue
        if offset is None or offset + count * dtype.itemsize > size:
            raise StoreError(f"{path} is truncated; make it again.")
        arrays[name] = np.memmap(path, dtype, "r", offset, shape).view(np.ndarray)
    return ArrayFile(path, arrays, attributes)


def _lay_out(
    path: Path, arrays: Mapping[str, Sequence[NDArray[np.generic]]], attributes: Mapping[str, Attribute]
) -> dict[str, int]:
    """Make the file with room for every array, still unwritten; return where each one goes."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    properties.set_obj_track_times(False)  # equal arrays make equal files
    offsets = {}
    with h5py.File(path, "w", libver="v110") as file:
        for name, value in attributes.items():
            file.attrs[name] = value
        for name, parts in arrays.items():
            shape = (sum(len(part) for part in parts), *parts[0].shape[1:])
            space = h5py.h5s.create_simple(shape)
            kind = h5py.h5t.py_create(parts[0].dtype, logical=True)
            data = h5py.h5d.create(file.id, name.encode(), kind, space, properties)
            offsets[name] = data.get_offset() or 0
    return offsets


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _check_kind(path: Path, kind: str, attributes: Mapping[str, Attribute]) -> None:
    found, version = attributes.get("kind"), attributes.get("format")
    if found != kind:
        raise StoreError(f"{path} is not a handcraft {kind} file, it is {found or 'something else'}.")
    if not isinstance(version, int) or version > FORMAT:
        raise StoreError(
            f"{path} has format {version}, this handcraft reads up to {FORMAT}; install a newer handcraft."
        )


def _plain(value: object) -> Attribute:
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, np.floating):
        return float(value)
    return str(value)
