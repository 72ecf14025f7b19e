"""Compact geometry: 16 bytes a feature, enough to verify a photo without its descriptors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from handcraft.index._kernels import choose_words
from handcraft.types import Features

_STEPS = 65535  # positions are in this fraction of the photo's long side: 1/64 px at 1024 px


Number = TypeVar("Number", bound=np.generic)

ALL = slice(None)  # features of a photo


@dataclass(frozen=True)
class Geometry:
    """The words and frames of all features of a segment, photo after photo, sorted by word.

    offsets: (n + 1,) uint64, where each photo's features start. words: (f,) uint32.
    positions: (f, 2) uint16, the centre in 65535ths of the photo's long side.
    shapes: (f, 2, 2) float16, the linear part A of the frame, pixels.
    """

    offsets: NDArray[np.uint64]
    words: NDArray[np.uint32]
    positions: NDArray[np.uint16]
    shapes: NDArray[np.float16]

    @classmethod
    def of(cls, features: Sequence[Features], words: Sequence[NDArray[np.integer]]) -> Geometry:
        """The geometry of photos with these features and the word of each feature."""
        orders = [order_by_word(photo_words)[0] for photo_words in words]
        frames = [f.frames[order] for f, order in zip(features, orders, strict=True)]
        positions = [
            _encode_positions(photo_frames[:, :, 2], max(f.width, f.height))
            for photo_frames, f in zip(frames, features, strict=True)
        ]
        return cls(
            offsets=np.cumsum([0, *(len(order) for order in orders)], dtype=np.uint64),
            words=_join([w[order] for w, order in zip(words, orders, strict=True)], (0,), np.uint32),
            positions=_join(positions, (0, 2), np.uint16),
            shapes=_join([f[:, :, :2] for f in frames], (0, 2, 2), np.float16),
        )

    def words_of(self, local_id: int) -> NDArray[np.uint32]:
        """(f,) uint32, ascending: the words of one photo's features."""
        return self.words[self._rows(local_id)]

    def places_of(self, local_id: int, wanted: NDArray[np.bool_]) -> NDArray[np.int64]:
        """(n,) int64: which of one photo's features have a word that is wanted, (w,) of each word."""
        words = self.words_of(local_id)
        chosen = np.empty(len(words), np.int64)
        return chosen[: choose_words(words, wanted, chosen)]

    def frames_of(
        self, local_id: int, long_side: int, chosen: NDArray[np.integer] | slice = ALL
    ) -> NDArray[np.float64]:
        """(f, 2, 3) float64: the frames of one photo in pixels, in the order of its words. chosen: of which
        of them."""
        rows = self._rows(local_id)
        # Each position and each shape as one number, which is several times as fast to choose.
        positions = self.positions[rows].view(np.uint32)[chosen].view(np.uint16)
        shapes = self.shapes[rows].reshape(-1, 4).view(np.uint64)[chosen].view(np.float16)
        frames = np.empty((len(positions), 2, 3))
        frames[:, :, :2] = shapes.reshape(-1, 2, 2)
        frames[:, :, 2] = positions * (long_side / _STEPS) - 0.5
        return frames

    def _rows(self, local_id: int) -> slice:
        return slice(int(self.offsets[local_id]), int(self.offsets[local_id + 1]))


def order_by_word(words: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows of features in the order of their words (f,), equals as they stand, and the ordered words."""
    # Several times as fast as a stable argsort: the rows make the keys distinct.
    keys = words.astype(np.uint64) << np.uint64(32) | np.arange(len(words), dtype=np.uint64)
    keys.sort()
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.int64), (keys >> np.uint64(32)).astype(np.int64)


def _encode_positions(centres: NDArray[np.float32], long_side: int) -> NDArray[np.uint16]:
    steps = np.rint((centres.astype(np.float64) + 0.5) * (_STEPS / long_side))
    return np.clip(steps, 0, _STEPS).astype(np.uint16)


def _join(
    parts: Sequence[NDArray[np.generic]], empty_shape: tuple[int, ...], dtype: type[Number]
) -> NDArray[Number]:
    return np.concatenate([np.empty(empty_shape, dtype), *parts]).astype(dtype)
