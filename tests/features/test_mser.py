"""Maximally stable extremal regions: shapes that are known, what is stable, photos turned and stretched."""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from photographs import scene

from handcraft.features import hessian_affine, mser
from handcraft.features.images import DecodedPhoto
from handcraft.features.mser import MEASUREMENT_SCALE, MIN_AREA, detect
from handcraft.features.patch_sift import SIDE
from handcraft.features.patches import PatchPyramid
from handcraft.features.regions import Regions
from handcraft.features.registry import extract
from handcraft.options import FeatureOptions
from handcraft.types import Features

Texture = Callable[..., NDArray[np.uint8]]
Decode = Callable[[NDArray[np.uint8]], DecodedPhoto]
Find = Callable[[NDArray[np.uint8]], Regions]
Mask = NDArray[np.bool_]

ALL = 1_000_000


def options_of(**options: object) -> FeatureOptions:
    return FeatureOptions(extractor="mser", **options)  # type: ignore[arg-type]


@pytest.fixture
def find(decoded: Decode) -> Find:
    """A function from pixels to regions."""

    def detect_in_pixels(pixels: NDArray[np.uint8]) -> Regions:
        return detect(decoded(pixels), options_of())

    return detect_in_pixels


@pytest.fixture(scope="module")
def city() -> NDArray[np.uint8]:
    """A photo of many shapes and textures."""
    return np.asarray(scene(5).convert("L"))


def box(left: int, top: int, width: int, height: int, side: int = 200) -> Mask:
    """A rectangle in a photo of so many pixels a side."""
    mask = np.zeros((side, side), np.bool_)
    mask[top : top + height, left : left + width] = True
    return mask


def ellipse(centre: tuple[float, float], long: float, short: float, degrees: float, side: int = 200) -> Mask:
    """An ellipse; its long axis points so many degrees from x towards y."""
    y, x = np.mgrid[:side, :side].astype(float)
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    along = (x - centre[0]) * cosine + (y - centre[1]) * sine
    aside = (y - centre[1]) * cosine - (x - centre[0]) * sine
    return np.asarray((along / long) ** 2 + (aside / short) ** 2 <= 1)


def painted(*layers: tuple[Mask, int], ground: int = 100) -> NDArray[np.uint8]:
    """A photo of masks in grey levels, one over the other."""
    pixels = np.full(layers[0][0].shape, ground, np.uint8)
    for mask, level in layers:
        pixels[mask] = level
    return pixels


def covariances(regions: Regions) -> NDArray[np.float64]:
    """Of the areas inside the ellipses that were found, before they were enlarged, (n, 2, 2)."""
    linear = regions.frames[:, :, :2] / (2 * MEASUREMENT_SCALE)
    return np.asarray(linear @ linear.transpose(0, 2, 1))


def sorted_rows(regions: Regions) -> NDArray[np.float64]:
    """(n, 6): place, ellipse and strength of regions, in an order of their own."""
    ellipses = covariances(regions).reshape(-1, 4)[:, [0, 1, 3]]
    rows = np.column_stack([regions.frames[:, :, 2], ellipses, np.abs(regions.responses)])
    return rows[np.lexsort(np.round(rows, 6).T)]


# --- place, shape and size ---


@pytest.mark.parametrize("level", [250, 20])
@pytest.mark.parametrize("degrees", [0, 20, 45, 90, 110, 150])
@pytest.mark.parametrize(("long", "short"), [(8, 8), (20, 20), (15, 7), (40, 10)])
def test_an_ellipse_is_found_as_it_is(
    long: float, short: float, degrees: float, level: int, find: Find
) -> None:
    centre = (98.3, 101.6)
    mask = ellipse(centre, long, short, degrees)
    regions = find(painted((mask, level)))
    assert len(regions) == 1
    assert regions.responses == (1 if level > 100 else -1) * mask.sum()
    (frame,) = regions.frames / [[MEASUREMENT_SCALE, MEASUREMENT_SCALE, 1]]
    assert np.abs(frame[:, 2] - centre).max() < 0.25
    axes, (large, small), _ = np.linalg.svd(frame[:, :2])
    assert large == pytest.approx(long, rel=0.025)
    assert small == pytest.approx(short, rel=0.025)
    angle = np.rad2deg(np.arctan2(axes[1, 0], axes[0, 0]))
    assert long == short or abs((angle - degrees + 90) % 180 - 90) < 1.5


@pytest.mark.parametrize("level", [250, 20])
@pytest.mark.parametrize(("width", "height"), [(6, 6), (30, 30), (31, 12), (10, 55)])
def test_a_rectangle_has_the_moments_of_its_area(width: int, height: int, level: int, find: Find) -> None:
    regions = find(painted((box(90, 70, width, height), level)))
    assert len(regions) == 1
    middle = [90 + (width - 1) / 2, 70 + (height - 1) / 2]
    np.testing.assert_allclose(regions.frames[0, :, 2], middle, atol=1e-9)
    np.testing.assert_allclose(covariances(regions)[0], np.diag([width**2, height**2]) / 12, atol=1e-9)


def test_any_shape_has_the_moments_of_its_pixels(find: Find) -> None:
    letter = box(60, 50, 12, 60) | box(60, 98, 50, 12)
    y, x = np.nonzero(letter)
    for pixels, sign in ((painted((letter, 200)), 1), (painted((letter, 40)), -1)):
        regions = find(pixels)
        assert regions.responses.tolist() == [sign * letter.sum()]
        np.testing.assert_allclose(regions.frames[0, :, 2], [x.mean(), y.mean()])
        pixel = np.eye(2) / 12  # of a square of side 1
        np.testing.assert_allclose(covariances(regions)[0], np.cov(x, y, bias=True) + pixel)


def test_the_patch_reaches_twice_as_far_as_the_region(find: Find) -> None:
    (frame,) = find(painted((ellipse((100, 100), 20, 20, 0), 200))).frames
    np.testing.assert_allclose(frame[:, :2], 2 * 20 * np.eye(2), atol=0.5)


def test_a_blurred_spot_is_found_in_its_middle(find: Find) -> None:
    sharp = painted((ellipse((98.3, 101.6), 24, 12, 30), 220))
    for pixels in (sharp, 255 - sharp):
        regions = find(cv2.GaussianBlur(pixels, (0, 0), 4))
        assert len(regions) > 0
        assert np.abs(regions.frames[:, :, 2] - [98.3, 101.6]).max() < 0.5
        values, vectors = np.linalg.eigh(covariances(regions))
        assert (np.sqrt(values[:, 1] / values[:, 0]) > 1.5).all()
        angles = np.rad2deg(np.arctan2(vectors[:, 1, 1], vectors[:, 0, 1]))
        assert np.abs((angles - 30 + 90) % 180 - 90).max() < 3


def test_bright_and_dark_regions_are_found_in_each_other(find: Find) -> None:
    # A dark hole in a bright square: the square does not have the pixels of the hole.
    regions = find(painted((box(60, 60, 80, 80), 200), (box(90, 90, 20, 20), 30)))
    assert sorted(regions.responses.tolist()) == [-400, 6000]
    np.testing.assert_allclose(regions.frames[:, :, 2], 99.5)


# --- what is a region ---


def areas(regions: Regions) -> list[float]:
    return sorted(np.abs(regions.responses).tolist())


@pytest.mark.parametrize("sign", [1, -1])
def test_a_region_stands_out_by_more_than_delta(sign: int, find: Find) -> None:
    assert mser.DELTA == 5
    for contrast, found in ((5, []), (6, [900])):
        assert areas(find(painted((box(80, 80, 30, 30), 100 + sign * contrast)))) == found


@pytest.mark.parametrize("sign", [1, -1])
def test_a_region_grows_by_at_most_half_over_both_deltas(sign: int, find: Find) -> None:
    assert mser.MAX_VARIATION == 0.5
    # A terrace of 900 pixels, on one that grows faster; a delta up it has 484, or 441, which is too few.
    for inner, found in ((22, [900.0]), (21, [])):
        terraces = [(box(20, 20, 100, 100), 50), (box(60, 60, 40, 40), 54)]
        terraces += [(box(65, 65, 30, 30), 100), (box(69, 69, inner, inner), 104)]
        layers = [(mask, 120 + sign * level) for mask, level in terraces]
        assert areas(find(painted(*layers, ground=120))) == found


def test_small_regions_are_dropped(find: Find) -> None:
    assert MIN_AREA == 30
    assert areas(find(painted((box(80, 80, 6, 5), 200)))) == [30]
    assert areas(find(painted((box(80, 80, 7, 4), 200)))) == []


def test_regions_whose_patch_cannot_lie_in_the_photo_are_dropped(find: Find) -> None:
    # The patch of a square is 4 · 2 · √(1/12) times as wide: 2.31 times.
    for side, found in ((88, [7744]), (89, [])):
        assert areas(find(painted((box(50, 50, side, side), 200)))) == found


def test_no_region_is_dropped_that_could_be_described(
    city: NDArray[np.uint8], decoded: Decode, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = decoded(city)
    limit = mser.MAX_AREA * city.size
    monkeypatch.setattr(mser, "MAX_AREA", 1.0)
    regions = detect(photo, options_of())
    large = regions.chosen(np.abs(regions.responses) > limit * (SIDE / (SIDE - 1)) ** 2)
    assert len(large) > 0
    assert not PatchPyramid.of(city.astype(np.float32)).inside(large.frames, SIDE).any()


def test_no_region_is_longer_than_those_of_hessian_affine(find: Find, city: NDArray[np.uint8]) -> None:
    assert mser.LARGEST_RATIO == hessian_affine.LARGEST_RATIO == 8
    assert areas(find(painted((box(60, 80, 79, 10), 200)))) == [790]
    assert areas(find(painted((box(60, 80, 81, 10), 200)))) == []
    assert areas(find(painted((box(60, 80, 40, 1), 200), (box(150, 40, 1, 60), 20)))) == []  # lines
    ratios = np.divide(*np.linalg.svd(find(city).frames[:, :, :2])[1].T)
    assert 2.5 < ratios.max() <= 8 + 1e-9


@pytest.mark.parametrize("sign", [1, -1])
def test_of_nested_regions_that_hardly_differ_the_outer_is_kept(sign: int, find: Find) -> None:
    assert mser.MIN_DIVERSITY == 0.2

    def nested(*sides: int) -> list[float]:
        layers = [(box(40, 40, side, side), 120 + 15 * sign * n) for n, side in enumerate(sides, 1)]
        return areas(find(painted(*layers, ground=120)))

    assert nested(60, 50) == [2500, 3600]
    assert nested(60, 54) == [3600]  # by 19 %
    assert nested(60, 53) == [2809, 3600]  # by 22 %
    assert nested(60, 56, 52) == [2704, 3600]  # 56 differs from neither, but 52 from 60
    assert nested(60, 57, 54, 52, 49, 46) == [2116, 2704, 3600]


def test_regions_beside_each_other_in_one_are_all_kept(find: Find) -> None:
    ground = (box(20, 20, 80, 60), 120)
    inner = [(box(left, 30, 20, 30), level) for left, level in ((25, 150), (50, 180), (75, 210))]
    deepest = (box(78, 32, 14, 26), 240)
    assert areas(find(painted(ground, *inner, deepest))) == [364, 600, 600, 600, 4800]


# --- other photos of the same ---


def test_a_negative_has_the_same_regions(find: Find, city: NDArray[np.uint8]) -> None:
    positive, negative = find(city), find(255 - city)
    assert len(positive) > 100
    assert (positive.responses > 0).any()
    assert (positive.responses < 0).any()
    np.testing.assert_array_equal(np.sort(positive.responses), np.sort(-negative.responses))
    np.testing.assert_allclose(sorted_rows(positive), sorted_rows(negative), atol=1e-6)


def test_a_photo_turned_by_a_quarter_has_the_same_regions(find: Find, city: NDArray[np.uint8]) -> None:
    regions, turned = find(city), find(np.ascontiguousarray(np.rot90(city, -1)))
    quarter = np.array([[0, -1], [1, 0]])
    moved = np.concatenate([quarter @ regions.frames[:, :, :2], quarter @ regions.frames[:, :, 2:]], axis=2)
    moved[:, 0, 2] += city.shape[0] - 1
    expected = sorted_rows(Regions(moved, regions.responses))
    np.testing.assert_allclose(sorted_rows(turned), expected, atol=1e-6)


def test_a_photo_of_twice_the_size_has_the_same_regions(find: Find, city: NDArray[np.uint8]) -> None:
    regions, enlarged = find(city), find(city.repeat(2, axis=0).repeat(2, axis=1))
    enlarged = enlarged.chosen(np.abs(enlarged.responses) >= 4 * MIN_AREA)
    expected = regions.frames * 2
    expected[:, :, 2] += 0.5
    expected_rows = sorted_rows(Regions(expected, 4 * regions.responses))
    rows = sorted_rows(enlarged)
    apart = np.abs(rows[:, None] - expected_rows[None]).max(2).min(1)
    assert len(rows) > 300
    assert (apart < 1e-6).mean() > 0.98


def test_a_stretched_photo_has_stretched_regions(find: Find) -> None:
    mask = ellipse((98.3, 101.6), 30, 18, 20)
    (frame,) = find(painted((mask, 200))).frames
    affine = np.array([[0.9, 0.4, -20], [-0.2, 0.8, 40]])
    warped = cv2.warpAffine(painted((mask, 200)), affine, (220, 200), borderValue=100)
    regions = find(np.asarray(warped, np.uint8))
    assert len(regions) > 0
    expected = affine[:, :2] @ frame
    expected[:, 2] += affine[:, 2]
    wanted = expected[:, :2] @ expected[:, :2].T
    for found in regions.frames:
        assert np.abs(found[:, 2] - expected[:, 2]).max() < 0.3
        np.testing.assert_allclose(found[:, :2] @ found[:, :2].T, wanted, rtol=0.06, atol=25)


@pytest.mark.parametrize(("gain", "offset"), [(1, 40), (0.5, 60)])
def test_other_light_leaves_the_regions_of_high_contrast(gain: float, offset: float, find: Find) -> None:
    layers = [(ellipse((50, 60), 20, 10, 30), 20), (ellipse((130, 120), 30, 20, 70), 200)]
    layers.append((box(20, 140, 30, 40), 160))
    pixels = painted(*layers)
    other = np.rint(gain * pixels + offset).clip(0, 255).astype(np.uint8)
    assert len(find(pixels)) == 3
    np.testing.assert_array_equal(sorted_rows(find(other)), sorted_rows(find(pixels)))


# --- as features of a photo ---


def test_upright_features_are_the_regions_that_lie_in_the_photo_the_largest_first(
    city: NDArray[np.uint8], decoded: Decode
) -> None:
    photo = decoded(city)
    regions = detect(photo, options_of()).strongest(ALL, spread=False)
    inside = PatchPyramid.of(city.astype(np.float32)).inside(regions.frames, SIDE)
    assert 50 < inside.sum() < len(regions)
    for count in (10, ALL):
        features = extract(photo, options_of(upright=True, max_features=count))
        np.testing.assert_allclose(features.frames, regions.frames[inside][:count], rtol=1e-5, atol=1e-5)
    assert (np.diff(np.abs(regions.responses)) <= 0).all()


@pytest.mark.parametrize("upright", [False, True])
def test_every_patch_lies_in_the_photo(upright: bool, city: NDArray[np.uint8], decoded: Decode) -> None:
    features = extract(decoded(city), options_of(upright=upright, max_features=ALL))
    assert len(features) > 50
    corners = (SIDE - 1) / SIDE * np.array([[-1, -1, 1, 1], [-1, 1, -1, 1]])
    places = features.frames[:, :, :2].astype(float) @ corners + features.frames[:, :, 2:]
    height, width = city.shape
    assert places.min() >= -1e-3
    assert (places.max((0, 2)) <= np.array([width, height]) - 1 + 1e-3).all()


def matched_share(first: Features, second: Features, turned: NDArray[np.float64]) -> float:
    """The share of the first's features whose nearest descriptor is where the photo's turn takes them."""
    one, two = (features.descriptors.astype(np.float32) for features in (first, second))
    nearest = ((one**2).sum(1)[:, None] + (two**2).sum(1) - 2 * one @ two.T).argmin(1)
    return float((np.abs(second.centres[nearest] - turned).max(1) < 1).mean())


def test_a_turned_photo_gives_the_same_descriptors_unless_they_are_upright(
    city: NDArray[np.uint8], decoded: Decode
) -> None:
    clockwise = np.ascontiguousarray(np.rot90(city, -1))
    shares = {}
    for upright in (False, True):
        options = options_of(upright=upright, max_features=ALL)
        first, second = extract(decoded(city), options), extract(decoded(clockwise), options)
        x, y = first.centres.astype(float).T
        shares[upright] = matched_share(first, second, np.column_stack([city.shape[0] - 1 - y, x]))
    assert shares[False] > 0.8
    assert shares[True] < 0.3


# --- photos with little or much in them ---


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 2), (2, 300), (3, 3), (7, 7), (16, 16), (10, 4000)])
def test_small_and_narrow_photos(shape: tuple[int, int], find: Find, texture: Texture) -> None:
    for pixels in (texture(*shape), texture(*shape).T.copy()):
        regions = find(pixels)
        assert regions.frames.shape == (len(regions), 2, 3)
        assert regions.responses.shape == (len(regions),)
        assert regions.frames.dtype == regions.responses.dtype == np.float64
        assert np.isfinite(regions.frames).all()
        height, width = pixels.shape
        assert (regions.frames[:, :, 2] >= 0).all()
        assert (regions.frames[:, :, 2] <= [width - 1, height - 1]).all()


def test_blank_photos_and_gradients_have_no_regions(find: Find) -> None:
    gradient = np.repeat(np.arange(200, dtype=np.uint8)[None], 200, axis=0)
    step = np.where(gradient < 100, 0, 255).astype(np.uint8)
    for pixels in (np.zeros((200, 200), np.uint8), np.full((200, 200), 255, np.uint8), gradient, step):
        regions = find(pixels)
        assert regions.frames.shape == (0, 2, 3)
        assert regions.responses.shape == (0,)


def test_noise_and_checkerboards_take_no_longer_than_photos(find: Find) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (600, 800), dtype=np.uint8)
    squares = ((np.indices((600, 800)) // 8).sum(0) % 2 * 255).astype(np.uint8)
    fine = (np.indices((600, 800)).sum(0) % 2 * 255).astype(np.uint8)
    hill = np.hypot(*(np.indices((600, 800)) - [[[300]], [[400]]])) / 2
    rough = np.clip(hill + np.random.default_rng(0).normal(0, 3, hill.shape), 0, 255).astype(np.uint8)
    for pixels, least, most in ((noise, 0, 10_000), (squares, 7500, 7500), (fine, 0, 0), (rough, 0, 5000)):
        started = time.process_time()
        regions = find(pixels)
        assert time.process_time() - started < 2
        assert least <= len(regions) <= most
