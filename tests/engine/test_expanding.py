"""Queries that ask again with what their verified answers show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from photographs import ONCE, copy_of, ranking, save, scene, similarity, view
from PIL import Image

import handcraft
from handcraft.engine.expanding import ExpandedSide, expand_side
from handcraft.engine.searching import QueryResult, vote_again
from handcraft.engine.verifying import prepare_query
from handcraft.errors import HandcraftError, StoreError
from handcraft.features.extraction import extract_photo
from handcraft.options import (
    BowOptions,
    FeatureOptions,
    IndexOptions,
    QueryOptions,
    SignatureOptions,
    VerificationOptions,
)
from handcraft.types import Features, Match
from handcraft.verification.correspondences import query_side
from handcraft.vocabulary.assignment import assign

Ask = Callable[[QueryOptions], QueryResult]

SIZE = (300, 220)
HQE = replace(ONCE, expand="hqe")


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """photos/: pieces of a long scene that overlap, and other scenes; query.jpg: the first piece."""
    folder = tmp_path_factory.mktemp("street")
    (folder / "photos").mkdir()
    image = scene(3, 700, 220)
    for number, left in enumerate(range(0, 401, 80)):
        save(image.crop((left, 0, left + 300, 220)), folder / "photos" / f"street-{number}.jpg")
    for number in range(4):
        save(scene(20 + number, *SIZE), folder / "photos" / f"other-{number}.jpg")
    save(view(image, similarity(0, 1.0, (150, 110), SIZE), SIZE), folder / "query.jpg")
    handcraft.open(folder / ".handcraft").add(folder / "photos")
    return folder


@pytest.fixture
def asked(street: Path) -> Ask:
    store = handcraft.open(street / ".handcraft")
    return lambda options: store.query(street / "query.jpg", options=options)


def scores(result: QueryResult) -> dict[str, float]:
    return {Path(hit.name).stem: hit.score for hit in result.hits}


def test_what_the_answers_show_is_found_too(asked: Ask) -> None:
    """The pieces further down the street share little or nothing with the query."""
    verified, expanded = (asked(options) for options in (replace(ONCE, verify=True), HQE))
    names = [Path(hit.name).stem for hit in expanded.hits]
    street = [name for name in names if name.startswith("street")]
    assert names[: len(street)] == street
    assert set(expanded.seconds) == {*verified.seconds, "expansion"}
    assert expanded.verified >= verified.verified > 1
    before, after = scores(verified), scores(expanded)
    assert after["street-2"] > before["street-2"]


def test_hits_show_the_evidence_of_the_query_itself(asked: Ask) -> None:
    verified, expanded = (asked(options) for options in (replace(ONCE, verify=True), HQE))
    matches = {hit.name: hit.match for hit in expanded.hits if hit.match}
    for hit in verified.hits:
        if hit.match:
            assert matches[hit.name].photo_points.tolist() == hit.match.photo_points.tolist()


def test_more_answers_change_the_scores(asked: Ask) -> None:
    assert scores(asked(replace(HQE, expansion_answers=1))) != scores(asked(HQE))


def test_only_verified_photos_are_answers(asked: Ask) -> None:
    verified = scores(asked(replace(ONCE, verify=True)))
    assert scores(asked(HQE)) != verified
    none = replace(HQE, verification=VerificationOptions(max_false_alarms=0.0))
    assert asked(none).verified == 0
    assert scores(asked(none)) == verified


@pytest.mark.parametrize(
    ("inliers", "evidence"),
    [
        ([0, 1, 2], 50.0),  # the query's own features
        ([0, 1, 3], 50.0),
        ([0, 3, 4], 9.0),  # of an answer with an evidence of 9
        ([3, 4, 5], 9.0),
        ([5, 5, 3], 50.0),  # of another one with 80
    ],
)
def test_an_answer_vouches_no_further_than_the_query_for_it(inliers: list[int], evidence: float) -> None:
    side = query_side(
        Features(np.zeros((6, 2, 3), np.float32), np.zeros((6, 1)), 1, 1), np.zeros((6, 1), np.int32)
    )
    expanded = ExpandedSide(side, np.array([np.inf, np.inf, np.inf, 9.0, 9.0, 80.0]))
    none = np.zeros((3, 2))
    match = Match(np.eye(2, 3), none, none, np.array(inliers, np.int32), none, 1.0, 50.0, 50.0)
    assert expanded.evidence_of(match) == evidence


def test_answers_are_vouched_for_by_their_evidence(street: Path) -> None:
    store = handcraft.open(street / ".handcraft")
    hits = store.query(street / "query.jpg", options=replace(ONCE, verify=True)).hits
    answers = {hit.image_id: hit.match for hit in hits if hit.match}
    assert len(answers) > 1
    _, features = extract_photo(street / "query.jpg", FeatureOptions())
    words = assign(features.descriptors, store.snapshot.vocabulary, 3).words
    expanded = expand_side(store.snapshot, prepare_query(store.snapshot, features, words), answers, None)
    assert len(expanded.vouched) == len(expanded.side.frames)
    assert np.isinf(expanded.vouched[: len(features)]).all()
    assert set(expanded.vouched[len(features) :]) == {match.evidence for match in answers.values()}


def test_the_geometry_of_answers_changes_the_scores(street: Path, tmp_path: Path) -> None:
    """The query is blurred, so its best answer has more that the next photos agree with."""
    with Image.open(street / "query.jpg") as image:
        blurred = save(image.resize((120, 88)), tmp_path / "blurred.jpg")
    store, one = handcraft.open(street / ".handcraft"), replace(HQE, expansion_answers=1)
    without, with_it = (
        scores(store.query(blurred, options=replace(one, expansion_geometry=count))) for count in (0, 1)
    )
    assert with_it["street-0"] == without["street-0"]
    assert with_it["street-1"] > without["street-1"]


def test_rounds_go_on_while_they_verify_more(asked: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a shortlist of two photos, each round has another one to look at."""
    few = replace(HQE, top=2, verification=VerificationOptions(depth=2))
    one, three = (asked(replace(few, expansion_rounds=rounds)) for rounds in (1, 3))
    assert one.compared <= three.compared
    rounds: list[int] = []

    def counted(*arguments: object) -> object:
        rounds.append(1)
        return vote_again(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("handcraft.engine.searching.vote_again", counted)
    for limit in (1, 2):
        rounds.clear()
        asked(replace(HQE, expansion_rounds=limit, verification=VerificationOptions(depth=2)))
        assert len(rounds) <= limit


def test_expansion_verifies_whether_it_is_asked_to_or_not(asked: Ask) -> None:
    assert ranking(asked(HQE)) == ranking(asked(replace(HQE, verify=True)))


@pytest.mark.parametrize("top", [1, 3])
def test_top_cuts_the_ranking(asked: Ask, top: int) -> None:
    assert ranking(asked(replace(HQE, top=top))) == ranking(asked(HQE))[:top]


def test_a_region_is_expanded_by_what_lies_in_it(street: Path) -> None:
    store = handcraft.open(street / ".handcraft")
    left, whole = (
        store.query(street / "query.jpg", roi=roi, options=HQE) for roi in ((0, 0, 150, 220), None)
    )
    assert left.hits[0].name == whole.hits[0].name
    assert scores(left) != scores(whole)


def test_the_same_at_any_number_of_threads(street: Path) -> None:
    stores = [handcraft.open(street / ".handcraft", threads=threads) for threads in (1, 2, 5)]
    one, two, five = (ranking(store.query(street / "query.jpg", options=HQE)) for store in stores)
    assert one == two == five


def test_a_query_that_verifies_nothing_is_not_expanded(street: Path, tmp_path: Path) -> None:
    store = handcraft.open(street / ".handcraft")
    other = save(scene(77, *SIZE), tmp_path / "other.jpg")
    plain, expanded = (store.query(other, options=options) for options in (replace(ONCE, verify=True), HQE))
    assert plain.verified == 0
    assert ranking(plain) == ranking(expanded)


def test_removed_photos_are_no_answers(street: Path, tmp_path: Path) -> None:
    own = copy_of(street, tmp_path)
    store = handcraft.open(own / ".handcraft")
    store.remove(own / "photos" / "street-1.jpg")
    fresh = handcraft.open(own / "fresh")
    (own / "photos" / "street-1.jpg").unlink()
    fresh.add(own / "photos")
    assert scores(store.query(own / "query.jpg", options=HQE)) == scores(
        fresh.query(own / "query.jpg", options=HQE)
    )


# --- of bags of words ---

AQE, DQE = (replace(ONCE, method="bow", expand=name) for name in ("aqe", "dqe"))
BAGS = [AQE, DQE]


@pytest.mark.parametrize("options", BAGS)
def test_bags_of_words_find_what_the_answers_show_too(asked: Ask, options: QueryOptions) -> None:
    verified, expanded = (asked(chosen) for chosen in (replace(options, expand="", verify=True), options))
    assert [Path(hit.name).stem.split("-")[0] for hit in expanded.hits[:3]] == ["street"] * 3
    before, after = scores(verified), scores(expanded)
    assert after["street-2"] > before["street-2"]


def test_the_expansions_are_not_the_same(asked: Ask) -> None:
    aqe, dqe, none = (scores(asked(one)) for one in (AQE, DQE, replace(AQE, expand="", verify=True)))
    assert aqe != dqe
    assert none not in (aqe, dqe)


@pytest.mark.parametrize("options", BAGS)
def test_bags_of_words_of_a_region(street: Path, options: QueryOptions) -> None:
    store = handcraft.open(street / ".handcraft")
    left, whole = (
        store.query(street / "query.jpg", roi=roi, options=options) for roi in ((0, 0, 150, 220), None)
    )
    assert scores(left) != scores(whole)


@pytest.mark.parametrize("options", BAGS)
def test_bags_of_words_at_any_number_of_threads(street: Path, options: QueryOptions) -> None:
    stores = [handcraft.open(street / ".handcraft", threads=threads) for threads in (1, 3)]
    one, three = (ranking(store.query(street / "query.jpg", options=options)) for store in stores)
    assert one == three


def test_the_negatives_change_what_tells_the_answers(asked: Ask) -> None:
    assert scores(asked(replace(DQE, expansion_negatives=1))) != scores(asked(DQE))
    few = replace(AQE, expansion_negatives=1)
    assert scores(asked(few)) == scores(asked(AQE))


def test_without_negatives_the_answers_are_averaged(street: Path, tmp_path: Path) -> None:
    """Of a store of one photo."""
    store = handcraft.open(tmp_path / "store")
    store.add(street / "photos" / "street-0.jpg")
    aqe, dqe = (scores(store.query(street / "query.jpg", options=options)) for options in BAGS)
    assert aqe == dqe


# --- what cannot be ---

OF_SIGNATURES = (
    "Expansion by hqe is of the signatures of ASMK*; give --method asmk, and index with one binary "
    "signature for a word of a photo, or give --expand aqe --method bow."
)
OF_BAGS = "Expansion by aqe is of bags of words; give --method bow, or --expand hqe."
OF_COSINES = "Expansion by dqe compares by the cosine; leave --norm out, or give --expand aqe."


@pytest.mark.parametrize(
    ("index", "options", "sentence"),
    [
        (IndexOptions(), replace(HQE, method="bow"), OF_SIGNATURES),
        (IndexOptions(method="bow"), HQE, OF_SIGNATURES),
        (IndexOptions(signatures=SignatureOptions(aggregated=False)), HQE, OF_SIGNATURES),
        (IndexOptions(signatures=SignatureOptions(binary=False)), HQE, OF_SIGNATURES),
        (IndexOptions(), replace(AQE, method=""), OF_BAGS),
        (IndexOptions(method="vlad"), replace(AQE, method=""), OF_BAGS.replace(", or --expand hqe", "")),
        (IndexOptions(), replace(DQE, bow=BowOptions(norm=1)), OF_COSINES),
    ],
)
def test_what_cannot_be_expanded(
    street: Path, tmp_path: Path, index: IndexOptions, options: QueryOptions, sentence: str
) -> None:
    store = handcraft.open(tmp_path / "store")
    store.add(street / "photos" / "street-0.jpg", options=index)
    with pytest.raises(StoreError) as error:
        store.query(street / "query.jpg", options=options)
    assert str(error.value) == sentence


def test_an_unknown_expansion() -> None:
    with pytest.raises(HandcraftError) as error:
        QueryOptions(expand="magic")
    assert str(error.value) == "There is no expansion 'magic'; the expansions are aqe, dqe, hqe."
