"""Reading ground truth: the Oxford text files, JSON, and a clear sentence for whatever is malformed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from handcraft.errors import EvaluationError
from handcraft.evaluation.ground_truth import GroundTruthQuery, read_ground_truth, require_box_of
from handcraft.types import RegionOfInterest

JSON_FORM = '{"query.jpg": ["relevant.jpg", ...], ...}'
QUERY_LINE = "oxc1_keble_000245 1 2 3 4\n"


def write(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def sentence(path: Path) -> str:
    """The error's words, with the path of the test left out."""
    with pytest.raises(EvaluationError) as error:
        read_ground_truth(path)
    words = str(error.value)
    assert "\n" not in words
    assert words.endswith(".")
    return words.replace(str(path), "PATH")


@pytest.mark.parametrize(
    ("box", "fits"),
    [
        (None, True),
        ((0, 0, 100, 60), True),
        ((-0.5, -0.9, 100.9, 61), True),
        ((-1.1, 0, 100, 60), False),
        ((0, 0, 101.1, 60), False),
        ((0, 0, 100, 61.5), False),
    ],
)
def test_boxes_of_photos_of_another_size(box: tuple[float, float, float, float] | None, fits: bool) -> None:
    roi = RegionOfInterest(*box) if box else None
    query = GroundTruthQuery("q", "p.jpg", roi, frozenset(["a"]), frozenset())
    if fits:
        require_box_of(query, 100, 60)
        return
    with pytest.raises(EvaluationError) as error:
        require_box_of(query, 100, 60)
    assert str(error.value).endswith(
        "of the query 'q' reaches beyond its photo 'p.jpg', which has 100 x 60 pixels; scale boxes as the "
        "photos are."
    )


# --- Oxford text files ---


def test_a_folder_of_text_files(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "keble_1_query.txt": "oxc1_keble_000245 1.5 2 300.25 400\n",
            "keble_1_good.txt": "keble_000245\nkeble_000214\n",
            "keble_1_ok.txt": "keble_000028\n",
            "keble_1_junk.txt": "oxford_000123\n",
            "all_souls_2_query.txt": "oxc1_all_souls_000051 0 0 10 20",
            "all_souls_2_good.txt": "all_souls_000051",
            "all_souls_2_ok.txt": "",
            "all_souls_2_junk.txt": "",
        },
    )
    assert read_ground_truth(tmp_path) == (
        GroundTruthQuery(
            "all_souls_2",
            "all_souls_000051",
            RegionOfInterest(0, 0, 10, 20),
            frozenset({"all_souls_000051"}),
            frozenset(),
        ),
        GroundTruthQuery(
            "keble_1",
            "keble_000245",
            RegionOfInterest(1.5, 2, 300.25, 400),
            frozenset({"keble_000245", "keble_000214", "keble_000028"}),
            frozenset({"oxford_000123"}),
        ),
    )


def test_names_without_the_prefix_are_kept(tmp_path: Path) -> None:
    """Paris has none; there the first five characters must not be cut off."""
    write(
        tmp_path,
        {
            "defense_1_query.txt": "paris_defense_000605 1 2 3 4\n",
            "defense_1_good.txt": "paris_defense_000605\nparis_oxc1_000001\n",
        },
    )
    (query,) = read_ground_truth(tmp_path)
    assert query.photo == "paris_defense_000605"
    assert query.positives == {"paris_defense_000605", "paris_oxc1_000001"}


def test_the_prefix_is_dropped_in_lists_too(tmp_path: Path) -> None:
    write(tmp_path, {"a_query.txt": QUERY_LINE, "a_good.txt": "oxc1_a\n", "a_junk.txt": "oxc1_b\n"})
    (query,) = read_ground_truth(tmp_path)
    assert query.positives == {"a"}
    assert query.junk == {"b"}


def test_blank_lines_white_space_and_byte_order_marks_are_tolerated(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "a_query.txt": "\ufeff\r\n  oxc1_q   1\t2 3 4 \r\n\r\n",
            "a_good.txt": "\ufeff\n\n one \r\n\ntwo two\n   \n",
            "a_ok.txt": "\n\n",
        },
    )
    (query,) = read_ground_truth(tmp_path)
    assert query.photo == "q"
    assert query.roi == RegionOfInterest(1, 2, 3, 4)
    assert query.positives == {"one", "two two"}


def test_text_is_utf_8(tmp_path: Path) -> None:
    write(tmp_path, {"a_query.txt": "Škola 1 2 3 4", "a_good.txt": "Škola\n東京\n"})
    (query,) = read_ground_truth(tmp_path)
    assert query.photo == "Škola"
    assert query.positives == {"Škola", "東京"}


def test_an_empty_good_is_enough_when_ok_has_a_name(tmp_path: Path) -> None:
    write(tmp_path, {"a_query.txt": QUERY_LINE, "a_good.txt": "", "a_ok.txt": "b\n"})
    assert read_ground_truth(tmp_path)[0].positives == {"b"}


def test_a_name_that_is_good_and_junk_is_kept_in_both(tmp_path: Path) -> None:
    """Published files are read as they are; average precision lets junk win."""
    write(tmp_path, {"a_query.txt": QUERY_LINE, "a_good.txt": "b\nc\n", "a_junk.txt": "b\n"})
    (query,) = read_ground_truth(tmp_path)
    assert query.positives == {"b", "c"}
    assert query.junk == {"b"}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (
            {},
            "PATH holds no ground truth: it has no file *_query.txt; "
            "give a folder of Oxford text files or a JSON file.",
        ),
        (
            {"a_query.txt": QUERY_LINE, "a_ok.txt": "b\n"},
            "PATH/a_good.txt is missing; every *_query.txt needs a *_good.txt beside it, one photo a line.",
        ),
        (
            {"a_query.txt": QUERY_LINE, "a_good.txt": "\n", "a_ok.txt": ""},
            "The query a has no relevant photos; list at least one in PATH/a_good.txt or a_ok.txt.",
        ),
        (
            {"a_query.txt": "\n\nq 1 2 3\n", "a_good.txt": "b\n"},
            'PATH/a_query.txt, line 3: "q 1 2 3" is no query; write it as "photo x1 y1 x2 y2", in pixels.',
        ),
        (
            {"a_query.txt": "q 1 2 3 4 5\n", "a_good.txt": "b\n"},
            'PATH/a_query.txt, line 1: "q 1 2 3 4 5" is no query; '
            'write it as "photo x1 y1 x2 y2", in pixels.',
        ),
        (
            {"a_query.txt": "q 1 2 three 4\n", "a_good.txt": "b\n"},
            'PATH/a_query.txt, line 1: "q 1 2 three 4" is no query; '
            'write it as "photo x1 y1 x2 y2", in pixels.',
        ),
        (
            {"a_query.txt": "\n", "a_good.txt": "b\n"},
            'PATH/a_query.txt has 0 lines with text; a query is the one line "photo x1 y1 x2 y2".',
        ),
        (
            {"a_query.txt": QUERY_LINE * 2, "a_good.txt": "b\n"},
            'PATH/a_query.txt has 2 lines with text; a query is the one line "photo x1 y1 x2 y2".',
        ),
        (
            {"a_query.txt": "\nq 30 2 30 4.5\n", "a_good.txt": "b\n"},
            "PATH/a_query.txt, line 2: the box 30 2 30 4.5 is empty or endless; "
            "it needs x1 < x2 and y1 < y2, in pixels.",
        ),
        (
            {"a_query.txt": "q 1 4 3 2\n", "a_good.txt": "b\n"},
            "PATH/a_query.txt, line 1: the box 1 4 3 2 is empty or endless; "
            "it needs x1 < x2 and y1 < y2, in pixels.",
        ),
        (
            {"a_query.txt": "q nan 2 3 4\n", "a_good.txt": "b\n"},
            "PATH/a_query.txt, line 1: the box nan 2 3 4 is empty or endless; "
            "it needs x1 < x2 and y1 < y2, in pixels.",
        ),
        (
            {"a_query.txt": "q 1 2 inf 4\n", "a_good.txt": "b\n"},
            "PATH/a_query.txt, line 1: the box 1 2 inf 4 is empty or endless; "
            "it needs x1 < x2 and y1 < y2, in pixels.",
        ),
    ],
)
def test_malformed_text_files(tmp_path: Path, files: dict[str, str], words: str) -> None:
    assert sentence(write(tmp_path, files)) == words


@pytest.mark.parametrize("name", ["a_query.txt", "a_good.txt", "a_ok.txt", "a_junk.txt"])
def test_text_that_is_not_utf_8(tmp_path: Path, name: str) -> None:
    write(tmp_path, {"a_query.txt": QUERY_LINE, "a_good.txt": "b\n"})
    (tmp_path / name).write_bytes("Škola 1 2 3 4".encode("cp1250"))
    assert sentence(tmp_path) == f"PATH/{name} is not UTF-8 text; save it as UTF-8."


def test_a_folder_where_a_file_should_be(tmp_path: Path) -> None:
    (tmp_path / "a_query.txt").mkdir()
    words = sentence(tmp_path)
    assert words.startswith("PATH/a_query.txt cannot be read: ")  # then the system's own words
    assert words.endswith("; check its kind and its mode.")


def test_a_missing_path(tmp_path: Path) -> None:
    assert sentence(tmp_path / "nothing") == (
        "There is no ground truth at PATH; give a folder of Oxford text files or a JSON file."
    )


# --- JSON ---


def test_a_json_file_of_lists(tmp_path: Path) -> None:
    path = tmp_path / "truth.json"
    path.write_text('{"ž.jpg": ["b.jpg", "c.jpg", "b.jpg"], "a.jpg": ["d.jpg"]}', encoding="utf-8")
    assert read_ground_truth(path) == (
        GroundTruthQuery("a.jpg", "a.jpg", None, frozenset({"d.jpg"}), frozenset()),
        GroundTruthQuery("ž.jpg", "ž.jpg", None, frozenset({"b.jpg", "c.jpg"}), frozenset()),
    )


def test_a_json_file_of_objects(tmp_path: Path) -> None:
    path = tmp_path / "truth.json"
    answers = {
        "a.jpg": {"relevant": ["b.jpg"], "junk": ["a.jpg"], "roi": [1, 2.5, 3, 4]},
        "b.jpg": {"relevant": ["a.jpg"], "roi": None},
        "c.jpg": ["a.jpg"],
    }
    path.write_text("\ufeff" + json.dumps(answers), encoding="utf-8")
    first, second, third = read_ground_truth(path)
    assert first.junk == {"a.jpg"}
    assert first.roi == RegionOfInterest(1.0, 2.5, 3.0, 4.0)
    assert second == GroundTruthQuery("b.jpg", "b.jpg", None, frozenset({"a.jpg"}), frozenset())
    assert third.positives == {"a.jpg"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", f"PATH is not JSON (Expecting value: line 1 column 1 (char 0)); ground truth is {JSON_FORM}."),
        ("[]", f"PATH holds a list; ground truth is {JSON_FORM}."),
        ("1.5", f"PATH holds a number; ground truth is {JSON_FORM}."),
        ("{}", f"PATH holds no queries; ground truth is {JSON_FORM}."),
        ('{"a": [], "a": ["b"]}', "PATH has 'a' twice in one object; merge the two entries."),
        ('{"": ["b"]}', "PATH, query '': the name is empty; write the file name of the query photo."),
        ('{"a": []}', "PATH, query 'a': there are no relevant photos; list at least one."),
        ('{"a": {"junk": ["b"]}}', "PATH, query 'a': there are no relevant photos; list at least one."),
        ('{"a": "b"}', "PATH, query 'a', relevant: this is a string; write a list of file names."),
        ('{"a": true}', "PATH, query 'a', relevant: this is true or false; write a list of file names."),
        (
            '{"a": {"relevant": {"b": 1}}}',
            "PATH, query 'a', relevant: this is an object; write a list of file names.",
        ),
        (
            '{"a": {"relevant": ["b"], "junk": null}}',
            "PATH, query 'a', junk: this is null; write a list of file names.",
        ),
        ('{"a": ["b", 3]}', "PATH, query 'a', relevant: a number is in the list; write file names only."),
        ('{"a": [["b"]]}', "PATH, query 'a', relevant: a list is in the list; write file names only."),
        (
            '{"a": ["b", ""]}',
            "PATH, query 'a', relevant: an empty string is in the list; write file names only.",
        ),
        (
            '{"a": {"relevant": ["b"], "box": [1, 2, 3, 4]}}',
            "PATH, query 'a': there is no key 'box'; the keys are relevant, junk, roi.",
        ),
        (
            '{"a": {"relevant": ["c", "b"], "junk": ["b"]}}',
            "PATH, query 'a': 'b' is both relevant and junk; take it out of one list.",
        ),
        *(
            (
                f'{{"a": {{"relevant": ["b"], "roi": {roi}}}}}',
                "PATH, query 'a', roi: this is no box; write [x1, y1, x2, y2], in pixels.",
            )
            for roi in ("[1, 2, 3]", "7", '"1 2 3 4"', "[1, 2, 3, true]", '[1, 2, 3, "4"]')
        ),
        (
            '{"a": {"relevant": ["b"], "roi": [3, 2, 1, 4]}}',
            "PATH, query 'a', roi: the box 3 2 1 4 is empty or endless; "
            "it needs x1 < x2 and y1 < y2, in pixels.",
        ),
        (
            '{"a": {"relevant": ["b"], "roi": [1, 2, Infinity, 4]}}',
            "PATH, query 'a', roi: the box 1 2 inf 4 is empty or endless; "
            "it needs x1 < x2 and y1 < y2, in pixels.",
        ),
        (
            '{"a": {"relevant": ["b"], "roi": [1, 2, 1' + "0" * 400 + ", 4]}}",
            "PATH, query 'a', roi: a number is too large; write pixels of the photo.",
        ),
    ],
)
def test_malformed_json(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "truth.json"
    path.write_text(text, encoding="utf-8")
    assert sentence(path) == words


@pytest.mark.parametrize("text", ['{"a": ["b"]', "[" * 100_000, "9" * 10_000, "not json", "{'a': ['b']}"])
def test_what_is_not_json_says_so(tmp_path: Path, text: str) -> None:
    path = tmp_path / "truth.json"
    path.write_text(text, encoding="utf-8")
    words = sentence(path)
    assert words.startswith("PATH is not JSON (")
    assert words.endswith(f"); ground truth is {JSON_FORM}.")


def test_json_that_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "truth.json"
    path.write_bytes(b'{"\xe9.jpg": ["b.jpg"]}')
    assert sentence(path) == "PATH is not UTF-8 text; save it as UTF-8."


# --- the development data ---


@pytest.mark.photos
def test_the_development_data(shared_data: Path) -> None:
    photos = {path.stem for path in (shared_data / "oxford1k" / "jpg").iterdir()}
    for folder, count in (("gt", 10), ("gt_whole", 50)):
        queries = read_ground_truth(shared_data / "oxford1k" / folder)
        assert len(queries) == count
        for query in queries:
            assert query.photo in photos, query.name
            assert query.positives <= photos, query.name
            assert query.roi is not None, query.name
    queries = read_ground_truth(shared_data / "kth" / "ground_truth.json")
    assert len(queries) == 50
    for query in queries:
        assert (shared_data / "kth" / "queries" / query.photo).is_file()
        assert all((shared_data / "kth" / "database" / name).is_file() for name in query.positives)


@pytest.mark.photos
def test_the_original_ground_truth(shared_data: Path) -> None:
    folder = shared_data.parent / "golden" / "oxford5k_gt"
    if not folder.is_dir():
        pytest.skip(f"the original ground truth is not at {folder}")
    queries = read_ground_truth(folder)
    assert len(queries) == 55
    assert queries[0].name == "all_souls_1"
    assert queries[0].photo == "all_souls_000013"
    assert queries[0].roi == RegionOfInterest(136.5, 34.1, 648.5, 955.7)
    assert all(query.photo in query.positives for query in queries)
