"""SIFT features: frames in pixels of the original photo, their order, and the options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from handcraft.features.extraction import extract_photo
from handcraft.options import FeatureOptions
from handcraft.types import Features, scale_coordinates

Texture = Callable[..., NDArray[np.uint8]]
SavePhoto = Callable[..., Path]
Extract = Callable[..., Features]

ALL = 1_000_000


@pytest.fixture
def extract(save_photo: SavePhoto) -> Extract:
    """A function from pixels and options to features, not upright unless asked, by way of a file."""

    def extract_pixels(pixels: NDArray[np.uint8], name: str = "photo.png", **options: object) -> Features:
        asked = FeatureOptions(**{"extractor": "sift", "upright": False, **options})  # type: ignore[arg-type]
        return extract_photo(save_photo(pixels, name), asked)[1]

    return extract_pixels


def blobs(
    height: int, width: int, sigma: float, seed: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """A photo of bright Gaussian spots, and their centres (n, 2), which fall between pixels."""
    across, down = (np.arange(6 * sigma, side - 6 * sigma, 10 * sigma) for side in (width, height))
    centres = np.array([(x, y) for y in down for x in across], float)
    centres += np.random.default_rng(seed).uniform(-0.5, 0.5, centres.shape)
    columns = np.exp(-((np.arange(width)[:, None] - centres[:, 0]) ** 2) / (2 * sigma**2))
    rows = np.exp(-((np.arange(height)[:, None] - centres[:, 1]) ** 2) / (2 * sigma**2))
    return np.clip(40 + 180 * rows @ columns.T, 0, 255).astype(np.uint8), centres


def offsets_to_nearest(features: Features, centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2), from each centre to the feature that is nearest to it."""
    offsets = features.centres[None].astype(float) - centres[:, None]
    nearest = np.hypot(offsets[..., 0], offsets[..., 1]).argmin(1)
    return offsets[np.arange(len(centres)), nearest]


def opencv_keypoints(pixels: NDArray[np.uint8]) -> dict[tuple[int, ...], float]:
    """The response of every keypoint by its rounded frame: what the strongest are chosen from."""
    responses = {}
    for keypoint in cv2.SIFT.create(enable_precise_upscale=True).detect(pixels, None):
        angle = np.deg2rad(keypoint.angle)
        radius = 3 * keypoint.size
        along = radius * np.cos(angle), radius * np.sin(angle)
        responses[tuple(np.rint(100 * np.array([*keypoint.pt, *along])).astype(int))] = keypoint.response
    return responses


def rounded(features: Features) -> list[tuple[int, ...]]:
    """Centre and first axis of each frame, in hundredths of a pixel."""
    table = np.column_stack([features.centres, features.frames[:, :, 0]])
    return [tuple(row) for row in np.rint(100 * table).astype(int)]


# --- position, orientation, size ---


def test_frames_are_opencvs_keypoints(extract: Extract, texture: Texture) -> None:
    pixels = texture(200, 300)
    features = extract(pixels, max_features=ALL)
    assert sorted(rounded(features)) == sorted(opencv_keypoints(pixels))
    first, second = features.frames[:, :, 0], features.frames[:, :, 1]  # a circle: A is r times a turn
    np.testing.assert_allclose(second, np.column_stack([-first[:, 1], first[:, 0]]), atol=1e-4)


@pytest.mark.parametrize("upright", [False, True])
def test_centres_are_where_the_spots_are(upright: bool, extract: Extract) -> None:
    pixels, centres = blobs(300, 300, 3)
    offsets = offsets_to_nearest(extract(pixels, max_features=ALL, upright=upright), centres)
    assert np.abs(offsets).max() < 0.15
    assert np.abs(offsets.mean(0)).max() < 0.05  # SIFT's own bias is a quarter of a pixel


@pytest.mark.parametrize("name", ["photo.png", "photo.jpg"])
@pytest.mark.parametrize("max_size", [801, 400, 200])
def test_centres_are_pixels_of_the_original(name: str, max_size: int, extract: Extract) -> None:
    # One pixel more than a multiple of 8: what a JPEG decoded at 1/2, 1/4 or 1/8 size rounds up.
    pixels, centres = blobs(801, 801, 10)
    offsets = offsets_to_nearest(extract(pixels, name, max_size=max_size, max_features=ALL), centres)
    near = np.abs(offsets).max(1) < 10  # the extractor may miss a spot
    assert near.mean() > 0.7
    assert np.abs(offsets[near]).max() < 0.5


def test_width_and_height_are_rounded_each_on_its_own(extract: Extract) -> None:
    pixels, centres = blobs(160, 600, 7)  # reduced to 200 x 53: by 3 across, by 3.02 down
    offsets = offsets_to_nearest(extract(pixels, max_size=200, max_features=ALL), centres)
    assert np.abs(offsets).max() < 0.2


def test_the_frame_measures_six_sigma(extract: Extract) -> None:
    pixels, centres = blobs(300, 300, 3)
    features = extract(pixels)
    radii = np.sqrt(np.linalg.det(features.frames[:, :, :2].astype(float)))
    spots = np.abs(features.centres[None] - centres[:, None]).max(2).argmin(1)
    assert np.median(radii[spots]) == pytest.approx(6 * 3, rel=0.25)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_the_first_axis_points_to_the_light(degrees: int, extract: Extract) -> None:
    y, x = np.mgrid[:121, :121] - 60.0
    slope = x * np.cos(np.deg2rad(degrees)) + y * np.sin(np.deg2rad(degrees))
    spot = np.exp(-(x**2 + y**2) / (2 * 8**2))
    features = extract((60 + 0.45 * slope + 100 * spot).astype(np.uint8))
    frame = features.frames[np.abs(features.centres - 60).max(1).argmin()]
    assert np.abs(frame[:, 2] - 60).max() < 0.5
    direction = frame[:, 0] / np.linalg.norm(frame[:, 0])
    wanted = [np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))]
    np.testing.assert_allclose(direction, wanted, atol=0.05)


def test_frames_are_stretched_with_the_photo(extract: Extract, texture: Texture) -> None:
    features = extract(texture(333, 1001), max_size=500)  # 500 x 166
    assert len(features) > 50
    reduced = features.frames[:, :, :2] / np.array([[1001 / 500], [333 / 166]])
    np.testing.assert_allclose(reduced[:, 0, 0], reduced[:, 1, 1], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(reduced[:, 0, 1], -reduced[:, 1, 0], rtol=1e-4, atol=1e-3)


def test_an_enlarged_photo_agrees_on_positions(extract: Extract, texture: Texture) -> None:
    pixels = texture(200, 300, blur=4)
    enlarged = cv2.resize(pixels, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    features, twice = extract(pixels, max_features=ALL), extract(enlarged, max_features=ALL)
    offsets = offsets_to_nearest(twice, scale_coordinates(features.centres.astype(float), 2))
    near = np.abs(offsets).max(1) < 3
    assert near.mean() > 0.6
    assert np.quantile(np.hypot(*offsets[near].T), 0.9) < 0.5
    assert np.abs(np.median(offsets[near], axis=0)).max() < 0.05


def turned_clockwise(features: Features) -> NDArray[np.float64]:
    """The frames that a photo turned by 90° clockwise should have, (n, 6)."""
    quarter = np.array([[0, -1], [1, 0]])
    frames = quarter @ features.frames.astype(float)
    frames[:, 0, 2] += features.height - 1
    return frames.reshape(-1, 6)


@pytest.mark.parametrize("max_size", [1024, 120])
def test_features_turn_with_the_photo(max_size: int, extract: Extract, texture: Texture) -> None:
    pixels = texture(140, 210)
    for _ in range(3):
        features = extract(pixels, max_size=max_size, max_features=ALL)
        pixels = np.ascontiguousarray(np.rot90(pixels, -1))
        turned = extract(pixels, max_size=max_size, max_features=ALL)
        differences = turned_clockwise(features)[:, None] - turned.frames.reshape(1, -1, 6)
        nearest = np.abs(differences).max(2).argmin(1)
        found = np.abs(differences).max(2).min(1) < 0.2
        assert found.mean() > 0.9
        alike = features.descriptors[found].astype(int) - turned.descriptors[nearest[found]]
        assert np.median(np.linalg.norm(alike, axis=1)) < 30  # of 512


# --- the strongest ---


def test_the_strongest_come_first(extract: Extract, texture: Texture) -> None:
    pixels = texture(200, 300)
    responses = opencv_keypoints(pixels)
    for count in (1, 57, 200):
        kept = [responses[frame] for frame in rounded(extract(pixels, max_features=count))]
        assert kept == sorted(responses.values(), reverse=True)[:count]


def test_the_strongest_upright_features_come_first(extract: Extract, texture: Texture) -> None:
    pixels = texture(200, 300)
    responses = {frame[:2]: response for frame, response in opencv_keypoints(pixels).items()}
    for count in (3, 57, 200):
        kept = [responses[frame[:2]] for frame in rounded(extract(pixels, max_features=count, upright=True))]
        assert kept == sorted(responses.values(), reverse=True)[:count]


@pytest.mark.parametrize("upright", [False, True])
def test_features_that_are_spread_are_from_everywhere(
    upright: bool, extract: Extract, texture: Texture
) -> None:
    pixels = texture(200, 300)
    faint = pixels.copy()
    faint[:, 150:] = 80 + 0.4 * faint[:, 150:]
    everything = opencv_keypoints(faint)
    crowded, even = (
        extract(faint, max_features=150, upright=upright, spread=spread) for spread in (False, True)
    )
    assert (crowded.centres[:, 0] < 160).all()
    assert (even.centres[:, 0] > 160).sum() > 40
    two = 2 if upright else 4  # without the orientation, which upright features have not
    responses = {frame[:two]: response for frame, response in everything.items()}
    kept = [responses[frame[:two]] for frame in rounded(even)]
    assert kept == sorted(kept, reverse=True)


@pytest.mark.parametrize("upright", [False, True])
def test_ties_do_not_give_more_features_than_asked(upright: bool, extract: Extract, texture: Texture) -> None:
    tiles = np.tile(texture(64, 64, seed=3), (5, 5))  # the same feature 25 times
    assert len(cv2.SIFT.create(nfeatures=10, enable_precise_upscale=True).detect(tiles, None)) > 10
    assert len(extract(tiles, max_features=10, upright=upright)) == 10


# --- upright ---


def test_upright_drops_the_duplicates_of_orientation(extract: Extract, texture: Texture) -> None:
    def places(features: Features) -> list[tuple[int, ...]]:
        radii = np.sqrt(np.linalg.det(features.frames[:, :, :2].astype(float)))
        table = np.column_stack([features.centres, radii])
        return [tuple(row) for row in np.rint(100 * table).astype(int)]

    pixels = texture(200, 300)
    oriented = places(extract(pixels, max_features=ALL))
    upright = places(extract(pixels, max_features=ALL, upright=True))
    assert len(oriented) > len(set(oriented))  # the photo has such duplicates
    assert sorted(upright) == sorted(set(oriented))


# --- photos with little or much in them ---


@pytest.mark.parametrize("upright", [False, True])
def test_a_very_long_photo(upright: bool, extract: Extract, texture: Texture) -> None:
    features = extract(texture(40, 20_000, blur=4), upright=upright)
    assert (features.width, features.height) == (20_000, 40)
    tall = extract(texture(20_000, 40, blur=4), upright=upright, max_size=20_000)
    assert len(tall) > 100
    assert tall.centres[:, 1].max() > 10_000


@pytest.mark.parametrize("upright", [False, True])
def test_white_noise(upright: bool, extract: Extract) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (240, 320), dtype=np.uint8)
    features = extract(noise, upright=upright, max_features=100)
    assert len(features) == 100
