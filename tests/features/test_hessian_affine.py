"""Hessian-affine regions: places, scales and shapes that are known, the order, the options, bad photos."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from oracles import features as oracle
from photographs import query_affine

import handcraft
from handcraft.errors import FingerprintError
from handcraft.features.extraction import extract_photo
from handcraft.features.hessian_affine import LARGEST_RATIO, PATCH, THRESHOLD, detect
from handcraft.features.patches import CAMERA_BLUR, PatchPyramid
from handcraft.features.registry import extractor
from handcraft.options import FeatureOptions, VocabularyOptions
from handcraft.types import Features, scale_coordinates

Texture = Callable[..., NDArray[np.uint8]]
SavePhoto = Callable[..., Path]
Extract = Callable[..., Features]

ALL = 1_000_000
RADIUS = 3 * np.sqrt(3)  # of the measurement region, in σ (Perdoch et al. 2009)
CENTRES = [(80.3, 79.6), (80.5, 80.5), (79.0, 81.0), (80.8, 80.1)]


def options_of(**options: object) -> FeatureOptions:
    return FeatureOptions(detector="hessian-affine", **options)  # type: ignore[arg-type]


@pytest.fixture
def extract(save_photo: SavePhoto) -> Extract:
    """A function from pixels and options to features, by way of a file."""

    def extract_pixels(pixels: NDArray[np.uint8], **options: object) -> Features:
        return extract_photo(save_photo(pixels), options_of(**options))[1]

    return extract_pixels


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
def test_a_spot_is_found_where_it_is_at_its_scale(sigma: float, contrast: float) -> None:
    for centre in CENTRES:
        regions = detect(spot(centre, sigma, contrast=contrast).astype(np.float32))
        frame = at(regions.frames, centre)
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


@pytest.mark.parametrize("sigma", [3, 5])
@pytest.mark.parametrize("ratio", [1.5, 2, 3])
def test_a_long_spot_gives_a_long_region(ratio: float, sigma: float) -> None:
    # The moments are those of the photo blurred by the region's σ² = a·b, a and b the standard deviations
    # of the spot. The blurred axes are √(a² + ab) and √(b² + ab): their ratio is only the root of a/b.
    centre = (80.3, 79.6)
    for degrees in (0, 20, 45, 70, 90, 110, 150):
        photo = spot(centre, sigma * np.sqrt(ratio), sigma / np.sqrt(ratio), degrees)
        frame = at(detect(photo.astype(np.float32)).frames, centre)
        assert np.abs(frame[:, 2] - centre).max() < 0.15
        values, vectors = np.linalg.eigh(ellipses(frame[None])[0])
        assert np.sqrt(values[1] / values[0]) == pytest.approx(np.sqrt(ratio), rel=0.05)
        angle = np.rad2deg(np.arctan2(vectors[1, 1], vectors[0, 1]))
        assert abs((angle - degrees + 90) % 180 - 90) < 1
        assert radii(frame[None])[0] == pytest.approx(RADIUS * sigma, rel=0.08)


def test_no_region_is_longer_than_the_limit() -> None:
    squares = np.random.default_rng(0).integers(0, 2, (60, 80)).repeat(4, 0).repeat(4, 1)
    frames = detect((200 * squares).astype(np.float32)).frames
    assert len(frames) > 100
    ratios = np.divide(*np.linalg.svd(frames[:, :, :2])[1].T)
    assert ratios.max() <= LARGEST_RATIO + 1e-6
    assert np.quantile(ratios, 0.9) > 1.2  # they are adapted


def test_the_regions_of_detect_are_upright_and_sorted(texture: Texture) -> None:
    regions = detect(texture(300, 400, blur=3).astype(np.float32))
    assert len(regions.frames) == len(regions.responses) > 100
    assert (regions.frames[:, 0, 1] == 0).all()
    assert (np.diff(np.abs(regions.responses)) <= 0).all()
    assert (np.abs(regions.responses) > THRESHOLD).all()


# --- the contract of the arrays ---


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize("max_size", [1024, 200])
def test_shapes_and_types(upright: bool, max_size: int, extract: Extract, texture: Texture) -> None:
    features = extract(texture(200, 301), upright=upright, max_size=max_size)
    assert len(features) > 50
    assert features.frames.shape == (len(features), 2, 3)
    assert features.frames.dtype == np.float32
    assert features.frames.flags.c_contiguous
    assert features.descriptors.shape == (len(features), 128)
    assert features.descriptors.dtype == np.uint8
    assert (features.width, features.height) == (301, 200)
    assert np.isfinite(features.frames).all()
    assert (np.linalg.det(linear_parts(features.frames)) > 0).all()
    fingerprint = extractor("hessian-affine").fingerprint(options_of())
    assert (fingerprint.dimension, fingerprint.dtype) == (128, "uint8")


@pytest.mark.parametrize("upright", [False, True])
def test_descriptors_are_root_sift(upright: bool, extract: Extract, texture: Texture) -> None:
    norms = np.linalg.norm(extract(texture(200, 300), upright=upright).descriptors.astype(float), axis=1)
    assert norms.max() <= 512 + 6  # rounding
    assert np.median(norms) > 500
    assert norms.min() > 400


@pytest.mark.parametrize("upright", [False, True])
def test_descriptors_are_sift_of_the_patch_of_the_frame(
    upright: bool, extract: Extract, texture: Texture
) -> None:
    pixels = texture(200, 300)
    features = extract(pixels, upright=upright, max_features=5)
    frames = features.frames.astype(float)
    patches, inside = PatchPyramid.of(pixels.astype(np.float32)).sample(frames, PATCH)
    assert inside.all()
    line = np.exp(-((np.arange(PATCH) - PATCH // 2) ** 2) / (2 * (2 / 3 * (PATCH // 2)) ** 2))
    for patch, descriptor in zip(patches, features.descriptors, strict=True):
        votes = oracle.sift(patch, np.outer(line, line), clip=0.2)
        expected = np.minimum(512 * np.sqrt(votes / votes.sum()), 255)
        np.testing.assert_allclose(descriptor, expected, atol=2)


@pytest.mark.parametrize("upright", [False, True])
def test_every_patch_lies_in_the_photo(upright: bool, extract: Extract, texture: Texture) -> None:
    features = extract(texture(200, 301), upright=upright, max_features=ALL)
    corners = (PATCH - 1) / PATCH * np.array([[-1, -1, 1, 1], [-1, 1, -1, 1]])
    places = linear_parts(features.frames) @ corners + features.frames[:, :, 2:]
    assert places.min() >= -1e-3
    assert (places.max((0, 2)) <= np.array([300, 199]) + 1e-3).all()


@pytest.mark.parametrize("upright", [False, True])
def test_frames_are_pixels_of_the_original(upright: bool, extract: Extract, texture: Texture) -> None:
    pixels = texture(200, 300)
    features = extract(pixels, upright=upright, max_size=300)
    doubled = extract(pixels.repeat(2, axis=0).repeat(2, axis=1), upright=upright, max_size=300)
    assert (doubled.width, doubled.height) == (600, 400)
    np.testing.assert_array_equal(doubled.descriptors, features.descriptors)
    np.testing.assert_allclose(doubled.frames[:, :, :2], 2 * features.frames[:, :, :2], atol=1e-3)
    np.testing.assert_allclose(doubled.centres, scale_coordinates(features.centres, 2.0), atol=1e-3)


def test_a_spot_in_a_reduced_photo_is_where_it_was(extract: Extract) -> None:
    centre = (400.7, 380.2)
    photo = spot(centre, 14, side=801)
    for max_size in (801, 400, 267):
        frame = at(extract(photo, max_size=max_size).frames, centre)
        assert np.abs(frame[:, 2] - centre).max() < 0.3
        assert radii(frame[None])[0] == pytest.approx(RADIUS * 14, rel=0.05)


# --- upright, and turned to the gradients ---


@pytest.mark.parametrize("max_size", [1024, 200])
def test_upright_frames_are_lower_triangular(max_size: int, extract: Extract, texture: Texture) -> None:
    frames = extract(texture(200, 301), upright=True, max_size=max_size).frames
    assert (frames[:, 0, 1] == 0).all()
    assert (frames[:, 0, 0] > 0).all()
    assert (frames[:, 1, 1] > 0).all()


def test_turning_leaves_the_ellipses(extract: Extract, texture: Texture) -> None:
    pixels = texture(200, 300)
    upright = detect(pixels.astype(np.float32)).frames
    turned = extract(pixels, max_features=ALL).frames
    known = np.column_stack([upright[:, :, 2], ellipses(upright).reshape(-1, 4)[:, [0, 1, 3]]])
    found = np.column_stack([turned[:, :, 2], ellipses(turned).reshape(-1, 4)[:, [0, 1, 3]]])
    differences = np.abs(found[:, None] - known[None]) / (1 + np.abs(known))
    assert differences.max(2).min(1).max() < 1e-4
    assert (np.abs(turned[:, 0, 1]) > 0.1).mean() > 0.9  # they are turned


@pytest.mark.parametrize("degrees", [0, 40, 90, 135, 180, 270, 310])
def test_the_first_axis_points_to_the_light(degrees: float, extract: Extract) -> None:
    y, x = np.mgrid[:161, :161] - 80.0
    slope = x * np.cos(np.deg2rad(degrees)) + y * np.sin(np.deg2rad(degrees))
    photo = 80 + 0.4 * slope + 70 * np.exp(-(x**2 + y**2) / (2 * 6**2))
    features = extract(np.rint(photo).astype(np.uint8))
    frame = at(features.frames, (80, 80))
    assert np.abs(frame[:, 2] - 80).max() < 1.5
    direction = frame[:, 0] / np.linalg.norm(frame[:, 0])
    wanted = [np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))]
    np.testing.assert_allclose(direction, wanted, atol=0.05)


def described_alike(features: Features, turned: Features) -> tuple[float, float]:
    """Of a photo and its turn by 90° clockwise: the share of features that are found again at their place
    and size, and the share of these with a descriptor of a cosine above 0.95."""
    x, y = features.centres.astype(float).T
    places = np.column_stack([features.height - 1 - y, x])
    apart = np.abs(places[:, None] - turned.centres[None]).max(2)
    sizes = np.abs(np.log(radii(features.frames)[:, None] / radii(turned.frames)[None]))
    same = (apart < 0.2) & (sizes < 0.05)
    unit = [f.descriptors / np.linalg.norm(f.descriptors, axis=1, keepdims=True) for f in (features, turned)]
    cosines = np.where(same, unit[0] @ unit[1].T, -1).max(1)
    found = same.any(1)
    return float(found.mean()), float((cosines[found] > 0.95).mean())


def test_a_turned_photo_gives_the_same_descriptors(extract: Extract, texture: Texture) -> None:
    pixels = texture(200, 300)
    clockwise = np.ascontiguousarray(np.rot90(pixels, -1))
    found, alike = described_alike(extract(pixels, max_features=ALL), extract(clockwise, max_features=ALL))
    assert found > 0.8
    assert alike > 0.8


def test_upright_descriptors_see_a_turn(extract: Extract, texture: Texture) -> None:
    pixels = texture(200, 300)
    clockwise = np.ascontiguousarray(np.rot90(pixels, -1))
    options = {"max_features": ALL, "upright": True}
    found, alike = described_alike(extract(pixels, **options), extract(clockwise, **options))
    assert found > 0.5
    assert alike < 0.02


# --- the strongest, and the same ones every time ---


def test_the_strongest_upright_regions_come_first(extract: Extract, texture: Texture) -> None:
    pixels = texture(200, 300)
    regions = detect(pixels.astype(np.float32))
    _, inside = PatchPyramid.of(pixels.astype(np.float32)).sample(regions.frames, PATCH)
    everything = extract(pixels, upright=True, max_features=ALL)
    np.testing.assert_allclose(everything.frames, regions.frames[inside], rtol=1e-6, atol=1e-6)
    for count in (1, 10, 57, len(everything) - 1):
        features = extract(pixels, upright=True, max_features=count)
        np.testing.assert_array_equal(features.frames, everything.frames[:count])
        np.testing.assert_array_equal(features.descriptors, everything.descriptors[:count])


def test_the_strongest_turned_regions_come_first(extract: Extract, texture: Texture) -> None:
    pixels = texture(200, 300)
    everything = extract(pixels, max_features=ALL)
    strongest = detect(pixels.astype(np.float32)).frames[:, :, 2]
    ranks = np.abs(everything.centres[:, None] - strongest[None]).max(2).argmin(1)
    assert (np.diff(ranks) >= -1).all()
    for count in (1, 10, 57, len(everything) - 1):
        features = extract(pixels, max_features=count)
        assert len(features) == count
        np.testing.assert_array_equal(features.frames, everything.frames[:count])
        np.testing.assert_array_equal(features.descriptors, everything.descriptors[:count])


@pytest.mark.parametrize("upright", [False, True])
def test_every_run_and_two_threads_at_once_give_the_same_bytes(
    upright: bool, save_photo: SavePhoto, texture: Texture
) -> None:
    paths = [save_photo(texture(200, 300, seed=seed), f"{seed}.png") for seed in (0, 1)] * 3

    def content(path: Path) -> tuple[bytes, bytes]:
        features = extract_photo(path, options_of(upright=upright))[1]
        return features.frames.tobytes(), features.descriptors.tobytes()

    alone = [content(path) for path in paths]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(content, paths))
    assert together == alone
    assert len(set(alone)) == 2


# --- photos with little or much in them ---


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize(
    ("height", "width"),
    [(1, 1), (1, 2), (7, 7), (11, 11), (1, 300), (300, 2), (10, 4000), (12, 4000)],
)
def test_small_and_narrow_photos(
    height: int, width: int, upright: bool, extract: Extract, texture: Texture
) -> None:
    for max_size in (1024, 4000):
        features = extract(texture(height, width), upright=upright, max_size=max_size)
        assert (features.width, features.height) == (width, height)
        assert features.frames.shape == (len(features), 2, 3)
        assert features.descriptors.shape == (len(features), 128)


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize("brightness", [0, 119, 255])
def test_a_blank_photo_has_no_features(brightness: int, upright: bool, extract: Extract) -> None:
    features = extract(np.full((120, 160), brightness, np.uint8), upright=upright)
    assert features.frames.shape == (0, 2, 3)
    assert features.frames.dtype == np.float32
    assert features.descriptors.shape == (0, 128)
    assert features.descriptors.dtype == np.uint8
    assert (features.width, features.height) == (160, 120)


@pytest.mark.parametrize("upright", [False, True])
def test_white_noise_and_checkerboards(upright: bool, extract: Extract) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (600, 600), dtype=np.uint8)
    squares = (np.indices((600, 600)) // 20).sum(0) % 2 * np.uint8(255)
    fine = np.indices((600, 600)).sum(0) % 2 * np.uint8(255)
    for pixels in (noise, squares.astype(np.uint8), fine.astype(np.uint8)):
        features = extract(pixels, upright=upright, max_features=ALL)
        assert len(features) < 20_000
        assert np.isfinite(features.frames).all()
        assert (radii(features.frames) >= 0.9 * RADIUS * 1.6).all()
    assert len(extract(noise, upright=upright, max_features=500)) == 500


def test_an_edge_and_a_gradient_have_next_to_no_features(extract: Extract) -> None:
    step = np.repeat(np.where(np.arange(200) < 100, 0, 255)[None], 200, axis=0).astype(np.uint8)
    gradient = np.repeat(np.arange(200)[None], 200, axis=0).astype(np.uint8)
    for pixels in (step, gradient):
        assert len(extract(pixels, max_features=ALL)) < 20


# --- fingerprints, and the whole engine ---


@pytest.mark.parametrize("option", [{"max_size": 150}, {"max_features": 100}, {"upright": True}])
def test_every_option_changes_the_features_and_the_fingerprint(
    option: dict[str, object], extract: Extract, texture: Texture
) -> None:
    pixels = texture(200, 300)
    plain, changed = extract(pixels), extract(pixels, **option)
    assert changed.frames.tobytes() != plain.frames.tobytes()
    fingerprint = extractor("hessian-affine").fingerprint
    assert fingerprint(options_of()) != fingerprint(options_of(**option))
    assert fingerprint(options_of()).same_space(fingerprint(options_of(**option)))


def test_it_is_not_the_space_of_sift() -> None:
    ours = extractor("hessian-affine").fingerprint(options_of())
    assert not ours.same_space(extractor("sift").fingerprint(FeatureOptions()))
    assert ours != extractor("sift").fingerprint(FeatureOptions())


def test_a_vocabulary_of_sift_is_refused(collection: Path, tmp_path: Path) -> None:
    store = handcraft.open(tmp_path / "store", features=options_of())
    with pytest.raises(FingerprintError) as error:
        store.add(collection / "photos")
    assert "The vocabulary is for sift-rootsift" in str(error.value)
    assert "the photos give hessian-affine-rootsift (128 x uint8" in str(error.value)
    assert "train one for them with `handcraft build-vocab`" in str(error.value)


def test_a_store_of_sift_is_refused(collection: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(collection, tmp_path / "copy"))
    with pytest.raises(FingerprintError, match=r"holds sift-rootsift .* ask for hessian-affine-rootsift"):
        handcraft.open(copy / ".handcraft", features=options_of()).add(copy / "photos")


@pytest.mark.parametrize("upright", [False, True])
def test_a_collection_is_indexed_and_searched(upright: bool, collection: Path, tmp_path: Path) -> None:
    folder = collection / "photos"
    store = handcraft.open(tmp_path / "store", features=options_of(upright=upright))
    store.build_vocabulary(folder, VocabularyOptions(words=500, depth=2))
    store.add(folder)
    assert len(store) == 10
    assert store.check().problems == ()
    again = handcraft.open(tmp_path / "store")  # the store remembers its detector
    best = again.query(folder / "scene-3.jpg", verify=True).hits[0]
    assert best.name.endswith("scene-3.jpg")
    assert best.match is not None
    corners = np.array([[0, 0, 1], [319, 0, 1], [0, 239, 1], [319, 239, 1]])
    assert np.abs(corners @ best.match.affine.T - corners[:, :2]).max() < 5  # of itself


def test_other_views_are_verified_and_other_photos_are_not(collection: Path, tmp_path: Path) -> None:
    store = handcraft.open(tmp_path / "store", features=options_of())
    store.build_vocabulary(collection / "photos", VocabularyOptions(words=1000, depth=2))
    store.add(collection / "photos")
    hits = store.query(collection / "query.jpg", verify=True).hits
    verified = {Path(hit.name).name: hit.inliers for hit in hits if hit.match}
    assert set(verified) == {"scene-3.jpg", "near.jpg", "turned.jpg"}
    assert min(verified.values()) > 100
    (view,) = (hit.match for hit in hits if hit.match and hit.name.endswith("scene-3.jpg"))
    corners = np.array([[0, 0, 1], [239, 0, 1], [0, 179, 1], [239, 179, 1]])
    assert np.abs(corners @ (view.affine - query_affine()).T).max() < 1.5


# --- photographs ---


def correct_matches(first: Features, second: Features, homography: NDArray[np.float64]) -> int:
    """Mutual nearest descriptors whose places agree to 5 px."""
    one, two = (features.descriptors.astype(np.float32) for features in (first, second))
    distances = (one**2).sum(1)[:, None] + (two**2).sum(1) - 2 * one @ two.T
    nearest, back = distances.argmin(1), distances.argmin(0)
    mutual = np.flatnonzero(back[nearest] == np.arange(len(one)))
    places = first.centres[mutual].astype(float) @ homography[:, :2].T + homography[:, 2]
    errors = places[:, :2] / places[:, 2:] - second.centres[nearest[mutual]]
    return int((np.hypot(*errors.T) < 5).sum())


@pytest.mark.photos
@pytest.mark.parametrize(("upright", "near", "far"), [(True, 880, 80), (False, 1500, 500)])
def test_views_of_a_wall_are_matched(upright: bool, near: int, far: int, shared_data: Path) -> None:
    folder = shared_data / "graf"
    options = options_of(upright=upright, max_features=ALL)
    first, second, fourth = (extract_photo(folder / f"img{n}.png", options)[1] for n in (1, 2, 4))
    assert correct_matches(first, second, np.loadtxt(folder / "H1to2p")) >= near
    assert correct_matches(first, fourth, np.loadtxt(folder / "H1to4p")) >= far
