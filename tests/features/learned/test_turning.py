"""Photos that are turned by quarters, and described as they were upright."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from networks import options_of, photo_of, scenery, tiny
from numpy.typing import NDArray
from PIL import Image

from handcraft.features.extraction import find_features
from handcraft.features.images import DecodedPhoto
from handcraft.features.learned.turning import QuarterTurns, turned_back, turned_upright
from handcraft.features.registry import directions_around, extract, find
from handcraft.options import FeatureOptions
from handcraft.types import Features, RegionOfInterest

QUARTER = math.pi / 2
ALL = 1_000_000


def turned(photo: DecodedPhoto, quarters: int) -> DecodedPhoto:
    """A photo turned clockwise on the screen, as a camera that is held otherwise takes it."""
    sides = photo.photo.width, photo.photo.height
    width, height = sides[::-1] if quarters % 2 else sides
    return photo_of(np.rot90(photo.pixels, -quarters), width, height)


def where_turned(features: Features, quarters: int) -> NDArray[np.float64]:
    """The frames of features where they are in the photo that is turned clockwise."""
    frames = features.frames.astype(np.float64)
    width, height = features.width, features.height
    linear, offset = {
        0: ([[1, 0], [0, 1]], [0, 0]),
        1: ([[0, -1], [1, 0]], [height - 1, 0]),
        2: ([[-1, 0], [0, -1]], [width - 1, height - 1]),
        3: ([[0, 1], [-1, 0]], [0, width - 1]),
    }[quarters]
    moved = np.array(linear, np.float64) @ frames
    moved[:, :, 2] += offset
    return moved


@pytest.fixture(params=["delf", "onnx"])
def options(request: pytest.FixtureRequest, tmp_path: Path) -> FeatureOptions:
    """Those of an extractor that turns photos."""
    if request.param == "delf":
        return options_of("delf", tiny("delf", tmp_path), threshold=0.5)
    return options_of("onnx", tiny("keypoints", tmp_path))


# --- by numbers ---


def test_a_frame_goes_back_to_where_it_was_in_the_photo() -> None:
    """A point near the top left of an upright photo of 4 x 3 pixels, its ellipse twice as wide as high."""
    frames = np.array([[[2, 0, 1], [0, 1, 0]]], np.float32)
    features = Features(frames, np.zeros((1, 2)), 4, 3)
    expected = {
        0: [[2, 0, 1], [0, 1, 0]],
        1: [[0, -1, 2], [2, 0, 1]],  # at the top right of 3 x 4
        2: [[-2, 0, 2], [0, -1, 2]],
        3: [[0, 1, 0], [-2, 0, 2]],
    }
    for quarters, frame in expected.items():
        back = turned_back(features, quarters)
        np.testing.assert_array_equal(back.frames, [frame])
        assert back.frames.dtype == np.float32
        assert (back.width, back.height) == ((3, 4) if quarters % 2 else (4, 3))
    np.testing.assert_array_equal(features.frames, [[[2, 0, 1], [0, 1, 0]]])


def test_pixels_are_turned_upright() -> None:
    upright = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    photo = photo_of(upright, width=30, height=20)
    for quarters in range(4):
        again = turned_upright(turned(photo, quarters), quarters)
        np.testing.assert_array_equal(again.pixels, upright)
        assert again.pixels.flags.c_contiguous
        assert (again.photo.width, again.photo.height) == (30, 20)


def test_a_direction_becomes_the_nearest_quarter() -> None:
    seen: list[NDArray[np.uint8]] = []

    def watch(photo: DecodedPhoto) -> Features:
        seen.append(photo.pixels)
        return photo.features(np.empty((0, 2, 3)), np.empty((0, 1)))

    photo = photo_of(np.arange(18, dtype=np.uint8).reshape(2, 3, 3))
    for degrees, quarters in (
        (0, 0),
        (44, 0),
        (46, 1),
        (90, 1),
        (180, 2),
        (270, 3),
        (-90, 3),
        (350, 0),
        (720, 0),
    ):
        QuarterTurns(photo, watch).describe(math.radians(degrees), ALL, None)
        np.testing.assert_array_equal(seen.pop(), np.rot90(photo.pixels, quarters))


# --- by networks ---


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("size", [(320, 240), (200, 301)])
def test_a_turned_photo_is_described_in_its_direction_as_it_was_upright(
    size: tuple[int, int], quarters: int, options: FeatureOptions
) -> None:
    upright = scenery(0, *size)
    before = extract(upright, options)
    assert len(before) > 50
    found = find([turned(upright, quarters)], options)[0]
    for direction in (quarters * QUARTER, (quarters - 4) * QUARTER, directions_around(4)[quarters]):
        after = found.describe(direction, ALL, None)
        np.testing.assert_array_equal(after.descriptors, before.descriptors)
        np.testing.assert_allclose(after.frames, where_turned(before, quarters), atol=1e-4)
        assert (after.width, after.height) == (size[::-1] if quarters % 2 else size)
    if quarters:
        assert found.describe(0, ALL, None).descriptors.tobytes() != before.descriptors.tobytes()


@pytest.mark.parametrize("quarters", range(4))
def test_a_reduced_photo_is_turned_in_pixels_of_the_original(quarters: int, options: FeatureOptions) -> None:
    """Reduced by 2 across and by 3 down, as no camera does: factors are not mixed up."""
    upright = photo_of(scenery(0, 300, 200).pixels, width=600, height=600)
    before = extract(upright, options)
    after = find([turned(upright, quarters)], options)[0].describe(quarters * QUARTER, ALL, None)
    np.testing.assert_allclose(after.frames, where_turned(before, quarters), atol=1e-3)
    np.testing.assert_array_equal(after.descriptors, before.descriptors)


@pytest.mark.parametrize("quarters", range(4))
def test_a_file_that_is_reduced_is_turned(quarters: int, options: FeatureOptions, tmp_path: Path) -> None:
    pixels = scenery(0, 200, 150).pixels.repeat(2, axis=0).repeat(2, axis=1)
    upright, held = tmp_path / "upright.png", tmp_path / "held.png"
    Image.fromarray(pixels).save(upright)
    Image.fromarray(np.rot90(pixels, -quarters)).save(held)
    reduced = FeatureOptions(extractor=options.extractor, settings=options.settings, max_size=200)
    before, after = (find_features(path, reduced)[1] for path in (upright, held))
    expected = before.describe(0, ALL, None)
    features = after.describe(quarters * QUARTER, ALL, None)
    assert (expected.width, expected.height) == (400, 300)
    assert len(expected) > 50
    np.testing.assert_allclose(features.frames, where_turned(expected, quarters), atol=1e-3)
    np.testing.assert_array_equal(features.descriptors, expected.descriptors)


@pytest.mark.parametrize("quarters", range(4))
def test_a_region_and_a_limit_choose_from_the_features_of_the_photo(
    quarters: int, options: FeatureOptions
) -> None:
    """The region is one of the photo as it is held."""
    photo = turned(photo_of(scenery().pixels, width=640, height=480), quarters)
    roi = RegionOfInterest(100, 50, 300, 400)
    found = find([photo], options)[0]
    everything = found.describe(quarters * QUARTER, ALL, None)
    inside = everything.inside(roi)
    assert 10 < len(inside) < len(everything)
    assert np.all((inside.centres >= (100, 50)) & (inside.centres <= (300, 400)))
    for limit, region, expected in (
        (ALL, roi, inside),
        (7, roi, inside.head(7)),
        (9, None, everything.head(9)),
        (ALL, RegionOfInterest(-9, -9, -5, -5), everything.head(0)),
    ):
        features = found.describe(quarters * QUARTER, limit, region)
        np.testing.assert_array_equal(features.frames, expected.frames)
        np.testing.assert_array_equal(features.descriptors, expected.descriptors)
