"""One shortlist from several descriptions of a query, against a plain oracle."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from handcraft.search.fusion import STRENGTH_DEPTH, FusedShortlist, answer_strength, fuse
from handcraft.search.scoring import Shortlist

Scores: TypeAlias = dict[int, float]  # of photos by their ids, under one description

PHOTOS = 30

# Multiples of 1/64 below 1, of which halves are exact in float32, and cubes and their sums in Python;
# few, so that many are equal.
few = st.sampled_from([number / 64 for number in (1, 2, 4, 8, 16, 32, 48)])
described = st.lists(st.dictionaries(st.integers(0, PHOTOS - 1), few), min_size=1, max_size=5)
weights = st.sampled_from([0.25, 0.5, 0.75, 1.0])


def ranked(scores: Scores, top: int = PHOTOS) -> list[tuple[int, float]]:
    return sorted(scores.items(), key=lambda photo: (-photo[1], photo[0]))[:top]


def shortlist(scores: Scores, top: int = PHOTOS) -> Shortlist:
    rows = ranked(scores, top)
    return Shortlist(np.array([i for i, _ in rows], np.int64), np.array([s for _, s in rows], np.float32))


def fused(described: list[Scores], weight: float, top: int = PHOTOS) -> FusedShortlist:
    return fuse([shortlist(scores) for scores in described], weight, top)


Row: TypeAlias = tuple[int, float, int, int]  # id, score, the description it ranks by, that it resembles


def rows(found: FusedShortlist) -> list[Row]:
    by, alike = found.descriptions.T.tolist()
    return list(zip(found.ids.tolist(), found.scores.tolist(), by, alike, strict=True))


def ranks(found: list[Row]) -> list[tuple[int, float, int]]:
    """Without the descriptions that photos resemble."""
    return [row[:3] for row in found]


def preferred(described: list[Scores], weight: float) -> int:
    """The description that is answered best, where all but the first count less."""
    best, strength = 0, cubes(described[0])
    for number, scores in enumerate(described[1:], 1):
        other = weight**3 * cubes(scores)
        if other > strength:
            best, strength = number, other
    return best


def cubes(scores: Scores) -> float:
    """The strength of an answer, cubed: the sum of the cubes of its best scores."""
    return sum(score**3 for _, score in ranked(scores, STRENGTH_DEPTH))


def expected(described: list[Scores], weight: float, top: int) -> list[Row]:
    """Each photo by the description that gives it most, and the one that would if all counted the same;
    the earliest of equals."""
    best = preferred(described, weight)
    counted = [
        {image_id: score if number == best else weight * score for image_id, score in scores.items()}
        for number, scores in enumerate(described)
    ]
    by = {image_id: first_highest(counted, image_id) for scores in described for image_id in scores}
    found = [
        (image_id, counted[number][image_id], number, first_highest(described, image_id))
        for image_id, number in by.items()
    ]
    return sorted(found, key=lambda row: (-row[1], row[0]))[:top]


def first_highest(described: list[Scores], image_id: int) -> int:
    """The description that gives a photo its highest score."""
    return max(range(len(described)), key=lambda number: described[number].get(image_id, 0))


@settings(max_examples=300)
@given(described, weights, st.integers(1, PHOTOS + 5))
@example([{3: 0.5, 1: 0.5}, {1: 0.75}], 0.5, 2)
@example([{}, {}], 0.75, 3)
def test_it_is_the_ranking_of_the_oracle(described: list[Scores], weight: float, top: int) -> None:
    found = fused(described, weight, top)
    assert rows(found) == expected(described, weight, top)
    assert (found.ids.dtype, found.scores.dtype) == (np.int64, np.float32)
    assert found.descriptions.dtype == np.int64


@settings(max_examples=300)
@given(described, weights, st.integers(1, PHOTOS))
def test_lists_that_are_cut_give_the_same_ranking(described: list[Scores], weight: float, top: int) -> None:
    """As long as they are no shorter than what is wanted, and than what the preference looks at. But a photo
    is not said to resemble a description whose list was cut before it."""
    cut = [shortlist(scores, max(top, STRENGTH_DEPTH)) for scores in described]
    assert ranks(rows(fuse(cut, weight, top))) == ranks(rows(fused(described, weight)))[:top]


@given(st.dictionaries(st.integers(0, PHOTOS - 1), st.floats(2**-20, 1, width=32)), weights)
def test_one_description_is_left_as_it_is(scores: Scores, weight: float) -> None:
    one = shortlist(scores)
    found = fuse([one], weight, PHOTOS)
    assert found.ids.tobytes() == one.ids.tobytes()
    assert found.scores.tobytes() == one.scores.tobytes()
    assert not found.descriptions.any()


def test_the_best_answered_description_has_the_full_score() -> None:
    """And the photos of another stand behind it, though their scores are as high."""
    found = fused([{1: 0.25}, {2: 0.75, 3: 0.5}, {4: 0.75, 1: 0.375}], 0.5)
    assert rows(found) == [(2, 0.75, 1, 1), (3, 0.5, 1, 1), (4, 0.375, 2, 2), (1, 0.1875, 2, 2)]


def test_the_query_as_it_is_held_is_preferred() -> None:
    """Another description must be answered better by more than the weight."""
    assert rows(fused([{1: 0.5}, {2: 1.0}], 0.5)) == [(1, 0.5, 0, 0), (2, 0.5, 1, 1)]
    assert rows(fused([{1: 0.5 - 1 / 64}, {2: 1.0}], 0.5)) == [(2, 1.0, 1, 1), (1, 0.2421875, 0, 0)]


def test_of_the_others_the_first_of_equals_is_preferred() -> None:
    assert rows(fused([{}, {1: 0.5}, {2: 0.5}], 0.5)) == [(1, 0.5, 1, 1), (2, 0.25, 2, 2)]


def test_only_the_best_photos_say_how_well_a_description_is_answered() -> None:
    """All the many would outweigh the one."""
    many, one = dict.fromkeys(range(2 * STRENGTH_DEPTH), 0.25), {100: 0.59375}
    assert cubes(many) < (0.9375 * 0.59375) ** 3 < 2 * cubes(many)
    assert rows(fused([many, one], 0.9375, 2)) == [(100, 0.59375, 1, 1), (0, 0.234375, 0, 0)]


def test_one_photo_that_stands_out_outweighs_several_that_do_not() -> None:
    several, one = dict.fromkeys(range(4), 0.25), {100: 0.5}
    assert rows(fused([several, one], 0.875, 2)) == [(100, 0.5, 1, 1), (0, 0.21875, 0, 0)]


def test_the_strength_of_an_answer() -> None:
    assert answer_strength(shortlist({})) == 0
    assert answer_strength(shortlist({3: 0.5})) == pytest.approx(0.5)
    assert answer_strength(shortlist({3: 0.5, 4: 0.25})) == pytest.approx((0.125 + 0.015625) ** (1 / 3))


@pytest.mark.parametrize("weight", [0.5, 1.0])
def test_a_photo_is_found_once_by_its_best_description(weight: float) -> None:
    found = fused([{7: 0.375, 2: 0.125}, {7: 0.75, 2: 0.75}, {2: 0.375}], weight)
    assert sorted(found.ids.tolist()) == [2, 7]
    assert found.descriptions.tolist() == [[1, 1], [1, 1]]


def test_a_photo_may_resemble_another_description_more_than_the_one_it_ranks_by() -> None:
    """One that counts less."""
    assert rows(fused([{1: 0.5}, {1: 0.625}], 0.5)) == [(1, 0.5, 0, 1)]
    assert rows(fused([{1: 0.5, 2: 0.25}, {1: 0.375, 2: 1.0}], 0.25)) == [(1, 0.5, 0, 0), (2, 0.25, 0, 1)]


def test_of_descriptions_that_a_photo_resembles_alike_it_has_the_first() -> None:
    """Even where a later one is answered best, and counts in full."""
    assert rows(fused([{1: 0.5}, {1: 0.5}, {1: 0.5}], 0.5)) == [(1, 0.5, 0, 0)]
    assert rows(fused([{}, {1: 0.25}, {1: 0.25, 2: 0.75}], 0.5)) == [(2, 0.75, 2, 2), (1, 0.25, 2, 1)]


def test_equal_scores_rank_by_id_whatever_description_they_are_of() -> None:
    found = fused([{9: 0.5, 5: 0.5, 1: 0.25}, {7: 0.5, 2: 0.5, 1: 0.25}], 1.0)
    assert found.ids.tolist() == [2, 5, 7, 9, 1]
    assert found.descriptions.tolist() == [[1, 1], [0, 0], [1, 1], [0, 0], [0, 0]]


@pytest.mark.parametrize("count", [1, 2, 12])
def test_descriptions_that_find_nothing(count: int) -> None:
    found = fused([{}] * count, 0.75)
    assert rows(found) == []
    assert (found.ids.dtype, found.scores.dtype, found.descriptions.dtype) == (np.int64, np.float32, np.int64)


def test_the_shortlists_are_left_as_they_were() -> None:
    lists = [shortlist({1: 0.5, 2: 0.25}), shortlist({1: 0.75})]
    before = [(one.ids.tobytes(), one.scores.tobytes()) for one in lists]
    fuse(lists, 0.5, 1)
    assert [(one.ids.tobytes(), one.scores.tobytes()) for one in lists] == before
