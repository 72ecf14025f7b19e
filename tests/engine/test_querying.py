"""Asking a store: rankings, their order, and the evidence for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from photographs import (
    HEIGHT,
    ONCE,
    QUERY_SIZE,
    SCENES,
    WIDTH,
    blank_wall,
    copy_of,
    query_affine,
    ranking,
    save,
    scene,
    similarity,
    view,
)
from PIL import Image

import handcraft
from handcraft.errors import HandcraftError, PhotoError, StoreError
from handcraft.options import FeatureOptions, IndexOptions, QueryOptions, VerificationOptions
from handcraft.types import Hit, RegionOfInterest

PHOTOS = SCENES + 2
SAME_SCENE = {"photos/scene-3.jpg", "photos/views/near.jpg", "photos/views/turned.jpg"}


@pytest.fixture
def query(collection: Path) -> Path:
    return collection / "query.jpg"


def by_name(hits: tuple[Hit, ...]) -> dict[str, Hit]:
    return {hit.name: hit for hit in hits}


def apply(affine: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    return points @ affine[:, :2].T + affine[:, 2]


# --- the ranking ---


def test_photos_of_the_same_scene_come_first(store: handcraft.Store, query: Path) -> None:
    hits = store.query(query).hits
    assert {hit.name for hit in hits[:3]} == SAME_SCENE
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= 1 for score in scores)


def test_a_photo_of_the_store_finds_itself(store: handcraft.Store, collection: Path) -> None:
    for name in ("photos/scene-6.jpg", "photos/views/near.jpg"):
        hit = store.query(collection / name).hits[0]
        assert (hit.name, hit.path) == (name, collection / name)


def test_the_same_query_gives_the_same_ranking(collection: Path, query: Path) -> None:
    rankings = [
        ranking(handcraft.open(collection / ".handcraft", threads=threads).query(query, verify=True))
        for threads in (1, 1, 2, 5)
    ]
    assert rankings[1:] == rankings[:1] * 3


def test_equal_scores_rank_in_the_order_of_indexing(collection: Path, tmp_path: Path) -> None:
    own = copy_of(collection, tmp_path)
    scores: dict[bool, set[float]] = {False: set(), True: set()}
    for number, order in enumerate([("a", "b", "c"), ("c", "a", "b")]):
        store = handcraft.open(own / f"store-{number}")
        for name in order:
            save(scene(70), own / f"{name}.jpg")
            store.add(own / f"{name}.jpg")
        for verify in (False, True):
            hits = store.query(own / "a.jpg", options=ONCE, verify=verify).hits
            assert [hit.name for hit in hits] == [f"{name}.jpg" for name in order]
            scores[verify] |= {hit.score for hit in hits}
    assert [len(values) for values in scores.values()] == [1, 1]


def test_top_cuts_the_ranking(store: handcraft.Store, query: Path) -> None:
    whole = store.query(query, verify=True)
    assert len(whole.hits) == PHOTOS
    for top in (1, 2, 5, PHOTOS, 1000):
        assert ranking(store.query(query, verify=True, top=top)) == ranking(whole)[:top]


@pytest.mark.parametrize("top", [0, -1])
def test_top_below_one_is_refused_in_a_sentence(store: handcraft.Store, query: Path, top: int) -> None:
    with pytest.raises(handcraft.HandcraftError, match=f"^top={top} is too small; give 1 or more\\.$"):
        store.query(query, top=top)


def test_the_result_says_what_was_searched(store: handcraft.Store, query: Path) -> None:
    result = store.query(query)
    assert result.photos == PHOTOS
    assert result.compared == result.verified == 0
    assert (result.width, result.height) == QUERY_SIZE
    assert result.features > 50
    assert set(result.seconds) == {"features", "directions", "words", "votes", "total"}
    verified = store.query(query, verify=True)
    assert (verified.compared, verified.verified) == (PHOTOS, 3)
    assert set(verified.seconds) == {*result.seconds, "verification"}


def test_hits_have_the_size_of_their_photo(store: handcraft.Store, query: Path) -> None:
    hits = by_name(store.query(query).hits)
    assert (hits["photos/scene-3.jpg"].width, hits["photos/scene-3.jpg"].height) == (WIDTH, HEIGHT)
    turned = hits["photos/views/turned.jpg"]
    assert (turned.width, turned.height) == (HEIGHT, WIDTH)


def test_a_photo_without_a_common_word_is_no_hit(tmp_path: Path) -> None:
    store = handcraft.open(tmp_path / ".handcraft")
    store.add([save(scene(1), tmp_path / "a.jpg"), save(blank_wall(), tmp_path / "wall.png")])
    assert [hit.name for hit in store.query(tmp_path / "a.jpg", verify=True).hits] == ["a.jpg"]


def test_a_store_that_moved_with_its_photos_still_finds_them(collection: Path, tmp_path: Path) -> None:
    own = copy_of(collection, tmp_path)
    hit = handcraft.open(own / ".handcraft").query(own / "query.jpg").hits[0]
    assert hit.path.is_file()
    assert own in hit.path.parents


# --- the region ---


def test_a_region_searches_with_the_features_inside_it(store: handcraft.Store, collection: Path) -> None:
    photo, plain = collection / "photos" / "scene-3.jpg", replace(ONCE, few_features=0)
    whole = store.query(photo, options=plain).features
    left = store.query(photo, options=plain, roi=(0, 0, WIDTH / 2, HEIGHT)).features
    right = store.query(photo, options=plain, roi=(WIDTH / 2, 0, WIDTH, HEIGHT)).features
    assert min(left, right) > 0
    assert left + right == whole
    assert store.query(photo, options=plain, roi=(-5, -5, 9999, 9999)).features == whole


def test_few_features_are_looked_at_closer(store: handcraft.Store, query: Path) -> None:
    """The same region has more features at twice its size, where they are fewer than asked for."""
    region = (60, 40, 160, 120)
    plain = store.query(query, options=replace(ONCE, few_features=0), roi=region)
    assert plain.features > 0
    for few, closer in ((plain.features, False), (plain.features + 1, True)):
        found = store.query(query, options=replace(ONCE, few_features=few), roi=region)
        assert (found.features > plain.features) == closer
    with pytest.raises(HandcraftError, match=r"few_features=-1 is too small; give 0 or more"):
        QueryOptions(few_features=-1)


def test_a_whole_photo_is_not_looked_at_closer(store: handcraft.Store, query: Path) -> None:
    """It is described as the photos of the store are."""
    asked = [ranking(store.query(query, options=replace(ONCE, few_features=few))) for few in (0, 10_000)]
    assert asked[0] == asked[1]


def test_an_extractor_that_looks_no_closer(own: Path) -> None:
    store = handcraft.open(own / "sift", features=FeatureOptions(extractor="sift"))
    store.add(own / "photos")
    region = (60, 40, 160, 120)
    assert ranking(store.query(own / "query.jpg", options=ONCE, roi=region)) == ranking(
        store.query(own / "query.jpg", options=replace(ONCE, few_features=0), roi=region)
    )


def test_a_region_decides_what_is_found(store: handcraft.Store, collection: Path, tmp_path: Path) -> None:
    both = scene(1, WIDTH, HEIGHT).resize((WIDTH, HEIGHT))
    montage = both.resize((2 * WIDTH, HEIGHT))
    montage.paste(scene(1), (0, 0))
    montage.paste(scene(6), (WIDTH, 0))
    query = save(montage, tmp_path / "montage.jpg")
    left = store.query(query, roi=(0, 0, WIDTH - 1, HEIGHT), verify=True).hits[0]
    right = store.query(query, roi=(WIDTH, 0, 2 * WIDTH, HEIGHT), verify=True).hits[0]
    assert (left.name, right.name) == ("photos/scene-1.jpg", "photos/scene-6.jpg")
    for hit in (left, right):
        assert hit.match is not None
    corners = right.match.region if right.match else np.zeros((4, 2))
    expected = np.array([[0, 0], [WIDTH, 0], [WIDTH, HEIGHT], [0, HEIGHT]])
    np.testing.assert_allclose(corners, expected, atol=3)


def test_a_region_may_be_a_tuple_or_a_region(store: handcraft.Store, query: Path) -> None:
    box = (20.0, 10.0, 150.0, 120.0)
    expected = ranking(store.query(query, roi=RegionOfInterest(*box)))
    assert ranking(store.query(query, roi=box)) == expected
    assert expected != ranking(store.query(query))


@pytest.mark.parametrize("roi", [(5, 5, 5, 50), (50, 5, 5, 50), (5, 50, 50, 5), (float("nan"), 0, 9, 9)])
def test_an_empty_region_is_refused(store: handcraft.Store, query: Path, roi: tuple[float, ...]) -> None:
    with pytest.raises(PhotoError, match=r"is empty: it must be x1,y1,x2,y2 with x1 < x2 and y1 < y2"):
        store.query(query, roi=RegionOfInterest(*roi))


@pytest.mark.parametrize("roi", [(240, 0, 300, 90), (0, 180, 9, 190), (-9, 0, -1, 9), (0, -9, 9, 0)])
def test_a_region_outside_the_photo_is_refused(
    store: handcraft.Store, query: Path, roi: tuple[float, ...]
) -> None:
    with pytest.raises(PhotoError, match=r"lies outside the photo, which has 240 x 180 pixels"):
        store.query(query, roi=RegionOfInterest(*roi))


def test_a_region_without_texture_says_so(store: handcraft.Store, tmp_path: Path) -> None:
    canvas = blank_wall().convert("RGB")
    canvas.paste(scene(1).crop((0, 0, 100, 240)), (0, 0))
    query = save(canvas, tmp_path / "half.png")
    assert store.query(query).features > 0
    with pytest.raises(PhotoError, match=r"half\.png: the region shows too little texture"):
        store.query(query, roi=(220, 60, 310, 200))


# --- verification ---


def test_verified_photos_come_first_by_the_weight_of_their_inliers(
    store: handcraft.Store, query: Path
) -> None:
    hits = store.query(query, verify=True).hits
    verified = [hit for hit in hits if hit.match]
    assert {hit.name for hit in verified} == SAME_SCENE
    assert hits[:3] == tuple(verified)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    plain = [hit.name for hit in store.query(query).hits if hit.name not in SAME_SCENE]
    assert [hit.name for hit in hits[3:]] == plain
    assert [hit.rank for hit in hits] == list(range(1, PHOTOS + 1))


def crossed(image: Image.Image) -> Image.Image:
    """A photo whose quarters have changed places: its visual words, and little of its geometry."""
    width, height = image.width // 2, image.height // 2
    puzzle = Image.new(image.mode, (2 * width, 2 * height))
    for x, y in ((0, 0), (0, 1), (1, 0), (1, 1)):
        box = (x * width, y * height, (x + 1) * width, (y + 1) * height)
        puzzle.paste(image.crop(box), ((1 - x) * width, (1 - y) * height))
    return puzzle


@pytest.fixture
def puzzled(own: Path) -> handcraft.Store:
    """The collection, and the query with its quarters crossed, which no view of the scene outvotes.

    It is answered so well that other directions than its own are of little share.
    """
    with Image.open(own / "query.jpg") as image:
        puzzle = save(crossed(image), own / "photos" / "puzzle.png")
    store = handcraft.open(own / ".handcraft")
    store.add(puzzle)
    return store


def test_verification_lifts_photos_over_one_with_a_better_score(
    puzzled: handcraft.Store, query: Path
) -> None:
    options = QueryOptions(probe_share=0.1)
    plain, verified = (
        [hit.name for hit in puzzled.query(query, options=options, verify=verify).hits]
        for verify in (False, True)
    )
    assert set(plain) == set(verified)
    assert plain[0] == "photos/puzzle.png"
    assert verified[0] in SAME_SCENE


@pytest.mark.parametrize("unit", [3.0, 50.0])
def test_votes_count_more_by_the_evidence(store: handcraft.Store, query: Path, unit: float) -> None:
    options = QueryOptions(verification=VerificationOptions(evidence_unit=unit))
    plain, verified = (by_name(store.query(query, options=options, verify=v).hits) for v in (False, True))
    assert plain.keys() == verified.keys()
    for name, hit in verified.items():
        if hit.match is None:
            assert hit.score >= plain[name].score  # there may be a little, which verifies nothing
        else:
            factor = 1 + hit.match.evidence / unit
            assert hit.score == pytest.approx(plain[name].score * factor, rel=1e-6)


def test_without_verification_there_is_no_evidence(store: handcraft.Store, query: Path) -> None:
    assert all(hit.match is None and hit.inliers == 0 for hit in store.query(query).hits)


def test_the_evidence_maps_the_query_onto_the_photo(store: handcraft.Store, query: Path) -> None:
    hit = by_name(store.query(query, verify=True).hits)["photos/scene-3.jpg"]
    match = hit.match
    assert match is not None
    assert hit.inliers == match.inliers == len(match.query_points) == len(match.photo_points) >= 30
    width, height = QUERY_SIZE
    corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float64)
    truth = query_affine()
    np.testing.assert_allclose(apply(match.affine, corners), apply(truth, corners), atol=1.0)
    outline = corners + np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    assert match.homography is None  # the affine map is precise
    np.testing.assert_allclose(match.region, apply(match.affine, outline))
    errors = np.linalg.norm(apply(truth, match.query_points) - match.photo_points, axis=1)
    assert np.median(errors) < 1
    assert errors.max() < 0.012 * WIDTH + 1


def test_a_point_is_counted_once(store: handcraft.Store, query: Path) -> None:
    """SIFT may describe one point under several orientations; that is no further evidence."""
    for hit in store.query(query, verify=True).hits:
        if hit.match:
            for points in (hit.match.query_points, hit.match.photo_points):
                assert len(np.unique(points, axis=0)) == len(points)


def test_the_evidence_is_in_pixels_of_the_original_photos(tmp_path: Path) -> None:
    """Photos beyond max_size are searched reduced; coordinates must not be."""
    big = scene(5).resize((1600, 1200))
    photo = save(big, tmp_path / "big.jpg")
    truth = similarity(15, 1.1, (800, 600), (1200, 900))
    query = save(view(big, truth, (1200, 900)), tmp_path / "query.jpg")
    store = handcraft.open(tmp_path / ".handcraft")
    store.add(photo)
    result = store.query(query, verify=True)
    assert (result.width, result.height) == (1200, 900)
    match = result.hits[0].match
    assert match is not None
    corners = np.array([[0, 0], [1199, 0], [1199, 899], [0, 899]], np.float64)
    np.testing.assert_allclose(apply(match.affine, corners), apply(truth, corners), atol=4)


@pytest.mark.parametrize(
    "change",
    [
        {"depth": 2},
        {"words": 1},
        {"max_pairs_per_word": 1},
        {"inlier_tolerance": 0.002},
        {"max_scale_change": 1.05},
        {"max_relative_turn": 3.0},
        {"max_relative_scale": 1.02},
        {"hypothesis_tolerance": 0.001},
        {"max_anisotropy": 1.0001},
        {"refits": 0},
        {"min_inliers": 10_000},
        {"max_false_alarms": 0.0},
        {"evidence_unit": 1.0},
        {"max_difference": 0.1},
        {"max_pairs": 20},
        {"pairing": "descriptors"},
        {"degrees_of_freedom": 3},
        {"frame_trust": 0.0},
        {"points": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_option_of_verification_reaches_it(
    store: handcraft.Store, query: Path, change: dict[str, float]
) -> None:
    usual = QueryOptions(verify=True)
    changed = replace(usual, verification=replace(VerificationOptions(), **change))
    before, after = (store.query(query, options=options) for options in (usual, changed))
    assert ranking(before) != ranking(after)


@pytest.mark.parametrize(
    "change", [{"neighbours": 1}, {"max_pairs": 20}, {"min_inliers": 10_000}, {"points": True}]
)
def test_options_of_verification_with_descriptors(
    store: handcraft.Store, query: Path, change: dict[str, int]
) -> None:
    usual = VerificationOptions(pairing="descriptors")
    before, after = (
        ranking(store.query(query, options=QueryOptions(verification=options), verify=True))
        for options in (usual, replace(usual, **change))
    )
    assert before != after


def test_verified_with_descriptors(store: handcraft.Store, query: Path) -> None:
    """The same photos, and the same map, from other pairs."""
    options = QueryOptions(verify=True, verification=VerificationOptions(pairing="descriptors"))
    result = store.query(query, options=options)
    assert {hit.name for hit in result.hits if hit.match} == SAME_SCENE
    match = by_name(result.hits)["photos/scene-3.jpg"].match
    assert match is not None
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * QUERY_SIZE
    np.testing.assert_allclose(apply(match.affine, corners), apply(query_affine(), corners), atol=3)


def test_verified_with_descriptors_that_are_not_kept(collection: Path, tmp_path: Path) -> None:
    own = copy_of(collection, tmp_path)
    save(scene(70), own / "photos" / "new.jpg")
    store = handcraft.open(own / ".handcraft")
    store.add(own / "photos", options=IndexOptions(keep_features=False))
    options = QueryOptions(verify=True, verification=VerificationOptions(pairing="descriptors"))
    with pytest.raises(StoreError) as error:
        store.query(own / "query.jpg", options=options)
    assert str(error.value) == (
        f"The store {store.path} keeps no features of 1 of its photos to compare them by their descriptors; "
        "leave --verify-with out, or index them again into a new store, without --no-keep-features."
    )
    assert store.query(own / "query.jpg", verify=True).verified


def test_a_pairing_that_is_none() -> None:
    with pytest.raises(handcraft.HandcraftError) as error:
        VerificationOptions(pairing="magic")
    assert str(error.value) == "Photos are not verified with 'magic'; they are with words or descriptors."


def test_depth_is_the_number_of_photos_verified(store: handcraft.Store, query: Path) -> None:
    plain = store.query(query).hits
    options = QueryOptions(verify=True, verification=VerificationOptions(depth=2))
    result = store.query(query, options=options)
    assert result.compared == 2
    assert {hit.name for hit in result.hits if hit.match} == {hit.name for hit in plain[:2]}
    assert {hit.name for hit in result.hits} == {hit.name for hit in plain}


def test_more_photos_are_compared_than_are_shown(puzzled: handcraft.Store, query: Path) -> None:
    result = puzzled.query(query, verify=True, top=1)
    assert result.compared == PHOTOS + 1
    assert [hit.name for hit in result.hits] == [puzzled.query(query, verify=True).hits[0].name]
    assert result.hits[0].name != puzzled.query(query, top=1).hits[0].name


def test_min_inliers_is_the_least_that_verifies(store: handcraft.Store, query: Path) -> None:
    def verified(least: int) -> list[int]:
        options = QueryOptions(verify=True, verification=VerificationOptions(min_inliers=least))
        return sorted(hit.inliers for hit in store.query(query, options=options).hits if hit.match)

    inliers = verified(4)
    assert verified(max(inliers) + 1) == []  # a homography has no fewer than the affine map, which is asked
    assert 0 < len(verified(inliers[len(inliers) // 2])) < len(inliers)


@pytest.mark.parametrize(
    "change",
    [
        {"directions": 1},
        {"direction_weight": 0.5},
        {"probe_features": 8},
        {"probe_share": 1.0},
        {"most_directions": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_options_of_the_votes_change_the_scores(
    store: handcraft.Store, query: Path, change: dict[str, float]
) -> None:
    before = [hit.score for hit in store.query(query).hits]
    after = [hit.score for hit in store.query(query, options=replace(QueryOptions(), **change)).hits]
    assert before != after


def test_verify_and_top_override_the_options(store: handcraft.Store, query: Path) -> None:
    options = QueryOptions(top=3, verify=True)
    assert store.query(query, options=options, verify=False).compared == 0
    assert len(store.query(query, options=options).hits) == 3
    assert len(store.query(query, options=options, top=4).hits) == 4


# --- what cannot be asked ---


def test_a_query_that_is_missing(store: handcraft.Store, tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match=r"There is no photo at .*absent\.jpg; check the name\."):
        store.query(tmp_path / "absent.jpg")


def test_a_query_that_is_a_folder(store: handcraft.Store, tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match=r"is a folder, not a photo"):
        store.query(tmp_path)


@pytest.mark.parametrize("roi", [(1, 2, 3), (1, 2, 3, 4, 5), 7, ("left", 0, 1, 1), "0,0,9,9"])
def test_a_region_that_is_no_box(store: handcraft.Store, query: Path, roi: object) -> None:
    with pytest.raises(handcraft.HandcraftError, match=r"is not x1, y1, x2, y2, four numbers in pixels\.$"):
        store.query(query, roi=roi)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_a_region_is_any_four_numbers(store: handcraft.Store, query: Path, kind: Callable[..., Any]) -> None:
    sides = (0, 0, 200, 200)
    region = handcraft.RegionOfInterest(*sides)
    assert ranking(store.query(query, roi=kind(sides))) == ranking(store.query(query, roi=region))


def test_a_query_without_features(store: handcraft.Store, tmp_path: Path) -> None:
    wall = save(blank_wall(), tmp_path / "wall.png")
    with pytest.raises(PhotoError, match=r"No features were found in .*wall\.png: it shows too little"):
        store.query(wall)


def test_a_store_that_is_not_there(query: Path, tmp_path: Path) -> None:
    store = handcraft.open(tmp_path / "nowhere")
    for ask in (lambda: store.query(query), store.info, store.check, store.optimize, store.remove):
        with pytest.raises(
            StoreError, match=r"There is no store at .*nowhere; make one with `handcraft index"
        ):
            ask()
    assert not (tmp_path / "nowhere").exists()


def test_a_store_without_photos(collection: Path, tmp_path: Path) -> None:
    own = copy_of(collection, tmp_path)
    store = handcraft.open(own / ".handcraft")
    store.remove(own / "photos")
    with pytest.raises(StoreError, match=r"holds no photos; add some with `handcraft index`"):
        store.query(own / "query.jpg")


@pytest.mark.parametrize("pairing", ["words", "descriptors"])
def test_photos_that_are_removed_meanwhile(collection: Path, tmp_path: Path, pairing: str) -> None:
    """A store keeps what it opened, though another process removes photos and merges the files away."""
    own = copy_of(collection, tmp_path)
    options = QueryOptions(verify=True, verification=VerificationOptions(pairing=pairing))
    store, other = (handcraft.open(own / ".handcraft") for _ in range(2))
    save(scene(70), own / "photos" / "new.jpg")
    other.add(own / "photos")  # a second segment, so that there is something to merge
    before = ranking(store.query(own / "query.jpg", options=options))
    other.remove(own / "photos" / "scene-3.jpg")
    assert ranking(store.query(own / "query.jpg", options=options)) == before
    other.optimize()
    assert ranking(store.query(own / "query.jpg", options=options)) == before
    store.refresh()
    assert "photos/scene-3.jpg" not in by_name(store.query(own / "query.jpg", options=options).hits)
