"""Patches sampled from a pyramid: sizes, blur, and what happens at the borders of a photo."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from oracles import features as oracle

from handcraft.features.patches import CAMERA_BLUR, LEAST_SIDE, PatchPyramid

SIZE = 41


def frame(x: float, y: float, linear: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """(1, 2, 3), a circle where `linear` is its radius."""
    shape = np.eye(2) * linear if isinstance(linear, (int, float)) else linear
    return np.column_stack([shape, [x, y]])[None]


def ramp(height: int, width: int) -> NDArray[np.float32]:
    return (0.3 * np.arange(width) + 0.2 * np.arange(height)[:, None]).astype(np.float32)


@pytest.mark.parametrize(
    ("shape", "shapes"),
    [
        ((300, 401), [(300, 401), (150, 201), (75, 101), (38, 51)]),
        ((64, 500), [(64, 500), (32, 250)]),
        ((63, 500), [(63, 500)]),
        ((1, 1), [(1, 1)]),
        ((40, 30), [(40, 30)]),
    ],
)
def test_every_image_is_half_the_one_before(shape: tuple[int, int], shapes: list[tuple[int, int]]) -> None:
    pyramid = PatchPyramid.of(np.zeros(shape, np.float32))
    assert [image.shape for image in pyramid.images] == shapes
    assert all(image.dtype == np.float32 and image.flags.c_contiguous for image in pyramid.images)
    assert all(min(image.shape) >= LEAST_SIDE for image in pyramid.images[1:])


def test_the_first_image_is_the_photo() -> None:
    photo = ramp(100, 120)
    assert PatchPyramid.of(photo).images[0] is photo
    np.testing.assert_array_equal(photo, ramp(100, 120))


@pytest.mark.parametrize("level", [1, 2, 3])
def test_the_blur_of_an_image_is_half_its_pixel(level: int) -> None:
    """What is added to the blur of the photo, from impulses at every place of a pixel of the image."""
    moments = np.zeros((2, 3))
    for shift in range(2**level):
        photo = np.zeros((257, 257), np.float32)
        photo[128 + shift, 128 + shift] = 1000
        image = PatchPyramid.of(photo).images[level].astype(float)
        places = np.arange(len(image)) * 2.0**level - 128 - shift
        for axis in range(2):
            moments[axis] += [(image.sum(axis) * places**power).sum() for power in range(3)]
    for total, first, second in moments:
        assert first / total == pytest.approx(0, abs=1e-3)
        wanted = (CAMERA_BLUR * 2**level) ** 2 - CAMERA_BLUR**2
        assert math.sqrt(second / total) == pytest.approx(math.sqrt(wanted), rel=0.01)


@pytest.mark.parametrize("radius", [1, 10.2, 10.3, 40, 41.5, 150])  # either side of two changes of image
def test_a_ramp_is_sampled_exactly_at_any_level(radius: float) -> None:
    pyramid = PatchPyramid.of(ramp(513, 613))
    angle = np.deg2rad(25)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = radius * turn @ np.diag([1.4, 1 / 1.4])
    patches = pyramid.sample(frame(300.3, 250.7, linear), SIZE)
    places = (np.arange(SIZE) - SIZE // 2) * 2 / SIZE  # from −1 to 1, at the middles of the pixels
    across, down = np.tensordot(linear, np.stack(np.meshgrid(places, places)), 1)
    expected = 0.3 * (300.3 + across) + 0.2 * (250.7 + down)
    np.testing.assert_allclose(patches[0], expected, atol=0.01)


def test_a_step_of_a_patch_is_half_a_pixel_to_one_of_its_image() -> None:
    # Every image of this pyramid says which it is.
    pyramid = PatchPyramid(tuple(np.full((2**k, 2**k), k, np.float32) for k in (9, 8, 7, 6)))
    for exponent in np.arange(-3, 3, 0.37):
        step = 2**exponent
        level = 9 - pyramid.sample(frame(250, 250, step * SIZE / 2), SIZE)[0, 0, 0]
        assert level == 0 or 0.5 <= step / 2**level < 1
        assert level > 0 or step < 1
    patches = pyramid.sample(frame(250, 250, 11 * SIZE / 2), SIZE)  # more than the last is for
    assert (patches == 6).all()


def test_a_long_ellipse_is_sampled_as_a_circle_of_its_area() -> None:
    pyramid = PatchPyramid(tuple(np.full((2**k, 2**k), k, np.float32) for k in (9, 8, 7)))
    circle = pyramid.sample(frame(250, 250, 35), SIZE)
    long = pyramid.sample(frame(250, 250, np.diag([35 * 3, 35 / 3])), SIZE)
    np.testing.assert_array_equal(long, circle)


@pytest.mark.parametrize("side", [1, 32, 41])
def test_the_middle_of_a_patch_is_the_middle_of_its_frame(side: int) -> None:
    pyramid = PatchPyramid.of(ramp(200, 300))
    patch = pyramid.sample(frame(140.3, 90.6, np.array([[22, -9], [14, 31]])), side)[0]
    np.testing.assert_allclose(patch + patch[::-1, ::-1], 2 * (0.3 * 140.3 + 0.2 * 90.6), atol=0.01)


def test_a_fine_texture_does_not_alias_in_a_large_patch() -> None:
    y, x = np.mgrid[:512, :512]
    stripes = (128 + 100 * np.sin(2 * np.pi * (x + 0.3 * y) / 3.1)).astype(np.float32)
    pyramid = PatchPyramid.of(stripes)
    deviations = [float(pyramid.sample(frame(256, 256, radius), SIZE).std()) for radius in (5, 41, 82, 164)]
    assert deviations[0] > 40
    assert deviations[1] < 20
    assert max(deviations[2:]) < 0.1
    plain = PatchPyramid((stripes,)).sample(frame(256, 256, 164), SIZE)
    assert plain.std() > 50  # from the photo itself it would


def test_patches_that_leave_the_photo_are_told() -> None:
    pyramid = PatchPyramid.of(np.zeros((200, 300), np.float32))
    places = [(150, 100), (20, 100), (150, 185), (285, 100), (150, 10), (-50, 100), (150, 500)]
    frames = np.concatenate([frame(x, y, 30) for x, y in places])
    assert pyramid.inside(frames, SIZE).tolist() == [True, False, False, False, False, False, False]


@pytest.mark.parametrize("side", [1, 24, 41])
def test_a_patch_is_inside_where_its_corners_are_in_the_image_that_it_comes_from(side: int) -> None:
    pyramid = PatchPyramid(tuple(np.full((2**k, 2**k + 7), k, np.float32) for k in (8, 7, 6)))
    generator = np.random.default_rng(side)
    linear = generator.normal(size=(500, 2, 2)) * generator.uniform(1, 60, (500, 1, 1))
    frames = np.concatenate([linear, generator.uniform(-20, 290, (500, 2, 1))], axis=2)
    inside = pyramid.inside(frames, side)
    assert 20 < inside.sum() < 480
    levels = 8 - pyramid.sample(frames, side)[:, 0, 0].astype(int)
    assert len(set(levels)) == 3
    for one, level, whole in zip(frames, levels, inside, strict=True):
        x, y = one[:, 2] / 2**level
        step = one[:, :2] * (2 / side) / 2**level
        assert whole == oracle.window_fits(pyramid.images[level].shape, x, y, step, side)


def test_beyond_the_photo_its_border_is_repeated() -> None:
    photo = np.random.default_rng(0).uniform(0, 255, (200, 300)).astype(np.float32)
    pyramid = PatchPyramid.of(photo)
    radius = SIZE / 2  # a step of the patch is one pixel, and half of one of the second image
    patches = pyramid.sample(np.concatenate([frame(-90, 100, radius), frame(0, 199, radius)]), SIZE)
    assert patches.dtype == np.float32
    assert not pyramid.inside(np.concatenate([frame(-90, 100, radius), frame(0, 199, radius)]), SIZE).any()
    for patch, place in zip(patches, [(-90, 100), (0, 199)], strict=True):
        expected = oracle.window(pyramid.images[1], place[0] / 2, place[1] / 2, np.eye(2) / 2, SIZE)
        np.testing.assert_allclose(patch, expected, atol=0.01)
    assert np.ptp(patches[0], axis=1).max() < 1e-4  # all of it is the left border
    assert np.ptp(patches[0], axis=0).min() > 10


def test_patches_keep_the_order_of_their_frames_whatever_their_level() -> None:
    pyramid = PatchPyramid.of(ramp(400, 400))
    radii = np.random.default_rng(0).permutation(np.geomspace(2, 90, 40))
    places = np.random.default_rng(1).uniform(95, 250, (40, 2))
    frames = np.concatenate([frame(x, y, radius) for (x, y), radius in zip(places, radii, strict=True)])
    for one, patch in zip(frames, pyramid.sample(frames, SIZE), strict=True):
        np.testing.assert_array_equal(pyramid.sample(one[None], SIZE)[0], patch)


def test_no_frames_give_no_patches() -> None:
    pyramid = PatchPyramid.of(ramp(100, 100))
    assert pyramid.sample(np.empty((0, 2, 3)), SIZE).shape == (0, SIZE, SIZE)
    assert pyramid.inside(np.empty((0, 2, 3)), SIZE).shape == (0,)
