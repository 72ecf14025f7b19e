"""Hessian-affine regions: places, scales and shapes that are known, bad photos, and the whole engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from photographs import query_affine

import handcraft
from handcraft.errors import FingerprintError
from handcraft.features import hessian_affine
from handcraft.features.extraction import extract_photo
from handcraft.features.hessian_affine import LARGEST_RATIO, SCALES, THRESHOLD, detect
from handcraft.features.images import DecodedPhoto
from handcraft.features.patch_sift import SIDE
from handcraft.features.patches import CAMERA_BLUR, PatchPyramid
from handcraft.features.regions import Regions, rotation
from handcraft.options import FeatureOptions, VocabularyOptions
from handcraft.types import Features
from handcraft.vocabulary.files import shipped_vocabulary

Texture = Callable[..., NDArray[np.uint8]]
SavePhoto = Callable[..., Path]
Extract = Callable[..., Features]
Decode = Callable[[NDArray[np.uint8]], DecodedPhoto]
Find = Callable[..., Regions]

ALL = 1_000_000
RADIUS = 3 * np.sqrt(3)  # of the measurement region, in σ (Perdoch et al. 2009)
CENTRES = [(80.3, 79.6), (80.5, 80.5), (79.0, 81.0), (80.8, 80.1)]


def options_of(**options: object) -> FeatureOptions:
    return FeatureOptions(extractor="hessian-affine", **options)  # type: ignore[arg-type]


@pytest.fixture
def extract(save_photo: SavePhoto) -> Extract:
    """A function from pixels and options to features, by way of a file."""

    def extract_pixels(pixels: NDArray[np.uint8], **options: object) -> Features:
        return extract_photo(save_photo(pixels), options_of(**options))[1]

    return extract_pixels


@pytest.fixture
def find(decoded: Decode) -> Find:
    """A function from pixels and options to regions."""

    def detect_in_pixels(pixels: NDArray[np.uint8], **options: object) -> Regions:
        return detect(decoded(pixels), options_of(**options))

    return detect_in_pixels


def spot(
    centre: tuple[float, float],
    long: float,
    short: float | None = None,
    degrees: float = 0,
    contrast: float = 150,
    side: int = 161,
) -> NDArray[np.uint8]:
    """A photo of one Gaussian spot; its long axis points so many degrees from x towards y."""
    y, x = np.mgrid[:side, :side].astype(float)
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    along = (x - centre[0]) * cosine + (y - centre[1]) * sine
    aside = (y - centre[1]) * cosine - (x - centre[0]) * sine
    height = np.exp(-(along**2) / (2 * long**2) - aside**2 / (2 * (short or long) ** 2))
    return np.rint((50 if contrast > 0 else 205) + contrast * height).astype(np.uint8)


def linear_parts(frames: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(frames[:, :, :2], np.float64)


def radii(frames: NDArray[np.floating]) -> NDArray[np.float64]:
    """Of the circles of the same area."""
    return np.sqrt(np.linalg.det(linear_parts(frames)))


def lengths(frames: NDArray[np.floating]) -> NDArray[np.float64]:
    """How many times as long as wide they are."""
    large, small = np.linalg.svd(linear_parts(frames))[1].T
    return np.asarray(large / small)


def ellipses(frames: NDArray[np.floating]) -> NDArray[np.float64]:
    """A·Aᵀ, (n, 2, 2)."""
    linear = linear_parts(frames)
    return np.asarray(linear @ linear.transpose(0, 2, 1))


def at(frames: NDArray[np.floating], centre: tuple[float, float]) -> NDArray[np.float64]:
    """The frame that is nearest to a place, (2, 3)."""
    return np.asarray(frames[np.hypot(*(frames[:, :, 2] - centre).T).argmin()], np.float64)


# --- place, scale and shape ---


@pytest.mark.parametrize("contrast", [150, -150])
@pytest.mark.parametrize("sigma", [2, 2.5, 3, 4, 5.5, 8, 11, 14])
def test_a_spot_is_found_where_it_is_at_its_scale(sigma: float, contrast: float, find: Find) -> None:
    for centre in CENTRES:
        frame = at(find(spot(centre, sigma, contrast=contrast)).frames, centre)
        assert np.abs(frame[:, 2] - centre).max() < 0.1
        # σ²·L_xx·σ²·L_yy of a Gaussian of variance s² is largest at σ = s; the spot has the camera's blur.
        scale = radii(frame[None])[0] / RADIUS
        assert scale == pytest.approx(np.sqrt(sigma**2 - CAMERA_BLUR**2), rel=0.03)
        large, small = np.linalg.svd(frame[:, :2])[1]
        assert large / small < 1.01


@pytest.mark.parametrize("contrast", [150, -150])
def test_a_spot_is_a_feature(contrast: float, extract: Extract) -> None:
    centre = (80.3, 79.6)
    for upright in (False, True):
        frame = at(extract(spot(centre, 4, contrast=contrast), upright=upright).frames, centre)
        assert np.abs(frame[:, 2] - centre).max() < 0.1
        assert radii(frame[None])[0] == pytest.approx(RADIUS * 4, rel=0.03)


@pytest.mark.parametrize("sigma", [2.5, 3, 5, 8, 12])
@pytest.mark.parametrize(
    ("ratio", "off", "of_scale"), [(1.5, 0.03, 0.04), (2, 0.035, 0.04), (3, 0.07, 0.08)]
)  # off: of σ, since places are fitted to pixels of an octave
def test_a_long_spot_gives_a_region_as_long(
    ratio: float, off: float, of_scale: float, sigma: float, find: Find
) -> None:
    cases = [((80.3, 79.6), 0), ((80.3, 79.6), 20), ((80.3, 79.6), 90), ((80.3, 79.6), 110)]
    for centre, degrees in [*cases, ((82.3, 79.6), 45), ((80.8, 81.6), 20), ((79.0, 81.0), 150)]:
        moved = (centre[0] + 24, centre[1] + 24)
        photo = spot(moved, sigma * np.sqrt(ratio), sigma / np.sqrt(ratio), degrees, side=209)
        frame = at(find(photo).frames, moved)
        assert np.abs(frame[:, 2] - moved).max() < off * sigma
        assert lengths(frame[None])[0] == pytest.approx(ratio, rel=0.05)
        vectors = np.linalg.eigh(ellipses(frame[None])[0])[1]
        angle = np.rad2deg(np.arctan2(vectors[1, 1], vectors[0, 1]))
        assert abs((angle - degrees + 90) % 180 - 90) < 0.5
        # Of the axes' product: the blur of the photo is not in the scale at which a spot is found.
        assert radii(frame[None])[0] == pytest.approx(RADIUS * sigma, rel=of_scale)


@pytest.mark.parametrize("seed", range(3))
def test_noise_that_is_finer_than_a_region_hardly_changes_its_shape(seed: int, find: Find) -> None:
    centre, sigma = (104.3, 103.6), 12
    photo = spot(centre, sigma * np.sqrt(2), sigma / np.sqrt(2), 30, contrast=110, side=209)
    noise = np.random.default_rng(seed).normal(0, 30, photo.shape)
    frame = at(find(np.rint(np.clip(photo + noise, 0, 255)).astype(np.uint8)).frames, centre)
    assert np.abs(frame[:, 2] - centre).max() < 0.15 * sigma
    assert radii(frame[None])[0] == pytest.approx(RADIUS * sigma, rel=0.25)
    assert lengths(frame[None])[0] == pytest.approx(2, rel=0.1)


@given(st.floats(1, 8), st.floats(0, 7), st.floats(0, 0.6))
def test_blur_is_taken_out_of_a_shape(ratio: float, angle: float, blur: float) -> None:
    # In units of σ: the axes of a spot and of what is left of it in an image of that blur.
    axes = np.array([np.sqrt(ratio), 1 / np.sqrt(ratio)])
    blurred = np.sqrt(axes**2 + blur**2)
    moments = rotation(angle) @ np.diag(blurred / np.sqrt(blurred.prod())) @ rotation(1.0)
    sharp = hessian_affine._without_blur(np.stack([moments, np.eye(2)]), np.full(2, blur))
    expected = rotation(angle) @ np.diag(axes) @ rotation(angle).T
    np.testing.assert_allclose(sharp, [expected, np.eye(2)], rtol=1e-6, atol=1e-6)


def test_the_moments_of_no_region_are_longer_than_the_limit(
    find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    squares = np.random.default_rng(0).integers(0, 2, (30, 40)).repeat(4, 0).repeat(4, 1)
    pixels = (200 * squares).astype(np.uint8)
    sharp = find(pixels)
    monkeypatch.setattr(hessian_affine, "_without_blur", lambda shapes, blur: shapes)
    moments = find(pixels)
    assert len(moments) == len(sharp) > 100
    assert (lengths(sharp.frames) >= lengths(moments.frames) - 1e-9).all()  # blur made them rounder
    np.testing.assert_allclose(radii(sharp.frames), radii(moments.frames))
    assert np.quantile(lengths(moments.frames), 0.9) > 1.2  # they are adapted
    assert lengths(moments.frames).max() <= LARGEST_RATIO
    monkeypatch.setattr(hessian_affine, "LARGEST_RATIO", 1.3)
    limited = find(pixels)
    assert 100 < len(limited) < len(moments)
    assert lengths(limited.frames).max() <= 1.3
    known = {frame.tobytes() for frame in moments.frames}
    assert all(frame.tobytes() in known for frame in limited.frames)


def test_a_spot_nearly_as_long_as_the_limit_is_found_and_a_longer_one_is_not(find: Find) -> None:
    centre = (120.3, 119.6)
    for ratio, found in ((0.85 * LARGEST_RATIO, True), (1.5 * LARGEST_RATIO, False)):
        photo = spot(centre, 5 * np.sqrt(ratio), 5 / np.sqrt(ratio), side=241)
        regions = find(photo).frames
        near = [frame for frame in regions if np.abs(frame[:, 2] - centre).max() < 0.5]
        assert bool(near) == found


@pytest.mark.parametrize("doubled", [False, True])
def test_regions_are_strong_and_come_in_the_order_of_their_scales(
    doubled: bool, find: Find, texture: Texture
) -> None:
    regions = find(texture(300, 400, blur=3), doubled=doubled)
    assert len(regions.frames) == len(regions.responses) > 100
    assert (np.abs(regions.responses) > THRESHOLD).all()
    assert (regions.responses > 0).any()
    sizes = radii(regions.frames)
    largest = np.maximum.accumulate(sizes)
    assert (sizes > largest / 2 ** (3 / SCALES)).all()  # a scale is at most 1.5 levels from that of its level
    assert sizes.max() > 5 * sizes.min()


# --- at twice the size ---


@pytest.mark.parametrize("contrast", [150, -150])
@pytest.mark.parametrize("sigma", [1.2, 1.5])
def test_a_small_spot_is_found_in_the_doubled_photo_alone(sigma: float, contrast: float, find: Find) -> None:
    for centre in CENTRES:
        photo = spot(centre, sigma, contrast=contrast)
        assert len(find(photo)) == 0
        frame = at(find(photo, doubled=True).frames, centre)
        assert np.abs(frame[:, 2] - centre).max() < 0.1
        scale = radii(frame[None])[0] / RADIUS
        assert scale == pytest.approx(np.sqrt(sigma**2 - CAMERA_BLUR**2), rel=0.03)


@pytest.mark.parametrize("sigma", [4, 5.5, 8, 14])
def test_a_larger_spot_is_where_it_was_in_the_doubled_photo(sigma: float, find: Find) -> None:
    for centre in (CENTRES[0], CENTRES[3]):  # the others lie midway between pixels, either of which may win
        photo = spot(centre, sigma)
        plain, doubled = (at(find(photo, doubled=option).frames, centre) for option in (False, True))
        assert np.abs(plain - doubled)[:, 2].max() < 0.05
        assert radii(doubled[None])[0] == pytest.approx(radii(plain[None])[0], rel=0.005)


@pytest.mark.parametrize("upright", [False, True])
def test_a_doubled_photo_has_regions_of_its_own(upright: bool, extract: Extract, texture: Texture) -> None:
    pixels = texture(200, 301, blur=1)
    plain, doubled = (extract(pixels, upright=upright, max_features=ALL, doubled=d) for d in (False, True))
    assert len(doubled) > 2 * len(plain)
    small = radii(doubled.frames) < 0.9 * RADIUS * 1.6
    assert small.mean() > 0.5
    assert (radii(plain.frames) > 0.9 * RADIUS * 1.6).all()


# --- as features of a photo ---


@pytest.mark.parametrize("doubled", [False, True])
def test_features_are_the_regions_whose_patch_lies_in_the_photo(
    doubled: bool, find: Find, extract: Extract, texture: Texture
) -> None:
    pixels = texture(200, 301)
    regions = find(pixels, doubled=doubled).strongest(ALL, spread=False)
    features = extract(pixels, upright=True, max_features=ALL, doubled=doubled)
    corners = (SIDE - 1) / SIDE * np.array([[-1, -1, 1, 1], [-1, 1, -1, 1]])
    places = linear_parts(features.frames) @ corners + features.frames[:, :, 2:]
    assert places.min() >= -1e-3
    assert (places.max((0, 2)) <= np.array([300, 199]) + 1e-3).all()
    held = np.concatenate([np.linalg.cholesky(ellipses(regions.frames)), regions.frames[:, :, 2:]], axis=2)
    inside = PatchPyramid.of(pixels.astype(np.float32)).inside(held, SIDE)
    assert inside.sum() > 100
    np.testing.assert_allclose(features.frames, held[inside], rtol=1e-5, atol=1e-5)


def test_a_spot_in_a_reduced_photo_is_where_it_was(extract: Extract) -> None:
    centre = (400.7, 380.2)
    photo = spot(centre, 14, side=801)
    for max_size in (801, 400, 267):
        frame = at(extract(photo, max_size=max_size).frames, centre)
        assert np.abs(frame[:, 2] - centre).max() < 0.3
        assert radii(frame[None])[0] == pytest.approx(RADIUS * 14, rel=0.05)


# --- turned to the gradients ---


@pytest.mark.parametrize("degrees", [0, 40, 90, 135, 180, 270, 310])
def test_the_first_axis_points_to_the_light(degrees: float, extract: Extract) -> None:
    y, x = np.mgrid[:161, :161] - 80.0
    slope = x * np.cos(np.deg2rad(degrees)) + y * np.sin(np.deg2rad(degrees))
    photo = 80 + 0.4 * slope + 70 * np.exp(-(x**2 + y**2) / (2 * 6**2))
    features = extract(np.rint(photo).astype(np.uint8), upright=False)
    frame = at(features.frames, (80, 80))
    assert np.abs(frame[:, 2] - 80).max() < 1.5
    direction = frame[:, 0] / np.linalg.norm(frame[:, 0])
    wanted = [np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))]
    np.testing.assert_allclose(direction, wanted, atol=0.05)


def test_a_turned_photo_gives_the_same_descriptors(extract: Extract, texture: Texture) -> None:
    pixels = texture(140, 210)
    features, turned = (
        extract(np.ascontiguousarray(photo), max_features=ALL, upright=False)
        for photo in (pixels, np.rot90(pixels, -1))
    )
    x, y = features.centres.astype(float).T
    apart = np.abs(np.column_stack([139 - y, x])[:, None] - turned.centres[None]).max(2)
    sizes = np.abs(np.log(radii(features.frames)[:, None] / radii(turned.frames)[None]))
    same = (apart < 0.2) & (sizes < 0.05)
    assert same.any(1).mean() > 0.8
    unit = [f.descriptors / np.linalg.norm(f.descriptors, axis=1, keepdims=True) for f in (features, turned)]
    cosines = np.where(same, unit[0] @ unit[1].T, -1).max(1)
    assert (cosines[same.any(1)] > 0.95).mean() > 0.8


# --- photos with little or much in them ---


@pytest.mark.parametrize("doubled", [False, True])
def test_white_noise_and_checkerboards(doubled: bool, extract: Extract) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 400), dtype=np.uint8)
    squares = (np.indices((400, 400)) // 20).sum(0) % 2 * np.uint8(255)
    fine = np.indices((400, 400)).sum(0) % 2 * np.uint8(255)
    for pixels in (noise, squares.astype(np.uint8), fine.astype(np.uint8)):
        features = extract(pixels, doubled=doubled, max_features=ALL)
        assert len(features) < 20_000
        assert np.isfinite(features.frames).all()
        assert (radii(features.frames) >= 0.9 * RADIUS * (0.8 if doubled else 1.6)).all()
    assert len(extract(noise, doubled=doubled, max_features=300)) == 300


def test_a_level_of_a_noisy_photo_gives_no_more_than_there_is_room_for(
    find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 300), dtype=np.uint8)
    everything = find(noise)
    monkeypatch.setattr(hessian_affine, "MAX_CANDIDATES", 40)
    few = find(noise)
    levels = SCALES * 5  # of 300, 150, 75, 38 and 19 pixels
    assert 100 < len(few) < min(40 * levels, len(everything))
    known = {frame.tobytes() for frame in everything.frames}
    assert all(frame.tobytes() in known for frame in few.frames)


def test_an_edge_and_a_gradient_have_next_to_no_features(extract: Extract) -> None:
    step = np.repeat(np.where(np.arange(200) < 100, 0, 255)[None], 200, axis=0).astype(np.uint8)
    gradient = np.repeat(np.arange(200)[None], 200, axis=0).astype(np.uint8)
    for pixels in (step, gradient):
        assert len(extract(pixels, max_features=ALL)) < 20


# --- the whole engine ---


def test_a_vocabulary_of_sift_is_refused(collection: Path, tmp_path: Path) -> None:
    store = handcraft.open(tmp_path / "store", features=options_of(), vocabulary=shipped_vocabulary("sift"))
    with pytest.raises(FingerprintError) as error:
        store.add(collection / "photos")
    assert "The vocabulary is for sift-rootsift" in str(error.value)
    assert "the photos give hessian-affine-rootsift (128 x uint8" in str(error.value)
    assert "train one for them with `handcraft build-vocab`" in str(error.value)


def test_a_store_of_sift_is_refused(save_photo: SavePhoto, texture: Texture, tmp_path: Path) -> None:
    photo = save_photo(texture(120, 160))
    handcraft.open(tmp_path / "store", features=FeatureOptions(extractor="sift")).add(photo)
    with pytest.raises(FingerprintError, match=r"holds sift-rootsift .* ask for hessian-affine-rootsift"):
        handcraft.open(tmp_path / "store", features=options_of()).add(photo)


def test_a_collection_is_searched_upright(collection: Path, tmp_path: Path) -> None:
    folder = collection / "photos"
    store = handcraft.open(tmp_path / "store", features=options_of(upright=True))
    store.build_vocabulary(folder, VocabularyOptions(words=500, depth=2))
    store.add(folder)
    best = store.query(folder / "scene-3.jpg", verify=True).hits[0]
    assert best.name.endswith("scene-3.jpg")
    assert best.match is not None
    corners = np.array([[0, 0, 1], [319, 0, 1], [0, 239, 1], [319, 239, 1]])
    assert np.abs(corners @ best.match.affine.T - corners[:, :2]).max() < 5  # of itself


def test_other_views_are_verified_and_other_photos_are_not(collection: Path, tmp_path: Path) -> None:
    store = handcraft.open(tmp_path / "store", features=options_of())
    store.build_vocabulary(collection / "photos", VocabularyOptions(words=1000, depth=2))
    store.add(collection / "photos")
    assert len(store) == 10
    assert store.check().problems == ()
    again = handcraft.open(tmp_path / "store")  # the store remembers its extractor
    hits = again.query(collection / "query.jpg", verify=True).hits
    verified = {Path(hit.name).name: hit.inliers for hit in hits if hit.match}
    assert set(verified) == {"scene-3.jpg", "near.jpg", "turned.jpg"}
    assert min(verified.values()) > 60
    (view,) = (hit.match for hit in hits if hit.match and hit.name.endswith("scene-3.jpg"))
    corners = np.array([[0, 0, 1], [239, 0, 1], [0, 179, 1], [239, 179, 1]])
    assert np.abs(corners @ (view.affine - query_affine()).T).max() < 1.5
