"""Reading photographs: any of five formats to upright 8-bit pixels, and the facts in their EXIF."""

from __future__ import annotations

import hashlib
import io
import logging
import math
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import BmpImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin
from PIL import Image as PillowImage

from handcraft.errors import PhotoError
from handcraft.types import Features, Photo, scale_coordinates

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp"})
MAX_PIXELS = 1 << 29  # a 23,000 x 23,000 photo; more would take gigabytes to decode

# Opened by class and not by PIL.Image.open, whose limit on pixels is a global of the process.
_READERS = (
    (b"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
    (b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (b"II*\x00", TiffImagePlugin.TiffImageFile),
    (b"MM\x00*", TiffImagePlugin.TiffImageFile),
    (b"RIFF", WebPImagePlugin.WebPImageFile),
    (b"BM", BmpImagePlugin.BmpImageFile),
)

# What Pillow logs about odd metadata reaches the handlers of the program, if it has any.
logging.getLogger("PIL").addHandler(logging.NullHandler())

_ORIENTATION = 0x0112
_EXIF_FOLDER = 0x8769
_GPS_FOLDER = 0x8825
_DATE_TIME_ORIGINAL = 0x9003
_SWAPS_SIDES = frozenset({5, 6, 7, 8})  # EXIF orientations that turn the photo by 90 degrees


@dataclass(frozen=True)
class DecodedPhoto:
    """The pixels that features are extracted from, and what the store remembers of the photo.

    pixels: (h, w) uint8 grey or (h, w, 3) uint8 RGB, upright, the long side at most what was asked for.
    photo: name and sizes; width and height are those of the original, upright.
    """

    pixels: NDArray[np.uint8]
    photo: Photo

    def in_original(self, frames: NDArray[np.floating]) -> NDArray[np.float32]:
        """Frames (n, 2, 3) in these pixels as frames in pixels of the original."""
        height, width = self.pixels.shape[:2]
        scales = np.array([self.photo.width / width, self.photo.height / height])
        linear = frames[:, :, :2] * scales[:, None]
        places = scale_coordinates(frames[:, :, 2], scales)
        return np.concatenate([linear, places[:, :, None]], axis=2).astype(np.float32)

    def features(self, frames: NDArray[np.floating], descriptors: NDArray[np.generic]) -> Features:
        """Features of frames (n, 2, 3) in these pixels and descriptors (n, d), strongest first."""
        return Features(self.in_original(frames), descriptors, self.photo.width, self.photo.height)


def read_photo(path: Path, max_size: int, name: str = "", colour: bool = False) -> DecodedPhoto:
    """Read a photo as 8-bit grey or RGB, its long side reduced to `max_size` pixels.

    A transparent pixel shows white; 16 bits are reduced to 8. Raises PhotoError.
    """
    modified_ns, data = read_bytes(path)
    image = _open(path, data)
    exif = _exif(image)
    photo = _facts(path, name, modified_ns, data, image, exif)  # before decoding, which may reduce the image
    decoded = _upright_pixels(path, image, "RGB" if colour else "L", max_size, exif.orientation)
    return DecodedPhoto(_resize(decoded, photo.width, photo.height, max_size), photo)


def read_facts(path: Path, name: str = "") -> Photo:
    """What the store remembers of a photo, whose pixels are not decoded; raises PhotoError."""
    modified_ns, data = read_bytes(path)
    image = _open(path, data)
    return _facts(path, name, modified_ns, data, image, _exif(image))


def _facts(
    path: Path, name: str, modified_ns: int, data: bytes, image: PillowImage.Image, exif: _Exif
) -> Photo:
    width, height = _upright_size(image, exif.orientation)
    return Photo(
        name=name or path.name,
        content_hash=hashlib.blake2b(data, digest_size=16).digest(),
        file_size=len(data),
        modified_ns=modified_ns,
        width=width,
        height=height,
        latitude=exif.latitude,
        longitude=exif.longitude,
        taken=exif.taken,
    )


def read_colour(path: Path, max_size: int) -> NDArray[np.uint8]:
    """Read a photo as (h, w, 3) uint8 RGB, upright, its long side at most `max_size`, to show it."""
    return read_photo(path, max_size, colour=True).pixels


def read_bytes(path: Path) -> tuple[int, bytes]:
    """The modification time in nanoseconds and the content of a file; raises PhotoError."""
    try:
        with path.open("rb") as file:
            modified_ns = os.fstat(file.fileno()).st_mtime_ns  # before reading: a later change shows
            return modified_ns, file.read()
    except IsADirectoryError as error:
        raise PhotoError(f"{path} is a folder, not a photo.") from error
    except FileNotFoundError as error:
        raise PhotoError(f"There is no photo at {path}; check the name.") from error
    except PermissionError as error:
        raise PhotoError(f"No permission to read {path}; change its mode or your user.") from error
    except OSError as error:
        raise PhotoError(f"{path} cannot be read: {error.strerror or error}.") from error


def reduced_size(width: int, height: int, max_size: int) -> tuple[int, int]:
    """The size in pixels of a photo whose long side is reduced to `max_size`; none grows."""
    long_side = max(width, height)
    if long_side <= max_size:
        return width, height
    return max(1, round(width * max_size / long_side)), max(1, round(height * max_size / long_side))


_FILTERS = threading.Lock()  # Python's warning filters are of the process, not of a thread


@contextmanager
def _silence() -> Iterator[None]:
    """Keep Pillow's warnings about broken EXIF blocks from the user."""
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _open(path: Path, data: bytes) -> PillowImage.Image:
    reader = next((reader for magic, reader in _READERS if data.startswith(magic)), None)
    if not data:
        raise PhotoError(f"{path} is an empty file.")
    if reader is None:
        raise PhotoError(f"{path} is not a JPEG, PNG, TIFF, WebP or BMP photo, whatever its name says.")
    try:
        with _silence():
            image: PillowImage.Image = reader(io.BytesIO(data))
    except Exception as error:
        raise PhotoError(f"{path} is damaged: its header cannot be read.") from error
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise PhotoError(
            f"{path} is too large: it has {width} x {height} pixels, the limit is {MAX_PIXELS:,} in all; "
            "reduce it first."
        )
    return image


def _upright_size(image: PillowImage.Image, orientation: int) -> tuple[int, int]:
    width, height = image.size
    # Pillow turns a TIFF upright itself and gives the size after that.
    if orientation in _SWAPS_SIDES and not isinstance(image, TiffImagePlugin.TiffImageFile):
        return height, width
    return width, height


def _upright_pixels(
    path: Path, image: PillowImage.Image, mode: str, max_size: int, orientation: int
) -> NDArray[np.uint8]:
    """Decode to upright (h, w) grey for mode "L" or (h, w, 3) for "RGB", not much over `max_size`."""
    try:
        _draft(image, mode, max_size)
        turn = None if isinstance(image, TiffImagePlugin.TiffImageFile) else _TURNS.get(orientation)
        image.load()
        upright = image if turn is None else image.transpose(turn)
        if upright.mode.startswith(("I", "F")):
            upright = PillowImage.fromarray(_eight_bits(np.asarray(upright)))
        if upright.has_transparency_data:
            layer = upright.convert("RGBA")
            upright = PillowImage.new("RGBA", layer.size, "white")
            upright.alpha_composite(layer)
        return np.asarray(upright.convert(mode))
    except MemoryError:
        raise
    except Exception as error:
        raise PhotoError(f"{path} is truncated or damaged: its pixels cannot be decoded.") from error


_T = PillowImage.Transpose
_TURNS = {
    2: _T.FLIP_LEFT_RIGHT,
    3: _T.ROTATE_180,
    4: _T.FLIP_TOP_BOTTOM,
    5: _T.TRANSPOSE,
    6: _T.ROTATE_270,
    7: _T.TRANSVERSE,
    8: _T.ROTATE_90,
}


def _draft(image: PillowImage.Image, mode: str, max_size: int) -> None:
    """Let a JPEG decode straight to `mode`, and at 1/2, 1/4 or 1/8 size where that divides it: a
    side that it does not divide would be padded, and every place on it moved."""
    width, height = image.size
    fits = [
        factor
        for factor in (1, 2, 4, 8)
        if max(width, height) >= 2 * max_size * factor and width % factor == height % factor == 0
    ]
    factor = max(fits, default=1)
    image.draft(mode, (width // factor, height // factor))


def _eight_bits(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """16-bit, 32-bit and float grey to 8 bits: white is 1 for floats up to 1, else all the bits in
    use set, at least 8, for cameras of 10, 12 or 14 bits store their values in 16."""
    numbers = values.astype(np.float64)
    numbers = np.nan_to_num(numbers, nan=0.0, posinf=0.0, neginf=0.0)
    brightest = float(numbers.max(initial=0))
    if np.issubdtype(values.dtype, np.floating) and brightest <= 1:
        white = 1
    else:
        white = (1 << max(8, math.ceil(brightest).bit_length())) - 1
    return np.clip(np.rint(numbers * (255 / white)), 0, 255).astype(np.uint8)


def _resize(pixels: NDArray[np.uint8], width: int, height: int, max_size: int) -> NDArray[np.uint8]:
    size = reduced_size(width, height, max_size)
    if size == (pixels.shape[1], pixels.shape[0]):
        return pixels
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


@dataclass(frozen=True)
class _Exif:
    orientation: int = 1
    latitude: float = math.nan
    longitude: float = math.nan
    taken: str = ""


def _exif(image: PillowImage.Image) -> _Exif:
    """The few EXIF facts that are used; a broken EXIF block counts as none."""
    try:
        with _silence():
            exif = image.getexif()
            gps, camera = exif.get_ifd(_GPS_FOLDER), exif.get_ifd(_EXIF_FOLDER)
        return _Exif(
            orientation=int(exif.get(_ORIENTATION, 1)),
            latitude=_degrees(gps.get(2), gps.get(1), "S"),
            longitude=_degrees(gps.get(4), gps.get(3), "W"),
            taken=_iso_time(camera.get(_DATE_TIME_ORIGINAL)),
        )
    except Exception:
        return _Exif()


def _degrees(parts: object, hemisphere: object, negative: str) -> float:
    """Degrees, minutes and seconds to signed degrees; NaN where there are none."""
    if not isinstance(parts, tuple) or len(parts) != 3:
        return math.nan
    degrees, minutes, seconds = (float(part) for part in parts)
    value = degrees + minutes / 60 + seconds / 3600
    return -value if hemisphere == negative else value


def _iso_time(text: object) -> str:
    """EXIF's "2004:07:21 14:03:59" as "2004-07-21T14:03:59"."""
    try:
        return datetime.strptime(str(text)[:19], "%Y:%m:%d %H:%M:%S").isoformat()
    except ValueError:
        return ""
