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

Texture = Callable[..., NDArray[np.uint8]]
SavePhoto = Callable[..., Path]


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


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """An empty folder that every user may enter, as pytest's own is not."""
    folder = Path(tempfile.mkdtemp(prefix="handcraft-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
