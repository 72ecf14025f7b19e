"""Dense SIFT: the grid, its sizes and its step, what is too blank for a feature, and odd photos."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from handcraft.features import dense_sift
from handcraft.features.dense_sift import LEAST_CONTRAST, LEAST_STEP, RADII, detect
from handcraft.features.images import DecodedPhoto
from handcraft.features.patch_sift import SIDE
from handcraft.features.patches import PatchPyramid
from handcraft.features.regions import Regions
from handcraft.features.registry import extract
from handcraft.options import FeatureOptions

Texture = Callable[..., NDArray[np.uint8]]
Decode = Callable[[NDArray[np.uint8]], DecodedPhoto]
Find = Callable[..., Regions]

ALL = 1_000_000


def options_of(**options: object) -> FeatureOptions:
    return FeatureOptions(extractor="dense-sift", **options)  # type: ignore[arg-type]


@pytest.fixture
def find(decoded: Decode) -> Find:
    """A function from pixels and the most features to regions."""

    def detect_in_pixels(pixels: NDArray[np.uint8], max_features: int = 2000) -> Regions:
        return detect(decoded(pixels), options_of(max_features=max_features))

    return detect_in_pixels


def noise(height: int, width: int) -> NDArray[np.uint8]:
    """A photo without a blank patch."""
    return np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8)


def of_radius(regions: Regions, radius: int) -> NDArray[np.float64]:
    """The centres (n, 2) of the circles of this size, as they come."""
    return regions.frames[regions.frames[:, 0, 0] == radius][:, :, 2]


def steps_of(regions: Regions) -> set[float]:
    """The distances between neighbouring columns and rows of the grids, of all sizes."""
    axes = [np.unique(axis) for radius in RADII for axis in of_radius(regions, radius).T]
    return {float(step) for axis in axes for step in np.diff(axis)}


# --- the grid ---


def test_the_sizes_are_those_of_densevlad() -> None:
    bins = 4, 6, 8, 10  # pixels of a bin (Torii et al. 2015, section 3); a patch has four
    assert tuple(4 * width for width in bins) == tuple(2 * radius for radius in RADII)
    assert LEAST_STEP == 2


def test_regions_are_upright_circles(find: Find) -> None:
    regions = find(noise(120, 160))
    radii = regions.frames[:, 0, 0]
    assert set(radii) == set(RADII)
    np.testing.assert_array_equal(regions.frames[:, :, :2], radii[:, None, None] * np.eye(2))


@pytest.mark.parametrize(("height", "width"), [(120, 160), (121, 160), (240, 97), (50, 700)])
@pytest.mark.parametrize("limit", [100, 2000, ALL])
def test_the_grid_is_regular_and_in_the_middle(height: int, width: int, limit: int, find: Find) -> None:
    regions = find(noise(height, width), limit)
    (step,) = steps_of(regions)
    for radius in RADII:
        centres = of_radius(regions, radius)
        columns, rows = np.unique(centres[:, 0]), np.unique(centres[:, 1])
        expected = [(x, y) for y in rows for x in columns]  # row by row
        assert centres.tolist() == [[x, y] for x, y in expected]
        for axis, side in ((columns, width), (rows, height)):
            before, behind = axis[0] - radius, side - 1 - (axis[-1] + radius)
            assert 0 <= before <= behind <= before + 1  # in the middle, to half a pixel
            assert before + behind < step  # there is no room for more
            assert (axis % 1 == 0).all()


@pytest.mark.parametrize(("height", "width"), [(480, 640), (100, 150), (45, 800), (768, 1024)])
@pytest.mark.parametrize("limit", [10, 300, 2000, 7777])
def test_the_step_is_the_least_that_keeps_the_limit(height: int, width: int, limit: int, find: Find) -> None:
    def count(step: int) -> int:
        return sum(
            len(range(radius, height - radius, step)) * len(range(radius, width - radius, step))
            for radius in RADII
        )

    regions = find(noise(height, width), limit)
    (step,) = steps_of(regions)
    assert len(regions) == count(int(step)) <= limit
    assert step == LEAST_STEP or count(int(step) - 1) > limit


def test_the_grid_of_densevlad(find: Find) -> None:
    regions = find(noise(480, 640), ALL)
    assert steps_of(regions) == {2}
    counts = [len(of_radius(regions, radius)) for radius in RADII]
    assert counts == [232 * 312, 228 * 308, 224 * 304, 220 * 300]
    assert len(find(noise(60, 80), 10 * ALL)) == len(find(noise(60, 80), ALL))  # no finer than that


def test_the_whole_photo_is_covered(find: Find) -> None:
    regions = find(noise(200, 300), 1000)
    (step,) = steps_of(regions)
    covered = np.zeros((200, 300), np.bool_)
    for frame in regions.frames:
        x, y, radius = int(frame[0, 2]), int(frame[1, 2]), int(frame[0, 0])
        covered[y - radius : y + radius + 1, x - radius : x + radius + 1] = True
    margin = int(step) // 2 + 1
    assert covered[margin:-margin, margin:-margin].all()


@pytest.mark.parametrize("side", [16, 17, 24, 25, 40, 41])
def test_a_size_needs_room_for_its_patch(side: int, find: Find) -> None:
    regions = find(noise(side, side))
    fitting = [radius for radius in RADII if 2 * radius + 1 <= side]
    assert sorted(set(regions.frames[:, 0, 0])) == fitting
    for radius in fitting:
        assert len(of_radius(regions, radius)) == ((side - 1 - 2 * radius) // 2 + 1) ** 2
    if side == 17:
        assert regions.frames.tolist() == [[[8, 0, 8], [0, 8, 8]]]


# --- contrast ---


def test_responses_are_the_standard_deviations_of_the_patches(find: Find, texture: Texture) -> None:
    pixels = texture(90, 130)
    regions = find(pixels, 200)
    assert len(regions) > 100
    for frame, response in zip(regions.frames, regions.responses, strict=True):
        x, y, radius = int(frame[0, 2]), int(frame[1, 2]), int(frame[0, 0])
        patch = pixels[y - radius : y + radius + 1, x - radius : x + radius + 1].astype(float)
        assert response == pytest.approx(patch.std())


def test_blank_patches_are_no_regions(find: Find) -> None:
    pixels = noise(200, 300)
    pixels[:, :150] = 180  # the sky
    everything, regions = find(noise(200, 300)), find(pixels)
    right = regions.frames[:, 0, 2] + regions.frames[:, 0, 0]
    assert (right >= 150).all()
    everywhere = everything.frames[:, 0, 2] + everything.frames[:, 0, 0]
    assert len(regions) == (everywhere >= 150).sum()  # noise in a single column is contrast enough


def test_the_least_contrast_is_that_of_faint_noise(find: Find) -> None:
    assert LEAST_CONTRAST == 3
    board = (np.indices((100, 100)).sum(0) % 2).astype(np.uint8)
    assert len(find(100 + 5 * board)) == 0  # a deviation of 2.5
    assert len(find(100 + 7 * board)) > 100  # of 3.5
    generator = np.random.default_rng(0)
    sky = 150 + np.arange(100)[:, None] / 20 + generator.normal(0, 1.5, (100, 100))
    assert len(find(np.rint(sky).astype(np.uint8))) == 0


@pytest.mark.parametrize("brightness", [0, 1, 119, 255])
def test_a_blank_photo_has_no_regions(brightness: int, find: Find) -> None:
    regions = find(np.full((120, 160), brightness, np.uint8), ALL)
    assert regions.frames.shape == (0, 2, 3)
    assert regions.responses.shape == (0,)
    assert regions.frames.dtype == regions.responses.dtype == np.float64


def test_a_large_photo_is_summed_exactly(find: Find) -> None:
    pixels = np.full((1500, 2000), 254, np.uint8)
    pixels[-60:, -60:] = noise(60, 60)
    regions = find(pixels, 20_000)
    assert len(regions) > 0
    reach = regions.frames[:, :, 2] + regions.frames[:, :1, 0]
    assert (reach >= [1940, 1440]).all()


# --- as features of a photo ---


@pytest.mark.parametrize(("height", "width"), [(120, 160), (121, 163), (97, 240)])
def test_upright_features_are_all_the_regions(height: int, width: int, find: Find, decoded: Decode) -> None:
    pixels = noise(height, width)
    for limit in (50, 700):
        features = extract(decoded(pixels), options_of(upright=True, max_features=limit))
        regions = find(pixels, limit).strongest(limit, spread=False)
        np.testing.assert_allclose(features.frames, regions.frames)
        corners = (SIDE - 1) / SIDE * np.array([[-1, -1, 1, 1], [-1, 1, -1, 1]])
        places = features.frames[:, :, :2].astype(float) @ corners + features.frames[:, :, 2:]
        assert places.min() >= 0
        assert (places.max((0, 2)) <= [width - 1, height - 1]).all()


def test_features_that_are_not_upright_are_the_same_circles_turned(decoded: Decode, texture: Texture) -> None:
    photo = decoded(texture(120, 160))
    features = extract(photo, options_of(upright=False, max_features=500))
    linear = features.frames[:, :, :2].astype(float)
    radii = np.sqrt(np.linalg.det(linear))
    expected = radii[:, None, None] ** 2 * np.eye(2)
    np.testing.assert_allclose(linear @ linear.transpose(0, 2, 1), expected, atol=1e-3)
    assert set(np.round(radii, 3)) == set(RADII)
    assert (np.abs(linear[:, 0, 1]) > 0.1).mean() > 0.9
    regions = detect(photo, options_of(max_features=500))
    known = {tuple(place) for place in regions.frames[:, :, 2].tolist()}
    assert all(tuple(place) in known for place in features.centres.tolist())
    assert PatchPyramid.of(photo.pixels.astype(np.float32)).inside(features.frames.astype(float), SIDE).all()


def cosines_of_a_turn(pixels: NDArray[np.uint8], decode: Decode, upright: bool) -> NDArray[np.float64]:
    """For each feature of a square photo, the best cosine at its place in the photo turned by a quarter."""
    options = options_of(upright=upright, max_features=700)
    first, second = (
        extract(decode(photo), options) for photo in (pixels, np.ascontiguousarray(np.rot90(pixels, -1)))
    )
    x, y = first.centres.T
    apart = np.abs(np.column_stack([len(pixels) - 1 - y, x])[:, None] - second.centres[None]).max(2)
    sizes = [np.linalg.det(features.frames[:, :, :2]) for features in (first, second)]
    same = (apart < 1e-3) & (np.abs(sizes[0][:, None] / sizes[1][None] - 1) < 1e-3)
    unit = [f.descriptors / np.linalg.norm(f.descriptors, axis=1, keepdims=True) for f in (first, second)]
    return np.asarray(np.where(same, unit[0] @ unit[1].T, 0).max(1))


def test_a_turned_photo_gives_the_same_descriptors_unless_they_are_upright(
    decoded: Decode, texture: Texture
) -> None:
    pixels = texture(101, 101)
    (step,) = steps_of(detect(decoded(pixels), options_of(max_features=700)))
    assert step % 2 == 0  # the grids of every size lie in the very middle
    assert (cosines_of_a_turn(pixels, decoded, upright=False) > 0.95).mean() > 0.9
    assert (cosines_of_a_turn(pixels, decoded, upright=True) > 0.95).mean() < 0.05


def test_a_moved_photo_gives_the_same_descriptors(decoded: Decode) -> None:
    pixels, options = noise(160, 200), options_of(upright=True, max_features=400)
    (step,) = steps_of(detect(decoded(pixels), options))
    assert step == 16

    def described(photo: NDArray[np.uint8], offset: float) -> set[bytes]:
        features = extract(decoded(photo), options)
        rows = np.column_stack([features.centres - offset, features.frames[:, 0, 0], features.descriptors])
        return {row.tobytes() for row in rows}

    moved = np.roll(pixels, (16, 16), axis=(0, 1))
    first, second = described(pixels, 0), described(moved, 16)
    assert len(first & second) > 0.7 * len(first)
    assert len(first & described(moved, 0)) == 0


# --- few features, and odd photos ---


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_fewer_features_than_sizes_are_those_of_the_most_contrast(
    limit: int, find: Find, decoded: Decode, texture: Texture
) -> None:
    pixels = texture(60, 80)
    regions = find(pixels, limit)
    assert len(regions) == 4
    np.testing.assert_array_equal(regions.frames[:, :, 2], [[39, 29]] * 4)
    features = extract(decoded(pixels), options_of(upright=True, max_features=limit))
    strongest = np.argsort(-regions.responses)[:limit]
    np.testing.assert_array_equal(features.frames, regions.frames[strongest])


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 1), (16, 16), (1, 300), (10, 4000), (16, 4000)])
def test_a_photo_without_room_for_a_patch_has_no_regions(shape: tuple[int, int], find: Find) -> None:
    for pixels in (noise(*shape), noise(*shape).T.copy()):
        for limit in (1, 2000, ALL):
            assert find(pixels, limit).frames.shape == (0, 2, 3)


@pytest.mark.parametrize("shape", [(17, 4000), (30, 4000), (60, 4000)])
def test_a_narrow_photo_is_covered_to_its_ends(shape: tuple[int, int], find: Find) -> None:
    for pixels in (noise(*shape), noise(*shape).T.copy()):
        regions = find(pixels, 500)
        assert 250 < len(regions) <= 500
        along = regions.frames[:, int(pixels.shape[0] == 4000), 2]
        assert along.min() < 50
        assert along.max() > 3950


def test_time_does_not_depend_on_what_is_in_the_photo(find: Find, texture: Texture) -> None:
    for pixels in (noise(768, 1024), texture(768, 1024), np.zeros((768, 1024), np.uint8)):
        started = time.process_time()
        find(pixels, 10_000)
        assert time.process_time() - started < 1


def test_the_limit_is_that_of_the_option(decoded: Decode, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = decoded(noise(200, 300))
    assert len(detect(photo, options_of())) <= FeatureOptions().max_features
    monkeypatch.setattr(dense_sift, "LEAST_STEP", 20)  # a coarser least step is kept to
    (step,) = steps_of(detect(photo, options_of(max_features=ALL)))
    assert step == 20
