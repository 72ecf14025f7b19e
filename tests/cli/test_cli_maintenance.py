"""handcraft remove, optimize, info, check and evaluate."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import run, sentence
from photographs import SCENES, save, scene

import handcraft
from handcraft.cli.common import size

PHOTOS = SCENES + 2
AMOUNT = r"[\d.]+ (?:bytes|KB|MB)"


# --- remove ---


def test_remove(own: Path) -> None:
    assert run("remove", "photos/scene-0.jpg").out == "1 photo removed; .handcraft holds 9 photos.\n"
    assert run("remove", "photos/views", "photos/scene-1.jpg").out.startswith("3 photos removed; ")
    assert (own / "photos" / "scene-0.jpg").exists()
    names = run("info", "--photos").out.splitlines()
    assert names == [f"photos/scene-{number}.jpg" for number in range(2, SCENES)]


def test_remove_from_another_folder(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own / "photos" / "views")
    assert run("remove", "near.jpg", "../scene-0.jpg").out.startswith("2 photos removed; ")
    assert run("remove", ".").out.startswith("1 photo removed; ")


def test_remove_missing(own: Path) -> None:
    shutil.rmtree(own / "photos" / "views")
    assert run("remove", "--missing").out.startswith("2 photos removed; ")
    assert run("remove", "--missing").out.startswith("0 photos removed; ")


def test_remove_needs_to_know_what(own: Path) -> None:
    assert "Name the photos to remove, or say --missing." in run("remove", code=2).err


def test_remove_what_is_not_there(own: Path) -> None:
    text = sentence(run("remove", "photos/scene-0.jpg", "absent.jpg", code=1))
    assert text == (
        f"The store {own / '.handcraft'} holds no photo absent.jpg; `handcraft info --photos` lists them."
    )
    assert len(run("info", "--photos").out.splitlines()) == PHOTOS


# --- optimize ---


def test_optimize(own: Path) -> None:
    save(scene(95), own / "photos" / "new.jpg")
    run("index", "photos")
    run("remove", "photos/scene-0.jpg")
    outcome = run("optimize")
    pattern = rf"2 segments became 1, 1 removed photo dropped, {AMOUNT} became {AMOUNT}\.\n"
    assert re.fullmatch(pattern, outcome.out)
    assert outcome.err == ""
    assert run("check").code == 0


# --- info ---


def test_info_in_json(own: Path) -> None:
    data = run("info", "--json").data
    facts = handcraft.open(".handcraft").info()
    assert data["store"] == str(own / ".handcraft")
    assert data["root"] == str(own)
    assert data["photos"] == facts.photos == PHOTOS
    assert (data["words"], data["words_used"]) == (facts.words, facts.words_used)
    assert data["training"]["photos"] == facts.training.photos
    assert data["bytes"] == facts.bytes
    assert [segment["entries"] for segment in data["segments"]] == [facts.segments[0].entries]
    assert [segment["signatures_bytes"] for segment in data["segments"]] == [
        facts.segments[0].signatures_bytes
    ]
    signatures = {"bits": 128, "aggregated": True, "binary": True, "medians": False}
    assert data["methods"] == facts.methods == {"asmk": signatures, "bow": {}}
    assert list(data["methods"]) == ["asmk", "bow"]  # the first is the one that queries vote by
    assert "names" not in data
    assert run("info", "--json", "--photos").data["names"] == list(handcraft.open(".handcraft").names)


def test_info_as_text_says_the_same(own: Path) -> None:
    run("remove", "photos/scene-0.jpg")
    facts = handcraft.open(".handcraft").info()
    facts_of = dict(re.findall(r"^(\w[\w ]*?)  +(.+)$", run("info").out, re.MULTILINE))
    assert facts_of["store"] == ".handcraft"
    assert facts_of["photos of"] == "."
    assert facts_of["photos"] == "9"
    assert facts_of["features"] == f"{facts.segments[0].features:,} of {facts.fingerprint}"
    assert facts_of["votes by"] == "asmk (128 bits), bow"
    assert facts_of["words"] == f"{facts.words:,}, of which {facts.words_used:,} occur"
    assert facts_of["generation"] == str(facts.generation)
    head, last = (line.split() for line in run("info").out.splitlines()[-2:])
    kinds = ["index", "signatures", "vectors", "features"]
    assert head == ["segment", "photos", "removed", "entries", *kinds]
    assert last[:4] == ["1", "9", "1", f"{facts.segments[0].entries:,}"]
    segment = facts.segments[0]
    sizes = [getattr(segment, f"{kind}_bytes") for kind in kinds]
    assert last[4:] == [word for bytes_ in sizes for word in size(bytes_).split()]


def test_names_are_listed_one_a_line(own: Path) -> None:
    assert run("info", "--photos").out.splitlines() == list(handcraft.open(".handcraft").names)


# --- check ---


def test_check_of_a_whole_store(own: Path) -> None:
    outcome = run("check")
    assert re.fullmatch(rf"\.handcraft is whole: 10 photos, 5 files, {AMOUNT} read\.\n", outcome.out)
    assert outcome.err == ""
    data = run("check", "--json").data
    assert data.pop("bytes") > 0
    expected = {"store": str(own / ".handcraft"), "whole": True, "photos": PHOTOS, "files": 5, "problems": []}
    assert data == expected


def test_check_of_a_broken_store(own: Path) -> None:
    segment = own / ".handcraft" / "segments" / "000001.index.h5"
    data = bytearray(segment.read_bytes())
    data[-1] ^= 1
    segment.write_bytes(data)
    outcome = run("check", code=1)
    assert outcome.out == ""
    problem, verdict = outcome.err.splitlines()
    assert problem == f"{segment} has changed since it was written: its checksum differs."
    assert verdict == (
        ".handcraft is broken; index the photos again into a new store with `handcraft index --store`."
    )
    report = run("check", "--json", code=1).data
    assert (report["whole"], report["problems"]) == (False, [problem])


# --- evaluate ---


@pytest.fixture
def truth(own: Path) -> Path:
    (own / "queries").mkdir()
    shutil.copy("query.jpg", "queries/three.jpg")
    answers = {"three.jpg": ["scene-3.jpg", "near.jpg", "turned.jpg", "absent.jpg"]}
    path = own / "truth.json"
    path.write_text(json.dumps(answers), encoding="utf-8")
    return path


def test_evaluate(own: Path, truth: Path) -> None:
    outcome = run("evaluate", "--queries", "queries", "--ground-truth", truth)
    lines = outcome.out.splitlines()
    assert lines[0] == "1 query, 10 photos"
    assert [line.split()[:-1] for line in lines[1:]] == [
        ["mAP"],
        ["precision@1"],
        ["precision@5"],
        ["precision@10"],
        ["ms", "a", "query"],
    ]
    assert [line.split()[-1] for line in lines[1:5]] == ["0.7500", "1.0000", "0.6000", "0.3000"]
    assert outcome.err == "1 relevant photo not in the store, counted as not found.\n"


@pytest.mark.parametrize("arguments", [(), ("--verify",)])
def test_evaluate_in_json(own: Path, truth: Path, arguments: tuple[str, ...]) -> None:
    data = run("evaluate", "--queries", "queries", "--ground-truth", truth, "--json", *arguments).data
    assert data["verify"] is bool(arguments)
    assert data["store"] == str(own / ".handcraft")
    assert data["mean_average_precision"] == 0.75
    assert data["mean_precision"] == {"1": 1.0, "5": 0.6, "10": 0.3}
    assert data["milliseconds"] > 0
    (query,) = data["queries"]
    assert (query["name"], query["average_precision"], query["missing"]) == ("three.jpg", 0.75, 1)


def test_evaluate_counts_in_the_plural(own: Path, truth: Path) -> None:
    shutil.copy("photos/scene-6.jpg", "queries/six.jpg")
    truth.write_text(json.dumps({"three.jpg": ["near.jpg"], "six.jpg": ["scene-6.jpg"]}), encoding="utf-8")
    out = run("evaluate", "--queries", "queries", "--ground-truth", truth).out
    assert out.startswith("2 queries, 10 photos\n")


def test_the_queries_may_be_beside_the_current_folder(
    own: Path, truth: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(own / "photos")
    out = run("evaluate", "--queries", "../queries", "--ground-truth", "../truth.json").out
    assert out.startswith("1 query, 10 photos\n")


def test_evaluate_says_what_is_missing(own: Path, truth: Path) -> None:
    arguments = ("evaluate", "--ground-truth", truth, "--queries")
    assert "is one of" not in sentence(run(*arguments, "photos", code=1))
    assert sentence(run(*arguments, "absent", code=1)) == (
        "There are no query photos in absent; name their folder with --queries."
    )
    gone = ("evaluate", "--queries", "queries", "--ground-truth", "absent.json")
    assert sentence(run(*gone, code=1)).startswith("There is no ground truth at absent.json; ")
    assert "Missing option" in run("evaluate", "--queries", "queries", code=2).err


@pytest.mark.parametrize("option", ["--assignments", "--neighbours"])
def test_evaluate_takes_the_options_of_soft_assignment(own: Path, truth: Path, option: str) -> None:
    run("evaluate", "--queries", "queries", "--ground-truth", truth, option, "2")
    run("evaluate", "--queries", "queries", "--ground-truth", truth, option, "0", code=2)


def test_evaluate_votes_by_the_method_that_is_asked_for(own: Path, truth: Path) -> None:
    arguments = ("evaluate", "--queries", "queries", "--ground-truth", truth)
    for method in ("asmk", "bow"):
        data = run(*arguments, "--method", method, "--json").data
        assert data["mean_average_precision"] == 0.75
    text = sentence(run(*arguments, "--method", "fisher", code=1))
    assert text == "There is no method 'fisher'; the methods are asmk, bow, vlad."
    text = sentence(run(*arguments, "--tau", "1", code=1))
    assert text == "tau=1.0 is not from -1 to below 1; give 0, for example."


def test_evaluate_scores_rankings(own: Path, truth: Path) -> None:
    ranks = own / "ranks.json"
    names = ["scene-3", "scene-3", "near.jpg", "other", "turned"]
    ranks.write_text(json.dumps({"three": names}), encoding="utf-8")
    outcome = run("evaluate", "--ranks", "ranks.json", "--ground-truth", truth)
    assert outcome.out.splitlines() == [
        "1 query",
        "mAP           0.6771",
        "precision@1   1.0000",
        "precision@5   0.6000",
        "precision@10  0.3000",
    ]
    assert outcome.err.splitlines() == [
        "1 relevant photo in no ranking, counted as not found.",
        "1 photo ranked again, counted where they come first.",
    ]
    data = run("evaluate", "--ranks", "ranks.json", "--ground-truth", truth, "--json").data
    assert data["ranks"] == "ranks.json"
    assert data["mean_average_precision"] == pytest.approx(0.6771, abs=1e-4)
    assert data["milliseconds"] is None
    ranks.write_text('{"three": []}', encoding="utf-8")
    empty = run("evaluate", "--ranks", "ranks.json", "--ground-truth", truth).err.splitlines()
    assert empty == ["4 relevant photos in no ranking, counted as not found.", "1 query found nothing."]


def test_evaluate_scores_the_levels_of_the_revisited_sets(own: Path) -> None:
    answer = {"bbx": [0, 0, 9, 9], "easy": [0], "hard": [2], "junk": []}
    content = {"imlist": ["a", "b", "c"], "qimlist": ["q"], "gnd": [answer]}
    (own / "gnd.pkl").write_bytes(pickle.dumps(content))
    np.save(own / "ranks.npy", np.array([[0], [1], [2]]))
    lines = run("evaluate", "--ranks", "ranks.npy", "--ground-truth", "gnd.pkl").out.splitlines()
    assert [line for line in lines if line.endswith("query")] == [
        "easy: 1 query",
        "medium: 1 query",
        "hard: 1 query",
    ]
    levels = run("evaluate", "--ranks", "ranks.npy", "--ground-truth", "gnd.pkl", "--json").data["levels"]
    assert [levels[level]["mean_precision"]["5"] for level in levels] == [1.0, pytest.approx(2 / 3), 0.5]


def test_evaluate_gives_the_score_of_ukbench(own: Path) -> None:
    names = [f"ukbench{number:05d}.jpg" for number in range(10_200)]
    best = {name: [name, *names[number // 4 * 4 : number // 4 * 4 + 3]] for number, name in enumerate(names)}
    (own / "ranks.json").write_text(json.dumps(best), encoding="utf-8")
    lines = run("evaluate", "--ranks", "ranks.json", "--ground-truth", "ukbench").out.splitlines()
    assert lines[0] == "10,200 queries"
    assert lines[2] == "N-S score     3.2500"


def test_evaluate_counts_photos_by_their_names(own: Path, truth: Path) -> None:
    np.save(own / "ranks.npy", np.array([[0], [1]]))
    (own / "names.txt").write_text("near.jpg\nother.jpg\n", encoding="utf-8")
    arguments = ("evaluate", "--ranks", "ranks.npy", "--ground-truth", truth)
    assert "--names" in sentence(run(*arguments, code=1))
    assert run(*arguments, "--names", "names.txt").out.splitlines()[1] == "mAP           0.2500"


def test_evaluate_needs_queries_or_rankings(own: Path, truth: Path) -> None:
    assert "with --queries, or rankings with --ranks." in run("evaluate", "--ground-truth", truth, code=2).err
