"""handcraft query: the ranking as text, JSON, pictures and a page."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from commands import run, sentence
from photographs import HEIGHT, QUERY_SIZE, SCENES, WIDTH, save, scene
from PIL import Image

import handcraft
from handcraft.options import VerificationOptions

PHOTOS = SCENES + 2


# --- text and JSON ---


def test_the_ranking_as_text(here: Path) -> None:
    outcome = run("query", "query.jpg", "--top", "3")
    assert outcome.err == ""
    head, *hits, last = outcome.out.splitlines()
    assert head.split() == ["rank", "score", "inliers", "photo"]
    expected = handcraft.open(".handcraft").query("query.jpg", top=3).hits
    assert [line.split() for line in hits] == [
        [str(hit.rank), f"{hit.score:6.4f}", "-", f"photos/{hit.name.removeprefix('photos/')}"]
        for hit in expected
    ]
    assert re.fullmatch(r"10 photos searched with [\d,]+ features in \d+\.\d\d s\.", last)
    columns = [line.index(line.split()[-1]) for line in (head, *hits)]
    assert len(set(columns)) == 1  # photos stand below each other


def test_the_verified_ranking_as_text(here: Path) -> None:
    lines = run("query", "query.jpg", "--verify").out.splitlines()
    expected = handcraft.open(".handcraft").query("query.jpg", verify=True).hits
    inliers = [line.split()[2] for line in lines[1:-1]]
    assert inliers == [str(hit.inliers) if hit.match else "-" for hit in expected]
    assert "-" in inliers
    assert inliers[0].isdigit()
    assert lines[-1].endswith(" s; 3 of the best 10 verified.")


def test_json_holds_what_the_text_says(here: Path) -> None:
    text = run("query", "query.jpg", "--verify").out.splitlines()[1:-1]
    data = run("query", "query.jpg", "--verify", "--json").data
    assert [
        [str(hit["rank"]), f"{hit['score']:6.4f}", str(hit["inliers"] or "-"), hit["name"]]
        for hit in data["hits"]
    ] == [line.split() for line in text]
    assert [Path(hit["path"]) for hit in data["hits"]] == [here / hit["name"] for hit in data["hits"]]
    assert data["query"] == "query.jpg"
    assert data["store"] == str(here / ".handcraft")
    assert (data["width"], data["height"]) == QUERY_SIZE
    assert (data["photos"], data["compared"], data["verified"]) == (PHOTOS, PHOTOS, 3)
    stages = ("features", "directions", "words", "votes", "verification", "total")
    assert tuple(data["seconds"]) == stages
    best, worst = data["hits"][0], data["hits"][-1]
    assert len(best["query_points"]) == len(best["photo_points"]) == best["inliers"] > 10
    assert [len(best["affine"]), len(best["affine"][0]), len(best["region"])] == [2, 3, 4]
    assert best["weight"] > data["hits"][1]["weight"]
    assert best["evidence"] > 12
    assert worst["inliers"] == 0
    assert "affine" not in worst


def test_the_query_is_expanded(here: Path) -> None:
    data = run("query", "query.jpg", "--expand", "hqe", "--json").data
    assert tuple(data["seconds"])[-2:] == ("expansion", "total")
    assert data["verified"] == 3
    verified = run("query", "query.jpg", "--verify", "--json").data
    assert [hit["score"] for hit in data["hits"]] != [hit["score"] for hit in verified["hits"]]


def test_options_of_the_query(here: Path) -> None:
    assert len(run("query", "query.jpg", "--top", "2", "--json").data["hits"]) == 2
    assert run("query", "query.jpg", "--json").data["verified"] == 0
    depth = run("query", "query.jpg", "--verify", "--verify-depth", "2", "--json").data
    assert depth["compared"] == 2
    usual = run("query", "query.jpg", "--verify", "--json").data
    assert usual["compared"] == min(PHOTOS, VerificationOptions().depth)
    one, two = (run("query", "query.jpg", "--threads", n, "--verify", "--json").data for n in "12")
    assert one["hits"] == two["hits"]


def test_verify_with_descriptors(here: Path) -> None:
    """It implies --verify."""
    words, descriptors = (
        run("query", "query.jpg", *arguments, "--json").data["hits"][0]
        for arguments in (["--verify"], ["--verify-with", "descriptors"])
    )
    assert descriptors["name"] == words["name"]
    assert words["inliers"] != descriptors["inliers"] > 10


def test_a_region(here: Path) -> None:
    whole = run("query", "photos/scene-3.jpg", "--json").data
    part = run("query", "photos/scene-3.jpg", "--roi", "0,0,159.5,240", "--verify", "--json").data
    assert 0 < part["features"] < whole["features"]
    (region,) = [hit["region"] for hit in part["hits"] if hit["name"] == "photos/scene-3.jpg"]
    np.testing.assert_allclose(region, [[0, 0], [159.5, 0], [159.5, 240], [0, 240]], atol=0.5)


def test_no_hit_is_said(own: Path) -> None:
    save(Image.new("L", (64, 64), 128), own / "wall.png")
    run("index", "wall.png", "--store", "walls")
    outcome = run("query", "query.jpg", "--store", "walls")
    assert outcome.out.splitlines()[1:] == ["No photo is like it."]


def test_a_photo_whose_file_is_gone_is_still_found(own: Path) -> None:
    (own / "photos" / "scene-3.jpg").unlink()
    outcome = run("query", "query.jpg", "--verify", "--save-matches", "matches", "--html", "page.html")
    assert "photos/scene-3.jpg" in outcome.out
    problems = [line for line in outcome.err.splitlines() if line.startswith("Not drawn: ")]
    gone = own / "photos" / "scene-3.jpg"
    assert problems == [f"Not drawn: There is no photo at {gone}; check the name."]
    assert len(list((own / "matches").iterdir())) == PHOTOS - 1
    assert (own / "page.html").exists()
    assert problems[0] in run("query", "query.jpg", "--save-matches", "matches", "--json").err.splitlines()


# --- pictures and the page ---


def test_save_matches_draws_a_jpeg_a_hit(own: Path) -> None:
    outcome = run("query", "query.jpg", "--save-matches", "drawn/matches", "--top", "4")
    assert outcome.err == "Written: drawn/matches\n"
    assert " of the best 10 verified." in outcome.out  # it implies --verify
    hits = handcraft.open(".handcraft").query("query.jpg", verify=True, top=4).hits
    pictures = sorted((own / "drawn" / "matches").iterdir())
    assert [path.name for path in pictures] == [f"{hit.rank:03d}-{Path(hit.name).stem}.jpg" for hit in hits]
    for path, hit in zip(pictures, hits, strict=True):
        with Image.open(path) as picture:
            assert picture.format == "JPEG"
            assert picture.width >= QUERY_SIZE[0] + hit.width
            assert picture.height >= min(QUERY_SIZE[1], hit.height)
            picture.load()


def test_pictures_have_safe_names(own: Path) -> None:
    names = ["a b;c$(d)'\"&.jpg", "-rf.jpg", "ümlaut 日本.jpg", "x" * 200 + ".jpg", "a..b.jpg"]
    (own / "odd").mkdir()
    for number, name in enumerate(names):
        save(scene(100 + number), own / "odd" / name)
    run("index", "odd", "--store", "other", code=0)
    run("query", f"odd/{names[0]}", "--store", "other", "--save-matches", "matches")
    pictures = sorted(path.name for path in (own / "matches").iterdir())
    assert len(pictures) == len(handcraft.open("other"))
    for name in pictures:
        assert re.fullmatch(r"\d{3}-[A-Za-z0-9._-]*\.jpg", name)
        assert len(name) < 100


def test_saving_again_replaces_the_pictures(own: Path) -> None:
    for _ in range(2):
        run("query", "query.jpg", "--save-matches", "matches", "--top", "2")
    assert len(list((own / "matches").iterdir())) == 2


def test_html_writes_one_page(own: Path) -> None:
    outcome = run("query", "query.jpg", "--verify", "--html", "pages/result.html")
    assert outcome.err == "Written: pages/result.html\n"
    page = (own / "pages" / "result.html").read_text(encoding="utf-8")
    assert page.lstrip().lower().startswith("<!doctype html>")
    hits = handcraft.open(".handcraft").query("query.jpg", verify=True).hits
    places = [page.index(hit.name) for hit in hits]
    assert places == sorted(places)
    assert "query.jpg" in page
    assert "data:image/" in page
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?(?:https?:|//|file:)", page)


def test_pictures_are_written_beside_json(own: Path) -> None:
    outcome = run("query", "query.jpg", "--json", "--save-matches", "m", "--html", "p.html", "--top", "1")
    assert len(outcome.data["hits"]) == 1
    assert (own / "p.html").exists()
    assert len(list((own / "m").iterdir())) == 1


@pytest.mark.parametrize(
    ("option", "place"), [("--html", "query.jpg/p.html"), ("--save-matches", "query.jpg/m")]
)
def test_a_place_that_cannot_be_written(own: Path, option: str, place: str) -> None:
    outcome = run("query", "query.jpg", option, place, code=1)
    assert outcome.err.startswith("Error: ")
    assert outcome.err.count("\n") == 1
    assert "--store" not in outcome.err  # it is not the store that cannot be written


def test_a_folder_is_no_page(own: Path) -> None:
    assert "is a directory" in run("query", "query.jpg", "--html", "photos", code=2).err


# --- what cannot be asked ---


@pytest.mark.parametrize(
    ("roi", "code", "message"),
    [
        ("9,9,9,50", 1, "The region 9,9,9,50 is empty: it must be x1,y1,x2,y2 with x1 < x2 and y1 < y2."),
        ("50,9,9,50", 1, "The region 50,9,9,50 is empty: it must be x1,y1,x2,y2 with x1 < x2 and y1 < y2."),
        ("240,0,400,100", 1, "The region 240,0,400,100 lies outside the photo, which has 240 x 180 pixels."),
        ("-9,-9,-1,-1", 1, "The region -9,-9,-1,-1 lies outside the photo, which has 240 x 180 pixels."),
        ("1,2,3", 2, "'1,2,3' is not of the form x1,y1,x2,y2, four numbers in pixels."),
        ("1,2,3,4,5", 2, "'1,2,3,4,5' is not of the form x1,y1,x2,y2, four numbers in pixels."),
        ("a,b,c,d", 2, "'a,b,c,d' is not of the form x1,y1,x2,y2, four numbers in pixels."),
        ("", 2, "'' is not of the form x1,y1,x2,y2, four numbers in pixels."),
    ],
)
def test_bad_regions(here: Path, roi: str, code: int, message: str) -> None:
    outcome = run("query", "query.jpg", f"--roi={roi}", code=code)
    assert outcome.err.endswith(f"{message}\n")
    assert outcome.out == ""
    if code == 1:
        assert sentence(outcome) == message


@pytest.mark.parametrize("arguments", [(), ("query.jpg", "--top", "0"), ("query.jpg", "--verify-depth", "0")])
def test_wrong_usage_is_code_2(here: Path, arguments: tuple[str, ...]) -> None:
    assert "Usage: " in run("query", *arguments, code=2).err


def test_a_missing_query(here: Path) -> None:
    assert sentence(run("query", "absent.jpg", code=1)) == "There is no photo at absent.jpg; check the name."
    assert sentence(run("query", "photos", code=1)) == "photos is a folder, not a photo."


def test_no_store(tmp_path: Path, here: Path) -> None:
    nowhere = tmp_path / "nowhere"
    remedy = "make one with `handcraft index FOLDER` or name one with --store"
    for arguments in (
        ("query", "query.jpg"),
        ("info",),
        ("check",),
        ("optimize",),
        ("remove", "photos"),
        ("evaluate", "--queries", "photos", "--ground-truth", "truth.json"),
    ):
        text = sentence(run(*arguments, "--store", nowhere, code=1))
        assert text == f"There is no store at {nowhere}; {remedy}."
    assert not nowhere.exists()


def test_outlines_lie_in_their_photo(here: Path) -> None:
    """A portrait photo that shows the middle of a landscape one."""
    data = run("query", "query.jpg", "--verify", "--json").data
    (turned,) = [hit for hit in data["hits"] if hit["name"].endswith("turned.jpg")]
    xs, ys = zip(*turned["region"], strict=True)
    assert max(xs) < HEIGHT + 30
    assert max(ys) < WIDTH + 30


def test_directions(own: Path) -> None:
    with Image.open("photos/scene-5.jpg") as photo:
        photo.rotate(90, expand=True).save("upright.png")
    usual = run("query", "upright.png", "--verify", "--json").data["hits"][0]
    assert (usual["name"], usual["inliers"] > 90) == ("photos/scene-5.jpg", True)
    one = run("query", "upright.png", "--verify", "--json", "--directions", "1").data
    assert [hit["inliers"] for hit in one["hits"] if hit["name"] == "photos/scene-5.jpg"] == [0]
    assert run("query", "upright.png", "--directions", "0", code=2).out == ""


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("asmk", ("--assignments", "2")),
        ("asmk", ("--alpha", "3")),
        ("asmk", ("--tau", "0.3")),
        ("asmk", ("--deviation", "0.25")),
        ("asmk", ("--idf",)),
        ("bow", ("--assignments", "2")),
        ("bow", ("--neighbours", "5")),
        ("bow", ("--norm", "1")),
        ("bow", ("--no-burstiness",)),
        ("bow", ("--stop-words", "0.5")),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_the_options_of_each_method_change_the_scores_of_it_alone(
    here: Path, method: str, arguments: tuple[str, ...]
) -> None:
    other = "bow" if method == "asmk" else "asmk"
    scores = {}
    for name in (method, other):
        usual, changed = (
            run("query", "query.jpg", "--json", "--directions", "1", "--method", name, *more).data["hits"]
            for more in ((), arguments)
        )
        scores[name] = [hit["score"] for hit in usual] != [hit["score"] for hit in changed]
        assert changed[0]["name"] == usual[0]["name"]
    assert scores == {method: True, other: arguments[0] == "--assignments"}  # which both have


def test_a_method_is_asked_for_by_name(own: Path) -> None:
    """The store's own, unless another is."""
    query = ("query", "query.jpg", "--json", "--store")
    usual, asmk, bow = (
        run(*query, ".handcraft", *more).data["hits"]
        for more in ((), ("--method", "asmk"), ("--method", "bow"))
    )
    assert usual == asmk != bow
    run("index", "photos", "--store", "bags", "--method", "bow")
    assert run(*query, "bags").data["hits"] == bow
    text = sentence(run(*query, "bags", "--method", "asmk", code=1))
    assert text == (
        f"The store {own / 'bags'} does not vote by asmk but by bow; "
        "add it with `handcraft index FOLDER --method asmk`."
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--method", "fisher"), "There is no method 'fisher'; the methods are asmk, bow, vlad."),
        (("--expand", "magic"), "There is no expansion 'magic'; the expansions are aqe, dqe, hqe."),
        (
            ("--verify-with", "magic"),
            "Photos are not verified with 'magic'; they are with words or descriptors.",
        ),
        (("--alpha", "0"), "alpha=0.0 is not a number above 0; give 3, for example."),
        (("--tau", "1"), "tau=1.0 is not from -1 to below 1; give 0, for example."),
        (("--tau", "nan"), "tau=nan is not from -1 to below 1; give 0, for example."),
        (("--deviation", "-1"), "deviation=-1.0 is too small; give 0 or more."),
        (("--stop-words", "1"), "stop_words=1.0 is not from 0 to below 1."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_options_that_make_no_sense(here: Path, arguments: tuple[str, ...], text: str) -> None:
    assert sentence(run("query", "query.jpg", *arguments, code=1)) == text


@pytest.mark.parametrize("arguments", [("--norm", "3"), ("--alpha", "much"), ("--tau", ""), ("--idf", "yes")])
def test_values_of_another_kind_are_wrong_usage(here: Path, arguments: tuple[str, ...]) -> None:
    assert "Usage: " in run("query", "query.jpg", *arguments, code=2).err


@pytest.mark.parametrize("option", ["--assignments", "--neighbours", "--norm"])
def test_counts_of_none_are_wrong_usage(here: Path, option: str) -> None:
    assert run("query", "query.jpg", option, "0", code=2).out == ""
