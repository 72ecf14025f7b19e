"""From regions to features: upright in any direction or turned to their gradients, and the patches that
descriptors see."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from plugs import Patches

from handcraft.features import patch_sift
from handcraft.features.description import FoundRegions
from handcraft.features.extractor import PatchDescriptor
from handcraft.features.images import DecodedPhoto
from handcraft.features.patches import PatchPyramid
from handcraft.features.regions import Regions, rotation
from handcraft.options import FeatureOptions
from handcraft.types import Features, Photo, scale_coordinates

Texture = Callable[..., NDArray[np.uint8]]
Decode = Callable[[NDArray[np.uint8]], DecodedPhoto]
Waves = Callable[..., NDArray[np.uint8]]

SIDE = 257  # pixels of a photo whose reductions, down to 33, turn by quarters as it does
MIDDLE = (SIDE - 1) / 2
ROOT_SIFT = Patches(patch_sift.SIDE, 128, "uint8", patch_sift.describe)
GREY_LEVELS = Patches(25, 625, "float32", lambda patches: patches.reshape(-1, 625))
UPRIGHT = FeatureOptions(upright=True)
ORIENTED = FeatureOptions(upright=False)
ALL = 1_000_000


def some_regions(count: int = 60, reach: float = 70, seed: int = 0) -> Regions:
    """Ellipses of many sizes and shapes about the middle of the photo."""
    generator = np.random.default_rng(seed)
    frames = np.empty((count, 2, 3))
    for frame in frames:
        one, other, place = generator.uniform(0, 2 * np.pi, 3)
        axes = generator.uniform(6, 14) * generator.choice([1, 2.2]) * np.array([1.3, 1 / 1.3])
        frame[:, :2] = rotation(one) @ np.diag(axes) @ rotation(other)
        frame[:, 2] = MIDDLE + reach * np.sqrt(generator.uniform()) * rotation(place)[:, 0]
    return Regions(frames, generator.permutation(np.linspace(-100, 100, count)))


def turned(frames: NDArray[np.floating], turn: float) -> NDArray[np.float64]:
    """Frames of the photo as frames of the photo turned about its middle."""
    moved = frames.astype(np.float64)
    moved[:, :, 2] -= MIDDLE
    moved = rotation(turn) @ moved
    moved[:, :, 2] += MIDDLE
    return moved


def describe(
    regions: Regions,
    photo: DecodedPhoto,
    options: FeatureOptions,
    *directions: float,
    descriptor: PatchDescriptor = ROOT_SIFT,
) -> tuple[Features, ...]:
    found = FoundRegions.of(regions, photo, descriptor, options)
    return tuple(found.describe(direction, ALL, None) for direction in directions or (0.0,))


def differences(one: Features, other: Features) -> NDArray[np.float64]:
    """Distances of the descriptors, row by row; their norm is about 512."""
    return np.linalg.norm(one.descriptors.astype(float) - other.descriptors.astype(float), axis=1)


# --- upright, in any direction ---


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_photo_turned_by_quarters_is_described_as_it_was_upright(
    quarters: int, decoded: Decode, texture: Texture
) -> None:
    pixels, regions, turn = texture(SIDE, SIDE), some_regions(), quarters * np.pi / 2
    (before,) = describe(regions, decoded(pixels), UPRIGHT)
    there = Regions(turned(regions.frames, turn), regions.responses)
    photo = decoded(np.rot90(pixels, -quarters))
    after, unturned = describe(there, photo, UPRIGHT, turn, 0.0)
    assert len(before) == len(regions)
    np.testing.assert_allclose(after.frames, turned(before.frames, turn), atol=1e-3)
    assert np.abs(after.descriptors - before.descriptors.astype(int)).max() <= 3
    np.testing.assert_allclose(unturned.centres, after.centres, atol=1e-3)
    assert np.median(differences(unturned, before)) > 150


@pytest.mark.parametrize("degrees", [20, -20, 45])
def test_a_photo_turned_by_any_angle_is_described_nearly_as_it_was_upright(
    degrees: float, decoded: Decode, waves: Waves
) -> None:
    regions, turn = some_regions(), np.deg2rad(degrees)
    (before,) = describe(regions, decoded(waves()), UPRIGHT)
    there = Regions(turned(regions.frames, turn), regions.responses)
    after, unturned = describe(there, decoded(waves(turn)), UPRIGHT, turn, 0.0)
    assert len(before) == len(regions)
    np.testing.assert_allclose(after.frames, turned(before.frames, turn), atol=1e-3)
    assert differences(after, before).max() < 40
    assert np.median(differences(unturned, before)) > 150


@pytest.mark.parametrize("options", [UPRIGHT, ORIENTED])
def test_every_direction_is_described_as_if_it_were_the_only_one(
    options: FeatureOptions, decoded: Decode, texture: Texture
) -> None:
    photo, regions = decoded(texture(SIDE, SIDE)), some_regions(reach=150)
    directions = (0.4, 0.0, -2.0)
    together = describe(regions, photo, options, *directions)
    assert len(together) == 3
    for direction, features in zip(directions, together, strict=True):
        (alone,) = describe(regions, photo, options, direction)
        np.testing.assert_array_equal(features.frames, alone.frames)
        np.testing.assert_array_equal(features.descriptors, alone.descriptors)


def test_what_is_turned_to_its_gradients_ignores_the_direction(decoded: Decode, texture: Texture) -> None:
    photo, regions = decoded(texture(SIDE, SIDE)), some_regions(reach=150)
    (plain,) = describe(regions, photo, ORIENTED)
    for features in describe(regions, photo, ORIENTED, 0.7, 0.0):
        np.testing.assert_array_equal(features.frames, plain.frames)
        np.testing.assert_array_equal(features.descriptors, plain.descriptors)


# --- turned to the gradients ---


def ellipses(frames: NDArray[np.floating]) -> NDArray[np.float64]:
    """Places and A·Aᵀ, (n, 5)."""
    linear = frames[:, :, :2].astype(np.float64)
    squares = (linear @ linear.transpose(0, 2, 1)).reshape(-1, 4)
    return np.column_stack([frames[:, :, 2], squares[:, [0, 1, 3]]])


def test_turning_leaves_the_ellipses(decoded: Decode, texture: Texture) -> None:
    regions = some_regions()
    (features,) = describe(regions, decoded(texture(SIDE, SIDE)), ORIENTED)
    known, found = ellipses(regions.frames), ellipses(features.frames)
    apart = np.abs(found[:, None] - known[None]) / (1 + np.abs(known))
    assert apart.max(2).min(1).max() < 1e-4
    assert set(apart.max(2).argmin(1)) == set(range(len(regions)))
    assert len(features) > len(regions)  # some have two orientations


@pytest.mark.parametrize("degrees", [90, 180, 20])
def test_gradients_turn_with_the_photo(degrees: float, decoded: Decode, waves: Waves) -> None:
    regions, turn = some_regions(), np.deg2rad(degrees)
    (before,) = describe(regions, decoded(waves()), ORIENTED)
    there = Regions(turned(regions.frames, turn), regions.responses)
    (after,) = describe(there, decoded(waves(turn)), ORIENTED)
    apart = np.abs(turned(before.frames, turn)[:, None] - after.frames[None]).max((2, 3))
    same = apart.min(1) < 2
    assert same.mean() > 0.8
    norms = before.descriptors[same].astype(float) - after.descriptors[apart.argmin(1)[same]]
    assert np.median(np.linalg.norm(norms, axis=1)) < 40


def test_what_its_extractor_has_turned_stays_so_unless_it_is_upright(
    decoded: Decode, texture: Texture
) -> None:
    photo, regions = decoded(texture(SIDE, SIDE)), some_regions()
    found = FoundRegions.of(regions, photo, ROOT_SIFT, ORIENTED, oriented=True)
    for direction in (0.0, 0.7):
        features = found.describe(direction, ALL, None)
        np.testing.assert_allclose(features.frames, regions.strongest(ALL, spread=False).frames, atol=1e-4)
    found = FoundRegions.of(regions, photo, ROOT_SIFT, UPRIGHT, oriented=True)
    for direction in (0.0, 0.7):
        (expected,) = describe(regions, photo, UPRIGHT, direction)
        features = found.describe(direction, ALL, None)
        np.testing.assert_array_equal(features.frames, expected.frames)
        np.testing.assert_array_equal(features.descriptors, expected.descriptors)


# --- which of them ---


@pytest.mark.parametrize("options", [UPRIGHT, ORIENTED])
def test_the_strongest_come_first(options: FeatureOptions, decoded: Decode, texture: Texture) -> None:
    photo, regions = decoded(texture(SIDE, SIDE)), some_regions()
    (everything,) = describe(regions, photo, options)
    apart = np.abs(ellipses(everything.frames)[:, None] - ellipses(regions.frames)[None]).max(2)
    responses = np.abs(regions.responses)[apart.argmin(1)]
    assert (np.diff(responses) <= 0).all()
    for count in (1, 10, 57):
        (features,) = describe(regions, photo, FeatureOptions(upright=options.upright, max_features=count))
        assert len(features) == count
        np.testing.assert_array_equal(features.frames, everything.frames[:count])
        np.testing.assert_array_equal(features.descriptors, everything.descriptors[:count])


@pytest.mark.parametrize("upright", [False, True])
def test_regions_that_are_spread_are_from_everywhere(
    upright: bool, decoded: Decode, texture: Texture
) -> None:
    regions = some_regions(500)
    strength = np.where(regions.frames[:, 0, 2] < MIDDLE, 1000, 1)
    regions = Regions(regions.frames, strength * regions.responses)
    photo = decoded(texture(SIDE, SIDE))
    shares = []
    for spread in (False, True):
        options = FeatureOptions(upright=upright, max_features=150, spread=spread)
        (features,) = describe(regions, photo, options)
        shares.append((features.centres[:, 0] < MIDDLE).mean())
    assert shares[0] == 1
    assert 0.35 < shares[1] < 0.65


@pytest.mark.parametrize("options", [UPRIGHT, ORIENTED])
def test_only_regions_whose_patch_lies_in_the_photo_are_described(
    options: FeatureOptions, decoded: Decode, texture: Texture
) -> None:
    regions = some_regions(reach=180)
    (features,) = describe(regions, decoded(texture(SIDE, SIDE)), options)
    assert 10 < len(features) < len(regions)
    side = patch_sift.SIDE
    corners = (side - 1) / side * np.array([[-1, -1, 1, 1], [-1, 1, -1, 1]])
    places = features.frames[:, :, :2] @ corners + features.frames[:, :, 2:]
    assert places.min() >= -1e-3
    assert places.max() <= SIDE - 1 + 1e-3


@pytest.mark.parametrize("options", [UPRIGHT, ORIENTED])
def test_no_regions_give_no_features(options: FeatureOptions, decoded: Decode) -> None:
    for regions in (Regions(np.empty((0, 2, 3)), np.empty(0)), some_regions(5, reach=0)):
        photo = decoded(np.zeros((3, 4), np.uint8))  # no region has room there
        (features,) = describe(regions, photo, options, 0.3)
        assert features.frames.shape == (0, 2, 3)
        assert features.frames.dtype == np.float32
        assert features.descriptors.shape == (0, 128)
        assert features.descriptors.dtype == np.uint8


# --- what a descriptor sees, and where its features are ---


@pytest.mark.parametrize("options", [UPRIGHT, ORIENTED])
def test_a_descriptor_sees_the_patches_of_the_frames(
    options: FeatureOptions, decoded: Decode, texture: Texture
) -> None:
    photo = decoded(texture(SIDE, SIDE))
    (features,) = describe(some_regions(), photo, options, descriptor=GREY_LEVELS)
    pyramid = PatchPyramid.of(photo.pixels.astype(np.float32))
    expected = pyramid.sample(features.frames.astype(float), 25)
    assert features.descriptors.dtype == np.float32
    np.testing.assert_allclose(features.descriptors.reshape(-1, 25, 25), expected, atol=0.01)
    assert np.ptp(expected) > 100


@pytest.mark.parametrize("options", [UPRIGHT, ORIENTED])
def test_frames_are_pixels_of_the_original(
    options: FeatureOptions, decoded: Decode, texture: Texture
) -> None:
    grey, width, height = texture(SIDE, SIDE), 3 * SIDE, 1001
    photo = DecodedPhoto(grey, Photo("photo.png", b"", 0, 0, width, height))
    (reduced,), (features,) = (describe(some_regions(), one, options) for one in (decoded(grey), photo))
    assert (features.width, features.height) == (width, height)
    assert features.frames.dtype == np.float32
    scales = np.array([3, height / SIDE])
    np.testing.assert_allclose(
        features.frames[:, :, :2], reduced.frames[:, :, :2] * scales[:, None], rtol=1e-5, atol=1e-5
    )
    np.testing.assert_allclose(features.centres, scale_coordinates(reduced.centres, scales), rtol=1e-5)
    np.testing.assert_array_equal(features.descriptors, reduced.descriptors)
