"""Votes by one vector for a photo, VLAD's: the products of a query's with all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handcraft.index._kernels import multiply_rows
from handcraft.index.collection import Collection
from handcraft.index.vectors import STEPS, Vectors

BLOCK = 256  # rows that are widened at a time


@dataclass(frozen=True, eq=False)
class VladScorer:
    """Scores the photos of a collection whose segments have vectors, by the cosine."""

    collection: Collection

    def score(self, query: NDArray[np.float32], place: int) -> NDArray[np.float32]:
        """(n,) float32: the cosines of a vector (D,) of unit length and those of the photos of a segment."""
        vectors = self.collection.segments[place].vectors
        assert vectors is not None  # the engine asks for stores that have them
        cosines = _of_halves if vectors.rows.dtype == np.float16 else _of_bytes
        return np.minimum(cosines(vectors, query), 1)  # rounding may add some 1e-3


def _of_bytes(vectors: Vectors, query: NDArray[np.float32]) -> NDArray[np.float32]:
    # In whole numbers as large as can be, while sums stay below 2³¹.
    largest = min(np.iinfo(np.int16).max, np.iinfo(np.int32).max // (STEPS * len(query)))
    scale = np.abs(query).max(initial=0) / np.float32(largest)
    whole = np.rint(query / (scale or 1)).astype(np.int16)
    products = np.empty(len(vectors), np.int32)
    multiply_rows(vectors.rows, whole, products)
    return np.asarray(products.astype(np.float32) * vectors.scales * scale)


def _of_halves(vectors: Vectors, query: NDArray[np.float32]) -> NDArray[np.float32]:
    cosines = np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), BLOCK):
        # Not a product of matrices, whose rounding depends on how many rows there are.
        products = vectors.rows[start : start + BLOCK].astype(np.float32) * query
        products.sum(axis=1, out=cosines[start : start + BLOCK])
    return cosines
