"""Photos as networks want them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def as_image(
    pixels: NDArray[np.uint8], middle: float = 0.0, half_range: float = 255.0
) -> NDArray[np.float32]:
    """(1, 3, h, w) float32 of (h, w, 3) RGB: (v − middle) / half_range of each value v, by default from 0 to
    1."""
    planes = np.ascontiguousarray(np.moveaxis(pixels, 2, 0)[None], np.float32)
    if middle:
        planes -= np.float32(middle)
    planes *= np.float32(1 / half_range)
    return planes
