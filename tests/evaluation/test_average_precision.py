"""Average precision by the Oxford rule: hand values, properties, an oracle and the original program."""

from __future__ import annotations

import itertools
import json
import random
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handcraft.errors import EvaluationError
from handcraft.evaluation.average_precision import average_precision, precision_at
from handcraft.evaluation.ground_truth import read_ground_truth

NONE: frozenset[str] = frozenset()


def oracle(ranking: list[str], positives: set[str], junk: set[str]) -> float:
    """The area under the precision-recall curve, whose every point is counted from scratch.

    The curve starts at recall 0, precision 1. Fractions: no rounding anywhere.
    """
    clean = [name for name in ranking if name not in junk]
    curve = [(Fraction(0), Fraction(1))]
    for length in range(1, len(clean) + 1):
        hits = len(positives.intersection(clean[:length]))
        curve.append((Fraction(hits, len(positives)), Fraction(hits, length)))
    area = Fraction(0)
    for (left, left_height), (right, right_height) in itertools.pairwise(curve):
        area += (right - left) * (left_height + right_height) / 2
    return float(area)


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[str], set[str], set[str]]:
    """A ranking of distinct names, positives of which some may not be retrieved, and junk."""
    names = [f"photo{i}" for i in range(draw(st.integers(1, 25)))]
    roles = draw(st.lists(st.sampled_from("pjn"), min_size=len(names), max_size=len(names)))
    positives = {name for name, role in zip(names, roles, strict=True) if role == "p"} | {"photo0"}
    junk = {name for name, role in zip(names, roles, strict=True) if role == "j"} - positives
    ranking = draw(st.permutations(names))
    return ranking[: draw(st.integers(0, len(names)))], positives, junk


@pytest.mark.parametrize(
    ("ranking", "positives", "value"),
    [
        (["a", "x", "b"], {"a", "b"}, (1 + (1 / 2 + 2 / 3) / 2) / 2),  # 0.7917, where TREC has 0.8333
        (["x", "a"], {"a"}, 0.25),  # where TREC has 0.5
        (["a"], {"a"}, 1.0),
        (["a"], {"a", "never retrieved"}, 0.5),
        (["x"], {"a"}, 0.0),
        ([], {"a"}, 0.0),
    ],
)
def test_hand_values(ranking: list[str], positives: set[str], value: float) -> None:
    assert average_precision(ranking, positives, NONE) == pytest.approx(value, abs=1e-12)


def test_the_two_well_known_values() -> None:
    assert round(average_precision(["a", "x", "b"], {"a", "b"}, NONE), 4) == 0.7917
    assert average_precision(["x", "a"], {"a"}, NONE) == 0.25


def test_a_repeated_name_counts_once() -> None:
    positives = {"a", "b"}
    once = average_precision(["a", "x", "b"], positives, NONE)
    assert average_precision(["a", "a", "x", "x", "a", "b", "b"], positives, NONE) == once


def test_a_positive_that_is_also_junk_is_never_found() -> None:
    """As in the original program, which looks at junk first."""
    assert average_precision(["a", "b"], {"a", "b"}, {"a"}) == 0.5


def test_no_positives_is_an_error() -> None:
    with pytest.raises(EvaluationError) as error:
        average_precision(["a"], NONE, NONE)
    assert str(error.value) == (
        "A ranking cannot be evaluated without positives; list at least one relevant photo."
    )


@given(cases())
def test_agrees_with_the_oracle(case: tuple[list[str], set[str], set[str]]) -> None:
    assert average_precision(*case) == pytest.approx(oracle(*case), abs=1e-12)


@given(cases())
def test_lies_between_0_and_1(case: tuple[list[str], set[str], set[str]]) -> None:
    assert 0.0 <= average_precision(*case) <= 1.0


@given(st.integers(1, 300), st.integers(0, 20), st.integers(0, 2**32 - 1))
def test_a_perfect_ranking_gives_exactly_1(positives: int, others: int, seed: int) -> None:
    first = [f"positive{i}" for i in range(positives)]
    random.Random(seed).shuffle(first)
    ranking = first + [f"other{i}" for i in range(others)]
    assert average_precision(ranking, set(first), NONE) == 1.0


@given(cases(), st.lists(st.integers(0, 30), min_size=1, max_size=10))
def test_junk_anywhere_changes_nothing(case: tuple[list[str], set[str], set[str]], places: list[int]) -> None:
    ranking, positives, junk = case
    littered = list(ranking)
    for number, place in enumerate(places):
        littered.insert(place, f"junk{number}")
    more_junk = junk | {f"junk{number}" for number in range(len(places))}
    assert average_precision(littered, positives, more_junk) == average_precision(ranking, positives, junk)
    for k in (1, 5, 10):
        expected = precision_at(ranking, positives, junk, k)
        assert precision_at(littered, positives, more_junk, k) == expected


@given(cases(), st.data())
def test_the_tail_after_the_last_positive_may_be_in_any_order(
    case: tuple[list[str], set[str], set[str]], data: st.DataObject
) -> None:
    ranking, positives, junk = case
    head = max((place + 1 for place, name in enumerate(ranking) if name in positives), default=0)
    tail = data.draw(st.permutations(ranking[head:]))
    assert average_precision(ranking[:head] + tail, positives, junk) == average_precision(*case)


@given(cases(), st.integers(1, 30))
def test_precision_at_counts_the_first_k_without_junk(
    case: tuple[list[str], set[str], set[str]], k: int
) -> None:
    ranking, positives, junk = case
    clean = [name for name in ranking if name not in junk]
    assert precision_at(ranking, positives, junk, k) == len(positives.intersection(clean[:k])) / k


def test_precision_at_divides_a_short_ranking_by_k() -> None:
    assert precision_at(["a", "j", "b"], {"a", "b"}, {"j"}, 5) == 2 / 5


def test_precision_at_counts_a_repeated_name_once() -> None:
    assert precision_at(["a", "a", "x"], {"a"}, NONE, 2) == 1 / 2


@pytest.mark.parametrize("k", [0, -3])
def test_precision_at_needs_a_rank(k: int) -> None:
    with pytest.raises(EvaluationError) as error:
        precision_at(["a"], {"a"}, NONE, k)
    assert str(error.value) == f"There is no precision at {k}; ranks count from 1."


@pytest.mark.photos
def test_the_55_values_of_the_original_program(shared_data: Path) -> None:
    """Six significant digits, printed by the authors' compute_ap for rankings of all 5063 photos."""
    golden = shared_data.parent / "golden"
    if not golden.is_dir():
        pytest.skip(f"the reference results are not at {golden}")
    expected = json.loads((golden / "oxford5k_expected.json").read_text(encoding="utf-8"))
    queries = {query.name: query for query in read_ground_truth(golden / "oxford5k_gt")}
    rankings = np.load(golden / "oxford5k_rankings.npz", allow_pickle=False)
    names = rankings["names"]
    values = {}
    for name, ranks in zip(rankings["queries"].tolist(), rankings["ranks"], strict=True):
        assert sorted(ranks.tolist()) == list(range(len(names)))
        query = queries[name]
        values[name] = average_precision(names[ranks].tolist(), query.positives, query.junk)
    assert len(values) == 55
    assert values.keys() == queries.keys() == expected["average_precision"].keys()
    wrong = {
        name: (value, expected["average_precision"][name])
        for name, value in values.items()
        if abs(value - expected["average_precision"][name]) > 1e-5
    }
    assert not wrong, f"(ours, theirs) of the queries that differ: {wrong}"
    assert sum(values.values()) / 55 == pytest.approx(expected["mean"], abs=1e-5)
