"""SIFT of patches: its formula, its weights, and the orientations of patches."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from oracles import features as oracle

from handcraft.features.patch_sift import SIDE, describe, dominant_orientations, gaussian_window


def noise(count: int, side: int = SIDE) -> NDArray[np.float32]:
    """Patches of grey levels that mean nothing."""
    return np.random.default_rng(0).uniform(0, 255, (count, side, side)).astype(np.float32)


def ramp(degrees: float) -> NDArray[np.float32]:
    """A patch that grows brighter in one direction, from x towards y."""
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    return (3 * (x * np.cos(np.deg2rad(degrees)) + y * np.sin(np.deg2rad(degrees)))).astype(np.float32)


@pytest.mark.parametrize("side", [SIDE, 17])
def test_descriptors_are_root_sift(side: int) -> None:
    patches = noise(2, side)
    patches[1, :, : side // 2] = 0
    line = np.exp(-((np.arange(side) - side // 2) ** 2) / (2 * (2 / 3 * (side // 2)) ** 2))
    descriptors = describe(patches)
    assert descriptors.dtype == np.uint8
    for patch, descriptor in zip(patches, descriptors, strict=True):
        votes = oracle.sift(patch, np.outer(line, line), clip=0.2)
        expected = np.minimum(512 * np.sqrt(votes / votes.sum()), 255)
        np.testing.assert_allclose(descriptor, expected, atol=2)


def test_brightness_and_contrast_do_not_matter() -> None:
    patches = noise(5)
    difference = describe(0.3 * patches + 90) - describe(patches).astype(int)
    assert np.abs(difference).max() <= 1


def test_a_patch_without_gradients_has_a_descriptor_of_zeros() -> None:
    assert not describe(np.full((2, SIDE, SIDE), 77, np.float32)).any()
    assert describe(np.empty((0, SIDE, SIDE), np.float32)).shape == (0, 128)


def test_orientations_are_radians_from_x_towards_y() -> None:
    degrees = np.array([10.0, 100.0, 250.0])
    both = ramp(20)
    both[: SIDE // 2] = ramp(200)[: SIDE // 2]  # the same patch upside down has the same two
    found = dominant_orientations(np.stack([*(ramp(angle) for angle in degrees), both]))
    turns = np.exp(1j * (found[:3, 0] - np.deg2rad(degrees)))
    np.testing.assert_allclose(np.angle(turns), 0, atol=np.deg2rad(1))
    assert np.isnan(found[:3, 1]).all()
    np.testing.assert_allclose(np.sort(np.rad2deg(found[3]) % 360), [20, 200], atol=2)
    assert dominant_orientations(np.empty((0, SIDE, SIDE), np.float32)).shape == (0, 2)


@pytest.mark.parametrize(("slope", "second"), [(0.83, True), (0.78, False)])
def test_a_second_orientation_is_at_least_0_8_times_as_strong(slope: float, second: bool) -> None:
    x = np.arange(SIDE, dtype=np.float32) - SIDE // 2
    valley = np.tile(np.where(x > 0, 3 * x, -3 * slope * x), (SIDE, 1)).astype(np.float32)
    for patch, degrees in ((valley, (0, 180)), (valley.T, (90, 270)), (valley[:, ::-1], (180, 0))):
        ((strong, weak),) = np.rad2deg(dominant_orientations(np.ascontiguousarray(patch)[None])) % 360
        assert strong == pytest.approx(degrees[0], abs=1) or strong == pytest.approx(360, abs=1)
        assert np.isfinite(weak) == second
        if second:
            assert np.abs((weak - degrees[1] + 180) % 360 - 180) < 1


def test_weights_are_gaussian_and_1_in_the_middle() -> None:
    window = gaussian_window(19, 3)
    assert window.dtype == np.float32
    assert window[9, 9] == 1
    assert window[9, 12] == window[6, 9] == pytest.approx(np.exp(-0.5))
    np.testing.assert_array_equal(window, window[::-1, ::-1].T)
