"""Matching names and the report of an evaluation."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handcraft.errors import EvaluationError
from handcraft.evaluation import protocols
from handcraft.evaluation.average_precision import average_precision
from handcraft.evaluation.ground_truth import GroundTruthQuery, read_ground_truth
from handcraft.evaluation.protocols import EvaluationReport, QueryResult, evaluate, match_names


def make_query(name: str, positives: set[str], junk: Iterable[str] = ()) -> GroundTruthQuery:
    return GroundTruthQuery(name, f"{name}.jpg", None, frozenset(positives), frozenset(junk))


# --- names ---


@pytest.mark.parametrize(
    ("wanted", "present", "match"),
    [
        ("a.jpg", ["b.jpg", "a.jpg"], "a.jpg"),  # equal
        ("a.jpg", ["x/a.jpg", "a.jpg", "a.png"], "a.jpg"),  # equal goes before all else
        ("a.jpg", ["x/y/a.jpg"], "x/y/a.jpg"),  # same file name
        ("x/a.jpg", ["a.jpg"], "a.jpg"),
        ("x/a.jpg", ["y/a.jpg"], "y/a.jpg"),
        ("a.jpg", ["x/a.png", "y/a.jpg"], "y/a.jpg"),  # file name goes before its stem
        ("a", ["x/a.jpg"], "x/a.jpg"),  # same without extension
        ("a.jpg", ["a.PNG"], "a.PNG"),
        ("x/a.jpg", ["a"], "a"),
        ("st.peter", ["st.jpg", "st.peter.jpg"], "st.peter.jpg"),  # a dot of the name's own
        (".hidden", [".hidden"], ".hidden"),
        ("a", ["a.jpg", "a.jpg"], "a.jpg"),  # the same name twice is one name
        ("a", ["A.jpg", "b/a.jpg"], "b/a.jpg"),  # the same letters go before those of another case
        ("St_Peter.JPG", ["x/st_peter.jpg"], "x/st_peter.jpg"),
    ],
)
def test_names_match(wanted: str, present: list[str], match: str) -> None:
    assert match_names([wanted], present) == {wanted: match}


@pytest.mark.parametrize(
    ("wanted", "present"),
    [("a.jpg", []), ("a", ["aa.jpg", "b.jpg", "b/aa"]), ("a", ["a/b.jpg"]), ("a.jpg.png", ["b.jpg.png"])],
)
def test_names_without_a_match_are_absent(wanted: str, present: list[str]) -> None:
    assert match_names([wanted], present) == {}


@pytest.mark.parametrize(
    ("wanted", "present", "words"),
    [
        (
            "a",
            ["z/a.jpg", "x/a.png", "y/a.jpg"],
            "The ground truth's 'a' may be 'x/a.png' or 'y/a.jpg'; write one of these in the ground truth.",
        ),
        (
            "a.jpg",
            ["y/a.jpg", "x/a.jpg"],
            "The ground truth's 'a.jpg' may be 'x/a.jpg' or 'y/a.jpg'; "
            "write one of these in the ground truth.",
        ),
    ],
)
def test_a_name_with_two_matches_is_an_error(wanted: str, present: list[str], words: str) -> None:
    with pytest.raises(EvaluationError) as error:
        match_names([wanted], present)
    assert str(error.value) == words


def test_only_wanted_names_need_one_match() -> None:
    assert match_names(["b"], ["x/a.jpg", "y/a.jpg", "b.jpg"]) == {"b": "b.jpg"}


@given(st.sets(st.text("ab./", min_size=1), max_size=8))
def test_stored_names_match_themselves(names: set[str]) -> None:
    assert match_names(names, sorted(names)) == {name: name for name in names}


# --- evaluation ---


def test_an_evaluation_by_hand() -> None:
    present = ["x/a.jpg", "x/b.jpg", "x/c.jpg", "x/d.jpg"]
    rankings = {
        "first": ["x/d.jpg", "x/a.jpg", "x/c.jpg", "x/b.jpg"],  # d is junk
        "second": ["x/b.jpg", "x/a.jpg"],
    }
    queries = [
        make_query("first", {"a", "b"}, {"d", "junk that is missing"}),
        make_query("second", {"a", "z"}),
    ]
    report = evaluate(queries, present, lambda query: rankings[query.name])
    first, second = report.queries
    assert (first.name, second.name) == ("first", "second")
    assert first.average_precision == pytest.approx((1 + (1 / 2 + 2 / 3) / 2) / 2)
    assert first.precision == {1: 1.0, 5: 2 / 5, 10: 2 / 10}
    assert first.missing == 0
    assert second.average_precision == pytest.approx(0.25 / 2)  # z is never found and counts
    assert second.precision == {1: 0.0, 5: 1 / 5, 10: 1 / 10}
    assert second.missing == 1
    assert report.mean_average_precision == pytest.approx(
        (first.average_precision + second.average_precision) / 2
    )
    assert report.mean_precision(1) == 0.5
    assert report.mean_precision(5) == pytest.approx(0.3)
    assert report.mean_precision(10) == pytest.approx(0.15)


def test_the_search_gets_the_query_as_the_ground_truth_has_it() -> None:
    query = make_query("q", {"a"}, {"b"})
    asked = []

    def search(given_query: GroundTruthQuery) -> Sequence[str]:
        asked.append(given_query)
        return ["a.jpg"]

    evaluate([query], ["a.jpg", "b.jpg"], search)
    assert asked == [query]


def test_a_query_whose_positives_are_all_missing_counts_as_0() -> None:
    report = evaluate([make_query("q", {"y", "z"})], ["a.jpg"], lambda query: ["a.jpg"])
    assert report.mean_average_precision == 0.0
    assert report.queries[0].missing == 2


def test_the_time_is_that_of_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = 7.0

    def search(query: GroundTruthQuery) -> Sequence[str]:
        nonlocal seconds
        seconds += {"q": 0.25, "r": 0.75}[query.name]
        return ["a"]

    monkeypatch.setattr(protocols, "time", SimpleNamespace(perf_counter=lambda: seconds))
    report = evaluate([make_query("q", {"a"}), make_query("r", {"a"})], ["a"], search)
    assert [result.milliseconds for result in report.queries] == [250.0, 750.0]
    assert report.milliseconds == 500.0


def test_the_report_as_json() -> None:
    results = (
        QueryResult("q", 0.5, {1: 1.0, 5: 0.4, 10: 0.2}, 12.0, 1, 20, 3),
        QueryResult("r", 1.0, {1: 0.0, 5: 0.2, 10: 0.1}, 14.0, 0),
    )
    content = EvaluationReport(results).as_json()
    assert json.loads(json.dumps(content)) == content
    assert content == {
        "mean_average_precision": 0.75,
        "mean_precision": {"1": 0.5, "5": pytest.approx(0.3), "10": pytest.approx(0.15)},
        "milliseconds": 13.0,
        "queries": [
            {
                "name": "q",
                "average_precision": 0.5,
                "precision": {"1": 1.0, "5": 0.4, "10": 0.2},
                "milliseconds": 12.0,
                "missing": 1,
                "ranked": 20,
                "repeated": 3,
            },
            {
                "name": "r",
                "average_precision": 1.0,
                "precision": {"1": 0.0, "5": 0.2, "10": 0.1},
                "milliseconds": 14.0,
                "missing": 0,
                "ranked": 0,
                "repeated": 0,
            },
        ],
    }


def test_the_report_knows_three_ranks() -> None:
    report = evaluate([make_query("q", {"a"})], ["a"], lambda query: ["a"])
    with pytest.raises(EvaluationError) as error:
        report.mean_precision(3)
    assert str(error.value) == "The report has no precision at 3; its ranks are 1, 5, 10."


def never(query: GroundTruthQuery) -> Sequence[str]:
    raise AssertionError("no search may start before the names are known to be good")


@pytest.mark.parametrize(
    ("queries", "present", "words"),
    [
        ([], ["a"], "There are no queries to evaluate; give ground truth that has some."),
        (
            [make_query("p", {"a"}), make_query("q", set())],
            ["a"],
            "The query 'q' has no positives; list at least one relevant photo.",
        ),
        (
            [make_query("p", {"b"}), make_query("q", {"a"})],
            ["a.jpg", "a.png"],
            "The ground truth's 'a' may be 'a.jpg' or 'a.png'; write one of these in the ground truth.",
        ),
        (
            [make_query("q", {"a", "a.png"})],
            ["x/a.jpg"],
            "Query 'q': 'a' and 'a.png' of the ground truth are both 'x/a.jpg' of the store; "
            "write each as the store does.",
        ),
        (
            [make_query("q", {"a.jpg"}, {"x/a.jpg"})],
            ["x/a.jpg"],
            "Query 'q': 'a.jpg' and 'x/a.jpg' of the ground truth are both 'x/a.jpg' of the store; "
            "write each as the store does.",
        ),
    ],
)
def test_what_cannot_be_evaluated_fails_before_any_search(
    queries: list[GroundTruthQuery], present: list[str], words: str
) -> None:
    with pytest.raises(EvaluationError) as error:
        evaluate(queries, present, never)
    assert str(error.value) == words


def test_a_ranking_of_unknown_names_is_an_error() -> None:
    with pytest.raises(EvaluationError) as error:
        evaluate([make_query("q", {"a"})], ["a.jpg"], lambda query: ["a.jpg", "/photos/a.jpg"])
    assert str(error.value) == (
        "The search for 'q' gave '/photos/a.jpg', which is not in the store; give the rankings stored names."
    )


@pytest.mark.photos
def test_the_ground_truth_matches_the_photos(shared_data: Path) -> None:
    """Names without extensions meet files; a search that knows the answers is perfect."""
    present = sorted(path.name for path in (shared_data / "oxford1k" / "jpg").iterdir())
    queries = read_ground_truth(shared_data / "oxford1k" / "gt")

    def search(query: GroundTruthQuery) -> Sequence[str]:
        return sorted(present, key=lambda name: Path(name).stem not in query.positives)

    report = evaluate(queries, present, search)
    assert report.mean_average_precision == 1.0
    assert sum(result.missing for result in report.queries) == 0
    worst = evaluate(queries, present, lambda query: list(reversed(search(query))))
    by_hand = [
        average_precision([Path(name).stem for name in reversed(search(query))], query.positives, query.junk)
        for query in queries
    ]
    assert [result.average_precision for result in worst.queries] == by_hand
