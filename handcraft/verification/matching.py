"""Tentative matches without words: descriptors that are near each other.

The ratio test of Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 2004,
section 7.1, with the rivals of Mishkin, Matas & Perdoch, "MODS: fast and robust method for two-view
matching", CVIU 2015: a feature close by shows the same point, in another orientation or scale. That
it is as near as the nearest says nothing against a match, so only features further away are rivals.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handcraft.options import MatchOptions
from handcraft.types import Features
from handcraft.verification._pairing_kernels import keep_nearest, reciprocal_pairs

BLOCK = 1 << 21  # distances held at once: 16 MB at the most, and a few times as much beside them
EXACT = 1 << 24  # up to which float32 holds every integer


def match_descriptors(query: Features, photo: Features, options: MatchOptions) -> NDArray[np.int32]:
    """The features that are each other's nearest and pass the ratio test: (n, 2) int32.

    Each row is a feature of the query and one of the photo; no feature occurs twice, and those of the
    query ascend. Of equally near features the first is the nearest. The ratio test is the query's: the
    rivals are features of the photo. Where it has none, every mutual nearest passes.
    query, photo: of the same fingerprint, descriptors uint8 or float32.
    """
    mutual, _ = reciprocal_neighbours(query, photo, 1)
    distinct = np.empty(len(mutual), np.bool_)
    for start, squares in _squared_distances(query.descriptors[mutual[:, 0]], photo.descriptors):
        rows = slice(start, start + len(squares))
        distinct[rows] = _passes_ratio_test(squares, mutual[rows, 1], photo, options)
    return mutual[distinct]


def reciprocal_neighbours(
    query: Features, photo: Features, count: int
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """The pairs of features each of which is among the other's `count` nearest, and how alike they are.

    Returns (n, 2) int32, feature of the query and of the photo, those of the query ascending and of each the
    nearest first; and (n,) float64, the inner product of their descriptors over the mean of their squared
    lengths: 1 where they are equal, 0 where they have nothing in common. Of equally near features the first
    is the nearest.
    query, photo: of the same fingerprint, descriptors uint8 or float32.
    """
    queries, photos = len(query), len(photo)
    least, nearest = np.full((queries, count), np.inf), np.full((queries, count), -1, np.int32)
    back_least, back = np.full((photos, count), np.inf), np.full((photos, count), -1, np.int32)
    for start, squares in _squared_distances(query.descriptors, photo.descriptors):
        rows = slice(start, start + len(squares))
        keep_nearest(squares, start, least[rows], nearest[rows], back_least, back)
    pairs, distances = np.empty((queries * count, 2), np.int32), np.empty(queries * count)
    found = reciprocal_pairs(least, nearest, back, pairs, distances)
    pairs, distances = pairs[:found], distances[:found]
    lengths = [(side.descriptors.astype(np.float64) ** 2).sum(axis=1) for side in (query, photo)]
    mean = (lengths[0][pairs[:, 0]] + lengths[1][pairs[:, 1]]) / 2
    alike = 1 - distances / 2 / np.where(mean > 0, mean, 1)
    return pairs, np.maximum(alike, 0)


def _squared_distances(
    queries: NDArray[Any], photos: NDArray[Any]
) -> Iterator[tuple[int, NDArray[np.floating]]]:
    """The squared distances of (q, d) descriptors to (p, d) others in blocks of rows, each with its first
    row: one matrix product, exact for uint8."""
    if not len(photos):
        return
    whole = queries.dtype == np.uint8 and 2 * 255**2 * queries.shape[1] < EXACT
    number: type[np.floating[Any]] = np.float32 if whole else np.float64
    others = photos.astype(number)
    other_squares = (others**2).sum(axis=1)
    height = max(1, BLOCK // len(others))
    for start in range(0, len(queries), height):
        block = queries[start : start + height].astype(number)
        squares = block @ others.T
        squares *= -2
        squares += other_squares
        squares += (block**2).sum(axis=1, keepdims=True)
        yield start, np.maximum(squares, 0, out=squares)  # rounding makes equal floats differ by a little


def _passes_ratio_test(
    squares: NDArray[np.floating], nearest: NDArray[np.int32], photo: Features, options: MatchOptions
) -> NDArray[np.bool_]:
    """Whether the nearest is nearer than the nearest rival by the ratio. squares: (r, p); nearest: (r,)."""
    x, y = photo.centres.astype(np.float64).T / max(photo.width, photo.height)
    apart = (x - x[nearest, None]) ** 2 + (y - y[nearest, None]) ** 2
    rivals = np.where(apart > options.rival_distance**2, squares, np.inf).min(axis=1)
    found = squares[np.arange(len(squares)), nearest].astype(np.float64)
    return np.asarray(found < options.ratio**2 * rivals.astype(np.float64))
