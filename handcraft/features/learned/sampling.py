"""What the networks share: maps are read between their pixels, and their maxima found.

All of it is written in terms that ONNX has too, for maps of any size, so that an exported network needs no
code around it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def sample(features: Tensor, x: Tensor, y: Tensor, mode: str = "bilinear") -> Tensor:
    """Features between the pixels of maps, as if there were zeros around them.

    features: (1, c, h, w) float32; x, y: (m, n) float32, pixels, the origin at the centre of the top-left
    one; mode: "bilinear" or "bicubic". Returns (c, m, n) float32.
    """
    height, width = features.shape[-2:]
    # Outer edges are -1 and 1, not the outermost centres: that is defined for one pixel, too.
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
    sampled = functional.grid_sample(features, grid[None], mode=mode, align_corners=False)
    # Of ONNX, [0] would be a copy; -1 stands where there may be no position, as 0 there means another thing.
    return sampled.reshape(features.shape[1], x.shape[0], -1)


def window_maxima(scores: Tensor, radius: int) -> Tensor:
    """The greatest of the scores, (1, 1, h, w) float32, in the square window around each pixel."""
    side = 2 * radius + 1
    # By rows and then by columns: the square has side² values, the two lines 2 · side.
    rows = functional.max_pool2d(scores, (1, side), stride=1, padding=(0, radius))
    return functional.max_pool2d(rows, (side, 1), stride=1, padding=(radius, 0))


def strongest(scores: Tensor, count: int) -> Tensor:
    """The rows of the greatest of n scores, at most `count` of them, the greatest first: int64."""
    return torch.sort(scores, descending=True).indices[:count]
