"""The data that the stages hand to each other: frozen, with shapes, dtypes and units.

Coordinates are pixels of the original photo after its EXIF orientation is applied. The origin is
the centre of the top-left pixel, x points right, y points down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line's help needs these types, but not numpy
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class RegionOfInterest:
    """A box in pixels of the original photo: x1 < x2, y1 < y2. Its border belongs to it."""

    x1: float
    y1: float
    x2: float
    y2: float

    @classmethod
    def whole(cls, width: int, height: int) -> RegionOfInterest:
        """All of a photo of this size, to the outer edges of its pixels."""
        return cls(-0.5, -0.5, width - 0.5, height - 0.5)

    def holds(self, points: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Which of (n, 2) points lie in the box: (n,)."""
        x, y = points[:, 0], points[:, 1]
        return (x >= self.x1) & (x <= self.x2) & (y >= self.y1) & (y <= self.y2)


def scale_coordinates(
    coordinates: NDArray[np.floating], scale: float | NDArray[np.floating]
) -> NDArray[np.floating]:
    """Where coordinates go when a photo is resized by `scale`: pixel centres are at integers."""
    return (coordinates + 0.5) * scale - 0.5


@dataclass(frozen=True)
class Fingerprint:
    """What an extractor gives: features compare only with features of the same fingerprint.

    descriptor, dimension and dtype name the space in which a vocabulary lives. parameters are the
    rest of what shaped the features: store and query must agree on them, a vocabulary need not.
    """

    descriptor: str
    dimension: int
    dtype: str
    parameters: dict[str, str | int | float | bool] = field(default_factory=dict)

    def same_space(self, other: Fingerprint) -> bool:
        """Whether descriptors of both can be compared and quantised alike."""
        return (self.descriptor, self.dimension, self.dtype) == (
            other.descriptor,
            other.dimension,
            other.dtype,
        )

    def __str__(self) -> str:
        parameters = "".join(f", {name}={value}" for name, value in sorted(self.parameters.items()))
        return f"{self.descriptor} ({self.dimension} x {self.dtype}{parameters})"


@dataclass(frozen=True)
class Features:
    """The local features of one photo, strongest first.

    frames: (n, 2, 3) float32, each [A | t], the affine map from the unit circle to the feature's
        measurement ellipse, in pixels.
    descriptors: (n, d), uint8 for RootSIFT, the extractor's own dtype otherwise.
    width, height: of the original photo, pixels.
    """

    frames: NDArray[np.float32]
    descriptors: NDArray[np.generic]
    width: int
    height: int

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def centres(self) -> NDArray[np.float32]:
        """(n, 2) float32, x and y in pixels."""
        return self.frames[:, :, 2]

    def head(self, limit: int) -> Features:
        """The strongest of them."""
        return Features(self.frames[:limit], self.descriptors[:limit], self.width, self.height)

    def inside(self, roi: RegionOfInterest) -> Features:
        """The features whose centre lies in the box."""
        chosen = roi.holds(self.centres)
        return Features(self.frames[chosen], self.descriptors[chosen], self.width, self.height)


@dataclass(frozen=True)
class Photo:
    """What the store remembers of a photo besides its features.

    name: relative to the collection's root, with forward slashes.
    content_hash: 16 bytes, BLAKE2b of the file. file_size: bytes. modified_ns: since 1970.
    width, height: pixels, after EXIF orientation.
    latitude, longitude: degrees, NaN where the EXIF has none.
    taken: the camera's own clock as ISO 8601 without a zone, "" where the EXIF has none.
    """

    name: str
    content_hash: bytes
    file_size: int
    modified_ns: int
    width: int
    height: int
    latitude: float = float("nan")
    longitude: float = float("nan")
    taken: str = ""


@dataclass(frozen=True)
class Match:
    """The geometric evidence that a photo shows what the query shows.

    affine: (2, 3) float64, maps query pixels to photo pixels.
    homography: (3, 3) float64, the same of a plane, more precisely; None where the affine map has more
        evidence.
    query_points, photo_points: (n, 2) float64, the inliers of the homography if there is one, else of the
        affine map, row by row; each point occurs once.
    query_features: (n,) int32, which of the features of the query that were compared are those points.
    region: (4, 2) float64, the corners of the query's region mapped into the photo.
    weight: sum of the inliers' weights: idf, times the similarity of their signatures where there are any.
    evidence: decades by which inliers of the affine map are more than chance: −log10 of the number of false
        alarms (Moisan & Stival 2004), how many photos of chance pairs would have as many. Photos rank by it.
    certainty: the same of those inliers here that lie apart, less as many as it takes to determine their map;
        a photo is verified by it.
    """

    affine: NDArray[np.float64]
    query_points: NDArray[np.float64]
    photo_points: NDArray[np.float64]
    query_features: NDArray[np.int32]
    region: NDArray[np.float64]
    weight: float
    evidence: float
    certainty: float
    homography: NDArray[np.float64] | None = None

    @property
    def inliers(self) -> int:
        return len(self.query_points)

    @property
    def scale(self) -> float:
        """Photo pixels a query pixel: the square root of the map's determinant."""
        (a, b, _), (c, d, _) = self.affine.tolist()
        return math.sqrt(a * d - b * c)

    @property
    def rotation(self) -> float:
        """Degrees from x towards y, clockwise on the screen, −180 to 180: the nearest rotation's."""
        (a, b, _), (c, d, _) = self.affine.tolist()
        return math.degrees(math.atan2(c - b, a + d))


@dataclass(frozen=True)
class Hit:
    """One photo of a ranking.

    rank: from 1. name: as in the store. path: where the photo was when it was indexed.
    image_id: its place in the collection; equal scores rank by it. width, height: pixels.
    score: of the votes, 0 to 1; times 1 and the evidence (VerificationOptions.evidence_unit) where geometry
    was looked at. match: the evidence, None where there is too little to verify the photo.
    """

    rank: int
    name: str
    path: Path
    image_id: int
    width: int
    height: int
    score: float
    match: Match | None = None

    @property
    def inliers(self) -> int:
        """Inliers of the evidence, 0 without any."""
        return self.match.inliers if self.match else 0
