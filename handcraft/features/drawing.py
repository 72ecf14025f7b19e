"""Drawing features: the measurement ellipse of each over its photo."""

from __future__ import annotations

import colorsys
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from handcraft.errors import PhotoError
from handcraft.types import Features, scale_coordinates

PICTURE_SIZE = 1600  # pixels, long side of the picture: strokes are fine beside the smallest regions
FEW = 500  # features up to which strokes are wide; more would hide the photo
CORNERS = 48  # of the polygon that an ellipse is drawn as

_SMALL, _LARGE = 0.008, 0.25  # radii in long sides between which the colour goes over
_SMALL_HUE, _LARGE_HUE = 0.13, 0.58  # yellow, blue
_DARK = (16, 16, 16)
_DARK_OPACITY = 0.5  # where many strokes meet, the photo shows through
_FRACTION_BITS = 4  # OpenCV draws at sixteenths of a pixel
_FAR = 1e6  # pixels: what lies further out is drawn as if it lay here, so that no product overflows


def draw_features(photo: NDArray[np.uint8], features: Features, oriented: bool) -> NDArray[np.uint8]:
    """Outline the measurement region of each feature in a colour of its size, small regions on top.

    photo: (h, w, 3) uint8 RGB, of any resolution; the features are in pixels of the original.
    oriented: draw the radius in the direction of each feature's orientation too.

    Returns (h, w, 3) uint8 RGB with a long side of PICTURE_SIZE: bright strokes, from yellow for the
    smallest regions to blue for the largest, on dark ones, so that they show on any photo. Raises
    PhotoError if the photo is empty or not RGB.
    """
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or photo.size == 0:
        raise PhotoError(
            f"The photo to draw has shape {photo.shape} and type {photo.dtype}; "
            "give RGB pixels, (height, width, 3) uint8."
        )
    picture = _resize(photo)
    scale = np.array([picture.shape[1] / features.width, picture.shape[0] / features.height])
    frames = features.frames[np.isfinite(features.frames).all(axis=(1, 2))].astype(np.float64)
    radii = np.sqrt(np.abs(np.linalg.det(frames[:, :, :2])) * scale.prod()) / PICTURE_SIZE
    order = np.argsort(-radii, kind="stable")
    outlines = scale_coordinates(_outlines(frames[order], oriented), scale)
    lines = np.rint(np.clip(outlines, -_FAR, _FAR) * (1 << _FRACTION_BITS)).astype(np.int32)
    width = 2 if len(lines) <= FEW else 1
    dark = picture.copy()
    cv2.polylines(dark, list(lines), False, _DARK, width + 2, cv2.LINE_AA, _FRACTION_BITS)
    cv2.addWeighted(dark, _DARK_OPACITY, picture, 1 - _DARK_OPACITY, 0, dst=picture)
    for line, radius in zip(lines, radii[order], strict=True):
        cv2.polylines(picture, [line], False, _colour(radius), width, cv2.LINE_AA, _FRACTION_BITS)
    return picture


def _resize(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The photo with the picture's long side."""
    height, width = photo.shape[:2]
    scale = PICTURE_SIZE / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(photo, size, interpolation=interpolation), np.uint8)


def _outlines(frames: NDArray[np.float64], oriented: bool) -> NDArray[np.float64]:
    """The ellipse of each frame as a line that ends where it began, on the frame's first axis, and then
    goes to the centre if it is oriented: (n, corners, 2)."""
    angles = np.linspace(0, 2 * np.pi, CORNERS + 1)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    if oriented:
        circle = np.concatenate([circle, np.zeros((1, 2))])
    return np.asarray(circle @ frames[:, :, :2].transpose(0, 2, 1) + frames[:, None, :, 2])


def _colour(radius: float) -> tuple[int, int, int]:
    """RGB by a region's radius, in long sides of the photo."""
    octaves = math.log2(max(radius, _SMALL) / _SMALL) / math.log2(_LARGE / _SMALL)
    hue = _SMALL_HUE + (_LARGE_HUE - _SMALL_HUE) * min(octaves, 1.0)
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.75, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)
