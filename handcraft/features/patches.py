"""Patches of affine regions, sampled without aliasing, for SIFT and for learned descriptors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from handcraft.features._kernels import sample_patches

CAMERA_BLUR = 0.5  # σ in pixels that a photo is taken to have (Lowe 2004, section 3.3)
LEAST_SIDE = 32  # pixels of the smallest image that patches are sampled from


@dataclass(frozen=True)
class PatchPyramid:
    """A photo reduced again and again by 2: image k has a blur of σ = 0.5·2ᵏ pixels of the photo, and
    one of its pixels in 2ᵏ.

    A patch of a frame reaches from −1 to 1 along both of the frame's axes. It is taken from the image in
    which a step of the patch is between half a pixel and one, or from the photo itself where it is less:
    the blur is then half a step to one, and nothing finer than the patch is left to alias.
    """

    images: tuple[NDArray[np.float32], ...]

    @classmethod
    def of(cls, grey: NDArray[np.float32]) -> PatchPyramid:
        """The pyramid of an (h, w) photo."""
        images = [grey]
        blur = math.sqrt((2 * CAMERA_BLUR) ** 2 - CAMERA_BLUR**2)
        while min(images[-1].shape) >= 2 * LEAST_SIDE:
            smooth = cv2.GaussianBlur(images[-1], (0, 0), blur)
            images.append(np.ascontiguousarray(smooth[::2, ::2], np.float32))
        return cls(tuple(images))

    def inside(self, frames: NDArray[np.float64], side: int) -> NDArray[np.bool_]:
        """Which of the patches of frames (n, 2, 3), of so many pixels a side, lie in the photo: (n,)."""
        levels = self._levels(frames, side)
        shapes = np.array([image.shape[::-1] for image in self.images])
        factors = (0.5**levels)[:, None]
        reach = np.abs(frames[:, :, :2]).sum(axis=2) * ((side - 1) / side) * factors
        places = frames[:, :, 2] * factors
        return np.asarray(((places - reach >= 0) & (places + reach < shapes[levels] - 1)).all(axis=1))

    def sample(self, frames: NDArray[np.float64], side: int) -> NDArray[np.float32]:
        """The patches (n, side, side) of frames (n, 2, 3); beyond the photo its border is repeated."""
        steps = frames[:, :, :2] * (2 / side)
        levels = self._levels(frames, side)
        patches = np.zeros((len(frames), side, side), np.float32)
        for level in np.unique(levels):
            chosen = np.flatnonzero(levels == level)
            factor = 0.5**level
            places = np.ascontiguousarray(frames[chosen, :, 2]) * factor
            sample_patches(self.images[level], places, steps[chosen] * factor, chosen, patches)
        return patches

    def _levels(self, frames: NDArray[np.float64], side: int) -> NDArray[np.int64]:
        """The number of the image that each patch is sampled from."""
        scales = np.sqrt(np.abs(np.linalg.det(frames[:, :, :2]))) * (2 / side)
        levels = np.floor(np.log2(np.maximum(2 * scales, 1))).astype(np.int64)
        return np.asarray(np.minimum(levels, len(self.images) - 1))
