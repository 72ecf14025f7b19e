"""handcraft benchmark, as it is typed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from commands import run, sentence
from PIL import Image

TRUTH = {"query.jpg": {"relevant": ["scene-3.jpg", "near.jpg"], "junk": ["turned.jpg"]}}
OWN = ("benchmark", "own", "--photos", "photos", "--queries", ".", "--ground-truth", "truth.json")


@pytest.fixture
def data(own: Path) -> Path:
    (own / "truth.json").write_text(json.dumps(TRUTH))
    return own


def test_a_set_of_one_s_own(data: Path) -> None:
    done = run(*OWN, "--methods", "asmk,asmk+sp", "--output", "out")
    lines = done.out.splitlines()
    assert lines[0] == "copy: 10 photos, 1 query"
    assert lines[2] == "| ranked by | mAP | ms a query |"
    assert re.fullmatch(r"\| ASMK\* \+ SP, hessian-affine \| 1\.000 \| \d+ \|", lines[-1])
    assert done.err == "Written: out\n"
    folder = data / "out"
    assert (folder / "results.md").read_text() == done.out
    page = (folder / "hessian-affine-asmk+sp.html").read_text()
    assert page.index("query.jpg: average precision 1.000, 2 of 2 found") > 0
    pictures = re.findall(r'src="([^"]+)"', page)
    assert len(pictures) == 11
    assert all((folder / picture).is_file() for picture in pictures)
    assert (page.count('class="right"'), page.count('class="junk"'), page.count('class="wrong"')) == (2, 1, 7)
    for plot in ("precision-recall.svg", "map-time.svg"):
        assert "ASMK* + SP" in (folder / plot).read_text()


def test_the_region_of_a_query_is_shown(data: Path) -> None:
    part = {"relevant": ["scene-3.jpg"], "roi": [10, 20, 130, 80]}
    (data / "truth.json").write_text(json.dumps({"query.jpg": part}))
    run(*OWN, "--methods", "asmk", "--output", "out")
    page = (data / "out" / "hessian-affine-asmk.html").read_text()
    picture = re.findall(r'class="query"><img src="([^"]+)"', page)[0]
    with Image.open(data / "out" / picture) as image:
        assert image.size == (120, 60)


def test_json(data: Path) -> None:
    done = run(*OWN, "--methods", "bow", "--json")
    assert done.data == json.loads((data / "benchmark-own" / "results.json").read_text())
    assert done.data["extractors"]["hessian-affine"]["rankings"]["BoW"]["levels"][""]["mAP"] > 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("benchmark", "oxford105k"), "There is no data set 'oxford105k'; there are oxford5k, paris6k, "),
        ((*OWN, "--methods", "asmk,svm"), "There is no method 'svm'; the methods are bow, bow+sp, vlad, "),
        ((*OWN, "--extractors", "surf"), "There is no extractor 'surf'; the extractors are "),
        ((*OWN, "--root", "nowhere"), "There are no photos in "),
        ((*OWN[:-1], "absent.json"), "The ground truth "),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(data: Path, arguments: tuple[str, ...], message: str) -> None:
    assert sentence(run(*arguments, code=1)).startswith(message)
    assert not (data / "benchmark-own").exists()


def test_checking_measures_nothing(data: Path) -> None:
    assert run(*OWN, "--check", "--distractors", "photos").out == "copy: 10 photos, 1 query: complete\n"
    assert not (data / "benchmark-own").exists()


def test_what_to_download(data: Path) -> None:
    said = sentence(run("benchmark", "oxford5k", "--root", "oxford", code=1))
    assert said.startswith("There are no photos in ")
    assert "Download https://" in said
    assert "oxbuild_images-v1.tgz into " in said
    assert "gt_files_170407.tgz into " in said


def test_published_figures_stand_beside_ours() -> None:
    from handcraft.cli.benchmark_report import table
    from handcraft.evaluation.datasets import DATASETS

    ranking = {"levels": {"medium": {"mAP": 0.5}, "hard": {"mAP": 0.25}}, "milliseconds": 12.4}
    sizes = {"photos": 4993, "distractors": 1, "queries": 70}
    results = {**sizes, "extractors": {"sift": {"rankings": {"ASMK*": ranking}}}}
    lines = table(results, DATASETS["roxford5k"]).splitlines()
    assert lines[0] == "ROxford5k: 4,993 photos and 1 distractor, 70 queries"
    assert "| ASMK*, sift | 0.500 | 0.250 | 12 |" in lines
    assert "| *published:* DELF, ASMK* + SP (Radenović et al. 2018) | 0.678 | 0.431 | |" in lines
