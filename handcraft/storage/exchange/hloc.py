"""hloc's HDF5 files (cvg/Hierarchical-Localization): a group a photo, nested where its name has slashes.

A group has `keypoints` (n, 2), `descriptors` (d, n), often `scores` (n,), and `image_size` (width, height);
SIFT adds `scales` (n,), σ in pixels, and `oris` (n,), degrees from x towards y (extractors/dog.py, which
takes them from COLMAP). Most are float16 (extract_features.py, as_half): at 1600 pixels those tell whole
pixels.

Pixels have their centres at whole numbers, as handcraft's: hloc takes keypoints back to the original photo by
(x + 0.5) * scale - 0.5 (extract_features.py) and adds 0.5 when it imports them to COLMAP, whose origin is the
corner (triangulation.py, import_features). The attribute `uncertainty` of `keypoints` is the detector's noise
in pixels of the original photo; it shifts nothing.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from handcraft.errors import FeatureFileError
from handcraft.storage.atomic import atomic_path
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

if TYPE_CHECKING:
    from typing_extensions import Buffer

DETECTION_NOISE = 1.0  # pixels: what hloc takes for a detector that does not tell (extract_features.py)
_MOST_COMPRESSION = 1032  # deflate's best: more bytes than this times the file's are a damaged shape
_COLUMNS = (2, 3, 4, 6)  # points; with scales; with scales and orientations; with affine shapes


@dataclass(frozen=True)
class HlocFile:
    """A file of hloc's local features."""

    path: Path
    names: tuple[str, ...]
    _known: frozenset[str] = field(repr=False)

    def read(self, name: str) -> ForeignFeatures:
        """The features of one of its photos; raises FeatureFileError."""
        if name not in self._known:
            raise unknown_photo(self.path, name)
        with _opened(self.path, name) as file, quietly():
            return _read_group(self.path, name, file[name])


def open_hloc(path: Path) -> HlocFile:
    """Open a file of hloc's local features; raises FeatureFileError."""
    with _opened(path) as file:
        names = tuple(_photos(file))
    if not names:
        raise FeatureFileError(
            f"{path} has no group with 'keypoints' and 'descriptors'; name hloc's file of local features, "
            "not of global ones or of matches."
        )
    return HlocFile(path, names, frozenset(names))


def write_hloc(path: Path, photos: Iterable[tuple[str, ForeignFeatures]]) -> None:
    """Write features for hloc, whole or not at all; raises StoreError.

    photos: names with forward slashes, and their features. Keypoints and scores are float32; descriptors keep
    their dtype. hloc sees an ellipse as the circle of its area; `shapes`, which it does not look at, has
    the linear parts of the frames.
    """
    with atomic_path(path) as temporary, temporary.open("wb+", buffering=0) as file:
        patient = _PatientFile(file)
        try:
            with h5py.File(patient, "w", libver="v110") as hdf5:
                for name, features in photos:
                    _write_group(hdf5.create_group(name), features)
                    if patient.error:
                        break
        finally:
            if patient.error:
                raise patient.error


@contextmanager
def _opened(path: Path, name: str = "") -> Iterator[h5py.File]:
    """The file for the length of a block, in which what HDF5 raises becomes FeatureFileError."""
    try:
        # HDF5 gets a Python file, which it does not lock: network disks often refuse locks.
        with path.open("rb") as file:
            if not file.read(1):
                raise FeatureFileError(f"{path} is empty; copy or compute it again.")
            with h5py.File(file, "r") as hdf5:
                yield hdf5
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise file_error(path, error) from error
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise damaged(path, name) from error
    except (MemoryError, ArithmeticError) as error:
        raise damaged(path, name) from error


def _photos(file: h5py.File) -> Iterator[str]:
    """The names of the groups that are photos. Each group is visited once: links may go in circles."""
    seen = set()
    waiting = [("", file["/"])]
    while waiting:
        name, group = waiting.pop()
        address = h5py.h5o.get_info(group.id).addr
        if address in seen:
            continue
        seen.add(address)
        children = list(group)
        if name and ("keypoints" in children or "descriptors" in children):
            yield name  # has no photos in it: no file is a folder
            continue
        for child in reversed(children):
            # Other links may lead to other files, which nobody has named.
            if isinstance(group.get(child, getlink=True), h5py.HardLink) and (
                group.get(child, getclass=True) is h5py.Group
            ):
                waiting.append((f"{name}/{child}" if name else child, group[child]))


def _read_group(path: Path, name: str, group: h5py.Group) -> ForeignFeatures:
    for needed in ("keypoints", "descriptors"):
        if needed not in group:
            raise photo_error(path, name, f"has no {needed!r}", "compute its local features again with hloc")
    arrays = {
        key: _array(path, name, group, key)
        for key in ("keypoints", "descriptors", "scores", "scales", "oris", "shapes", "image_size")
        if key in group
    }
    keypoints, descriptors = arrays["keypoints"], arrays["descriptors"]
    if keypoints.ndim != 2 or (len(keypoints) and keypoints.shape[1] not in _COLUMNS):
        raise photo_error(
            path, name, f"has keypoints of shape {keypoints.shape}", "store them as (number, 2)"
        )
    if descriptors.ndim != 2 or descriptors.shape[1] != len(keypoints):
        raise photo_error(
            path,
            name,
            f"has {len(keypoints)} keypoints and descriptors of shape {descriptors.shape}",
            "hloc's shape is (dimension, number): transpose them or compute them again",
        )
    return check_features(
        path,
        name,
        keypoints[:, :2],
        _shapes(path, name, arrays),
        descriptors.T,
        arrays.get("scores"),
        _size(path, name, arrays.get("image_size")),
    )


def _array(path: Path, name: str, group: h5py.Group, key: str) -> NDArray[Any]:
    """The numbers of one data set. Text and other objects are not looked at: they live in HDF5's global heap,
    which has no checksum, and a damaged heap can keep HDF5 searching for ever."""
    data = group[key] if isinstance(group.get(key, getlink=True), h5py.HardLink) else None
    if not isinstance(data, h5py.Dataset) or data.dtype.kind not in "fiu" or data.is_virtual or data.external:
        raise photo_error(path, name, f"has {key!r} that are no numbers", "compute its local features again")
    if data.size * data.dtype.itemsize > _MOST_COMPRESSION * path.stat().st_size:
        raise damaged(path, name)
    return np.asarray(data[()])


def _shapes(path: Path, name: str, arrays: dict[str, NDArray[Any]]) -> NDArray[Any] | None:
    """Of `shapes`, which handcraft writes; of `scales` and `oris`; or of further columns of keypoints, which
    others write as COLMAP has them: x, y, scale, orientation in radians, or x, y and the affine shape row by
    row."""
    keypoints, scales, degrees = arrays["keypoints"], arrays.get("scales"), arrays.get("oris")
    whole = arrays.get("shapes")
    columns = keypoints.shape[1]
    if whole is not None and whole.shape == (len(keypoints), 2, 2):
        return whole
    if scales is None:
        if columns == 6:
            return RADIUS_PER_SCALE * keypoints[:, 2:].reshape(-1, 2, 2)
        if columns in (3, 4):
            return circles(keypoints[:, 2], keypoints[:, 3] if columns == 4 else None)
        return None
    for array, what in ((scales, "scales"), (degrees, "oris")):
        if array is not None and array.shape != (len(keypoints),):
            raise photo_error(
                path,
                name,
                f"has {len(keypoints)} keypoints and {what!r} of shape {array.shape}",
                "compute its local features again",
            )
    return circles(scales, None if degrees is None else np.deg2rad(degrees.astype(np.float64)))


def _size(path: Path, name: str, size: NDArray[Any] | None) -> tuple[int, int]:
    if size is None:
        return 0, 0
    if size.shape != (2,) or not (np.isfinite(size).all() and (size > 0).all()):
        raise photo_error(path, name, "has an 'image_size' that is not (width, height)", "store it so")
    return int(size[0]), int(size[1])


def _write_group(group: h5py.Group, features: ForeignFeatures) -> None:
    keypoints = group.create_dataset("keypoints", data=features.points.astype(np.float32))
    keypoints.attrs["uncertainty"] = DETECTION_NOISE
    group.create_dataset("descriptors", data=np.ascontiguousarray(features.descriptors.T))
    if features.shapes is not None:
        linear = features.shapes.astype(np.float64)
        scales = np.sqrt(np.linalg.det(linear)) / RADIUS_PER_SCALE
        # The nearest rotation's: of a circle, where its first axis points.
        turns = np.arctan2(linear[:, 1, 0] - linear[:, 0, 1], linear[:, 0, 0] + linear[:, 1, 1])
        group.create_dataset("shapes", data=features.shapes.astype(np.float32))
        group.create_dataset("scales", data=scales.astype(np.float32))
        group.create_dataset("oris", data=np.rad2deg(turns).astype(np.float32))
    if features.scores is not None:
        group.create_dataset("scores", data=features.scores.astype(np.float32))
    if features.width and features.height:
        group.create_dataset("image_size", data=np.array([features.width, features.height]))


class _PatientFile(io.RawIOBase):
    """A file that keeps a disk's first error for later: HDF5 cannot close a file that it cannot write."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        try:
            return self._file.truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0

    def write(self, data: Buffer) -> int:
        values = memoryview(data).cast("B")
        rest = values
        try:
            while rest and not self.error:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self.error = error
        return len(values)

    def readinto(self, target: Buffer) -> int:
        return self._file.readinto(target)
