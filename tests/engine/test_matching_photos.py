"""Two photos without a store: the map between them where it is known, and none where there is none."""

from __future__ import annotations

import bisect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photographs import (
    HEIGHT,
    QUERY_SCALE,
    QUERY_SIZE,
    QUERY_TURN,
    WIDTH,
    blank_wall,
    query_affine,
    save,
    scene,
    turned_scene,
)

import handcraft
from handcraft import FeatureOptions, MatchOptions, VerificationOptions
from handcraft.engine.describing import describe
from handcraft.engine.matching import MatchResult, match_features
from handcraft.errors import HandcraftError, PhotoError
from handcraft.types import Features

EXTRACTORS = ("sift", "hessian-affine")
ORIENTED = FeatureOptions(upright=False)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene, another one, and the first in five directions."""
    folder = tmp_path_factory.mktemp("photos")
    save(scene(3), folder / "scene.png")
    save(scene(4), folder / "other.png")
    save(blank_wall(), folder / "wall.png")
    for degrees in (22, 55, 90, 160, 245):
        save(turned_scene(degrees), folder / f"turned-{degrees}.png")
    return folder


def mapped(affine: object, points: object) -> np.ndarray:
    """(n, 2) points under a (2, 3) map."""
    affine, points = np.asarray(affine), np.asarray(points)
    return points @ affine[:, :2].T + affine[:, 2]


@pytest.mark.parametrize("extractor", EXTRACTORS)
@pytest.mark.parametrize("upright", [False, True])
def test_the_map_between_two_views_is_found(collection: Path, extractor: str, upright: bool) -> None:
    options = FeatureOptions(extractor=extractor, upright=upright)
    result = handcraft.match(
        collection / "query.jpg", str(collection / "photos" / "scene-3.jpg"), features=options
    )
    assert isinstance(result, MatchResult)
    assert result.sizes == (QUERY_SIZE, (WIDTH, HEIGHT))
    assert result.match is not None
    assert result.inliers == result.match.inliers == result.match.weight > 15
    assert min(result.features) > result.tentative >= result.inliers
    corners = [(0, 0), (QUERY_SIZE[0], 0), QUERY_SIZE, (0, QUERY_SIZE[1])]
    errors = mapped(result.match.affine, corners) - mapped(query_affine(), corners)
    assert np.linalg.norm(errors, axis=1).max() < 4
    assert result.match.scale == pytest.approx(QUERY_SCALE, rel=0.02)
    assert result.match.rotation == pytest.approx(QUERY_TURN, abs=1)
    assert result.seconds > 0


@pytest.mark.parametrize("degrees", [55, 90, 160, 245])
def test_upright_features_match_in_any_direction(photos: Path, degrees: int) -> None:
    """Also those that lie between the directions that are tried."""
    upright = FeatureOptions(upright=True)
    turned = photos / f"turned-{degrees}.png"
    result = handcraft.match(photos / "scene.png", turned, features=upright)
    assert result.match is not None
    assert result.inliers > 30
    assert (result.match.rotation - degrees + 180) % 360 == pytest.approx(180, abs=1)
    one = handcraft.match(photos / "scene.png", turned, features=upright, options=MatchOptions(directions=1))
    assert one.match is None


def test_a_photo_matches_itself(photos: Path) -> None:
    pair = photos / "scene.png", photos / "scene.png"
    result = handcraft.match(*pair, options=MatchOptions(directions=2))
    assert result.match is not None
    assert result.match.affine == pytest.approx(np.eye(2, 3), abs=1e-3)
    assert result.features[0] == result.features[1]


@pytest.mark.parametrize("upright", [False, True])
def test_photos_of_different_scenes_do_not_match(photos: Path, upright: bool) -> None:
    options = FeatureOptions(upright=upright)
    result = handcraft.match(photos / "scene.png", photos / "other.png", features=options)
    assert result.match is None
    assert result.inliers == 0


# --- several descriptions of the query ---


def of(path: Path) -> Features:
    return describe(path, ORIENTED)


def test_the_description_with_the_most_inliers_is_taken(photos: Path) -> None:
    scene_features, other = of(photos / "scene.png"), of(photos / "other.png")
    part = Features(scene_features.frames[::2], scene_features.descriptors[::2], WIDTH, HEIGHT)
    for described in ((other, part, scene_features), (scene_features, part, other)):
        taken, tentative, evidence = match_features(described, of(photos / "turned-90.png"), MatchOptions())
        assert taken is scene_features
        assert evidence is not None
        assert tentative >= evidence.inliers
    taken, tentative, evidence = match_features((other,), of(photos / "turned-90.png"), MatchOptions())
    assert taken is other
    assert evidence is None


def test_features_that_are_points_match_too(photos: Path) -> None:
    """Where their frames say nothing, the options must say so."""

    def points_of(path: Path) -> Features:
        features = of(path)
        frames = features.frames.copy()
        frames[:, :, :2] = 8 * np.eye(2)
        return Features(frames, features.descriptors, WIDTH, HEIGHT)

    query, photo, other = (points_of(photos / f"{name}.png") for name in ("scene", "turned-55", "other"))
    points = MatchOptions(verification=VerificationOptions(points=True))
    assert match_features((query,), photo, MatchOptions())[2] is None
    _, _, evidence = match_features((query,), photo, points)
    assert evidence is not None
    assert evidence.rotation == pytest.approx(55, abs=1)
    assert match_features((query,), other, points)[2] is None


def test_each_description_has_its_share_of_the_false_alarms(photos: Path) -> None:
    """Of few inliers, which are just significant: they are not any more when they were tried twice."""
    query, photo = of(photos / "scene.png"), of(photos / "turned-22.png")
    few = Features(query.frames[:24], query.descriptors[:24], WIDTH, HEIGHT)

    def verified(described: tuple[Features, ...], limit: float) -> bool:
        options = MatchOptions(verification=VerificationOptions(max_false_alarms=limit))
        return match_features(described, photo, options)[2] is not None

    powers = range(-200, 0)
    first = bisect.bisect_left(powers, True, key=lambda power: verified((few,), 2.0**power))
    least = 2.0 ** powers[first]
    assert verified((few,), least)
    assert not verified((few, few), least)
    assert verified((few, few), 2 * least)


def test_the_directions_are_as_many_as_the_options_say(photos: Path) -> None:
    """Of one the photo as it is held, of two that and upside down."""
    pair = photos / "scene.png", photos / "turned-160.png"
    found = [handcraft.match(*pair, options=MatchOptions(directions=number)).inliers for number in (1, 2, 12)]
    assert found[0] == 0
    assert 0 < found[1] < found[2]


# --- options, progress and errors ---


def test_the_options_reach_their_stages(photos: Path) -> None:
    pair = photos / "scene.png", photos / "turned-22.png"

    def match(features: FeatureOptions | None = None, **options: Any) -> MatchResult:
        return handcraft.match(*pair, features=features, options=MatchOptions(directions=1, **options))

    usual = match()
    assert match(FeatureOptions(max_features=50)).features == (50, 50)
    assert match(ratio=0.5).tentative < usual.tentative
    assert match(rival_distance=2).tentative > usual.tentative
    assert match(verification=VerificationOptions(min_inliers=10_000)).match is None


def test_progress_is_told(photos: Path) -> None:
    told: list[tuple[str, int, int]] = []
    pair, once = (photos / "scene.png", photos / "other.png"), MatchOptions(directions=1)
    handcraft.match(*pair, options=once, progress=lambda *step: told.append(step))
    assert told == [("extracting", 0, 2), ("extracting", 1, 2), ("extracting", 2, 2)]


@pytest.mark.parametrize("names", [("wall.png", "scene.png"), ("scene.png", "wall.png")])
@pytest.mark.parametrize("upright", [False, True])
def test_a_photo_without_features_is_an_error(photos: Path, names: tuple[str, str], upright: bool) -> None:
    paths = [photos / name for name in names]
    with pytest.raises(PhotoError) as error:
        handcraft.match(*paths, features=FeatureOptions(upright=upright))
    wall = photos / "wall.png"
    assert str(error.value) == f"No features were found in {wall}: it shows too little texture to match."


def test_photos_and_extractors_that_do_not_exist(photos: Path) -> None:
    with pytest.raises(PhotoError, match=r"There is no photo at absent\.jpg; check the name\."):
        handcraft.match(photos / "scene.png", "absent.jpg")
    with pytest.raises(HandcraftError, match=r"There is no extractor 'surf'; the extractors are "):
        handcraft.match(*[photos / "scene.png"] * 2, features=FeatureOptions(extractor="surf"))


# --- photographs ---


@pytest.mark.photos
@pytest.mark.parametrize(
    ("extractor", "upright", "least"), [("sift", False, 150), ("hessian-affine", True, 300)]
)
def test_inliers_lie_where_the_homography_says(
    shared_data: Path, extractor: str, upright: bool, least: int
) -> None:
    """A wall seen from the front and from 40 degrees (Mikolajczyk et al. 2005), whose map is known; it is
    turned by some 25 degrees too."""
    folder = shared_data / "graf"
    options = FeatureOptions(extractor=extractor, upright=upright)
    result = handcraft.match(folder / "img1.png", folder / "img3.png", features=options)
    assert result.match is not None
    assert result.inliers > least
    homography = np.loadtxt(folder / "H1to3p")
    ahead = np.column_stack([result.match.query_points, np.ones(result.inliers)]) @ homography.T
    errors = np.linalg.norm(ahead[:, :2] / ahead[:, 2:] - result.match.photo_points, axis=1)
    assert np.median(errors) < 2
    assert (errors < 10).mean() > 0.98  # the lower left corner misses it by 8 pixels
