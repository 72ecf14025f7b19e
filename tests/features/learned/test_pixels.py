"""Photos as networks want them."""

from __future__ import annotations

import numpy as np

from handcraft.features.learned.pixels import as_image

PIXELS = np.array([[[0, 128, 255], [10, 20, 30]]], np.uint8)  # one row of two pixels


def test_colours_are_planes_from_0_to_1() -> None:
    image = as_image(PIXELS)
    assert image.shape == (1, 3, 1, 2)
    assert image.dtype == np.float32
    assert image.flags.c_contiguous
    np.testing.assert_allclose(
        image[0, :, 0], np.array([[0, 10], [128, 20], [255, 30]]) / 255, rtol=0, atol=1e-7
    )


def test_a_middle_and_half_a_range_make_it_signed() -> None:
    expected = [[-1, -118 / 128], [0, -108 / 128], [127 / 128, -98 / 128]]
    np.testing.assert_array_equal(as_image(PIXELS, 128, 128)[0, :, 0], np.float32(expected))


def test_the_pixels_stay_as_they_are() -> None:
    before = PIXELS.copy()
    as_image(PIXELS, 128, 128)
    np.testing.assert_array_equal(PIXELS, before)
