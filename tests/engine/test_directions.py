"""Turned queries: of an upright store they are described in several directions."""

from __future__ import annotations

from pathlib import Path

import pytest
from photographs import HEIGHT, ONCE, SCENES, WIDTH, ranking, save, scene, similarity, view

import handcraft
from handcraft import FeatureOptions, QueryOptions, VocabularyOptions
from handcraft.engine.searching import QueryResult
from handcraft.errors import HandcraftError, VocabularyError

MIDDLE = (WIDTH - 1) / 2, (HEIGHT - 1) / 2
PHOTO = "photos/scene-0.jpg"
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
    """The query's own scene as it is held, and a view of it that is turned by 80 degrees."""
    query, view = collection / PHOTO.replace("0", "3"), "photos/views/turned.jpg"
    full, less = (
        {
            hit.name: hit.score
            for hit in store.query(query, options=QueryOptions(direction_weight=weight)).hits
        }
        for weight in (1.0, 0.8)
    )
    assert less["photos/scene-3.jpg"] == full["photos/scene-3.jpg"]
    assert less[view] == pytest.approx(0.8 * full[view])


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
    store = handcraft.open(folder / "sift", features=FeatureOptions(detector="sift", upright=True))
    assert store.add(collection / "photos").added == SCENES + 2
    assert store.info().fingerprint.startswith("sift-rootsift (128 x uint8")
    for degrees in (0, 90, 20):
        hit = store.query(turned(folder, degrees), verify=True).hits[0]
        assert hit.name.endswith("scene-0.jpg")
        assert hit.inliers > 50
    assert store.query(turned(folder, 90), options=ONCE, verify=True).hits[0].match is None


def test_a_detector_without_a_vocabulary_is_given_one(collection: Path, folder: Path) -> None:
    regions = FeatureOptions(detector="mser")
    store = handcraft.open(folder / "mser", features=regions)
    with pytest.raises(VocabularyError) as error:
        store.add(collection / "photos")
    assert str(error.value) == (
        "No vocabulary for mser comes with handcraft; train one for your photos with "
        "`handcraft build-vocab PHOTOS --detector mser`."
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
