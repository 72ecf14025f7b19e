"""Photographs that are damaged, that are none, or that cannot be opened."""

from __future__ import annotations

import math
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from permissions import a_common_user
from PIL import Image

from handcraft.errors import PhotoError
from handcraft.features import images
from handcraft.features.images import read_colour, read_photo, reduced_size

Texture = Callable[..., NDArray[np.uint8]]
SavePhoto = Callable[..., Path]

FORMATS: dict[str, dict[str, object]] = {
    "photo.jpg": {},
    "photo.png": {},
    "photo.tif": {},
    "packed.tiff": {"compression": "tiff_lzw"},
    "photo.webp": {"lossless": True},
    "photo.bmp": {},
}


def refusal(path: Path) -> str:
    with pytest.raises(PhotoError) as error:
        read_photo(path, 1024)
    return str(error.value)


# --- EXIF that is broken ---


def tiff_block(*entries: tuple[int, int, int, bytes]) -> bytes:
    """An EXIF block of (tag, type, count, four bytes of value or offset) entries."""
    body = b"".join(struct.pack(">HHI", *entry[:3]) + entry[3] for entry in entries)
    return b"MM\0*\0\0\0\x08" + struct.pack(">H", len(entries)) + body + b"\0\0\0\0"


TURNED = (0x0112, 3, 1, b"\0\x06\0\0")
BROKEN_EXIF = {
    "a resolution that is text": tiff_block(TURNED, (0x011A, 2, 4, b"72\0\0")),
    "a place beyond the end": tiff_block(TURNED, (0x8825, 4, 1, b"\0\0\xff\0")),
    "a value beyond the end": tiff_block(TURNED, (0x011A, 5, 1, b"\0\0\xff\0")),
    "a time that is a number": tiff_block(
        TURNED, (0x8769, 4, 1, b"\0\0\0\x08"), (0x9003, 3, 1, b"\0\x07\0\0")
    ),
    "fewer entries than it says": tiff_block(TURNED)[:12],
    "no TIFF": b"nothing that anyone could read",
    "nothing": b"",
}


def jpeg_with_exif(save_photo: SavePhoto, block: bytes) -> Path:
    """A 50 x 30 grey JPEG whose upper half is black, with an EXIF block of any bytes."""
    pixels = np.full((30, 50), 255, np.uint8)
    pixels[:15] = 0
    path = save_photo(pixels, "photo.jpg", quality=95)
    data = path.read_bytes()
    segment = b"Exif\0\0" + block
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:])
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("block", BROKEN_EXIF.values(), ids=BROKEN_EXIF)
def test_broken_exif_does_not_lose_the_photo(block: bytes, save_photo: SavePhoto) -> None:
    decoded = read_photo(jpeg_with_exif(save_photo, block), 1024)
    assert decoded.pixels.shape == (decoded.photo.height, decoded.photo.width)
    if decoded.photo.width == 50:  # not turned
        np.testing.assert_allclose(decoded.pixels[[3, 26]], [[0] * 50, [255] * 50], atol=8)
    else:  # a quarter turn clockwise: the black half is on the right
        np.testing.assert_allclose(decoded.pixels[:, [3, 26]].T, [[255] * 50, [0] * 50], atol=8)
    assert math.isnan(decoded.photo.latitude)


def test_broken_exif_is_passed_over_in_silence(save_photo: SavePhoto) -> None:
    program = (
        "import sys; from pathlib import Path; from handcraft.features.images import read_photo;"
        "read_photo(Path(sys.argv[1]), 1024)"
    )
    path = jpeg_with_exif(save_photo, BROKEN_EXIF["a value beyond the end"])
    ran = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


# --- bad files ---


def test_a_text_file_is_not_a_photo(tmp_path: Path) -> None:
    path = tmp_path / "letter.jpg"
    path.write_text("Dear reader,")
    assert refusal(path) == f"{path} is not a JPEG, PNG, TIFF, WebP or BMP photo, whatever its name says."


def test_other_formats_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (8, 8)).save(path, format="GIF")
    assert refusal(path) == f"{path} is not a JPEG, PNG, TIFF, WebP or BMP photo, whatever its name says."


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.touch()
    assert refusal(path) == f"{path} is an empty file."


def test_a_missing_photo(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    assert refusal(path) == f"There is no photo at {path}; check the name."


def test_a_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"{tmp_path} is a folder, not a photo."


def test_a_path_through_a_file_and_a_name_too_long_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert refusal(tmp_path / "file" / "photo.jpg").endswith("cannot be read: Not a directory.")
    assert refusal(tmp_path / ("x" * 300)).endswith("cannot be read: File name too long.")


def test_a_photo_without_permission(open_folder: Path) -> None:
    path = open_folder / "photo.png"
    Image.new("L", (8, 8)).save(path)
    path.chmod(0)
    with a_common_user():
        sentence = refusal(path)
    assert sentence == f"No permission to read {path}; change its mode or your user."


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.8, 0.99])
@pytest.mark.parametrize("max_size", [64, 1024])
def test_a_truncated_jpeg(share: float, max_size: int, texture: Texture, save_photo: SavePhoto) -> None:
    path = save_photo(texture(300, 400), "photo.jpg")
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(PhotoError) as error:
        read_photo(path, max_size)
    assert str(error.value) in (
        f"{path} is truncated or damaged: its pixels cannot be decoded.",
        f"{path} is damaged: its header cannot be read.",  # not even the size has arrived
    )
    with pytest.raises(PhotoError):
        read_colour(path, max_size)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FORMATS)
def test_a_photo_cut_anywhere_is_refused_or_whole(name: str, texture: Texture, save_photo: SavePhoto) -> None:
    path = save_photo(texture(12, 18, blur=1), name, **FORMATS[name])
    data, grey = path.read_bytes(), read_photo(path, 1024).pixels
    lengths = {*range(0, len(data), 1 + len(data) // 80), *range(len(data) - 30, len(data))}
    refused = 0
    for length in lengths:
        path.write_bytes(data[:length])
        try:
            cut = read_photo(path, 1024).pixels
        except PhotoError:
            refused += 1
        else:  # what is missing may only be a mark of the end
            np.testing.assert_array_equal(cut, grey)
    assert refused > 0.7 * len(lengths)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FORMATS)
def test_damaged_bytes_give_a_photo_or_a_sentence(
    name: str, texture: Texture, save_photo: SavePhoto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 1 << 20)  # a damaged size may be huge, and slow
    path = save_photo(texture(12, 18, blur=1), name, **FORMATS[name])
    data = path.read_bytes()
    generator = np.random.default_rng(0)
    sentences = []
    for _ in range(100):
        damaged = bytearray(data)
        for place in generator.integers(0, min(len(data), 200), 3):
            damaged[place] = generator.integers(0, 256)
        path.write_bytes(damaged)
        try:
            decoded = read_photo(path, 1024)
        except PhotoError as error:
            sentences.append(str(error))
        else:
            size = reduced_size(decoded.photo.width, decoded.photo.height, 1024)
            assert decoded.pixels.shape == size[::-1]
    assert sentences
    assert all(str(path) in sentence and "\n" not in sentence for sentence in sentences)


# --- names ---


def test_a_name_that_is_not_utf_8(save_photo: SavePhoto, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    try:
        save_photo(np.full((4, 6), 90, np.uint8)).rename(path)
    except OSError:
        pytest.skip("this file system allows only UTF-8 names")
    decoded = read_photo(path, 1024)
    assert decoded.pixels.shape == (4, 6)
    assert os.fsencode(decoded.photo.name) == b"caf\xe9.png"


def test_a_name_of_250_characters(save_photo: SavePhoto) -> None:
    name = "x" * 246 + ".png"
    assert read_photo(save_photo(np.full((4, 6), 90, np.uint8), name), 1024).photo.name == name
