"""What the readers of other programs' files give, and what they check before they give it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from handcraft.errors import FeatureFileError
from handcraft.types import Features

# Files tell a feature's scale as the σ of the image that SIFT found it in (VLFeat, SiftGPU, COLMAP). The
# measurement circle of SIFT is the one inscribed in its grid of 4 x 4 bins of 3σ: a radius of 6σ.
RADIUS_PER_SCALE = 6.0


@dataclass(frozen=True)
class ForeignFeatures:
    """The features of one photo, as another program found them and in its order.

    points: (n, 2) float32, x and y in pixels of the photo that the file speaks of, the origin at the centre
        of the top-left pixel. Programs that disregard EXIF speak of the photo as it lies in its file.
    shapes: (n, 2, 2) float32, the linear parts of frames; None where the file knows only points.
    descriptors: (n, d) in their dtype, float16 as float32.
    scores: (n,) float32, the larger the stronger, or None.
    width, height: of the image that the points are of, pixels; 0 where the file does not say.
    """

    points: NDArray[np.float32]
    shapes: NDArray[np.float32] | None
    descriptors: NDArray[np.generic]
    scores: NDArray[np.float32] | None = None
    width: int = 0
    height: int = 0

    def __len__(self) -> int:
        return len(self.points)

    @classmethod
    def of(cls, features: Features) -> ForeignFeatures:
        """handcraft's own features, to be written for another program."""
        frames = features.frames
        return cls(
            frames[:, :, 2], frames[:, :, :2], features.descriptors, None, features.width, features.height
        )

    def strongest_first(self) -> ForeignFeatures:
        """The features sorted by their scores, equal ones in the file's order; as they are without scores."""
        if self.scores is None:
            return self
        order = np.argsort(-self.scores, kind="stable")
        shapes = None if self.shapes is None else self.shapes[order]
        descriptors, scores = self.descriptors[order], self.scores[order]
        return ForeignFeatures(self.points[order], shapes, descriptors, scores, self.width, self.height)

    def frames(self, radius: float) -> NDArray[np.float32]:
        """The frames (n, 2, 3) float32, pixels; upright circles of this radius where the file knows only
        points."""
        shapes = self.shapes
        if shapes is None:
            shapes = np.broadcast_to(np.float32(radius) * np.eye(2, dtype=np.float32), (len(self), 2, 2))
        return np.concatenate([shapes, self.points[:, :, None]], axis=2)


class ForeignFile(Protocol):
    """An opened file, or folder of files, of another program's features."""

    @property
    def path(self) -> Path:
        """Where it is."""

    @property
    def names(self) -> tuple[str, ...]:
        """Its photos, in the file's order: paths with forward slashes, some without the photo's suffix."""

    def read(self, name: str) -> ForeignFeatures:
        """The features of one of its photos; raises FeatureFileError. Threads may call it at once."""


def find_name(names: Collection[str], photo: str) -> str | None:
    """Which of a file's names means a photo, a path with forward slashes: the same, or that without the
    photo's suffix, which DELF drops."""
    for name in (photo, PurePosixPath(photo).with_suffix("").as_posix()):
        if name in names:
            return name
    return None


def require_space(path: Path, name: str, features: ForeignFeatures, dimension: int, dtype: str) -> None:
    """Raise FeatureFileError unless a photo's descriptors are of the other photos' dimension and dtype. A
    photo without features agrees with any."""
    found = features.descriptors
    if len(found) and (found.shape[1], found.dtype.name) != (dimension, dtype):
        raise FeatureFileError(
            f"{path} has descriptors of {found.shape[1]} x {found.dtype} for {name}, not of {dimension} x "
            f"{dtype} as for the other photos; compute all of them in the same way."
        )


def circles(
    scales: NDArray[np.generic],
    orientations: NDArray[np.generic] | None = None,
    radius: float = RADIUS_PER_SCALE,
) -> NDArray[np.float64]:
    """The linear parts (n, 2, 2) of circles.

    scales: (n,). orientations: (n,) radians from x towards y, clockwise on the screen; upright without.
    radius: pixels for a scale of 1.
    """
    angles = np.zeros(len(scales)) if orientations is None else orientations.astype(np.float64)
    cosine, sine = np.cos(angles), np.sin(angles)
    rotations = np.stack([np.stack([cosine, -sine], axis=1), np.stack([sine, cosine], axis=1)], axis=1)
    # A negative scale would turn the circle round; it becomes a point, which check_features reports.
    radii = radius * np.maximum(scales.astype(np.float64), 0)
    return np.asarray(radii[:, None, None] * rotations)


def quietly() -> np.errstate:
    """A block in which numbers that are not finite raise no warning: check_features reports them."""
    return np.errstate(invalid="ignore", over="ignore")


def photo_error(path: Path, name: str, what: str, remedy: str) -> FeatureFileError:
    """What is wrong with a photo's features, and how to mend it, in one sentence."""
    return FeatureFileError(f"{path} {what} for {name}; {remedy}.")


def damaged(path: Path, name: str = "") -> FeatureFileError:
    """A file that its own library cannot read."""
    photo = f" at the features of {name}" if name else ""
    return FeatureFileError(f"{path} is truncated or damaged{photo}; copy or compute it again.")


def file_error(path: Path, error: OSError) -> FeatureFileError:
    """What an operating system's error means for a person who imports features."""
    if isinstance(error, FileNotFoundError):
        return FeatureFileError(f"There is no file of features at {path}; check its name.")
    if isinstance(error, PermissionError):
        return FeatureFileError(f"No permission to read {path}; change its mode or your user.")
    if isinstance(error, IsADirectoryError):
        return FeatureFileError(f"{path} is a folder, not a file of features; name the file in it.")
    return damaged(path)


def unknown_photo(path: Path, name: str) -> FeatureFileError:
    """A photo that the file does not have."""
    return FeatureFileError(f"{path} has no features for {name}; compute them, or name one of its photos.")


def check_features(
    path: Path,
    name: str,
    points: NDArray[Any],
    shapes: NDArray[Any] | None,
    descriptors: NDArray[Any],
    scores: NDArray[Any] | None = None,
    size: tuple[int, int] = (0, 0),
) -> ForeignFeatures:
    """Features of these arrays, in native byte order; raises FeatureFileError for what no reader may pass on.

    points: (n, 2). shapes: (n, 2, 2). descriptors: (m, d). scores: (k,) or (k, 1). size: width and height.
    """
    count = len(points)
    if len(descriptors) != count:
        raise photo_error(
            path,
            name,
            f"has {count} keypoints and {len(descriptors)} descriptors",
            "compute its features again",
        )
    for array, what in (
        (points, "points"),
        (descriptors, "descriptors"),
        (shapes, "shapes"),
        (scores, "scores"),
    ):
        if array is not None and array.dtype.kind not in "fiu":
            raise photo_error(
                path, name, f"has {what} that are no numbers ({array.dtype})", "store them as numbers"
            )
        if array is not None and len(array) != count:
            raise photo_error(
                path, name, f"has {count} keypoints and {len(array)} {what}", "compute its features again"
            )
    if scores is not None and scores.size != count:
        raise photo_error(path, name, f"has {scores.shape} scores", "store one a keypoint")
    with quietly():  # what float32 cannot hold becomes infinite, and is reported as that
        features = ForeignFeatures(
            points.astype(np.float32),
            None if shapes is None else shapes.astype(np.float32),
            descriptors.astype(
                np.float32 if descriptors.dtype == np.float16 else descriptors.dtype.newbyteorder("=")
            ),
            None if scores is None else scores.reshape(count).astype(np.float32),
            *size,
        )
    _require_finite(path, name, features)
    return features


def _require_finite(path: Path, name: str, features: ForeignFeatures) -> None:
    parts: tuple[tuple[NDArray[Any] | None, str], ...] = (
        (features.points, "points"),
        (features.shapes, "shapes"),
        (features.descriptors, "descriptors"),
        (features.scores, "scores"),
    )
    for array, what in parts:
        if array is not None and not np.isfinite(array).all():
            raise photo_error(
                path, name, f"has {what} that are not finite (NaN or infinity)", "compute its features again"
            )
    if features.shapes is not None and not (np.linalg.det(features.shapes.astype(np.float64)) > 0).all():
        raise photo_error(
            path,
            name,
            "has shapes that are no ellipses, or are mirrored (a scale or determinant is not positive)",
            "leave those features out",
        )
