"""Spatial verification: true maps are found, chance is not, and the kernels do what plain Python does."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from oracles import verification as oracle

from handcraft.errors import HandcraftError
from handcraft.options import VerificationOptions
from handcraft.types import Features, Match, RegionOfInterest
from handcraft.verification._kernels import best_hypotheses, one_to_one, transfer_errors
from handcraft.verification.correspondences import PhotoSide, QuerySide, query_side
from handcraft.verification.spatial import verify, verify_pairs

Floats = NDArray[np.float64]
WORDS = 5000
IDF = np.linspace(1, 3, WORDS, dtype=np.float32)
DEFAULT = VerificationOptions()
SIZE = (800, 600)

# --- scenes whose truth is known ---


def similarity(degrees: float, scale: float, x: float, y: float) -> Floats:
    """(2, 3), a turn (clockwise, as y points down), a scale and a shift in pixels."""
    c, s = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
    return np.array([[c, -s, x], [s, c, y]])


IDENTITY = similarity(0, 1, 0, 0)
MAPS = {
    "identity": IDENTITY,
    "turned": similarity(200, 0.9, 820, 480),
    "half": similarity(-10, 0.5, 100, 150),
    "twice": similarity(35, 2.0, -300, -350),
    "affine": np.array([[0.9, 0.3, 40], [-0.1, 0.7, 60]]),
    "slanted": np.array([[0.45, 0.1, 100], [0.2, 1.1, -40]]),
}


def mapped(affine: Floats, points: Floats) -> Floats:
    """(n, 2) points under a (2, 3) map."""
    return points @ affine[:, :2].T + affine[:, 2]


def rotations(angles: Floats) -> Floats:
    """(n, 2, 2), radians."""
    return np.array([[np.cos(angles), -np.sin(angles)], [np.sin(angles), np.cos(angles)]]).transpose(2, 0, 1)


def unsigned(words: NDArray[np.generic]) -> NDArray[np.uint64]:
    """No signatures, for so many words."""
    return np.empty((0, len(words)), np.uint64)


def random_frames(generator: np.random.Generator, count: int, size: tuple[int, int]) -> Floats:
    """(count, 2, 3): ellipses of 4 to 40 px, turned anyhow, anywhere in a photo."""
    shapes = np.zeros((count, 2, 2))
    shapes[:, 0, 0] = np.exp(generator.uniform(math.log(4), math.log(40), count))
    shapes[:, 1, 1] = shapes[:, 0, 0] * generator.uniform(0.7, 1.4, count)
    shapes[:, 1, 0] = shapes[:, 0, 0] * generator.uniform(-0.3, 0.3, count)
    frames = np.empty((count, 2, 3))
    frames[:, :, :2] = rotations(generator.uniform(0, 2 * math.pi, count)) @ shapes
    frames[:, :, 2] = generator.uniform(-0.5, (size[0] - 0.5, size[1] - 0.5), (count, 2))
    return frames


@dataclass(frozen=True)
class Scene:
    """Two photos as frames and words; pair i has the i-th frame and word of both.

    The first `true` pairs are views of the same points.
    """

    query_frames: Floats
    photo_frames: Floats
    words: NDArray[np.int64]
    affine: Floats
    true: int
    query_size: tuple[int, int] = SIZE
    photo_size: tuple[int, int] = SIZE

    @property
    def query(self) -> QuerySide:
        none = np.zeros((len(self.words), 0), np.uint8)
        features = Features(self.query_frames.astype(np.float32), none, *self.query_size)
        return query_side(features, self.words[:, None].astype(np.int32))

    @property
    def photo(self) -> PhotoSide:
        order = np.argsort(self.words, kind="stable")
        return PhotoSide(
            self.words[order].astype(np.uint32), self.photo_frames[order], *self.photo_size, unsigned(order)
        )

    def verify(self, roi: RegionOfInterest | None = None, **options: float) -> Match | None:
        return verify(self.query, self.photo, IDF, replace(DEFAULT, **options), roi)

    def pairs_of(self, match: Match) -> list[int]:
        """The pair of each inlier."""
        found = []
        for query_point, photo_point in zip(match.query_points, match.photo_points, strict=True):
            near = np.abs(self.query_frames[:, :, 2] - query_point).max(axis=1) < 1e-3
            near &= np.abs(self.photo_frames[:, :, 2] - photo_point).max(axis=1) < 1e-3
            assert near.sum() == 1
            found.append(int(near.argmax()))
        return found


def make_scene(
    seed: int,
    affine: Floats = IDENTITY,
    true: int = 40,
    outliers: int = 60,
    noise: float = 1.0,
    shape_noise: float = 0.1,
    query_size: tuple[int, int] = SIZE,
    photo_size: tuple[int, int] = SIZE,
) -> Scene:
    """Two views of something flat, and words that agree by chance.

    noise: px, the standard deviation of the photo's points. shape_noise: of its shapes, relative.
    """
    generator = np.random.default_rng(seed)
    query_frames = random_frames(generator, true + outliers, query_size)
    query_frames = query_frames.astype(np.float32).astype(np.float64)
    photo_frames = random_frames(generator, true + outliers, photo_size)
    wobble = np.eye(2) + generator.normal(0, shape_noise, (true, 2, 2))
    photo_frames[:true, :, :2] = wobble @ affine[:, :2] @ query_frames[:true, :, :2]
    seen = mapped(affine, query_frames[:true, :, 2])
    photo_frames[:true, :, 2] = seen + generator.normal(0, noise, (true, 2))
    words = generator.permutation(WORDS)[: true + outliers]
    return Scene(query_frames, photo_frames, words, affine, true, query_size, photo_size)


def corners(size: tuple[int, int] = SIZE) -> Floats:
    width, height = size
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64) - 0.5


def map_error(match: Match, scene: Scene) -> float:
    """Pixels of the photo: how far the farthest corner of the query is from where it belongs."""
    where = corners(scene.query_size)
    return float(np.linalg.norm(mapped(match.affine, where) - mapped(scene.affine, where), axis=1).max())


def same(a: Match | None, b: Match | None) -> bool:
    if a is None or b is None:
        return a is b
    return all(
        np.asarray(getattr(a, field.name)).tobytes() == np.asarray(getattr(b, field.name)).tobytes()
        for field in fields(Match)
    )


def assert_sound(match: Match) -> None:
    """What every match promises."""
    assert match.affine.shape == (2, 3)
    assert match.region.shape == (4, 2)
    assert match.query_points.shape == match.photo_points.shape == (match.inliers, 2)
    for array in (match.affine, match.region, match.query_points, match.photo_points):
        assert array.dtype == np.float64
        assert np.isfinite(array).all()
    assert np.linalg.det(match.affine[:, :2]) > 0
    assert match.inliers >= 4
    assert match.weight > 0
    for points in (match.query_points, match.photo_points):
        assert len({tuple(point) for point in points.tolist()}) == match.inliers


# --- what is there is found ---


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("seed", range(5))
def test_a_true_map_is_recovered(name: str, seed: int) -> None:
    scene = make_scene(seed, MAPS[name])
    match = scene.verify()
    assert match is not None
    assert_sound(match)
    pairs = scene.pairs_of(match)
    assert sum(pair < scene.true for pair in pairs) >= 0.9 * scene.true
    assert map_error(match, scene) < 12
    truth = mapped(scene.affine, scene.query_frames[:, :, 2])
    errors = np.linalg.norm(truth - scene.photo_frames[:, :, 2], axis=1)
    assert errors[pairs].max() < 0.04 * 800  # not one gross outlier


def test_among_many_outliers() -> None:
    for seed in range(10):
        scene = make_scene(seed, MAPS["turned"], true=25, outliers=600)
        match = scene.verify()
        assert match is not None
        assert sum(pair < scene.true for pair in scene.pairs_of(match)) >= 0.9 * scene.true
        assert map_error(match, scene) < 20


@pytest.mark.parametrize("name", MAPS)
def test_the_map_is_precise(name: str) -> None:
    """As the least-squares map of 40 points with a noise of 1 px: under a pixel or so in the mean."""
    errors, ideal = [], []
    for seed in range(40):
        scene = make_scene(seed, MAPS[name])
        match = scene.verify()
        assert match is not None
        errors.append(map_error(match, scene))
        true = slice(scene.true)
        fitted = least_squares(scene.query_frames[true, :, 2], scene.photo_frames[true, :, 2])
        ideal.append(map_error(replace(match, affine=fitted), scene))
    assert np.mean(errors) < 1.25 * np.mean(ideal)


def least_squares(query_points: Floats, photo_points: Floats) -> Floats:
    design = np.column_stack([query_points, np.ones(len(query_points))])
    return np.linalg.lstsq(design, photo_points, rcond=None)[0].T


def test_the_map_is_the_least_squares_map_of_its_inliers() -> None:
    for seed in range(20):
        match = make_scene(seed, MAPS["affine"]).verify()
        assert match is not None
        expected = least_squares(match.query_points, match.photo_points)
        assert match.affine == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_without_noise_the_map_is_exact() -> None:
    for seed in range(10):
        scene = make_scene(seed, MAPS["twice"], outliers=0, noise=0, shape_noise=0)
        match = scene.verify()
        assert match is not None
        assert match.inliers == scene.true
        assert map_error(match, scene) < 1e-2


def test_inliers_are_within_the_tolerance_of_the_map_both_ways() -> None:
    for seed in range(10):
        scene = make_scene(seed, MAPS["half"], noise=0.3)
        match = scene.verify()
        assert match is not None
        assert match.homography is None
        forwards = mapped(match.affine, match.query_points) - match.photo_points
        linear = np.linalg.inv(match.affine[:, :2])
        back = np.column_stack([linear, -linear @ match.affine[:, 2]])
        backwards = mapped(back, match.photo_points) - match.query_points
        for errors in (forwards, backwards):
            # The last fit to the inliers may move the map a little under them.
            assert np.linalg.norm(errors, axis=1).max() <= DEFAULT.inlier_tolerance * 800 * 1.1


def test_inliers_name_their_features_of_the_query() -> None:
    for seed in range(5):
        scene = make_scene(seed, MAPS["turned"])
        match = scene.verify()
        assert match is not None
        places = scene.query_frames[match.query_features, :, 2]
        assert places == pytest.approx(match.query_points, abs=1e-9)
        assert match.query_features.dtype == np.int32


def test_the_weight_is_the_idf_of_the_inliers() -> None:
    scene = make_scene(3)
    match = scene.verify()
    assert match is not None
    assert match.weight == pytest.approx(IDF[scene.words[scene.pairs_of(match)]].sum(), rel=1e-6)


@pytest.mark.parametrize("factor", [0.5, 2.0, 4.0, 1.7])
def test_a_photo_of_another_resolution(factor: float) -> None:
    """Tolerances are in long sides, so that pixels do not matter."""
    scene = make_scene(1, MAPS["affine"])
    size = (round(800 * factor), round(600 * factor))
    scaled = replace(scene, photo_frames=scene.photo_frames * factor, photo_size=size)
    match, other = scene.verify(), scaled.verify()
    assert match is not None
    assert other is not None
    assert other.query_points.tolist() == match.query_points.tolist()
    assert other.photo_points == pytest.approx(match.photo_points * factor)
    assert other.affine == pytest.approx(match.affine * factor)
    assert other.weight == match.weight


def test_a_query_of_another_resolution() -> None:
    scene = make_scene(1, MAPS["affine"])
    scaled = replace(scene, query_frames=scene.query_frames * 2, query_size=(1600, 1200))
    match, other = scene.verify(), scaled.verify()
    assert match is not None
    assert other is not None
    assert other.photo_points.tolist() == match.photo_points.tolist()
    assert other.query_points == pytest.approx(match.query_points * 2)
    assert other.affine[:, :2] == pytest.approx(match.affine[:, :2] / 2)
    assert other.affine[:, 2] == pytest.approx(match.affine[:, 2])


@pytest.mark.parametrize(
    "sizes", [((600, 800), (800, 600)), ((300, 900), (2000, 200)), ((64, 64), (4096, 3072))]
)
def test_photos_of_any_shape(sizes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    query_size, photo_size = sizes
    affine = similarity(15, max(photo_size) / max(query_size), 0, 0)
    scene = make_scene(0, affine, noise=max(photo_size) / 1000, query_size=query_size, photo_size=photo_size)
    match = scene.verify()
    assert match is not None
    assert sum(pair < scene.true for pair in scene.pairs_of(match)) >= 0.9 * scene.true
    assert map_error(match, scene) < max(photo_size) / 60


def test_pairs_found_without_words_are_verified_alike() -> None:
    """The features of both photos, and which of them are pairs, are all that it takes."""
    scene = make_scene(0, MAPS["turned"])
    none = np.zeros((len(scene.words), 0), np.uint8)
    query = Features(scene.query_frames.astype(np.float32), none, *scene.query_size)
    photo = Features(scene.photo_frames.astype(np.float32), none, *scene.photo_size)
    rows = np.arange(len(scene.words), dtype=np.int32)
    found = verify_pairs(query, photo, np.stack([rows, rows], axis=1), np.ones(len(rows)), DEFAULT)
    by_words = verify(scene.query, scene.photo, np.ones(WORDS, np.float32), DEFAULT)
    assert found is not None
    assert by_words is not None
    assert found.weight == found.inliers == by_words.inliers >= 0.9 * scene.true
    assert found.affine == pytest.approx(by_words.affine, abs=1e-2)


def test_the_scale_and_the_rotation_of_a_match() -> None:
    for degrees, scale in ((-10, 0.5), (35, 2.0), (170, 0.8), (-170, 1.0)):
        match = make_scene(0, similarity(degrees, scale, 300, 200), outliers=0, noise=0).verify()
        assert match is not None
        assert match.scale == pytest.approx(scale, rel=1e-3)
        assert match.rotation == pytest.approx(degrees, abs=0.1)


# --- the region ---


def test_the_region_is_where_the_query_lies() -> None:
    scene = make_scene(0, MAPS["turned"])
    match = scene.verify()
    assert match is not None
    assert match.region == pytest.approx(mapped(match.affine, corners()))


def test_the_region_of_interest_is_mapped() -> None:
    scene = make_scene(0, MAPS["turned"])
    match = scene.verify(RegionOfInterest(100, 50.5, 300, 400))
    assert match is not None
    box = np.array([[100, 50.5], [300, 50.5], [300, 400], [100, 400]])
    assert match.region == pytest.approx(mapped(match.affine, box))
    assert same(replace(match, region=corners()), replace(scene.verify() or match, region=corners()))


# --- one to one ---


def test_each_feature_is_used_once() -> None:
    """Words that many features share, in a photo that repeats itself."""
    for seed in range(20):
        generator = np.random.default_rng(seed)
        scene = make_scene(seed, true=60, outliers=0, noise=3)
        words = generator.integers(0, 12, 60)  # five features each
        match = replace(scene, words=words).verify()
        assert match is not None
        assert_sound(match)
        assert match.inliers <= 60


def test_several_words_a_feature_are_one_pair() -> None:
    scene = make_scene(0, outliers=0)
    generator = np.random.default_rng(5)
    words = np.column_stack([scene.words, *generator.permutation(WORDS)[: 3 * 40].reshape(3, 40)])
    features = Features(scene.query_frames.astype(np.float32), np.zeros((40, 0), np.uint8), *SIZE)
    match = verify(query_side(features, words.astype(np.int32)), scene.photo, IDF, DEFAULT)
    assert match is not None
    assert_sound(match)
    assert match.inliers <= 40


def test_several_features_of_one_point_count_once() -> None:
    """SIFT describes a point once for each of its orientations: that is no more evidence."""
    scene = make_scene(0, outliers=0, noise=0.5)
    turned = scene.query_frames.copy()
    turned[:, :, :2] = turned[:, :, :2] @ rotations(np.array([1.0]))
    seen = scene.photo_frames.copy()
    seen[:, :, :2] = seen[:, :, :2] @ rotations(np.array([1.0]))
    twice = replace(
        scene,
        query_frames=np.concatenate([scene.query_frames, turned]),
        photo_frames=np.concatenate([scene.photo_frames, seen]),
        words=np.concatenate([scene.words, (scene.words + WORDS // 2) % WORDS]),
    )
    match = twice.verify()
    assert match is not None
    assert_sound(match)  # each point occurs once
    assert match.inliers == 40


# --- what is not there is not found ---


def test_chance_does_not_verify() -> None:
    """Random pairs: one word each, from a handful to many."""
    verified = sum(
        make_scene(seed, true=0, outliers=[10, 40, 150, 500][seed % 4]).verify() is not None
        for seed in range(300)
    )
    assert verified <= 2


def test_chance_does_not_verify_soft_words() -> None:
    """Random features of repeated words, several for each feature of the query."""
    verified = 0
    for seed in range(60):
        generator = np.random.default_rng(seed)
        query_words = np.array([generator.permutation(800)[:8] for _ in range(200)], np.int32)
        features = Features(
            random_frames(generator, 200, SIZE).astype(np.float32), np.zeros((200, 0), np.uint8), *SIZE
        )
        words = np.sort(generator.integers(0, 800, 200)).astype(np.uint32)
        photo = PhotoSide(words, random_frames(generator, 200, SIZE), *SIZE, unsigned(words))
        verified += verify(query_side(features, query_words), photo, IDF, DEFAULT) is not None
    assert verified <= 1


def test_a_mirror_image_is_not_verified() -> None:
    for seed in range(10):
        assert make_scene(seed, np.array([[-1.0, 0, 799], [0, 1, 0]]), noise=0).verify() is None


# --- degenerate input ---


@pytest.mark.parametrize("seed", range(5))
def test_photos_without_pairs(seed: int) -> None:
    scene = make_scene(seed)
    empty = make_scene(seed, true=0, outliers=0)
    assert verify(scene.query, empty.photo, IDF, DEFAULT) is None
    assert verify(empty.query, scene.photo, IDF, DEFAULT) is None
    assert verify(empty.query, empty.photo, IDF, DEFAULT) is None
    others = np.setdiff1d(np.arange(WORDS), scene.words)[: len(scene.words)]
    assert verify(scene.query, replace(scene, words=others).photo, IDF, DEFAULT) is None


@pytest.mark.parametrize("count", [1, 2, 3])
def test_fewer_pairs_than_verify(count: int) -> None:
    assert make_scene(0, true=count, outliers=0, noise=0).verify() is None


def test_a_photo_matches_itself() -> None:
    scene = make_scene(0, outliers=0, noise=0, shape_noise=0, true=100)
    match = scene.verify()
    assert match is not None
    assert match.inliers == 100
    assert match.affine == pytest.approx(IDENTITY, abs=1e-3)


@pytest.mark.parametrize("which", ["query", "photo", "both"])
def test_all_features_at_one_point(which: str) -> None:
    for seed in range(10):
        scene = make_scene(seed, outliers=0)
        query, photo = scene.query_frames.copy(), scene.photo_frames.copy()
        if which != "photo":
            query[:, :, 2] = 300, 200
        if which != "query":
            photo[:, :, 2] = 100, 100
        assert replace(scene, query_frames=query, photo_frames=photo).verify() is None


def test_all_features_on_a_line_of_both_photos() -> None:
    """Some evidence, of a map that is not determined beside the line."""
    for seed in range(10):
        scene = make_scene(seed, outliers=0)
        query, photo = scene.query_frames.copy(), scene.photo_frames.copy()
        query[:, 1, 2] = query[:, 0, 2] / 2 + 20
        photo[:, :, 2] = query[:, :, 2]
        match = replace(scene, query_frames=query, photo_frames=photo).verify()
        assert match is not None
        assert_sound(match)
        assert mapped(match.affine, match.query_points) == pytest.approx(match.photo_points, abs=10)


def test_all_features_on_a_line_of_one_photo() -> None:
    for seed in range(10):
        scene = make_scene(seed, true=0, outliers=40)
        query = scene.query_frames.copy()
        query[:, 1, 2] = query[:, 0, 2] / 2 + 20
        assert replace(scene, query_frames=query).verify() is None


def flattened(frames: Floats, generator: np.random.Generator) -> Floats:
    """Shapes of rank one, up to rounding."""
    frames = frames.copy()
    lines = generator.normal(size=(len(frames), 2, 1)) * generator.normal(0, 10, (len(frames), 1, 2))
    frames[:, :, :2] = lines.astype(np.float32)
    return frames


def scaled(frames: Floats, factor: float) -> Floats:
    frames = frames.copy()
    frames[:, :, :2] *= factor
    return frames


def mirrored(frames: Floats) -> Floats:
    frames = frames.copy()
    frames[:, 0, :2] *= -1
    return frames


@pytest.mark.parametrize("side", ["query_frames", "photo_frames"])
@pytest.mark.parametrize("change", ["zero", "mirrored", "tiny", "huge", "flat", "half"])
def test_frames_without_a_positive_area(side: str, change: str) -> None:
    for seed in range(10):
        scene = make_scene(seed, outliers=10)
        frames = getattr(scene, side)
        alternatives = {
            "zero": scaled(frames, 0),
            "mirrored": mirrored(frames),
            "tiny": scaled(frames, 1e-20),
            "huge": scaled(frames, 1e12),
            "flat": flattened(frames, np.random.default_rng(seed)),
            "half": scaled(frames, 6e-8).astype(np.float16).astype(np.float64),  # what float16 leaves
        }
        centres = frames[:, :, 2:]
        changed_frames = np.concatenate([alternatives[change][:, :, :2], centres], axis=2)
        assert replace(scene, **{side: changed_frames}).verify() is None


def test_frames_of_negative_area_on_both_sides() -> None:
    scene = make_scene(0, outliers=0, noise=0)
    query, photo = mirrored(scene.query_frames), mirrored(scene.photo_frames)
    assert replace(scene, query_frames=query, photo_frames=photo).verify() is None


@pytest.mark.parametrize("change", ["zero", "mirrored", "flat"])
def test_unsound_frames_among_sound_ones_are_left_out(change: str) -> None:
    for seed in range(10):
        scene = make_scene(seed, outliers=0)
        frames = scene.photo_frames.copy()
        generator = np.random.default_rng(seed)
        bad = {"zero": scaled(frames, 0), "mirrored": mirrored(frames), "flat": flattened(frames, generator)}
        frames[::2, :, :2] = bad[change][::2, :, :2]
        match = replace(scene, photo_frames=frames).verify()
        assert match is not None
        assert_sound(match)
        assert {pair % 2 for pair in scene.pairs_of(match)} == {1}


def test_flat_frames_of_identical_photos() -> None:
    for seed in range(30):
        scene = make_scene(seed, outliers=0, noise=0)
        frames = flattened(scene.query_frames, np.random.default_rng(seed))
        frames = frames.astype(np.float32).astype(np.float64)
        match = replace(scene, query_frames=frames, photo_frames=frames).verify()
        assert match is None or match.affine == pytest.approx(IDENTITY, abs=1)


@pytest.mark.parametrize(("count", "found"), [(4, True), (5, True), (6, False), (40, False)])
def test_one_word_that_everything_shares(count: int, found: bool) -> None:
    """5 x 5 pairs of a word are looked at, 6 x 6 are repeated texture."""
    for seed in range(10):
        scene = make_scene(seed, true=count, outliers=0, noise=0, shape_noise=0)
        match = replace(scene, words=np.full(count, 7)).verify(max_false_alarms=math.inf)
        assert (match is not None) == found
        if match is not None:
            assert_sound(match)
            assert map_error(match, scene) < 1
            assert match.evidence > 1


def test_words_without_weight_are_no_evidence() -> None:
    scene = make_scene(0)
    assert verify(scene.query, scene.photo, np.zeros(WORDS, np.float32), DEFAULT) is None


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (800, 1)])
def test_photos_of_a_row_of_pixels(size: tuple[int, int]) -> None:
    scene = make_scene(0, query_size=size, photo_size=size, noise=0)
    match = scene.verify()
    assert match is None or np.isfinite(match.region).all()


# --- options ---


def half_of_them(frames: Floats, shapes: Floats) -> Floats:
    """The frames of every second feature, their shapes multiplied from the left."""
    frames = frames.copy()
    frames[::2, :, :2] = shapes @ frames[::2, :, :2]
    return frames


def inliers_with(scene: Scene, name: str, values: tuple[float, float], **others: float) -> list[int]:
    """The inliers with each value of an option, 0 for none."""
    matches = [scene.verify(**{name: value}, **others) for value in values]
    return [0 if match is None else match.inliers for match in matches]


def test_max_pairs_per_word() -> None:
    scene = make_scene(0, outliers=0)
    scene = replace(scene, words=np.repeat(np.arange(4), 10))  # 10 x 10 pairs a word
    low, high = inliers_with(scene, "max_pairs_per_word", (99, 100))
    assert low == 0
    assert high >= 36


def test_max_difference() -> None:
    """The signatures of half of the true pairs differ in 40 of 128 bits."""
    scene = make_scene(0, true=40, outliers=0)
    unlike = np.uint64((1 << 40) - 1)
    query = replace(scene.query, signatures=np.zeros((2, 40), np.uint64), bits=128)
    codes = np.zeros((2, 40), np.uint64)
    codes[0, ::2] = unlike
    photo = replace(scene.photo, signatures=codes)
    found = [verify(query, photo, IDF, replace(DEFAULT, max_difference=share)) for share in (0.3, 0.35)]
    assert [match.inliers if match else 0 for match in found] == [20, 40]


def test_inliers_weigh_by_the_similarity_of_their_signatures() -> None:
    scene = make_scene(0, true=40, outliers=0)
    query = replace(scene.query, signatures=np.zeros((2, 40), np.uint64), bits=128)
    codes = np.full((2, 40), (1 << 16) - 1, np.uint64)  # 32 of 128 bits
    alike, unlike = (
        verify(query, replace(scene.photo, signatures=planes), IDF, DEFAULT)
        for planes in (np.zeros((2, 40), np.uint64), codes)
    )
    assert alike is not None
    assert unlike is not None
    assert unlike.inliers == alike.inliers == 40
    assert unlike.weight == pytest.approx(alike.weight / 2)


def test_max_pairs() -> None:
    """The heaviest are kept, and they alone suggest and are inliers."""
    scene = make_scene(0, true=40, outliers=60)
    query = Features(scene.query_frames.astype(np.float32), np.zeros((100, 0), np.uint8), *SIZE)
    photo = Features(scene.photo_frames.astype(np.float32), np.zeros((100, 0), np.uint8), *SIZE)
    rows = np.repeat(np.arange(100, dtype=np.int32)[:, None], 2, axis=1)
    weights = np.where(np.arange(100) < 30, 2.0, 1.0)
    few, all_of_them = (
        verify_pairs(query, photo, rows, weights, replace(DEFAULT, max_pairs=limit)) for limit in (30, 1000)
    )
    assert few is not None
    assert all_of_them is not None
    assert few.inliers <= 30 < all_of_them.inliers


def test_crowded_inliers_are_evidence_but_no_certainty() -> None:
    """Thirty features within a few pixels, in the query or in the photo, say as much as one."""
    alone = make_scene(0, true=8, outliers=200)
    usual = alone.verify(max_false_alarms=math.inf)
    crowd = make_scene(0, true=30, outliers=200)
    middle = crowd.query_frames[0, :, 2].copy()
    crowd.query_frames[:30, :, 2] = middle + (crowd.query_frames[:30, :, 2] - middle) * 0.005
    crowd.photo_frames[:30, :, 2] = crowd.query_frames[:30, :, 2]
    match = crowd.verify(max_false_alarms=math.inf)
    assert usual is not None
    assert match is not None
    assert match.evidence > usual.evidence
    assert match.certainty == 0 < usual.certainty


def test_evidence_unit() -> None:
    with pytest.raises(HandcraftError, match=r"^evidence_unit=0.0 is not above 0; give 3, for example\.$"):
        VerificationOptions(evidence_unit=0.0)


def test_evidence_is_the_decades_of_false_alarms() -> None:
    few, many = (make_scene(0, true=true, outliers=200).verify(max_false_alarms=10.0) for true in (8, 40))
    assert few is not None
    assert many is not None
    assert 0 < few.evidence < many.evidence
    assert 0 < few.certainty < few.evidence
    scene = make_scene(0, true=8, outliers=200)
    limit = 10.0**-few.certainty
    assert scene.verify(max_false_alarms=limit * 1.01) is not None
    assert scene.verify(max_false_alarms=limit * 0.99) is None


def test_many_pairs_take_bounded_time() -> None:
    count = 100_000
    generator = np.random.default_rng(0)
    frames = random_frames(generator, count, SIZE)
    features = Features(frames.astype(np.float32), np.zeros((count, 0), np.uint8), *SIZE)
    rows = np.repeat(np.arange(count, dtype=np.int32)[:, None], 2, axis=1)
    match = verify_pairs(features, features, rows, np.ones(count), DEFAULT)
    assert match is not None
    assert match.inliers == DEFAULT.max_pairs


def as_points(scene: Scene) -> Scene:
    """The scene with frames that are all the same upright circle."""
    circles = [frames.copy() for frames in (scene.query_frames, scene.photo_frames)]
    for frames in circles:
        frames[:, :, :2] = 8 * np.eye(2)
    return replace(scene, query_frames=circles[0], photo_frames=circles[1])


@pytest.mark.parametrize("name", ["turned", "half", "twice"])
def test_points(name: str) -> None:
    """Frames that say nothing of size and direction suggest only shifts by themselves."""
    for seed in range(5):
        scene = as_points(make_scene(seed, MAPS[name]))
        assert scene.verify() is None
        match = scene.verify(points=True)
        assert match is not None
        assert_sound(match)
        assert sum(pair < scene.true for pair in scene.pairs_of(match)) >= 0.9 * scene.true
        assert map_error(match, scene) < 12


def test_sampled_maps() -> None:
    """Few are not enough where most pairs are false."""
    scenes = [as_points(make_scene(seed, MAPS["half"], true=20, outliers=280)) for seed in range(20)]
    few, many = (
        sum(scene.verify(points=True, sampled_maps=maps) is not None for scene in scenes)
        for maps in (50, 2000)
    )
    assert few < 10
    assert many == 20
    with pytest.raises(HandcraftError, match=r"^sampled_maps=0 is too small; give 1 or more\.$"):
        VerificationOptions(sampled_maps=0)


def test_max_false_alarms_of_points() -> None:
    """Of points more must agree: a grid of windows is found on any building."""
    scene = as_points(make_scene(0, MAPS["half"], true=14, outliers=60))
    strict, loose = DEFAULT.of_points(), replace(DEFAULT, max_false_alarms_of_points=1e-8).of_points()
    assert strict.points
    assert loose.points
    found = scene.verify(points=True, max_false_alarms=loose.max_false_alarms)
    assert found is not None
    assert 8 < found.certainty < 30
    assert scene.verify(points=True, max_false_alarms=strict.max_false_alarms) is None


def test_degrees_of_freedom() -> None:
    """Fewer are enough where the photo is not seen at a slant, and too few where it is turned."""
    slanted = np.array([[0.45, 0.1, 100], [0.2, 1.1, -40]])
    for affine, enough, few in ((MAPS["turned"], 4, 3), (slanted, 6, 4)):
        found = {
            degrees: sum(
                match.inliers
                if (match := make_scene(seed, affine, true=20, shape_noise=0.02).verify(**chosen))
                else 0
                for seed in range(10)
            )
            for degrees in (enough, few)
            for chosen in [{"degrees_of_freedom": degrees, "frame_trust": 1.0}]
        }
        assert found[enough] > 1.3 * found[few]
    with pytest.raises(HandcraftError, match=r"^degrees_of_freedom=2 is not 3, 4, 5 or 6\.$"):
        VerificationOptions(degrees_of_freedom=2)


def test_five_degrees_of_freedom_leave_the_vertical_vertical() -> None:
    options = {"degrees_of_freedom": 5, "frame_trust": 1.0, "refits": 0}
    turned, leaning = (
        make_scene(0, affine, shape_noise=0.01).verify(**options)
        for affine in (similarity(40, 1, 300, -100), np.array([[0.8, 0, 20], [0.3, 0.9, -50]]))
    )
    assert turned is None
    assert leaning is not None
    assert leaning.affine[0, 1] == 0


def test_frame_trust() -> None:
    """Frames that are far off lead further where they are believed less; steep slants ask for all of it."""
    far_off = [make_scene(seed, true=20, outliers=400, shape_noise=0.35) for seed in range(20)]
    steep = np.array([[1.9, 0, -300], [0, 1 / 1.9, 100]])
    slanted = [make_scene(seed, steep, true=20, outliers=40, shape_noise=0.02) for seed in range(20)]

    def verified(scenes: list[Scene], trust: float) -> int:
        return sum(scene.verify(frame_trust=trust) is not None for scene in scenes)

    assert verified(far_off, 0.5) > verified(far_off, 1.0)
    assert verified(slanted, 1.0) > verified(slanted, 0.0)
    with pytest.raises(HandcraftError, match=r"^frame_trust=1.1 is not from 0 to 1\.$"):
        VerificationOptions(frame_trust=1.1)


def test_hypothesis_tolerance() -> None:
    """A single pair's map is rough: with a fine tolerance it gathers too few to start from."""
    low, high = inliers_with(make_scene(0, shape_noise=0.15), "hypothesis_tolerance", (0.001, 0.02))
    assert low < high
    assert high >= 36


def test_inlier_tolerance() -> None:
    low, high = inliers_with(make_scene(0, noise=3), "inlier_tolerance", (0.004, 0.02))
    assert 0 < low < high == 40


def test_max_scale_change() -> None:
    for scale in (1 / 12, 12):
        affine = similarity(0, scale, 0, 0)
        scene = make_scene(0, affine, noise=0.01, shape_noise=0.01)
        low, high = inliers_with(scene, "max_scale_change", (10, 14))
        assert low == 0
        assert high >= 36


def test_max_relative_scale() -> None:
    scene = make_scene(0, outliers=0, shape_noise=0.01)
    scene = replace(scene, photo_frames=half_of_them(scene.photo_frames, 2 * np.eye(2)))
    assert inliers_with(scene, "max_relative_scale", (1.5, 3.0)) == [20, 40]


def test_max_relative_turn() -> None:
    scene = make_scene(0, outliers=0, shape_noise=0.01)
    for degrees in (30, -30):
        (shapes,) = rotations(np.radians([float(degrees)]))
        turned = replace(scene, photo_frames=half_of_them(scene.photo_frames, shapes))
        assert inliers_with(turned, "max_relative_turn", (20, 45)) == [20, 40]


def test_max_anisotropy() -> None:
    for seed in range(10):
        affine = np.array([[3.0, 0, 0], [0, 1 / 3, 0]])
        scene = make_scene(seed, affine, outliers=0, noise=0.1, shape_noise=0.01)
        low, high = inliers_with(scene, "max_anisotropy", (6, 12), frame_trust=1.0)
        assert low == 0
        assert high >= 36


def test_no_map_flattens_more_than_it_may() -> None:
    """Whether it was refitted or not."""
    for stretch in (2.5, 2.9):  # squared, it is a little more than allowed, and more
        affine = np.array([[stretch, 0, 0], [0, 1 / stretch, 0]])
        for seed in range(20):
            match = make_scene(seed, affine, outliers=20).verify(max_false_alarms=1.0)
            if match is not None:
                large, small = np.linalg.svd(match.affine[:, :2], compute_uv=False)
                assert large <= DEFAULT.max_anisotropy * small * (1 + 1e-9)


def test_no_map_scales_more_than_it_may() -> None:
    for scale in (10.4, 1 / 10.4):
        for seed in range(20):
            scene = make_scene(seed, similarity(0, scale, 0, 0), outliers=20, noise=0.1)
            match = scene.verify(max_false_alarms=1.0)
            if match is not None:
                found = math.sqrt(np.linalg.det(match.affine[:, :2]))
                assert 1 / DEFAULT.max_scale_change <= found * (1 + 1e-9)
                assert found <= DEFAULT.max_scale_change * (1 + 1e-9)


def test_hypotheses() -> None:
    """The frames are so far off that the best hypothesis is often not the one that leads furthest."""
    scenes = [make_scene(seed, true=25, outliers=400, shape_noise=0.5) for seed in range(20)]
    one, several = (
        sum(match.inliers if (match := scene.verify(hypotheses=count)) else 0 for scene in scenes)
        for count in (1, 5)
    )
    assert several > 1.1 * one


def test_refits() -> None:
    errors = []
    for refits in (0, 1, 3):
        scenes = [make_scene(seed, MAPS["affine"]) for seed in range(20)]
        matches = [(scene.verify(refits=refits), scene) for scene in scenes]
        errors.append(np.mean([map_error(match, scene) for match, scene in matches if match is not None]))
    assert errors[1] < errors[0] / 2
    assert errors[2] < 1.05 * errors[1]


@pytest.mark.parametrize("least", [4, 8, 9])
def test_min_inliers(least: int) -> None:
    scene = make_scene(0, true=8, outliers=0, noise=0, shape_noise=0)
    assert (scene.verify(min_inliers=least) is not None) == (least <= 8)


def test_max_false_alarms() -> None:
    """Six inliers are evidence among a few pairs, and are not among hundreds."""
    few = make_scene(0, true=6, outliers=0, noise=0, shape_noise=0)
    assert inliers_with(few, "max_false_alarms", (1e-3, 10.0)) == [6, 6]
    assert inliers_with(few, "max_false_alarms", (1e-12, 10.0)) == [0, 6]
    many = [make_scene(seed, true=6, outliers=400, noise=0, shape_noise=0) for seed in range(20)]
    strict, loose = (
        sum(scene.verify(max_false_alarms=limit) is not None for scene in many) for limit in (1e-3, math.inf)
    )
    assert strict <= 5  # a seventh pair may join them by chance
    assert loose == 20


def share_turned_alike(scene: Scene, match: Match, degrees: float) -> float:
    """The share of the pairs without the inliers whose turn is the match's but for so many degrees."""
    inliers = {tuple(point) for point in np.round(match.query_points, 6)}
    places = np.round(scene.query_frames[:, :, 2], 6)
    others = [row for row, point in enumerate(places) if tuple(point) not in inliers]
    maps = scene.photo_frames[others, :, :2] @ np.linalg.inv(scene.query_frames[others, :, :2])
    turns = [math.atan2(m[1, 0] - m[0, 1], m[0, 0] + m[1, 1]) for m in (match.affine, *maps)]
    differences = [abs(math.remainder(turn - turns[0], 2 * math.pi)) for turn in turns[1:]]
    return sum(d <= math.radians(degrees) for d in differences) / len(differences) if differences else 0.0


def test_upright_features_are_less_evidence() -> None:
    """Their chance pairs are all turned alike, so that more of them agree with any map."""
    for seed in range(5):
        scene = make_scene(seed, IDENTITY, true=6, outliers=300, noise=0.5, shape_noise=0.02)
        upright = replace(scene, photo_frames=scene.photo_frames.copy())
        upright.photo_frames[6:, :, :2] = scene.query_frames[6:, :, :2]
        turned, alike = (one.verify(max_false_alarms=math.inf) for one in (scene, upright))
        assert turned is not None
        assert alike is not None
        assert turned.evidence > alike.evidence + 1


@pytest.mark.parametrize("size", [SIZE, (800, 100), (500, 500)])
@pytest.mark.parametrize("turn", [45.0, 90.0])
def test_evidence_and_certainty_are_those_of_the_oracle(size: tuple[int, int], turn: float) -> None:
    for true, outliers in ((6, 0), (6, 50), (12, 300)):
        scene = make_scene(1, IDENTITY, true, outliers, 0.5, 0.02, query_size=size, photo_size=size)
        match = scene.verify(max_false_alarms=math.inf, max_relative_turn=turn)
        assert match is not None
        assert match.homography is None
        count, width, height = true + outliers, size[0] / max(size), size[1] / max(size)
        share = max(turn / 180, share_turned_alike(scene, match, turn))
        points = (match.query_points / max(size)).tolist(), (match.photo_points / max(size)).tolist()
        apart = oracle.apart(*points, DEFAULT.inlier_tolerance)
        for decades, inliers, sample in ((match.evidence, match.inliers, 1), (match.certainty, apart, 4)):
            pairs = count - sample + 1
            alarms = oracle.false_alarms(
                pairs, inliers - sample + 1, DEFAULT.inlier_tolerance, width, height, share
            )
            assert decades == pytest.approx(max(0.0, -math.log10(alarms * count / pairs)), abs=1e-6)


@pytest.mark.parametrize("name", ["hypothesis_tolerance", "inlier_tolerance", "max_relative_turn"])
def test_an_option_of_0_lets_nothing_or_little_through(name: str) -> None:
    match = make_scene(0).verify(**{name: 0.0})
    assert match is None or match.inliers < 40


def test_every_option_has_a_test() -> None:
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    of_the_engine = {"depth", "words", "pairing", "neighbours"}
    assert {field.name for field in fields(VerificationOptions)} - of_the_engine <= tested


# --- the same every time ---


def test_the_same_on_every_call_and_thread() -> None:
    scenes = [make_scene(seed, MAPS["affine"], true=10 + seed) for seed in range(24)]
    expected = [scene.verify() for scene in scenes]
    assert sum(match is not None for match in expected) > 20
    assert all(same(scene.verify(), match) for scene, match in zip(scenes, expected, strict=True))
    with ThreadPoolExecutor(4) as pool:
        for found, match in zip(pool.map(Scene.verify, scenes * 4), expected * 4, strict=True):
            assert same(found, match)


def test_the_sides_are_left_as_they_were() -> None:
    scene = make_scene(0)
    query, photo, idf = scene.query, scene.photo, IDF.copy()
    arrays = (query.words, query.features, query.frames, photo.words, photo.frames, idf)
    before = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    assert verify(query, photo, idf, DEFAULT) is not None
    assert all(array.tobytes() == copy.tobytes() for array, copy in zip(arrays, before, strict=True))


# --- the oracle ---

LIMITS = oracle.Limits(tolerance=0.15, max_scale_change=4, max_relative_scale=2, max_turn=60)


def as_map(frame: Floats) -> oracle.Map:
    (a, b, c), (d, e, f) = frame.tolist()
    return (a, b, c), (d, e, f)


@st.composite
def tangled_pairs(draw: st.DrawFn) -> list[oracle.Pair]:
    """Pairs of shared features in a unit square, some of which agree on a map, of few weights."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(0, 16))
    agreeing = draw(st.integers(0, count))
    features = max(1, draw(st.integers(count // 2, 2 * count)))
    query = random_frames(generator, features, (1, 1))
    photo = random_frames(generator, features, (1, 1))
    for frames in (query, photo):
        frames[:, :, :2] /= 100
        frames[:, :, 2] += 0.5
    affine = similarity(generator.uniform(0, 360), generator.uniform(0.5, 2), 0.1, 0.2)
    for number in range(agreeing):
        shapes = affine[:, :2] @ query[number % features, :, :2]
        factor = generator.choice([0.3, 0.7, 1, 1.5, 3])  # not all of the same scale and turn
        photo[number % features, :, :2] = factor * rotations(generator.normal(0, 0.7, 1))[0] @ shapes
        centre = mapped(affine, query[number % features, :, 2][None])[0]
        photo[number % features, :, 2] = centre + generator.normal(0, 0.03, 2)
    for number in range(1, features, 2):  # twins, whose pairs compete for one another's features
        for frames in (query, photo):
            frames[number] = frames[number - 1]
            frames[number, :, 2] += generator.normal(0, 0.02, 2)
    chosen = {(i % features, i % features) for i in range(agreeing)}
    chosen |= {(i, i ^ 1) for i, _ in sorted(chosen) if i ^ 1 < features}
    while len(chosen) < min(count, features**2):
        i, j = generator.integers(0, features, 2).tolist()
        chosen.add((i, j))
    return [
        oracle.Pair(as_map(query[i]), as_map(photo[j]), i, j, float(generator.integers(1, 4)))
        for i, j in generator.permutation(sorted(chosen)).reshape(-1, 2).tolist()
    ]


@dataclass(frozen=True)
class Arrays:
    """The pairs as the kernels take them."""

    points: Floats
    maps: Floats
    scales: Floats
    turns: Floats
    pairs: NDArray[np.int32]
    weights: Floats

    @classmethod
    def of(cls, pairs: list[oracle.Pair]) -> Arrays:
        turns = [oracle.turn(pair.map) for pair in pairs]
        return cls(
            columns([(*pair.query_point, *pair.photo_point) for pair in pairs], 4),
            columns([sum(pair.map, ()) for pair in pairs], 6),
            np.array([oracle.scale(pair.map) for pair in pairs]),
            columns([(math.cos(turn), math.sin(turn)) for turn in turns], 2),
            columns([(pair.query, pair.photo) for pair in pairs], 2).astype(np.int32),
            np.array([pair.weight for pair in pairs]),
        )


def columns(rows: list[tuple[float, ...]], count: int) -> Floats:
    return np.ascontiguousarray(np.array(rows, np.float64).reshape(-1, count).T)


def kernel_limits(limits: oracle.Limits) -> tuple[float, float, float, float]:
    return (
        limits.tolerance**2,
        limits.max_scale_change,
        limits.max_relative_scale,
        math.cos(math.radians(limits.max_turn)),
    )


@settings(max_examples=150)
@given(tangled_pairs(), st.integers(1, 6))
def test_the_best_hypotheses_are_those_of_the_oracle(pairs: list[oracle.Pair], count: int) -> None:
    arrays = Arrays.of(pairs)
    best, weights = np.empty(count, np.int64), np.empty(count, np.int64)
    found = best_hypotheses(
        arrays.points,
        arrays.maps,
        arrays.scales,
        arrays.turns,
        arrays.pairs,
        arrays.weights.astype(np.int32),
        kernel_limits(LIMITS),
        np.full((2, 64), -1, np.int32),
        best,
        weights,
    )
    rows = list(zip(best[:found].tolist(), weights[:found].tolist(), strict=True))
    assert rows == oracle.best_hypotheses(pairs, LIMITS, count)


@settings(max_examples=100)
@given(tangled_pairs(), st.integers(0, 2**32 - 1))
def test_transfer_errors_are_those_of_the_oracle(pairs: list[oracle.Pair], seed: int) -> None:
    generator = np.random.default_rng(seed)
    affine = random_frames(generator, 1, (1, 1))[0] / 20
    if pairs and seed % 4:
        affine = np.array(pairs[seed % len(pairs)].map)
    arrays = Arrays.of(pairs)
    errors = np.full(len(pairs), np.nan)
    transfer_errors(arrays.points, arrays.scales, arrays.turns, affine.ravel(), kernel_limits(LIMITS), errors)
    map_ = as_map(affine)
    expected = [
        oracle.transfer_error(map_, pair.query_point, pair.photo_point) ** 2
        if oracle.agrees(pair, map_, LIMITS)
        else math.inf
        for pair in pairs
    ]
    assert errors.tolist() == pytest.approx(expected, rel=1e-9, abs=1e-15)


@given(tangled_pairs(), st.randoms(use_true_random=False))
def test_one_to_one_is_that_of_the_oracle(pairs: list[oracle.Pair], random: object) -> None:
    order = list(range(len(pairs)))
    random.shuffle(order)  # type: ignore[attr-defined]
    order = order[: len(order) * 3 // 4]
    chosen = np.full(len(order), -1, np.int64)
    count = one_to_one(
        np.array(order, np.int64),
        Arrays.of(pairs).pairs,
        np.zeros((2, 64), np.bool_),
        chosen,
    )
    assert chosen[:count].tolist() == oracle.one_to_one(order, pairs)


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize(("degrees", "trust"), [(6, 1.0), (6, 0.5), (5, 1.0), (5, 0.5), (4, 1.0), (3, 1.0)])
def test_without_refits_the_match_is_that_of_the_oracle(name: str, degrees: int, trust: float) -> None:
    """From frames in pixels to the inliers, in plain Python."""
    scene = make_scene(degrees, MAPS[name], true=15, outliers=15, noise=2)
    order = np.argsort(scene.words)  # pairs are made in the order of their words
    pairs = [
        oracle.Pair(
            as_map(scene.query_frames[i] / 800),
            as_map(scene.photo_frames[i] / 800),
            int(i),
            int(i),
            float(IDF[scene.words[i]]),
        )
        for i in order
    ]
    limits = oracle.Limits(
        DEFAULT.hypothesis_tolerance,
        DEFAULT.max_scale_change,
        DEFAULT.max_relative_scale,
        DEFAULT.max_relative_turn,
    )
    ((best, _),) = oracle.best_hypotheses(pairs, limits, 1, degrees, trust)
    suggested = pairs[best].suggested(degrees, trust)
    found = oracle.inliers(suggested, pairs, replace(limits, tolerance=DEFAULT.inlier_tolerance))
    options = {"refits": 0, "hypotheses": 1, "max_false_alarms": math.inf, "min_inliers": 1}
    match = scene.verify(degrees_of_freedom=degrees, frame_trust=trust, **options)
    if match is None:  # too few pairs agree for any map to be fitted, or for it to be more than chance
        assert len(oracle.inliers(suggested, pairs, limits)) < 3 or len(found) < 3
        return
    assert scene.pairs_of(match) == [pairs[i].query for i in found]
    affine = np.array(suggested)
    affine[:, 2] *= 800
    assert match.affine == pytest.approx(affine, rel=1e-9, abs=1e-9)
