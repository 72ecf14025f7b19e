"""Rankings that were made elsewhere, and their figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import handcraft
from handcraft.errors import EvaluationError
from handcraft.evaluation.average_precision import precision_at
from handcraft.evaluation.rankings import CSV_FORM, JSON_FORM, read_names, read_rankings

RANKINGS = {"p": ["a", "b"], "q": ["c"]}


def file(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


# --- files ---


def test_json(tmp_path: Path) -> None:
    assert read_rankings(file(tmp_path / "r.json", json.dumps(RANKINGS)), []) == RANKINGS


@pytest.mark.parametrize(
    "text",
    [
        "query,photo\np,a\nq,c\np,b\n",
        "\ufeffphoto,query\r\na,p\r\nb,p\r\nc,q\r\n",
        'query,photo,score\np,b,0.5\nq,"c",1\np,a,0.75\n',
        "query,score,photo\np,1e-3,a\nq,-inf,c\np,1e-3,b\n",
    ],
)
def test_csv(tmp_path: Path, text: str) -> None:
    assert read_rankings(file(tmp_path / "r.CSV", text), []) == RANKINGS


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.int64])
def test_npy(tmp_path: Path, dtype: type) -> None:
    np.save(tmp_path / "r.npy", np.array([[2, 0], [0, 1], [1, 2]], dtype))
    expected = {"p": ["c", "a", "b"], "q": ["a", "b", "c"]}
    assert read_rankings(tmp_path / "r.npy", ["p", "q"], ["a", "b", "c"]) == expected


def test_names(tmp_path: Path) -> None:
    assert read_names(file(tmp_path / "names.txt", "a b.jpg\n\n c.jpg \r\n")) == ["a b.jpg", "c.jpg"]
    with pytest.raises(EvaluationError, match=r"names no photos; write one a line\.$"):
        read_names(file(tmp_path / "names.txt", "\n"))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("r.txt", "", " is no ranking file: a ranking file is .json, .csv or .npy."),
        ("r.json", "{", " is not JSON (Expecting property name"),
        ("r.json", "[1]", f" holds no object; rankings are {JSON_FORM}."),
        ("r.json", '{"p": [1]}', f", query 'p': this is no list of names; rankings are {JSON_FORM}."),
        ("r.csv", "", f" has no line that names its columns; rankings have {CSV_FORM}."),
        ("r.csv", "p,a\n", f" has no line that names its columns; rankings have {CSV_FORM}."),
        ("r.csv", "query,photo\np\n", ", line 2: this is no row (something is missing); "),
        ("r.csv", "query,photo,score\np,a,high\n", ", line 2: this is no row (could not convert"),
        ("r.csv", "query,photo,score\np,a,nan\n", ", line 2: this is no row (something is missing); "),
        ("r.npy", "text", " is no array of numpy's: "),
    ],
)
def test_files_that_are_no_rankings(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = file(tmp_path / name, text)
    with pytest.raises(EvaluationError) as error:
        read_rankings(path, ["p"], ["a"])
    assert str(error.value).startswith(f"{path}{message}")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 2)), " is no array of whole numbers (photos, queries)."),
        (np.zeros(2, np.int64), " is no array of whole numbers (photos, queries)."),
        (
            np.zeros((2, 3), np.int64),
            " ranks photos for 3 queries, a column each; the ground truth has 2.",
        ),
        (
            np.full((2, 2), 2),
            " has numbers from 2 to 2; those of 2 photos count from 0 to 1.",
        ),
        (
            np.full((2, 2), -1),
            " has numbers from -1 to -1; those of 2 photos count from 0 to 1.",
        ),
    ],
)
def test_arrays_that_are_no_rankings(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "r.npy", array)
    with pytest.raises(EvaluationError) as error:
        read_rankings(tmp_path / "r.npy", ["p", "q"], ["a", "b"])
    assert str(error.value) == f"{tmp_path / 'r.npy'}{message}"


def test_numbers_without_names(tmp_path: Path) -> None:
    np.save(tmp_path / "r.npy", np.zeros((1, 1), np.int64))
    with pytest.raises(EvaluationError, match=r"the photos that they count, one a line, with --names\.$"):
        read_rankings(tmp_path / "r.npy", ["p"])


def test_an_array_of_objects_is_not_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "r.npy", np.array([[{}]], object), allow_pickle=True)
    with pytest.raises(EvaluationError, match="is no array of numpy's: "):
        read_rankings(tmp_path / "r.npy", ["p"], ["a"])


@pytest.mark.parametrize("name", ["r.json", "r.csv", "r.npy"])
def test_a_file_that_is_missing(tmp_path: Path, name: str) -> None:
    with pytest.raises(EvaluationError, match=r"cannot be read|is no array"):
        read_rankings(tmp_path / name, ["p"], ["a"])


# --- figures ---


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    return file(tmp_path / "truth.json", '{"p.jpg": ["a.jpg", "b.jpg"], "q.jpg": ["c.jpg"]}')


def test_rankings_are_scored(tmp_path: Path, truth: Path) -> None:
    """Names match without folders, extensions, and whatever their case."""
    ranks = file(tmp_path / "r.json", '{"P": ["x/A.png", "z", "b", "b"], "q.jpg": []}')
    (report,) = handcraft.evaluate_rankings(ranks, truth).values()
    first, second = report.queries
    assert first.average_precision == pytest.approx((1 + (1 / 2 + 2 / 3) / 2) / 2)
    assert first.precision == {1: 1, 5: 0.4, 10: 0.2}
    assert (first.ranked, first.repeated, first.missing) == (3, 1, 0)
    assert (second.average_precision, second.ranked, second.missing) == (0, 0, 1)
    assert report.milliseconds is None


def test_names_of_the_database_are_not_missing(tmp_path: Path, truth: Path) -> None:
    ranks = file(tmp_path / "r.json", '{"p": ["a"], "q": []}')
    names = file(tmp_path / "names.txt", "a\nb\nc\n")
    assert [query.missing for query in handcraft.evaluate_rankings(ranks, truth)[""].queries] == [1, 1]
    found = handcraft.evaluate_rankings(ranks, truth, names=names)[""]
    assert [query.missing for query in found.queries] == [0, 0]


def test_arrays_are_in_the_order_of_the_ground_truth(tmp_path: Path, truth: Path) -> None:
    np.save(tmp_path / "r.npy", np.array([[0, 2], [1, 1], [2, 0]]))
    names = file(tmp_path / "names.txt", "a\nb\nc\n")
    report = handcraft.evaluate_rankings(tmp_path / "r.npy", truth, names=names)[""]
    assert report.mean_average_precision == 1


def test_a_query_without_a_ranking(tmp_path: Path, truth: Path) -> None:
    ranks = file(tmp_path / "r.json", '{"p": ["a"]}')
    with pytest.raises(EvaluationError) as error:
        handcraft.evaluate_rankings(ranks, truth)
    assert str(error.value) == (
        "There are no rankings of 1 of the 2 queries, the first is 'q.jpg'; name rankings as the ground "
        "truth names its queries, or their photos."
    )


def test_oxford_queries_by_their_photo(tmp_path: Path) -> None:
    folder = tmp_path / "gt"
    folder.mkdir()
    file(folder / "hall_1_query.txt", "oxc1_hall_007 0 0 9 9")
    file(folder / "hall_1_good.txt", "hall_008\n")
    for name in ("hall_1", "hall_007.jpg"):
        ranks = file(tmp_path / "r.json", json.dumps({name: ["hall_008.jpg"]}))
        assert handcraft.evaluate_rankings(ranks, folder)[""].mean_average_precision == 1


@given(
    st.lists(st.sampled_from("abcdefgh"), max_size=12),
    st.sets(st.sampled_from("abcd"), min_size=1),
    st.sets(st.sampled_from("efg")),
    st.integers(1, 12),
)
def test_capped_precision_is_that_of_the_revisited_benchmark(
    ranking: list[str], positives: set[str], junk: set[str], k: int
) -> None:
    """As its authors count: ranks without junk, and no further than the last positive."""
    left = [name for name in dict.fromkeys(ranking) if name not in junk]
    ranks = [rank for rank, name in enumerate(left, 1) if name in positives]
    asked = min(max(ranks), k) if ranks else k
    expected = sum(rank <= asked for rank in ranks) / asked
    assert precision_at(ranking, positives, junk, k, capped=True) == expected
