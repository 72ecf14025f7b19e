"""Turned queries: of an upright store they are described in several directions."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from photographs import HEIGHT, ONCE, SCENES, WIDTH, blank_wall, ranking, save, scene, similarity, view

import handcraft
from handcraft import FeatureOptions, QueryOptions, VocabularyOptions
from handcraft.engine import verifying
from handcraft.engine.directions import describe_turned
from handcraft.engine.searching import QueryResult
from handcraft.engine.voting import vote
from handcraft.engine.writing import stored_options
from handcraft.errors import HandcraftError, VocabularyError
from handcraft.features.description import Found
from handcraft.features.extraction import find_features
from handcraft.features.registry import directions_around
from handcraft.search.fusion import STRENGTH_DEPTH, answer_strength
from handcraft.types import Features, Match, RegionOfInterest
from handcraft.vocabulary.assignment import assign

MIDDLE = (WIDTH - 1) / 2, (HEIGHT - 1) / 2
PHOTO = "photos/scene-0.jpg"
ANY = 1e-9  # a share that every direction has that is answered at all
BETWEEN = 180 / QueryOptions().directions  # degrees: as far from the directions as a photo can be turned


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("turned")


def turned(folder: Path, degrees: float, number: int = 0) -> Path:
    """The middle of a scene, turned."""
    size = (HEIGHT, HEIGHT)
    return save(view(scene(number), similarity(degrees, 1, MIDDLE, size), size), folder / f"{degrees}.png")


def of(result: QueryResult, name: str = PHOTO) -> handcraft.Hit:
    (hit,) = [hit for hit in result.hits if hit.name == name]
    return hit


@dataclass
class Watched:
    """What is found in a photo, and the directions and limits in which it was described."""

    found: Found
    asked: list[tuple[float, int]] = field(default_factory=list)

    def describe(self, direction: float, limit: int, roi: RegionOfInterest | None) -> Features:
        self.asked.append((direction, limit))
        return self.found.describe(direction, limit, roi)


@dataclass
class Described:
    """A query described in the directions that it may be turned to."""

    features: list[Features]
    probes: list[tuple[float, int]]  # directions and limits
    wholly: list[float]  # directions


def describe(
    store: handcraft.Store, query: Path, threads: int = 1, limit: int = 0, **changes: float
) -> Described:
    """Describe a query of a store, by options of the query; limit: of its features, 0 is the store's."""
    options, stored = QueryOptions(**changes), stored_options(store.snapshot.manifest)  # type: ignore[arg-type]
    limit = limit or stored.max_features
    watched = Watched(find_features(query, stored)[1])
    upright = watched.found.describe(0.0, limit, None)
    with ThreadPoolExecutor(threads) as pool:
        features = describe_turned(watched, upright, limit, store.snapshot, options, None, pool)
    others = options.directions - 1
    assert all(asked == limit for _, asked in watched.asked[others:])
    return Described(features, watched.asked[:others], [direction for direction, _ in watched.asked[others:]])


def strengths(store: handcraft.Store, query: Path, count: int) -> dict[float, float]:
    """How well the strongest features are answered in each direction."""
    options, stored = QueryOptions(), stored_options(store.snapshot.manifest)
    found = find_features(query, stored)[1]
    answered = {}
    for direction in directions_around(options.directions):
        probe = found.describe(direction, count, None)
        words = assign(probe.descriptors, store.snapshot.vocabulary, options.asmk.assignments)
        votes = vote(store.snapshot, probe, words, options, STRENGTH_DEPTH, 1)
        answered[direction] = answer_strength(votes)
    return answered


# --- what is found ---


@pytest.mark.parametrize("degrees", [90, 180, 270, 20, 45, BETWEEN, BETWEEN - 90])
def test_a_turned_query_finds_its_photo(store: handcraft.Store, folder: Path, degrees: float) -> None:
    query = turned(folder, degrees)
    assert store.query(query).hits[0].name == PHOTO
    hit = store.query(query, verify=True).hits[0]
    assert hit.name == PHOTO
    assert hit.match is not None
    assert hit.inliers > 90
    assert (hit.match.rotation - degrees + 180) % 360 == pytest.approx(180, abs=1)


@pytest.mark.parametrize("degrees", [90, 180, 270, 45])
def test_in_one_direction_it_does_not(store: handcraft.Store, folder: Path, degrees: int) -> None:
    """What it still scores is by chance, and less than other photos do."""
    ranks = set()
    for number in (0, 5, 6):
        query, name = turned(folder, degrees, number), f"photos/scene-{number}.jpg"
        hit = of(store.query(query, options=ONCE, verify=True), name)
        assert hit.match is None
        assert hit.score < 0.5 * store.query(query).hits[0].score
        ranks.add(of(store.query(query, options=ONCE), name).rank)
    assert max(ranks) > 1


def test_a_query_that_is_little_turned_is_found_better(store: handcraft.Store, folder: Path) -> None:
    """By 20 degrees, which SIFT bears."""
    query = turned(folder, 20)
    one, all_round = of(store.query(query, options=ONCE, verify=True)), of(store.query(query, verify=True))
    assert 0 < one.inliers < all_round.inliers
    assert 0 < one.score < all_round.score


@pytest.mark.parametrize("number", [2, 4])
def test_the_directions_are_as_many_as_the_options_say(
    store: handcraft.Store, folder: Path, number: int
) -> None:
    options = QueryOptions(directions=number)
    found = {
        degrees: of(store.query(turned(folder, degrees), options=options, verify=True)).match is not None
        for degrees in (0, 90, 180)
    }
    assert found == {0: True, 90: number == 4, 180: True}


def test_a_query_as_it_is_held_is_as_in_one_direction(store: handcraft.Store, folder: Path) -> None:
    query = turned(folder, 0)
    one, all_round = store.query(query, options=ONCE, verify=True), store.query(query, verify=True)
    assert one.features == all_round.features
    assert ranking(one)[0] == ranking(all_round)[0]


def test_the_evidence_is_in_pixels_of_the_query_as_it_is_held(store: handcraft.Store, folder: Path) -> None:
    size = (HEIGHT, HEIGHT)
    match = of(store.query(turned(folder, 90), verify=True)).match
    assert match is not None
    assert match.affine == pytest.approx(similarity(90, 1, MIDDLE, size), abs=0.5)
    ahead = match.query_points @ match.affine[:, :2].T + match.affine[:, 2]
    assert ahead == pytest.approx(match.photo_points, abs=4)


def test_a_region_of_a_turned_query(store: handcraft.Store, folder: Path) -> None:
    """Its features are those inside, in whatever direction."""
    query = turned(folder, 180)
    result = store.query(query, roi=(0, 0, HEIGHT / 2, HEIGHT), verify=True)
    assert result.features < store.query(query).features
    match = of(result).match
    assert match is not None
    assert result.hits[0].name == PHOTO
    assert match.query_points[:, 0].max() <= HEIGHT / 2


# --- the options ---


def test_scores_of_other_directions_count_less(store: handcraft.Store, collection: Path) -> None:
    """The query's own scene as it is held, and a view of it that is turned by 70 degrees."""
    query, view = collection / PHOTO.replace("0", "3"), "photos/views/turned.jpg"
    full, less = (
        {
            hit.name: hit.score
            for hit in store.query(query, options=QueryOptions(direction_weight=weight, probe_share=0.1)).hits
        }
        for weight in (1.0, 0.8)
    )
    assert less["photos/scene-3.jpg"] == full["photos/scene-3.jpg"]
    assert less[view] == pytest.approx(0.8 * full[view])


def test_a_photo_is_verified_in_the_direction_it_resembles_too(
    store: handcraft.Store, collection: Path
) -> None:
    """The view that is turned ranks by the query as it is held, since other directions count for little."""
    query, view = collection / "photos/scene-3.jpg", "photos/views/turned.jpg"
    options = QueryOptions(direction_weight=0.0001, probe_share=0.1)
    hit, held = (of(store.query(query, options=each, verify=True), view) for each in (options, ONCE))
    assert hit.score > held.score
    assert held.match is None
    assert hit.match is not None
    assert hit.match.rotation == pytest.approx(-70, abs=1)


def test_a_photo_that_is_tried_twice_has_half_the_evidence_each_time(
    store: handcraft.Store, collection: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    none, corners = np.empty((0, 2)), np.zeros((4, 2))
    found = Match(
        np.eye(2, 3), none, none, np.empty(0, np.int32), corners, 1.0, evidence=20.0, certainty=15.0
    )
    monkeypatch.setattr(verifying, "verify", lambda *_: found)
    options = QueryOptions(direction_weight=0.0001, probe_share=0.1, verify=True)
    hits = store.query(collection / "photos/scene-3.jpg", options=options).hits
    tried = {round(20.0 - hit.match.evidence, 6) for hit in hits if hit.match}
    assert tried == {0.0, round(math.log10(2), 6)}
    assert {round(15.0 - hit.match.certainty, 6) for hit in hits if hit.match} == tried


def test_the_share_says_which_photos_are_found_besides_better_ones(
    store: handcraft.Store, collection: Path
) -> None:
    """The query is a photo of the store, which has another of its scene that is turned by 70 degrees."""
    query, view = collection / "photos/scene-3.jpg", "photos/views/turned.jpg"
    for share, found in ((0.1, True), (1.0, False)):
        hit = of(store.query(query, options=QueryOptions(probe_share=share), verify=True), view)
        assert (hit.match is not None) == found


def test_the_ranking_is_the_same_at_any_number_of_threads(collection: Path, folder: Path) -> None:
    query = turned(folder, 45)
    one, two = (
        handcraft.open(collection / ".handcraft", threads=threads).query(query, verify=True)
        for threads in (1, 3)
    )
    assert ranking(one) == ranking(two)


@pytest.mark.parametrize("degrees", [0, 90, 45])
def test_top_cuts_the_ranking_whatever_the_direction(
    store: handcraft.Store, folder: Path, degrees: int
) -> None:
    """Which direction is answered best must not depend on how many photos are asked for."""
    query, options = turned(folder, degrees), QueryOptions(direction_weight=0.5)
    whole = ranking(store.query(query, options=options, top=99))
    for top in (1, 2, 5):
        assert ranking(store.query(query, options=options, top=top)) == whole[:top]


# --- the directions that are described wholly ---


@pytest.mark.parametrize("degrees", [0, 90, 45])
@pytest.mark.parametrize(
    ("share", "most", "count"), [(0.7, 4, 300), (ANY, 3, 300), (0.2, 16, 60), (1.0, 1, 5)]
)
def test_they_are_those_that_the_strongest_features_are_answered_best_in(
    store: handcraft.Store,
    folder: Path,
    degrees: float,
    share: float,
    most: int,
    count: int,
) -> None:
    query = turned(folder, degrees)
    by_direction = strengths(store, query, count)
    least = share ** QueryOptions().asmk.alpha * max(by_direction.values())  # the store votes by ASMK
    others = [direction for direction in by_direction if direction]
    best = sorted(others, key=lambda direction: -by_direction[direction])[:most]
    described = describe(store, query, probe_share=share, most_directions=most, probe_features=count)
    assert described.wholly == sorted(direction for direction in best if by_direction[direction] >= least)


def test_every_direction_is_tried_by_the_strongest_features(store: handcraft.Store, folder: Path) -> None:
    for directions in (2, 16):
        described = describe(store, turned(folder, 90), directions=directions, probe_features=50)
        assert sorted(described.probes) == [(way, 50) for way in directions_around(directions)[1:]]


def test_no_more_features_are_tried_than_the_store_has_of_a_photo(
    store: handcraft.Store, folder: Path
) -> None:
    described = describe(store, turned(folder, 90), limit=40)
    assert {limit for _, limit in described.probes} == {40}
    assert {len(features) for features in described.features} == {40}


def test_the_smaller_the_share_the_more_are_described(store: handcraft.Store, folder: Path) -> None:
    query = turned(folder, 45)
    few, more, all_others = (
        describe(store, query, probe_share=share, most_directions=16).wholly for share in (0.9, 0.005, ANY)
    )
    assert set(few) < set(more) <= set(all_others)
    assert len(all_others) == 15


@pytest.mark.parametrize("most", [1, 2, 7])
def test_no_more_than_the_most_are_described(store: handcraft.Store, folder: Path, most: int) -> None:
    described = describe(store, turned(folder, 90), probe_share=ANY, most_directions=most)
    assert len(described.wholly) == len(described.features) == most
    assert 1.5 * math.pi in described.wholly


def test_the_query_as_it_is_held_is_not_one_of_the_most(store: handcraft.Store, folder: Path) -> None:
    """It is answered best here, and one other direction is described besides."""
    query, options = turned(folder, 0), QueryOptions(probe_share=ANY, most_directions=1)
    assert len(describe(store, query, probe_share=ANY, most_directions=1).wholly) == 1
    assert of(store.query(query, options=options)).score == of(store.query(query, options=ONCE)).score


def test_the_query_as_it_is_held_is_kept_where_another_direction_is_answered_best(
    store: handcraft.Store, folder: Path
) -> None:
    """Every photo scores no less than by it, at the weight that it then has."""
    query, options = turned(folder, 90), QueryOptions(most_directions=1)
    all_round, once = (
        {hit.name: hit.score for hit in store.query(query, options=each).hits} for each in (options, ONCE)
    )
    kept = [name for name in once if all_round[name] == pytest.approx(options.direction_weight * once[name])]
    assert all(all_round[name] > 0.999 * options.direction_weight * score for name, score in once.items())
    assert kept
    assert PHOTO not in kept


def test_a_query_that_no_photo_answers_is_described_as_it_is_held(folder: Path) -> None:
    store = handcraft.open(folder / "blank")
    store.add(save(blank_wall(), folder / "wall.png"))
    assert describe(store, turned(folder, 90)).features == []
    assert store.query(turned(folder, 90), verify=True).hits == ()


@pytest.mark.parametrize("degrees", [0, 90])
def test_they_are_the_same_at_any_number_of_threads(
    store: handcraft.Store, folder: Path, degrees: float
) -> None:
    query = turned(folder, degrees)
    one, *others = (
        [
            (features.frames.tobytes(), features.descriptors.tobytes())
            for features in describe(store, query, threads, probe_share=ANY).features
        ]
        for threads in (1, 2, 5)
    )
    assert len(one) > 1
    assert others == [one, one]


# --- what options refuse ---


@pytest.mark.parametrize("name", ["direction_weight", "probe_share"])
@pytest.mark.parametrize("value", [0.0, -0.5, 1.01, float("nan")])
def test_a_share_that_is_none_is_refused(name: str, value: float) -> None:
    with pytest.raises(HandcraftError, match=f"^{name}={value} is not above 0 and at most 1\\.$"):
        QueryOptions(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["direction_weight", "probe_share"])
def test_a_whole_is_a_share(name: str) -> None:
    assert getattr(QueryOptions(**{name: 1.0}), name) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["probe_features", "most_directions"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_count_of_none_is_refused(name: str, value: int) -> None:
    with pytest.raises(HandcraftError, match=f"^{name}={value} is too small; give 1 or more\\.$"):
        QueryOptions(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("directions", [0, -1])
def test_no_direction_at_all_is_refused(directions: int) -> None:
    for options in (QueryOptions, handcraft.MatchOptions):
        with pytest.raises(HandcraftError, match=f"^directions={directions} is too small; give 1 or more"):
            options(directions=directions)


# --- other stores ---


def test_an_oriented_store_needs_no_directions(collection: Path, folder: Path) -> None:
    store = handcraft.open(folder / "oriented", features=FeatureOptions(upright=False))
    store.add([collection / PHOTO, collection / "photos" / "scene-1.jpg"])
    query = turned(folder, 90)
    one, all_round = (
        ranking(store.query(query, options=options, verify=True)) for options in (ONCE, QueryOptions())
    )
    assert one == all_round
    assert "scene-0.jpg" in str(one[0][1])


def test_a_store_of_upright_sift(collection: Path, folder: Path) -> None:
    """It has a vocabulary of its own, and the words of turned SIFT features."""
    store = handcraft.open(folder / "sift", features=FeatureOptions(extractor="sift", upright=True))
    assert store.add(collection / "photos").added == SCENES + 2
    assert store.info().fingerprint.startswith("sift-rootsift (128 x uint8")
    for degrees in (0, 90, 20):
        hit = store.query(turned(folder, degrees), verify=True).hits[0]
        assert hit.name.endswith("scene-0.jpg")
        assert hit.inliers > 50
    assert store.query(turned(folder, 90), options=ONCE, verify=True).hits[0].match is None


def test_an_extractor_without_a_vocabulary_is_given_one(collection: Path, folder: Path) -> None:
    regions = FeatureOptions(extractor="mser")
    store = handcraft.open(folder / "mser", features=regions)
    with pytest.raises(VocabularyError) as error:
        store.add(collection / "photos")
    assert str(error.value) == (
        "No vocabulary for mser comes with handcraft; train one for your photos with "
        "`handcraft build-vocab PHOTOS --extractor mser`."
    )
    assert not store.exists
    file = folder / "mser.h5"
    store.build_vocabulary(collection / "photos", VocabularyOptions(words=300), output=file)
    store = handcraft.open(folder / "mser", features=regions, vocabulary=file)
    assert store.add(collection / "photos").added == SCENES + 2
    for degrees in (0, 180):
        hit = store.query(turned(folder, degrees), verify=True).hits[0]
        assert hit.name.endswith("scene-0.jpg")
        assert hit.match is not None
