"""Affine regions and their descriptors in plain Python: the truth that kernels are held against.

Images are (h, w) arrays; a place is x and y in pixels, the centre of the top-left pixel at 0, 0.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate, map_coordinates

Array = NDArray[np.floating]


def hessian_determinant(image: Array) -> NDArray[np.float64]:
    """det of the Hessian by central differences, 0 in the border of one pixel."""
    pixels = np.asarray(image, np.float64)
    line = np.array([[1.0, -2.0, 1.0]])
    corners = np.array([[1.0, 0.0, -1.0], [0.0, 0.0, 0.0], [-1.0, 0.0, 1.0]]) / 4
    xx, yy, xy = (correlate(pixels, kernel) for kernel in (line, line.T, corners))
    response = np.zeros(pixels.shape)
    response[1:-1, 1:-1] = (xx * yy - xy * xy)[1:-1, 1:-1]
    return response


def extrema(levels: Array, threshold: float, border: int) -> list[tuple[int, int]]:
    """(row, column) of the pixels of the middle of three levels that none of their 26 neighbours surpasses:
    maxima above 0, minima below."""
    found = []
    height, width = levels.shape[1:]
    for y, x in itertools.product(range(border, height - border), range(border, width - border)):
        value = levels[1, y, x]
        around = levels[:, y - 1 : y + 2, x - 1 : x + 2]
        best = around.max() if value > 0 else around.min()
        if abs(value) > threshold and value == best:
            found.append((y, x))
    return found


def window(image: Array, x: float, y: float, step: Array, size: int) -> NDArray[np.float64]:
    """A square window, sampled bilinearly: (i, j) from its middle comes from (x, y) + step · (i, j); what
    lies beyond the image comes from the nearest place of its border."""
    j, i = np.mgrid[:size, :size] - (size - 1) / 2
    columns = x + step[0, 0] * i + step[0, 1] * j
    rows = y + step[1, 0] * i + step[1, 1] * j
    pixels = np.asarray(image, np.float64)
    return np.asarray(map_coordinates(pixels, [rows, columns], order=1, mode="nearest"))


def window_fits(shape: tuple[int, int], x: float, y: float, step: Array, size: int) -> bool:
    """Whether the corners of a window lie in an image of this (height, width), its last lines left out."""
    half = (size - 1) / 2
    corners = np.array(list(itertools.product([-half, half], repeat=2))) @ np.asarray(step).T + [x, y]
    return bool((corners >= 0).all() and (corners < [shape[1] - 1, shape[0] - 1]).all())


def second_moments(pixels: Array, mask: Array) -> NDArray[np.float64]:
    """Σ w · ∇ᵀ∇ of the inner pixels, (2, 2)."""
    total = np.zeros((2, 2))
    for y, x in itertools.product(range(1, pixels.shape[0] - 1), range(1, pixels.shape[1] - 1)):
        slope = gradient(pixels, y, x)
        total += float(mask[y, x]) * np.outer(slope, slope)
    return total


def gradient(pixels: Array, y: int, x: int) -> tuple[float, float]:
    """Twice the central differences at a pixel, across and down."""
    across = float(pixels[y, x + 1]) - float(pixels[y, x - 1])
    return across, float(pixels[y + 1, x]) - float(pixels[y - 1, x])


def inverse_square_root(matrix: Array) -> NDArray[np.float64]:
    """M^(−1/2) of a symmetric positive matrix, its determinant made 1."""
    values, vectors = np.linalg.eigh(matrix)
    root = vectors @ np.diag(values**-0.5) @ vectors.T
    return np.asarray(root / math.sqrt(np.linalg.det(root)))


def adapted(
    image: Array,
    x: float,
    y: float,
    step: float,
    mask: Array,
    iterations: int,
    convergence: float,
    largest_ratio: float,
) -> tuple[list[float], NDArray[np.float64], str]:
    """Affine shape adaptation (Baumberg 2000): the anisotropy 1 − λ₂/λ₁ of the moments in each iteration, the
    shape (2, 2), and how it ended: "converged" where two in a row were below `convergence`."""
    shape, anisotropies = np.eye(2), []
    for _ in range(iterations):
        if not window_fits(image.shape[:2], x, y, step * shape, len(mask)):
            return anisotropies, shape, "outside"
        moments = second_moments(window(image, x, y, step * shape, len(mask)), mask)
        small, large = np.linalg.eigvalsh(moments)
        anisotropies.append(float(1 - small / large))
        shape = shape @ inverse_square_root(moments)
        if np.linalg.cond(shape) > largest_ratio:
            return anisotropies, shape, "too long"
        if len(anisotropies) > 1 and max(anisotropies[-2:]) < convergence:
            return anisotropies, shape, "converged"
    return anisotropies, shape, "restless"


def sift_votes(patch: Array, weights: Array) -> NDArray[np.float64]:
    """(4, 4, 8): every gradient of a patch shared out to the nearest places and orientations by its
    distance from their middles; what falls outside is lost (Lowe 2004, section 6.1)."""
    votes = np.zeros((4, 4, 8))
    size = len(patch)
    for y, x in itertools.product(range(1, size - 1), range(1, size - 1)):
        across, down = gradient(patch, y, x)
        strength = float(weights[y, x]) * math.hypot(across, down)
        angle = (math.atan2(down, across) / (2 * math.pi) * 8) % 8
        row, column = ((place + 0.5) / size * 4 - 0.5 for place in (y, x))
        for i, j, k in itertools.product(range(4), range(4), range(8)):
            turn = abs(angle - k)
            shares = [max(0.0, 1 - d) for d in (abs(row - i), abs(column - j), min(turn, 8 - turn))]
            votes[i, j, k] += strength * math.prod(shares)
    return votes


def sift(patch: Array, weights: Array, clip: float) -> NDArray[np.float64]:
    """(128,): the votes, none above `clip` times their norm."""
    votes = sift_votes(patch, weights).ravel()
    return np.asarray(np.minimum(votes, clip * np.linalg.norm(votes)))


def strongest(responses: Sequence[float], places: Array, limit: int, cells: int | None) -> list[int]:
    """The rows of the largest absolute responses, largest first, the first of equals first. cells: along
    the long side of a grid over the places; each cell gives its strongest, then its second, and so on."""
    ranked = sorted(range(len(responses)), key=lambda row: -abs(responses[row]))
    if cells is None or len(ranked) <= limit:
        return ranked[:limit]
    low = [min(float(place[axis]) for place in places) for axis in range(2)]
    extent = max(float(place[axis]) - low[axis] for place in places for axis in range(2))
    side = max(extent / cells, 1.0)
    waiting: dict[tuple[int, ...], list[int]] = {}
    for row in ranked:
        cell = tuple(math.floor((float(places[row][axis]) - low[axis]) / side) for axis in range(2))
        waiting.setdefault(cell, []).append(row)
    taken: list[int] = []
    while len(taken) < limit:
        turn = sorted((rows.pop(0) for rows in waiting.values() if rows), key=ranked.index)
        taken += turn[: limit - len(taken)]
    return sorted(taken, key=ranked.index)
