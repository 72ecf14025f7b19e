"""Tentative matches without words: mutual nearest descriptors that have no rival.

The ratio test of Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 2004,
section 7.1, with the rivals of Mishkin, Matas & Perdoch, "MODS: fast and robust method for two-view
matching", CVIU 2015: a feature close by shows the same point, in another orientation or scale. That
it is as near as the nearest says nothing against a match, so only features further away are rivals.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from handcraft.options import MatchOptions
from handcraft.types import Features

BLOCK = 1 << 21  # distances held at once: 16 MB, and a few times as much beside them


def match_descriptors(query: Features, photo: Features, options: MatchOptions) -> NDArray[np.int32]:
    """The features that are each other's nearest and pass the ratio test: (n, 2) int32.

    Each row is a feature of the query and one of the photo; no feature occurs twice, and those of the
    query ascend. Of equally near features the first is the nearest. The ratio test is the query's: the
    rivals are features of the photo. Where it has none, every mutual nearest passes.
    query, photo: of the same fingerprint, descriptors uint8 or float32.
    """
    if not len(query) or not len(photo):
        return np.empty((0, 2), np.int32)
    nearest = np.empty(len(query), np.intp)
    distinct = np.empty(len(query), np.bool_)
    least, back = np.full(len(photo), np.inf), np.zeros(len(photo), np.intp)
    columns = np.arange(len(photo))
    for start, squares in _squared_distances(query.descriptors, photo.descriptors):
        rows = slice(start, start + len(squares))
        nearest[rows] = squares.argmin(axis=1)
        first = squares.argmin(axis=0)
        closer = squares[first, columns] < least
        least[closer], back[closer] = squares[first, columns][closer], start + first[closer]
        distinct[rows] = _passes_ratio_test(squares, nearest[rows], photo, options)
    matched = np.flatnonzero(distinct & (back[nearest] == np.arange(len(query))))
    return np.stack([matched, nearest[matched]], axis=1).astype(np.int32)


def _squared_distances(
    queries: NDArray[np.generic], photos: NDArray[np.generic]
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """The squared distances of (q, d) descriptors to (p, d) others in blocks of rows, each with its first
    row: one matrix product, in float64, so that it is exact for uint8."""
    others = photos.astype(np.float64)
    other_squares = (others**2).sum(axis=1)
    height = max(1, BLOCK // len(others))
    for start in range(0, len(queries), height):
        block = queries[start : start + height].astype(np.float64)
        squares = block @ others.T
        squares *= -2
        squares += other_squares
        squares += (block**2).sum(axis=1, keepdims=True)
        yield start, np.maximum(squares, 0, out=squares)  # rounding makes equal floats differ by a little


def _passes_ratio_test(
    squares: NDArray[np.float64], nearest: NDArray[np.intp], photo: Features, options: MatchOptions
) -> NDArray[np.bool_]:
    """Whether the nearest is nearer than the nearest rival by the ratio. squares: (r, p); nearest: (r,)."""
    x, y = photo.centres.astype(np.float64).T / max(photo.width, photo.height)
    apart = (x - x[nearest, None]) ** 2 + (y - y[nearest, None]) ** 2
    rivals = np.where(apart > options.rival_distance**2, squares, np.inf).min(axis=1)
    return np.asarray(squares[np.arange(len(squares)), nearest] < options.ratio**2 * rivals)
