"""What the tests of the first stage share: photographs to read, and a user who may not read all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from handcraft.features.images import DecodedPhoto
from handcraft.types import Photo

Texture = Callable[..., NDArray[np.uint8]]
SavePhoto = Callable[..., Path]
Decode = Callable[[NDArray[np.uint8]], DecodedPhoto]
Waves = Callable[..., NDArray[np.uint8]]


@pytest.fixture(scope="session")
def texture() -> Texture:
    """A function that makes (height, width) uint8 cloudy noise, rich in features."""

    def make(height: int, width: int, *, seed: int = 0, blur: float = 2.0) -> NDArray[np.uint8]:
        noise = np.random.default_rng(seed).normal(size=(height, width))
        clouds = cv2.GaussianBlur(noise, (0, 0), blur)
        clouds -= clouds.min()
        return np.rint(clouds * (255 / max(float(clouds.max()), 1e-9))).astype(np.uint8)

    return make


@pytest.fixture
def save_photo(tmp_path: Path) -> SavePhoto:
    """A function that writes pixels to a photo, a lossless PNG unless named otherwise."""

    def save(pixels: NDArray[np.generic], name: str = "photo.png", **parameters: object) -> Path:
        path = tmp_path / name
        Image.fromarray(pixels).save(path, **parameters)
        return path

    return save


@pytest.fixture(scope="session")
def decoded() -> Decode:
    """A function from (height, width) uint8 pixels to the photo that they were read from, at full size."""

    def decode(pixels: NDArray[np.uint8]) -> DecodedPhoto:
        height, width = pixels.shape
        return DecodedPhoto(np.ascontiguousarray(pixels), Photo("photo.png", b"", 0, 0, width, height))

    return decode


@pytest.fixture(scope="session")
def waves() -> Waves:
    """A function that makes a cloudy photo of 257 x 257 pixels, turned about its middle by radians from x
    towards y; nothing is interpolated."""

    def make(turn: float = 0.0) -> NDArray[np.uint8]:
        generator = np.random.default_rng(0)
        y, x = np.mgrid[-128:129, -128:129].astype(float)
        x, y = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        pixels = np.zeros(x.shape)
        for _ in range(40):
            length, angle, phase = generator.uniform((7, 0, 0), (40, 2 * np.pi, 2 * np.pi))
            pixels += np.sin((x * np.cos(angle) + y * np.sin(angle)) * (2 * np.pi / length) + phase)
        return np.clip(np.rint(127 + 20 * pixels), 0, 255).astype(np.uint8)

    return make


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """An empty folder that every user may enter, as pytest's own is not."""
    folder = Path(tempfile.mkdtemp(prefix="handcraft-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
