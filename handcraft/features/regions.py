"""Affine regions: what detectors find, and which of them a photo keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CELLS = 12  # of the grid along the long side of a photo whose features are spread evenly


@dataclass(frozen=True)
class Regions:
    """Affine regions of a photo.

    frames: (n, 2, 3) float64, [A | t] from the unit circle to the measurement region, pixels of the
        photo that was searched. responses: (n,) float64, their absolute values are the strengths.
    """

    frames: NDArray[np.float64]
    responses: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def linear(self) -> NDArray[np.float64]:
        """The matrices A, (n, 2, 2)."""
        return self.frames[:, :, :2]

    @property
    def places(self) -> NDArray[np.float64]:
        """The centres, (n, 2)."""
        return self.frames[:, :, 2]

    def shaped(self, linear: NDArray[np.float64]) -> Regions:
        """The same places with other matrices, (n, 2, 2)."""
        return Regions(np.concatenate([linear, self.frames[:, :, 2:]], axis=2), self.responses)

    def chosen(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Regions:
        """These rows of them."""
        return Regions(self.frames[rows], self.responses[rows])

    def strongest(self, limit: int, spread: bool) -> Regions:
        """The strongest of them, strongest first: see the function of this name."""
        return self.chosen(strongest(self.responses, self.places, limit, spread))


def strongest(
    responses: NDArray[np.floating], places: NDArray[np.floating], limit: int, spread: bool
) -> NDArray[np.intp]:
    """The rows of the strongest regions, at most `limit`, strongest first; equals as they stand.

    responses: (n,), of either sign. places: (n, 2), pixels. spread: take the strongest of each cell of a
    grid in turn, so that no part of the photo is left out for another that is richer in contrast.
    """
    ranked = np.argsort(-np.abs(responses), kind="stable")
    if not spread or len(ranked) <= limit:
        return ranked[:limit]
    rounds = _rank_in_cell(_cells(places[ranked]))
    return ranked[np.sort(np.argsort(rounds, kind="stable")[:limit])]


def _cells(places: NDArray[np.floating]) -> NDArray[np.intp]:
    """The number of the square cell of each of (n, 2) places."""
    low = places.min(axis=0)
    side = max(float((places.max(axis=0) - low).max()) / CELLS, 1.0)
    cells = np.floor((places - low) / side).astype(np.intp)
    return np.asarray(cells[:, 1] * (CELLS + 1) + cells[:, 0])


def _rank_in_cell(cells: NDArray[np.intp]) -> NDArray[np.intp]:
    """How many of those before it lie in the same cell, (n,)."""
    order = np.argsort(cells, kind="stable")
    first = np.flatnonzero(np.diff(cells[order], prepend=-1))
    sizes = np.diff(np.append(first, len(cells)))
    ranks = np.empty(len(cells), np.intp)
    ranks[order] = np.arange(len(cells)) - np.repeat(first, sizes)
    return ranks


def circles(places: NDArray[Any], radii: NDArray[Any]) -> NDArray[np.float64]:
    """The upright frames (n, 2, 3) of circles with these centres (n, 2) and radii (n,)."""
    frames = np.zeros((len(places), 2, 3))
    frames[:, 0, 0] = frames[:, 1, 1] = radii
    frames[:, :, 2] = places
    return frames


def upright(linear: NDArray[np.float64], direction: float = 0.0) -> NDArray[np.float64]:
    """The matrices (n, 2, 2) that map the unit circle to the same ellipses and keep the vertical.

    direction: radians from x towards y by which the photo's vertical is turned; at 0 the matrices are
    lower-triangular (Perdoch, Chum & Matas 2009, the gravity vector).
    """
    turn = rotation(direction)
    turned = turn.T @ linear
    return np.asarray(turn @ np.linalg.cholesky(turned @ turned.transpose(0, 2, 1)))


def rotation(angles: float | NDArray[np.floating]) -> NDArray[np.float64]:
    """The rotations (..., 2, 2) by angles (...) from x towards y, radians."""
    cosine, sine = np.cos(angles), np.sin(angles)
    return np.stack([np.stack([cosine, -sine], axis=-1), np.stack([sine, cosine], axis=-1)], axis=-2)
