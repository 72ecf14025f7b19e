"""The extractors and descriptors by name, what every one of them promises, and the options."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from plugs import REGIONS, Patches, unknown_extractor

import handcraft
from handcraft.errors import HandcraftError
from handcraft.features import plugins, registry
from handcraft.features.description import plain_options
from handcraft.features.extraction import extract_photo, find_features, opencv_threads
from handcraft.features.extractor import Found, PatchDescriptor
from handcraft.features.images import DecodedPhoto
from handcraft.features.patches import PatchPyramid
from handcraft.features.registry import (
    directions_around,
    extract,
    fingerprint_of,
)
from handcraft.options import FeatureOptions, MatchOptions, VocabularyOptions
from handcraft.types import Features, Photo, RegionOfInterest, scale_coordinates
from handcraft.verification.matching import match_descriptors

Texture = Callable[..., NDArray[np.uint8]]
SavePhoto = Callable[..., Path]
Decode = Callable[[NDArray[np.uint8]], DecodedPhoto]
Waves = Callable[..., NDArray[np.uint8]]

ALL = 1_000_000


def find(photo: DecodedPhoto, options: FeatureOptions) -> Found:
    return registry.find([photo], options)[0]


MUTUAL_NEAREST = MatchOptions(ratio=1, rival_distance=math.inf)  # nothing is a rival
TOY_SIDE, TOY_CELLS = 25, 5


def mean_levels(patches: NDArray[np.float32]) -> NDArray[np.float32]:
    """The grey levels of 5 x 5 cells, the brightness and contrast of the patch taken out."""
    cell = TOY_SIDE // TOY_CELLS
    means = patches.reshape(-1, TOY_CELLS, cell, TOY_CELLS, cell).mean((2, 4)).reshape(-1, TOY_CELLS**2)
    means -= means.mean(1, keepdims=True)
    return np.asarray(means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1), np.float32)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of another descriptor of patches, for one test."""
    offer(monkeypatch, "toy", Patches(TOY_SIDE, TOY_CELLS**2, "float32", mean_levels))
    return "toy"


def offer(monkeypatch: pytest.MonkeyPatch, name: str, descriptor: PatchDescriptor) -> None:
    """Let options name a descriptor until the test ends."""
    monkeypatch.setitem(plugins._registered[plugins.DESCRIPTORS], name, lambda options: descriptor)
    registry.extractor_of.cache_clear()


# --- names ---


def test_unknown_names_are_errors_that_list_the_known(decoded: Decode, toy: str) -> None:
    photo = decoded(np.zeros((20, 30), np.uint8))
    sentences = {
        unknown_extractor("surf"): FeatureOptions(extractor="surf"),
        "There is no descriptor 'daisy'; the descriptors are hardnet, rootsift, toy.": (
            FeatureOptions(descriptor="daisy")
        ),
    }
    for sentence, options in sentences.items():
        with pytest.raises(HandcraftError) as error:
            fingerprint_of(options)
        assert str(error.value) == sentence
        with pytest.raises(HandcraftError) as error:
            extract(photo, options)
        assert str(error.value) == sentence


# --- fingerprints ---


def test_the_fingerprint_says_all_the_options() -> None:
    options = FeatureOptions(extractor="mser", max_size=640, upright=True)
    fingerprint = fingerprint_of(options)
    assert fingerprint.parameters == plain_options(options)
    assert set(fingerprint.parameters) == {field.name for field in fields(FeatureOptions)} - {"settings"}
    assert str(fingerprint).startswith("mser-rootsift (128 x uint8, descriptor=rootsift, doubled=False, ")


def test_extractors_and_descriptors_have_spaces_of_their_own(
    toy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch, "daisy", Patches(TOY_SIDE, 128, "uint8", mean_levels))
    spaces = [
        fingerprint_of(FeatureOptions(extractor=extractor, descriptor=descriptor))
        for extractor in REGIONS
        for descriptor in ("rootsift", toy, "daisy")
    ]
    for place, one in enumerate(spaces):
        assert [one.same_space(other) for other in spaces].index(True) == place
        assert sum(one.same_space(other) for other in spaces) == 1
    sizes = [(128, "uint8"), (25, "float32"), (128, "uint8")]
    assert [(space.dimension, space.dtype) for space in spaces] == sizes * len(REGIONS)


CHANGES: dict[str, tuple[str, object]] = {  # by option: an extractor whose features it changes, and a value
    "extractor": ("sift", "hessian-affine"),
    "max_size": ("sift", 150),
    "max_features": ("hessian-affine", 100),
    "upright": ("sift", False),
    "spread": ("hessian-affine", True),
    "doubled": ("hessian-affine", True),
    "descriptor": ("sift", "toy"),
}


def test_every_option_has_its_case() -> None:
    """Settings are the extractors' own, and so are their tests."""
    assert set(CHANGES) == {field.name for field in fields(FeatureOptions)} - {"settings"}


@pytest.mark.parametrize("name", CHANGES)
def test_every_option_changes_the_features_and_the_fingerprint(
    name: str, save_photo: SavePhoto, texture: Texture, toy: str
) -> None:
    path = save_photo(texture(200, 300))
    extractor, value = CHANGES[name]
    options = {"extractor": extractor, "max_features": 200}
    plain = FeatureOptions(**options)
    changed = FeatureOptions(**{**options, name: value})
    before, after = extract_photo(path, plain)[1], extract_photo(path, changed)[1]
    assert len(before) > 50
    assert len(after) > 50
    assert after.descriptors.tobytes() != before.descriptors.tobytes()
    assert fingerprint_of(changed) != fingerprint_of(plain)
    of_the_space = name in ("extractor", "descriptor")
    assert fingerprint_of(changed).same_space(fingerprint_of(plain)) != of_the_space


# --- what every extractor promises ---


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize("extractor", REGIONS)
def test_shapes_and_types(extractor: str, upright: bool, save_photo: SavePhoto, texture: Texture) -> None:
    path = save_photo(texture(200, 301))
    for max_size in (1024, 130):
        options = FeatureOptions(extractor=extractor, upright=upright, max_size=max_size)
        features = extract_photo(path, options)[1]
        assert len(features) > 10
        assert features.frames.shape == (len(features), 2, 3)
        assert features.frames.dtype == np.float32
        assert features.frames.flags.c_contiguous
        fingerprint = fingerprint_of(options)
        assert features.descriptors.shape == (len(features), fingerprint.dimension)
        assert features.descriptors.dtype == fingerprint.dtype
        assert (features.width, features.height) == (301, 200)
        assert np.isfinite(features.frames).all()
        linear = features.frames[:, :, :2].astype(float)
        assert (np.linalg.det(linear) > 0).all()
        assert (features.centres >= -0.5).all()
        assert (features.centres <= [301 - 0.5, 200 - 0.5]).all()
        norms = np.linalg.norm(features.descriptors.astype(float), axis=1)
        assert norms.max() <= 512 + 6  # RootSIFT but for rounding, and for what 255 cuts off
        assert np.median(norms) > 500
        if upright:
            assert (linear[:, 0, 1] == 0).all()
            assert (linear[:, [0, 1], [0, 1]] > 0).all()


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize("extractor", REGIONS)
def test_frames_are_pixels_of_the_original(
    extractor: str, upright: bool, save_photo: SavePhoto, texture: Texture
) -> None:
    pixels = texture(200, 300)
    options = FeatureOptions(extractor=extractor, upright=upright, max_size=300)
    features = extract_photo(save_photo(pixels), options)[1]
    twice = extract_photo(save_photo(pixels.repeat(2, axis=0).repeat(2, axis=1)), options)[1]
    assert (twice.width, twice.height) == (600, 400)
    np.testing.assert_array_equal(twice.descriptors, features.descriptors)
    np.testing.assert_allclose(twice.frames[:, :, :2], 2 * features.frames[:, :, :2], atol=1e-3)
    np.testing.assert_allclose(twice.centres, scale_coordinates(features.centres, 2.0), atol=1e-3)


@pytest.mark.parametrize("spread", [False, True])
@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize("extractor", REGIONS)
def test_there_are_never_more_features_than_asked(
    extractor: str, upright: bool, spread: bool, decoded: Decode, texture: Texture
) -> None:
    photo = decoded(texture(200, 300))
    for count in (1, 10):
        options = FeatureOptions(extractor=extractor, upright=upright, spread=spread, max_features=count)
        assert 0 < len(extract(photo, options)) <= count


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize("extractor", REGIONS)
def test_every_run_on_any_thread_gives_the_same_bytes(
    extractor: str, upright: bool, decoded: Decode, texture: Texture
) -> None:
    photos = [decoded(texture(150, 200, seed=seed)) for seed in (0, 1)]
    options = FeatureOptions(extractor=extractor, upright=upright, spread=True, max_features=500)

    def content(photo: DecodedPhoto) -> bytes:
        features = extract(photo, options)
        return features.frames.tobytes() + features.descriptors.tobytes()

    with opencv_threads(1):
        alone = [content(photo) for photo in photos]
    with opencv_threads(2), ThreadPoolExecutor(2) as pool:
        together = list(pool.map(content, photos * 2))
    assert together == alone * 2
    assert alone[0] != alone[1]


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize("extractor", REGIONS)
def test_blank_small_and_narrow_photos(
    extractor: str, upright: bool, decoded: Decode, texture: Texture
) -> None:
    shapes = [(1, 1), (1, 2), (2, 1), (2, 2), (3, 3), (7, 7), (11, 11), (16, 16), (1, 300), (300, 2)]
    shapes += [(10, 4000), (4000, 10)]
    photos = [texture(height, width) for height, width in shapes]
    blank = [np.full((120, 160), brightness, np.uint8) for brightness in (0, 119, 255)]
    options = FeatureOptions(extractor=extractor, upright=upright, spread=True, doubled=True)
    for pixels in photos + blank:
        features = extract(decoded(pixels), options)
        height, width = pixels.shape
        assert (features.width, features.height) == (width, height)
        assert features.frames.shape == (len(features), 2, 3)
        assert features.frames.dtype == np.float32
        assert features.descriptors.shape == (len(features), 128)
        assert features.descriptors.dtype == np.uint8
        assert np.isfinite(features.frames).all()
        assert (features.centres >= -0.5).all()
        assert (features.centres <= [width - 0.5, height - 0.5]).all()
        assert len(features) == 0 or np.ptp(pixels) > 0


# --- directions ---


def test_directions_are_evenly_around_and_the_first_is_upright() -> None:
    assert directions_around(1) == (0.0,)
    np.testing.assert_allclose(np.rad2deg(directions_around(4)), [0, 90, 180, 270])
    directions = np.array(directions_around(12))
    np.testing.assert_allclose(np.diff(directions), np.deg2rad(30))
    assert directions[0] == 0
    assert directions[-1] + np.deg2rad(30) == pytest.approx(2 * np.pi)


def found_again(before: Features, after: Features, turn: float) -> tuple[float, float]:
    """Of the features in the circle that both photos show: the share of those that are found again at
    their place and size, and the median distance of their descriptors."""
    middle = (before.width - 1) / 2
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    shown = np.hypot(*(before.centres - middle).T) < 0.7 * middle
    places = (before.centres[shown] - middle) @ turned.T + middle
    sizes = [np.log(np.linalg.det(f.frames[:, :, :2].astype(float))) for f in (before, after)]
    apart = np.abs(places[:, None] - after.centres[None]).max(2)
    apart += np.abs(sizes[0][shown][:, None] - sizes[1][None])
    same = apart.min(1) < 0.3
    nearest = apart.argmin(1)[same]
    differences = before.descriptors[shown][same].astype(float) - after.descriptors[nearest]
    return float(same.mean()), float(np.median(np.linalg.norm(differences, axis=1)))


@pytest.mark.parametrize("extractor", ["sift", "hessian-affine"])
def test_a_turned_photo_is_described_at_its_turn_as_it_was_upright(
    extractor: str, decoded: Decode, waves: Waves
) -> None:
    options = FeatureOptions(extractor=extractor, upright=True, max_features=ALL)
    before = extract(decoded(waves()), options)
    for degrees, share, difference in ((90, 0.99, 5), (-20, 0.75, 40), (45, 0.75, 40)):
        turn = np.deg2rad(degrees)
        turned = find(decoded(waves(turn)), options)
        plain, held = (turned.describe(direction, ALL, None) for direction in (0.0, turn))
        found = found_again(before, held, turn)
        assert found[0] > share
        assert found[1] < difference  # of 512
        assert found_again(before, plain, turn)[1] > 120


@pytest.mark.parametrize("extractor", REGIONS)
def test_features_that_are_not_upright_ignore_the_directions(
    extractor: str, save_photo: SavePhoto, texture: Texture
) -> None:
    path = save_photo(texture(200, 300))
    for spread in (False, True):
        options = FeatureOptions(extractor=extractor, upright=False, max_features=200, spread=spread)
        read, plain = extract_photo(path, options)
        photo, found = find_features(path, options)
        assert photo == read
        for direction in (0.7, 0.0, -2.0):
            features = found.describe(direction, options.max_features, None)
            np.testing.assert_array_equal(features.frames, plain.frames)
            np.testing.assert_array_equal(features.descriptors, plain.descriptors)


# --- some of what was found ---


@pytest.mark.parametrize("descriptor", ["rootsift", "toy"])
@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize("extractor", REGIONS)
def test_a_region_and_a_limit_choose_from_the_features_of_the_photo(
    extractor: str, upright: bool, descriptor: str, texture: Texture, toy: str
) -> None:
    assert toy == "toy"
    grey = texture(200, 300)
    photo = DecodedPhoto(grey, Photo("photo.png", b"", 0, 0, width=600, height=400))  # reduced to a half
    roi = RegionOfInterest(150, 60, 500, 390)
    options = FeatureOptions(extractor=extractor, upright=upright, descriptor=descriptor, max_features=400)
    found = find(photo, options)
    everything = find(photo, options).describe(0.3, options.max_features, None)
    inside = everything.inside(roi)
    assert 20 < len(inside) < len(everything) <= 400
    for features, expected in (
        (found.describe(0.3, 400, None), everything),
        (found.describe(0.0, 400, None), extract(photo, options)),
        (found.describe(0.3, 400, roi), inside),
        (found.describe(0.3, 15, None), everything.head(15)),
        (found.describe(0.3, 15, roi), inside.head(15)),
    ):
        np.testing.assert_array_equal(features.frames, expected.frames)
        apart = features.descriptors.astype(float) - expected.descriptors
        # OpenCV describes features a little otherwise where none of the finest is among them.
        assert np.abs(apart).max() <= (8 if extractor == "sift" else 1e-3)
        assert (features.width, features.height) == (600, 400)
    nowhere = found.describe(0.3, 400, RegionOfInterest(-9, -9, -5, -5))
    assert nowhere.frames.shape == (0, 2, 3)
    assert nowhere.descriptors.shape == (0, everything.descriptors.shape[1])


# --- a descriptor of one's own ---


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize("extractor", REGIONS)
def test_a_descriptor_of_ones_own_sees_the_patches_of_the_frames(
    extractor: str,
    upright: bool,
    decoded: Decode,
    texture: Texture,
    toy: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[NDArray[np.float32]] = []

    def watch(patches: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.append(patches)
        return mean_levels(patches)

    offer(monkeypatch, toy, Patches(TOY_SIDE, TOY_CELLS**2, "float32", watch))
    photo = decoded(texture(200, 300))
    options = FeatureOptions(extractor=extractor, upright=upright, descriptor=toy, max_features=300)
    features = find(photo, options).describe(0.3, options.max_features, None)
    assert len(features) > 10
    assert features.descriptors.shape == (len(features), TOY_CELLS**2)
    assert features.descriptors.dtype == np.float32
    pyramid, frames = PatchPyramid.of(photo.pixels.astype(np.float32)), features.frames.astype(float)
    (patches,) = seen
    assert patches.dtype == np.float32
    np.testing.assert_allclose(patches, pyramid.sample(frames, TOY_SIDE), atol=0.05)
    np.testing.assert_array_equal(features.descriptors, mean_levels(patches))
    frames[:, :, :2] *= 1 - 1e-4  # float32
    assert pyramid.inside(frames, TOY_SIDE).all()


@pytest.mark.parametrize("extractor", ["sift", "hessian-affine"])
def test_a_collection_is_searched_by_a_descriptor_of_ones_own(
    extractor: str, collection: Path, tmp_path: Path, toy: str
) -> None:
    photos = collection / "photos"
    store = handcraft.open(
        tmp_path / "store", features=FeatureOptions(extractor=extractor, descriptor=toy, max_features=500)
    )
    store.build_vocabulary(photos, VocabularyOptions(words=200, depth=2))
    store.add(photos)
    assert store.check().problems == ()
    again = handcraft.open(tmp_path / "store")  # the store remembers its descriptor
    best = again.query(photos / "scene-5.jpg", verify=True).hits[0]
    assert best.name.endswith("scene-5.jpg")
    assert best.inliers > 20


# --- photographs ---


def correct_matches(first: Features, second: Features, homography: NDArray[np.float64]) -> int:
    """Mutual nearest descriptors whose places agree to 5 px."""
    pairs = match_descriptors(first, second, MUTUAL_NEAREST)
    places = first.centres[pairs[:, 0]].astype(float) @ homography[:, :2].T + homography[:, 2]
    errors = places[:, :2] / places[:, 2:] - second.centres[pairs[:, 1]]
    return int((np.hypot(*errors.T) < 5).sum())


@pytest.mark.photos
@pytest.mark.parametrize(
    ("extractor", "upright", "near", "far"),
    [
        ("hessian-affine", True, 880, 80),
        ("hessian-affine", False, 1500, 500),
        ("mser", True, 150, 20),
        ("mser", False, 400, 220),
    ],
)
def test_views_of_a_wall_are_matched(
    extractor: str, upright: bool, near: int, far: int, shared_data: Path
) -> None:
    folder = shared_data / "graf"
    options = FeatureOptions(extractor=extractor, upright=upright, max_features=ALL)
    first, second, fourth = (extract_photo(folder / f"img{n}.png", options)[1] for n in (1, 2, 4))
    assert correct_matches(first, second, np.loadtxt(folder / "H1to2p")) >= near
    assert correct_matches(first, fourth, np.loadtxt(folder / "H1to4p")) >= far


def test_what_can_look_closer() -> None:
    closer = registry.closer(FeatureOptions(max_features=10))
    assert closer.doubled
    assert closer.max_features > 10
    sift = FeatureOptions(extractor="sift")
    assert registry.closer(sift) == sift
