"""Centroids in panels: the layout in which one descriptor meets sixteen centroids at once.

A panel holds 16 consecutive centroids, interleaved so that a vector register takes the same few
dimensions of all of them: element [p, s, l, b] is dimension ``pack·s + b`` of centroid ``16·p + l``.
For uint8 descriptors pack is 4, what one multiply-add instruction sums, and c' = c − 128 is stored,
because these instructions multiply unsigned by signed bytes. For float32 pack is 1 and c' = c.

The kernels compare costs, ‖c‖² − 2·x·c'; a squared distance is the cost plus the descriptor's
`centring`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from handcraft.errors import VocabularyError
from handcraft.vocabulary._kernels import LANES, fill_panels

OFFSET = np.uint8(128)

Costs = NDArray[np.int32 | np.float32]


@dataclass(frozen=True)
class Panels:
    """The centroids of one vocabulary or of one clustering.

    values: (p, s, 16, pack) int8 for uint8 centroids, else float32; zero where there is no centroid.
    norms: (16·p,) int32 or float32, ‖c‖²; the largest number there is where there is no centroid.
    """

    values: NDArray[np.generic]
    norms: Costs

    @classmethod
    def of(cls, centroids: NDArray[np.generic]) -> Panels:
        """The panels of (k, d) uint8 or float32 centroids."""
        integers = centroids.dtype == np.uint8
        shape = _shape(len(centroids), centroids.shape[1], centroids.dtype)
        values: NDArray[np.generic] = np.zeros(shape, np.int8 if integers else np.float32)
        largest = np.iinfo(np.int32).max if integers else np.inf
        norms: Costs = np.full(shape[0] * LANES, largest, cost_type(centroids.dtype))
        fill_panels(centroids, float(OFFSET) if integers else 0.0, values, norms)
        return cls(values, norms)

    def fit(self, count: int, dimension: int, dtype: DTypeLike) -> bool:
        """Whether these can be the panels of `count` centroids."""
        shape = _shape(count, dimension, dtype)
        return (
            np.dtype(dtype) in (np.uint8, np.float32)
            and (self.values.shape, self.norms.shape) == (shape, (shape[0] * LANES,))
            and self.values.dtype == (np.int8 if np.dtype(dtype) == np.uint8 else np.float32)
            and self.norms.dtype == cost_type(dtype)
        )

    def centroids(self, numbers: NDArray[np.integer], dimension: int) -> NDArray[np.generic]:
        """(n, d) uint8 or float32: the centroids of these numbers."""
        # Four bytes are copied at a time, one float32 or four int8: several times as fast as one by one.
        words = self.values.view(np.uint32)[numbers // LANES, :, numbers % LANES, 0]
        rows = words.view(self.values.dtype)[:, :dimension]
        return rows.view(np.uint8) ^ OFFSET if rows.dtype == np.int8 else rows


def _shape(count: int, dimension: int, dtype: DTypeLike) -> tuple[int, int, int, int]:
    """(p, s, 16, pack) of `count` centroids."""
    pack = _packing(dtype)
    return -(-count // LANES), -(-dimension // pack), LANES, pack


def cost_type(dtype: DTypeLike) -> type[np.int32] | type[np.float32]:
    """The type of the costs of descriptors of this dtype."""
    return np.int32 if np.dtype(dtype) == np.uint8 else np.float32


def require_finite(descriptors: NDArray[np.generic]) -> None:
    """Raise VocabularyError for NaN or infinity, which are near to nothing."""
    if np.issubdtype(descriptors.dtype, np.floating) and not np.isfinite(descriptors).all():
        raise VocabularyError("The descriptors hold NaN or infinity; leave those features out.")


def to_rows(descriptors: NDArray[np.generic]) -> NDArray[np.generic]:
    """Descriptors (n, d) as the kernels read them beside panels: contiguous, with zeros up to the
    length of a panel's centroids. Raises VocabularyError for NaN or infinity."""
    require_finite(descriptors)
    missing = -descriptors.shape[1] % _packing(descriptors.dtype)
    if missing:
        descriptors = np.pad(descriptors, ((0, 0), (0, missing)))
    return np.ascontiguousarray(descriptors)


def centring(descriptors: NDArray[np.generic]) -> Costs:
    """(n,) int32 or float32: ‖x‖² − 2·x·(c − c'), the same for every centroid."""
    wide = descriptors.astype(cost_type(descriptors.dtype))
    norms: Costs = np.einsum("ij,ij->i", wide, wide)
    if wide.dtype == np.int32:
        norms -= 2 * np.int32(OFFSET) * wide.sum(axis=1, dtype=np.int32)
    return norms


def _packing(dtype: DTypeLike) -> int:
    """How many consecutive dimensions of a centroid stand together."""
    return 4 if np.dtype(dtype) == np.uint8 else 1
