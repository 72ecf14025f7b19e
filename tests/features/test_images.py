"""Reading photographs: every format upright and in grey, at any size, and the facts beside the pixels."""

from __future__ import annotations

import hashlib
import math
import os
import struct
import zlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from handcraft.errors import PhotoError
from handcraft.features import images
from handcraft.features.images import read_colour, read_photo, reduced_size
from handcraft.types import scale_coordinates

Texture = Callable[..., NDArray[np.uint8]]
SavePhoto = Callable[..., Path]

FORMATS: dict[str, dict[str, object]] = {
    "photo.jpg": {"quality": 95, "subsampling": 0},
    "photo.png": {},
    "photo.tif": {},
    "packed.tiff": {"compression": "tiff_lzw"},
    "photo.webp": {"lossless": True},
    "photo.bmp": {},
}
WITH_EXIF = [name for name in FORMATS if name not in ("photo.bmp", "packed.tiff")]


def colourful(height: int, width: int) -> NDArray[np.uint8]:
    """A photo smooth enough for JPEG, in which no turn or mirror image equals another."""
    y, x = np.mgrid[:height, :width]
    red, green, blue = 255 * x / width, 255 * y / height, 120 * (x / width) ** 2 + 90 * y / height
    return np.dstack([red, green, blue]).astype(np.uint8)


def refusal(path: Path) -> str:
    with pytest.raises(PhotoError) as error:
        read_photo(path, 1024)
    return str(error.value)


# --- formats ---


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read(name: str, save_photo: SavePhoto) -> None:
    pixels = colourful(30, 50)
    path = save_photo(pixels, name, **FORMATS[name])
    luminance = pixels @ [0.299, 0.587, 0.114]
    tolerance = 4 if name == "photo.jpg" else 1
    decoded = read_photo(path, 1024)
    assert decoded.pixels.dtype == np.uint8
    assert np.abs(decoded.pixels - luminance).max() <= tolerance
    assert np.abs(read_colour(path, 1024) - pixels.astype(int)).max() <= 2 * tolerance
    assert (decoded.photo.width, decoded.photo.height) == (50, 30)


@pytest.mark.parametrize("name", FORMATS)
def test_the_content_and_not_the_suffix_says_what_a_file_is(name: str, save_photo: SavePhoto) -> None:
    path = save_photo(colourful(30, 50), name, **FORMATS[name])
    renamed = path.rename(path.with_suffix(".dat"))
    assert read_photo(renamed, 1024).pixels.shape == (30, 50)


def test_the_suffixes_of_every_format_are_known() -> None:
    assert {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp"} <= images.SUFFIXES


@pytest.mark.parametrize("name", ["photo.png", "photo.tif", "photo.webp", "photo.bmp", "photo.jpg"])
def test_grey_photos(name: str, save_photo: SavePhoto) -> None:
    pixels = np.add.outer(np.arange(30), 4 * np.arange(50)).astype(np.uint8)
    path = save_photo(pixels, name, **FORMATS[name])
    assert np.abs(read_photo(path, 1024).pixels - pixels.astype(int)).max() <= 2
    colour = read_colour(path, 1024)
    assert colour.shape == (30, 50, 3)
    assert np.abs(colour - pixels[..., None].astype(int)).max() <= 2


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_is_reduced_to_8(suffix: str, save_photo: SavePhoto) -> None:
    values = np.linspace(0, 65535, 600).reshape(20, 30).astype(np.uint16)
    grey = read_photo(save_photo(values, f"photo.{suffix}"), 1024).pixels
    assert np.abs(grey - values / 257).max() <= 0.5
    assert (grey.min(), grey.max()) == (0, 255)


@pytest.mark.parametrize(
    ("brightest", "bits"), [(200, 8), (255, 8), (256, 9), (4095, 12), (3000, 12), (20_000, 15), (65_535, 16)]
)
@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_white_is_all_the_bits_in_use(brightest: int, bits: int, dtype: type, save_photo: SavePhoto) -> None:
    values = np.linspace(0, brightest, 600).reshape(20, 30).astype(dtype)
    grey = read_photo(save_photo(values, "photo.tif"), 1024).pixels
    assert np.abs(grey - values * (255 / (2**bits - 1))).max() <= 0.5


def test_32_bit_grey_is_reduced_to_8(save_photo: SavePhoto) -> None:
    values = np.linspace(0, 10_000_000, 600).reshape(20, 30).astype(np.int32)
    grey = read_photo(save_photo(values, "photo.tif"), 1024).pixels
    assert np.abs(grey - values * (255 / (2**24 - 1))).max() <= 0.51


@pytest.mark.parametrize("white", [1.0, 255.0])
def test_float_grey_up_to_1_or_255(white: float, save_photo: SavePhoto) -> None:
    values = np.linspace(0, white, 600).reshape(20, 30).astype(np.float32)
    grey = read_photo(save_photo(values, "photo.tif"), 1024).pixels
    assert np.abs(grey - values * (255 / white)).max() <= 0.51


def test_float_grey_with_holes(save_photo: SavePhoto) -> None:
    values = np.full((20, 30), 0.5, np.float32)
    values[0, :4] = [np.nan, np.inf, -np.inf, -3]
    grey = read_photo(save_photo(values, "photo.tif"), 1024).pixels
    assert set(np.unique(grey[1:])) == {128}
    assert grey[0, 0] == grey[0, 2] == grey[0, 3] == 0


def test_one_bit_photos(save_photo: SavePhoto) -> None:
    bits = np.random.default_rng(0).random((20, 30)) < 0.5
    for name in ("photo.png", "photo.tif", "photo.bmp"):
        np.testing.assert_array_equal(read_photo(save_photo(bits, name), 1024).pixels, np.where(bits, 255, 0))


def test_palette_photos(tmp_path: Path) -> None:
    colours = Image.new("P", (4, 2))
    colours.putpalette([255, 255, 255, 10, 10, 10, 200, 200, 200, 90, 90, 90])
    colours.putdata([0, 1, 2, 3, 3, 2, 1, 0])
    for name in ("photo.png", "photo.bmp", "photo.tif"):
        colours.save(tmp_path / name)
        grey = read_photo(tmp_path / name, 1024).pixels
        np.testing.assert_array_equal(grey, [[255, 10, 200, 90], [90, 200, 10, 255]])


@pytest.mark.parametrize("name", ["photo.jpg", "photo.tif"])
def test_cmyk_photos(name: str, tmp_path: Path) -> None:
    inks = Image.new("CMYK", (48, 16), (0, 0, 0, 0))  # no ink: white paper
    inks.paste((0, 0, 0, 255), (16, 0, 32, 16))  # black
    inks.paste((0, 255, 255, 0), (32, 0, 48, 16))  # red
    inks.save(tmp_path / name, **FORMATS[name] | ({"subsampling": -1} if name == "photo.jpg" else {}))
    colour = read_colour(tmp_path / name, 1024)
    grey = read_photo(tmp_path / name, 1024).pixels
    for column, wanted in ((8, (255, 255, 255)), (24, (0, 0, 0)), (40, (255, 0, 0))):
        assert np.abs(colour[8, column] - np.array(wanted)).max() <= 3
        assert abs(int(grey[8, column]) - np.dot(wanted, [0.299, 0.587, 0.114])) <= 3


@pytest.mark.parametrize("name", ["photo.png", "photo.webp", "photo.tif"])
def test_a_transparent_pixel_shows_white(name: str, save_photo: SavePhoto) -> None:
    pixels = np.zeros((10, 30, 4), np.uint8)  # black
    pixels[:, 10:20, 3] = 128
    pixels[:, 20:, 3] = 255
    path = save_photo(pixels, name, **FORMATS[name])
    grey = read_photo(path, 1024).pixels
    assert set(np.unique(grey[:, :10])) == {255}
    assert np.abs(grey[:, 10:20].astype(int) - 127).max() <= 1
    assert set(np.unique(grey[:, 20:])) == {0}
    np.testing.assert_array_equal(read_colour(path, 1024), np.dstack([grey] * 3))


def test_transparency_of_grey_and_palette_photos_shows_white(tmp_path: Path) -> None:
    grey = Image.new("LA", (2, 1), (0, 255))
    grey.putpixel((0, 0), (0, 0))
    grey.save(tmp_path / "grey.png")
    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 0, 1, 1, 1])
    palette.putdata([1, 0])
    palette.save(tmp_path / "palette.png", transparency=1)
    for name in ("grey.png", "palette.png"):
        np.testing.assert_array_equal(read_photo(tmp_path / name, 1024).pixels, [[255, 0]])


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_the_first_of_several_pictures_is_read(suffix: str, tmp_path: Path) -> None:
    first, second = (Image.new("RGB", (8, 6), colour) for colour in ("white", "black"))
    lossless = {"lossless": True} if suffix == "webp" else {}
    first.save(tmp_path / f"photo.{suffix}", save_all=True, append_images=[second], **lossless)
    grey = read_photo(tmp_path / f"photo.{suffix}", 1024).pixels
    np.testing.assert_array_equal(grey, np.full((6, 8), 255))


# --- orientation ---


def with_orientation(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", WITH_EXIF)
def test_photos_are_turned_upright(name: str, orientation: int, save_photo: SavePhoto) -> None:
    path = save_photo(colourful(30, 50), name, exif=with_orientation(orientation), **FORMATS[name])
    with Image.open(path) as image:
        upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB")).astype(int)
    decoded = read_photo(path, 1024)
    assert (decoded.photo.height, decoded.photo.width) == upright.shape[:2]
    assert np.abs(decoded.pixels - upright @ [0.299, 0.587, 0.114]).max() <= 2
    assert np.abs(read_colour(path, 1024) - upright).max() <= 2


def test_orientation_6_means_a_quarter_turn_clockwise(save_photo: SavePhoto) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6), dtype=np.uint8)
    path = save_photo(pixels, exif=with_orientation(6))
    np.testing.assert_array_equal(read_photo(path, 1024).pixels, np.rot90(pixels, -1))


@pytest.mark.parametrize("name", WITH_EXIF)
def test_a_turned_photo_is_reduced_as_it_stands(name: str, save_photo: SavePhoto) -> None:
    path = save_photo(colourful(60, 200), name, exif=with_orientation(8), **FORMATS[name])
    decoded = read_photo(path, 50)
    assert decoded.pixels.shape == (50, 15)
    assert (decoded.photo.width, decoded.photo.height) == (60, 200)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_unknown_orientation_counts_as_none(orientation: int, save_photo: SavePhoto) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6), dtype=np.uint8)
    path = save_photo(pixels, exif=with_orientation(orientation))
    np.testing.assert_array_equal(read_photo(path, 1024).pixels, pixels)


# --- size ---


@pytest.mark.parametrize(
    ("width", "height", "max_size", "reduced"),
    [
        (400, 300, 1024, (400, 300)),  # none is enlarged
        (400, 300, 400, (400, 300)),
        (400, 300, 399, (399, 299)),
        (400, 300, 100, (100, 75)),
        (300, 400, 100, (75, 100)),
        (1000, 3, 100, (100, 1)),  # at least one pixel
        (1000, 1, 100, (100, 1)),
        (1, 1, 1, (1, 1)),
    ],
)
def test_the_long_side_is_reduced(
    width: int, height: int, max_size: int, reduced: tuple[int, int], save_photo: SavePhoto
) -> None:
    assert reduced_size(width, height, max_size) == reduced
    for name in ("photo.png", "photo.jpg"):
        path = save_photo(np.full((height, width), 90, np.uint8), name)
        decoded = read_photo(path, max_size)
        assert decoded.pixels.shape == reduced[::-1]
        assert (decoded.photo.width, decoded.photo.height) == (width, height)
        assert read_colour(path, max_size).shape == (*reduced[::-1], 3)


def test_a_reduced_photo_is_averaged_about_pixel_centres(save_photo: SavePhoto) -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
    grey = read_photo(save_photo(ramp), 64).pixels
    wanted = scale_coordinates(np.arange(64.0), 4)  # where the reduced pixels' centres were
    assert np.abs(grey - wanted).max() <= 0.5


@given(
    st.floats(-1e5, 1e5),
    st.floats(0.01, 100),
    st.floats(0.01, 100),
)
def test_resizing_twice_is_resizing_once(x: float, first: float, second: float) -> None:
    place = np.array([x])
    twice = scale_coordinates(scale_coordinates(place, first), second)
    np.testing.assert_allclose(twice, scale_coordinates(place, first * second), rtol=1e-9, atol=1e-7)


@given(st.floats(-1e5, 1e5), st.floats(0.01, 100))
def test_resizing_back_is_the_inverse(x: float, scale: float) -> None:
    there_and_back = scale_coordinates(scale_coordinates(np.array([x]), scale), 1 / scale)
    np.testing.assert_allclose(there_and_back, [x], rtol=1e-9, atol=1e-7)


@given(st.integers(1, 10_000), st.integers(1, 10_000))
def test_resizing_maps_edges_to_edges(before: int, after: int) -> None:
    edges = np.array([-0.5, before - 0.5])
    np.testing.assert_allclose(scale_coordinates(edges, after / before), [-0.5, after - 0.5], atol=1e-9)


def test_a_very_long_photo_is_read(texture: Texture, save_photo: SavePhoto) -> None:
    decoded = read_photo(save_photo(texture(40, 20_000)), 1024)
    assert decoded.pixels.shape == (2, 1024)
    assert (decoded.photo.width, decoded.photo.height) == (20_000, 40)


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is this large, with no pixels behind it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_a_photo_too_large_to_decode_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(png_header(100_000, 90_000))
    assert refusal(path) == (
        f"{path} is too large: it has 100000 x 90000 pixels, the limit is 536,870,912 in all; "
        "reduce it first."
    )


def test_the_limit_is_on_pixels_and_is_still_allowed(
    save_photo: SavePhoto, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_photo(np.zeros((30, 50), np.uint8))
    monkeypatch.setattr(images, "MAX_PIXELS", 1500)
    assert read_photo(path, 1024).pixels.shape == (30, 50)
    monkeypatch.setattr(images, "MAX_PIXELS", 1499)
    assert "is too large: it has 50 x 30 pixels, the limit is 1,499 in all" in refusal(path)


def test_20000_x_20000_pixels_are_allowed() -> None:
    assert images.MAX_PIXELS >= 20_000 * 20_000


# --- the facts beside the pixels ---


def full_exif(hemispheres: tuple[str, str] = ("N", "E"), taken: str = "2004:07:21 14:03:59") -> Image.Exif:
    exif = Image.Exif()
    exif[0x8769] = {0x9003: taken}
    exif[0x8825] = {1: hemispheres[0], 2: (59.0, 20.0, 30.0), 3: hemispheres[1], 4: (18.0, 3.0, 0.5)}
    written = Image.Exif()
    written.load(exif.tobytes())  # Pillow saves nested blocks to a TIFF only when they were read
    return written


@pytest.mark.parametrize("name", WITH_EXIF)
@pytest.mark.parametrize(
    ("hemispheres", "signs"),
    [(("N", "E"), (1, 1)), (("S", "E"), (-1, 1)), (("N", "W"), (1, -1)), (("S", "W"), (-1, -1))],
)
def test_place_and_time_come_from_the_exif(
    name: str, hemispheres: tuple[str, str], signs: tuple[int, int], save_photo: SavePhoto
) -> None:
    path = save_photo(colourful(6, 8), name, exif=full_exif(hemispheres), **FORMATS[name])
    photo = read_photo(path, 1024).photo
    assert photo.latitude == pytest.approx(signs[0] * (59 + 20 / 60 + 30 / 3600))
    assert photo.longitude == pytest.approx(signs[1] * (18 + 3 / 60 + 0.5 / 3600))
    assert photo.taken == "2004-07-21T14:03:59"


@pytest.mark.parametrize("name", FORMATS)
def test_a_photo_without_exif_has_no_place_and_no_time(name: str, save_photo: SavePhoto) -> None:
    photo = read_photo(save_photo(colourful(6, 8), name, **FORMATS[name]), 1024).photo
    assert math.isnan(photo.latitude)
    assert math.isnan(photo.longitude)
    assert photo.taken == ""


@pytest.mark.parametrize(
    "taken",
    [
        "",
        "    :  :     :  :  ",
        "0000:00:00 00:00:00",  # a camera whose clock was never set
        "2004:07:21",
        "2004:xx:21 14:03:59",
        "2004:07:21 14:03:59",
        "2004:07:21 14:03:59\0",
    ],
)
def test_the_time_is_iso_8601_or_missing(taken: str, save_photo: SavePhoto) -> None:
    photo = read_photo(save_photo(colourful(6, 8), exif=full_exif(taken=taken)), 1024).photo
    if taken.startswith("2004:07:21 14"):
        assert datetime.fromisoformat(photo.taken) == datetime(2004, 7, 21, 14, 3, 59)
    else:
        assert photo.taken == ""


def test_the_facts_of_the_file(save_photo: SavePhoto) -> None:
    path = save_photo(colourful(30, 50))
    os.utime(path, ns=(1, 1_234_567_890_123_456_789))
    content = path.read_bytes()
    photo = read_photo(path, 20).photo
    assert photo.content_hash == hashlib.blake2b(content, digest_size=16).digest()
    assert photo.file_size == len(content)
    assert photo.modified_ns == path.stat().st_mtime_ns
    assert photo.name == "photo.png"
    assert read_photo(path, 20, "holiday/photo.png").photo.name == "holiday/photo.png"
