"""A folder of NumPy archives, one a photo: `<photo name>.npz`, sub-folders allowed.

An archive has `descriptors` (n, d) and either `frames` (n, 2, 3), handcraft's own [A | t], or `keypoints`
(n, 2), x and y, with optional `scales` (n,), SIFT's σ in pixels, and `orientations` (n,), radians from x
towards y. Optional are `scores` (n,), the larger the stronger, and `image_size` (width, height). Coordinates
are pixels, the origin at the centre of the top-left pixel.

Or it has the arrays of DELF by the names that its programs give them (tensorflow/models, research/delf:
feature_io.py, extractor.py): `locations` (n, 2), y before x, `descriptors`, `scales` or `feature_scales`,
`attention` or `scores`; see delf.py for what they mean.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handcraft.errors import FeatureFileError
from handcraft.storage.exchange.delf import RADIUS_PER_SCALE as DELF_RADIUS_PER_SCALE
from handcraft.storage.exchange.folders import FeatureFolder, open_folder
from handcraft.storage.exchange.types import (
    RADIUS_PER_SCALE,
    ForeignFeatures,
    check_features,
    circles,
    damaged,
    file_error,
    photo_error,
    quietly,
)

SUFFIX = ".npz"
Arrays = dict[str, NDArray[Any]]
_KEYS = (
    "frames",
    "keypoints",
    "locations",
    "descriptors",
    "scales",
    "feature_scales",
    "orientations",
    "scores",
    "attention",
    "image_size",
)


def open_npz(path: Path) -> FeatureFolder:
    """Open a folder of NumPy archives; raises FeatureFileError."""
    return open_folder(path, (SUFFIX,), _read)


def _read(path: Path, name: str) -> ForeignFeatures:
    """The features of a file; raises FeatureFileError."""
    with quietly():
        return _features(path, name, _read_arrays(path, name))


def _read_arrays(path: Path, name: str) -> Arrays:
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise FeatureFileError(f"{path} is empty; copy or compute it again.")
            file.seek(0)
            archive = np.load(file, allow_pickle=False)  # a pickle runs what code it likes
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise FeatureFileError(
                    f"{path} is one array, not an archive of them; write it with numpy.savez."
                )
            with archive:
                return {key: archive[key] for key in _KEYS if key in archive.files}
    except (FileNotFoundError, PermissionError) as error:
        raise file_error(path, error) from error
    except (OSError, EOFError, RuntimeError, LookupError, ValueError, TypeError, SyntaxError) as error:
        if isinstance(error, ValueError) and "pickle" in str(error):
            raise FeatureFileError(
                f"{path} has pickled objects for {name}, which are not read because they can run any code; "
                "store arrays of numbers."
            ) from error
        raise damaged(path, name) from error
    except (zipfile.BadZipFile, zlib.error, MemoryError, OverflowError, AttributeError) as error:
        raise damaged(path, name) from error


def _features(path: Path, name: str, arrays: Arrays) -> ForeignFeatures:
    if "descriptors" not in arrays:
        raise photo_error(path, name, "has no array 'descriptors'", "store them as (number, dimension)")
    descriptors = arrays["descriptors"]
    if descriptors.size == 0:  # DELF's programs give np.array([]) where they find nothing
        descriptors = descriptors.reshape(0, descriptors.shape[1] if descriptors.ndim == 2 else 0)
    if descriptors.ndim != 2:
        raise photo_error(
            path, name, f"has descriptors of shape {descriptors.shape}", "store them as (number, dimension)"
        )
    shapes: NDArray[Any] | None
    if "frames" in arrays:
        frames = _shaped(path, name, arrays, "frames", (2, 3))
        points, shapes = frames[:, :, 2], frames[:, :, :2]
        scores = arrays.get("scores")
    elif "keypoints" in arrays:
        points = _shaped(path, name, arrays, "keypoints", (2,))
        shapes = _circles(path, name, arrays, len(points))
        scores = arrays.get("scores")
    elif "locations" in arrays:
        points = _shaped(path, name, arrays, "locations", (2,))[:, ::-1]
        scales = _per_point(path, name, arrays, ("feature_scales", "scales"), len(points))
        shapes = None if scales is None else circles(scales, radius=DELF_RADIUS_PER_SCALE)
        scores = arrays.get("attention", arrays.get("scores"))
    else:
        raise photo_error(
            path, name, "has none of the arrays 'frames', 'keypoints' and 'locations'", "store one of them"
        )
    return check_features(path, name, points, shapes, descriptors, scores, _size(path, name, arrays))


def _shaped(path: Path, name: str, arrays: Arrays, key: str, rest: tuple[int, ...]) -> NDArray[Any]:
    """An array (n, *rest) of numbers."""
    array = arrays[key]
    if array.size == 0:
        array = array.reshape(0, *rest)
    if array.shape[1:] != rest or array.dtype.kind not in "fiu":
        wanted = ", ".join(("number", *map(str, rest)))
        raise photo_error(
            path,
            name,
            f"has {key} of shape {array.shape} and dtype {array.dtype}",
            f"store numbers ({wanted})",
        )
    return array


def _circles(path: Path, name: str, arrays: Arrays, count: int) -> NDArray[Any] | None:
    scales = _per_point(path, name, arrays, ("scales",), count)
    orientations = _per_point(path, name, arrays, ("orientations",), count)
    if scales is None:
        if orientations is not None:
            raise photo_error(path, name, "has orientations without scales", "store 'scales' too")
        return None
    return circles(scales, orientations, RADIUS_PER_SCALE)


def _per_point(
    path: Path, name: str, arrays: Arrays, keys: tuple[str, ...], count: int
) -> NDArray[Any] | None:
    """The first of these arrays that is there: (n,) numbers."""
    for key in keys:
        if key in arrays:
            array = arrays[key]
            if array.size != count or array.dtype.kind not in "fiu":
                raise photo_error(
                    path,
                    name,
                    f"has {count} keypoints and {key} of shape {array.shape} and dtype {array.dtype}",
                    "store one number a keypoint",
                )
            return array.reshape(count)
    return None


def _size(path: Path, name: str, arrays: Arrays) -> tuple[int, int]:
    size = arrays.get("image_size")
    if size is None:
        return 0, 0
    if (
        size.shape != (2,)
        or size.dtype.kind not in "iuf"
        or not (np.isfinite(size).all() and (size > 0).all())
    ):
        raise photo_error(path, name, "has an 'image_size' that is not (width, height)", "store it so")
    return int(size[0]), int(size[1])
