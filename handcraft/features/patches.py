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
    one of its pixels in 2ᵏ."""

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

    def sample(self, frames: NDArray[np.float64], size: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The patches (n, size, size) of frames (n, 2, 3), and which of them (n,) lie in the photo.

        A patch reaches from −1 to 1 of its frame along both axes. It is taken from the image in which a
        step of the patch is between half a pixel and one, or from the photo itself where it is less: the
        blur is then half a step to one, and nothing finer than the patch is left to alias.
        """
        steps = frames[:, :, :2] * (2 / size)
        scales = np.sqrt(np.abs(np.linalg.det(steps)))
        levels = np.floor(np.log2(np.maximum(2 * scales, 1))).astype(np.int64)
        levels = np.minimum(levels, len(self.images) - 1)
        patches = np.zeros((len(frames), size, size), np.float32)
        inside = np.zeros(len(frames), np.bool_)
        for level in np.unique(levels):
            chosen = np.flatnonzero(levels == level)
            part = np.zeros((len(chosen), size, size), np.float32)
            part_inside = np.zeros(len(chosen), np.bool_)
            factor = 0.5**level
            places = np.ascontiguousarray(frames[chosen, :, 2]) * factor
            sample_patches(self.images[level], places, steps[chosen] * factor, part, part_inside)
            patches[chosen], inside[chosen] = part, part_inside
        return patches, inside
