"""HDF5 files of flat arrays: contiguous, so that they are memory-mapped and never copied.

h5py lays a file out in memory, and plain writes fill it at the offsets that HDF5 gives. So a full
disk is an ordinary OSError, and arrays larger than memory are written part by part.
"""

from __future__ import annotations

import io
import math
import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
from numpy.typing import NDArray

from handcraft.errors import StoreError
from handcraft.storage.atomic import atomic_path

if TYPE_CHECKING:
    from typing_extensions import Buffer

Attribute = str | int | float
FORMAT = 1
ALIGNMENT = 64  # bytes, a cache line
SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class ArrayFile:
    """An opened file: read-only arrays mapped from disk, and the attributes."""

    path: Path
    arrays: Mapping[str, NDArray[np.generic]]
    attributes: Mapping[str, Attribute]
    mapping: mmap.mmap

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        if name not in self.arrays:
            raise StoreError(f"{self.path} is damaged: it has no array {name!r}; run `handcraft check`.")
        return self.arrays[name]

    def let_go(self) -> None:
        """Keep no page in this process's memory that was read so far, to be checked for example. The system
        still has them."""
        if hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
            self.mapping.madvise(mmap.MADV_DONTNEED)


def write_arrays(
    path: Path,
    kind: str,
    arrays: Mapping[str, Sequence[NDArray[np.generic]]],
    attributes: Mapping[str, Attribute],
) -> None:
    """Write a file whole or not at all; raises StoreError.

    kind: what the file is, checked when it is read. arrays: each the parts to be joined along the
    first axis; parts of different dtypes are a TypeError.
    """
    metadata, offsets = _lay_out(arrays, {**attributes, "kind": kind, "format": FORMAT})
    with atomic_path(path) as temporary, temporary.open("wb", buffering=0) as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, metadata.size)  # a full disk shows here, not half-way
        file.truncate(metadata.size)
        for offset, page in metadata.pages():
            file.seek(offset)
            _write_all(file, memoryview(page))
        for name, parts in arrays.items():
            file.seek(offsets[name])
            for part in parts:
                if part.size:
                    _write_all(file, np.ascontiguousarray(part).data.cast("B"))


def read_arrays(path: Path, kind: str) -> ArrayFile:
    """Open a file that write_arrays made; raises StoreError, which names the remedy."""
    try:
        # One open file for both, so that a file that is swept away meanwhile stays whole. HDF5 gets
        # it as a Python file, which it does not lock: network disks often refuse locks.
        with path.open("rb") as file:
            if not SIGNATURE.startswith(file.read(len(SIGNATURE))):  # an empty file is a truncated one
                raise StoreError(f"{path} is not a handcraft {kind} file, or its first bytes are damaged.")
            with h5py.File(file, "r") as hdf5:
                attributes = {name: _plain(value) for name, value in hdf5.attrs.items()}
                _check_kind(path, kind, attributes)
                mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                content = np.frombuffer(mapping, np.uint8)
                arrays = {name: _map_array(content, data) for name, data in hdf5.items()}
    except FileNotFoundError as error:
        raise StoreError(f"{path} is missing.") from error
    except PermissionError as error:
        raise StoreError(f"No permission to read {path}; change its mode or your user.") from error
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise StoreError(f"{path} is truncated or damaged; make it again.") from error
    return ArrayFile(path, arrays, attributes, mapping)


def require_attributes(file: ArrayFile, attributes: Mapping[str, Attribute]) -> None:
    """Raise StoreError unless a file was written with these attributes, among others."""
    for name, value in attributes.items():
        found = file.attributes.get(name)
        if found != value:
            raise StoreError(
                f"{file.path} is of another store: its {name} is {found}, not {value}; run `handcraft check`."
            )


def _map_array(content: NDArray[np.uint8], data: h5py.Dataset) -> NDArray[np.generic]:
    """The values of a contiguous data set within the mapped bytes of its file; raises ValueError."""
    count = math.prod(data.shape)
    if count == 0:  # has no place in the file
        array: NDArray[np.generic] = np.empty(data.shape, data.dtype)
        array.flags.writeable = False
        return array
    start = data.id.get_offset()
    if start is None or start % ALIGNMENT:
        raise ValueError("not an array that write_arrays wrote")
    # Past the end of the file there are too few bytes for the shape.
    values = content[start : start + count * data.dtype.itemsize].view(data.dtype)
    return np.asarray(values.reshape(data.shape))


class _SparseFile(io.RawIOBase):
    """A file in memory that holds only the pages that were written: HDF5's metadata, while the
    arrays between are gaps that may be larger than memory."""

    PAGE = 4096

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}
        self._place = 0
        self.size = 0

    def pages(self) -> Iterator[tuple[int, bytes]]:
        """The offsets and contents of the pages, in order, the last one cut to the file's size."""
        for number, page in sorted(self._pages.items()):
            offset = number * self.PAGE
            yield offset, bytes(page[: self.size - offset])

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self.size}[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def truncate(self, size: int | None = None) -> int:
        self.size = self._place if size is None else size
        return self.size

    def write(self, data: Buffer) -> int:
        values = memoryview(data).cast("B")
        for number, place, part in self._spans(values):
            page = self._pages.setdefault(number, bytearray(self.PAGE))
            page[place : place + len(part)] = part
        self._place += len(values)
        self.size = max(self.size, self._place)
        return len(values)

    def readinto(self, target: Buffer) -> int:
        values = memoryview(target).cast("B")
        for number, place, part in self._spans(values):
            page = self._pages.get(number, bytes(self.PAGE))
            part[:] = page[place : place + len(part)]
        self._place += len(values)
        return len(values)

    def _spans(self, values: memoryview) -> Iterator[tuple[int, int, memoryview]]:
        """The pages that values fall on from here: page, place in the page, and the values there."""
        start = 0
        while start < len(values):
            number, place = divmod(self._place + start, self.PAGE)
            stop = min(start + self.PAGE - place, len(values))
            yield number, place, values[start:stop]
            start = stop


def _lay_out(
    arrays: Mapping[str, Sequence[NDArray[np.generic]]], attributes: Mapping[str, Attribute]
) -> tuple[_SparseFile, dict[str, int]]:
    """HDF5's metadata for these arrays and attributes, and the offset at which each array goes."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    properties.set_obj_track_times(False)  # equal arrays make equal files
    offsets = {}
    metadata = _SparseFile()
    # Aligned, because numba compiles kernels anew for arrays that are not.
    with h5py.File(metadata, "w", libver="v110", alignment_threshold=1, alignment_interval=ALIGNMENT) as file:
        for name, value in attributes.items():
            _write_attribute(file, name, value)
        for name, parts in arrays.items():
            if any(part.dtype != parts[0].dtype for part in parts):
                raise TypeError(f"the parts of {name} have more than one dtype")
            shape = (sum(len(part) for part in parts), *parts[0].shape[1:])
            space = h5py.h5s.create_simple(shape)
            kind = h5py.h5t.py_create(parts[0].dtype, logical=True)
            data = h5py.h5d.create(file.id, name.encode(), kind, space, properties)
            offsets[name] = data.get_offset() or 0
    return metadata, offsets


def _write_attribute(file: h5py.File, name: str, value: Attribute) -> None:
    if not isinstance(value, str):
        file.attrs[name] = value
        return
    # Of fixed length: text of variable length lives in HDF5's global heap, which has no checksum,
    # and a damaged heap can keep HDF5 searching for ever.
    text = value.encode()
    file.attrs.create(name, text, dtype=h5py.string_dtype("utf-8", max(1, len(text))))


def _write_all(file: io.FileIO, data: memoryview) -> None:
    while data:
        data = data[file.write(data) :]


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
    if isinstance(value, bytes):
        return value.decode()
    return str(value)
