"""handcraft build-vocab --from and handcraft vocab info: what they print, draw and refuse."""

from __future__ import annotations

import re
import shutil
import sys
import xml.etree.ElementTree as ET
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from commands import run, sentence
from photographs import SCENES, save, scene
from PIL import Image
from plugs import unknown_extractor

from handcraft.types import Fingerprint
from handcraft.vocabulary.files import read_vocabulary, shipped_vocabulary, write_vocabulary
from handcraft.vocabulary.tree import Training, VocabularyTree

PHOTOS = SCENES + 2


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder without a store."""
    monkeypatch.delenv("HANDCRAFT_STORE", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_plain_vocabulary(path: Path) -> None:
    """Two words, of which the file does not say how they are filled."""
    centroids = np.array([[0] * 8, [1] * 8, [9] * 8], np.float32)
    training = Training("nothing", 1, 2, 0.0)
    tree = VocabularyTree.of(
        centroids, np.array([2, 0, 0], np.uint32), Fingerprint("deep", 8, "float32"), training
    )
    write_vocabulary(path, tree)


# --- build-vocab --from ---


def test_a_store_is_trained_on_what_it_keeps(own: Path) -> None:
    shutil.rmtree(own / "photos")
    outcome = run("build-vocab", "--from", ".handcraft", "--words", "200")
    assert re.fullmatch(
        r"200 words trained on [\d,]+ descriptors of 10 photos in \d+\.\d s, written to \.handcraft; "
        r"10 photos indexed again\.\n",
        outcome.out,
    )
    assert outcome.err == ""
    assert run("info", "--json").data["words"] == 200
    assert run("check").code == 0


def test_another_store_is_trained_on_beside_photos(own: Path) -> None:
    new = save(scene(70), own / "new.jpg")
    arguments = (new, "--from", ".handcraft", "--words", "200", "--store", "fresh")
    data = run("build-vocab", *arguments, "--json").data
    assert data["written"] == str(own / "fresh")
    assert (data["photos"], data["reused"], data["reindexed"]) == (PHOTOS + 1, PHOTOS, 0)
    assert data["unreadable"] == []


def test_without_photos_or_a_store_it_is_said_what_to_name(own: Path) -> None:
    outcome = run("build-vocab", "--words", "200", code=2)
    assert "Usage: " in outcome.err
    assert outcome.err.endswith("Error: Name the photos to train on, or a store with --from.\n")
    assert "is a file" in run("build-vocab", "--from", "query.jpg", code=2).err


def test_a_store_that_is_missing_or_keeps_nothing(own: Path) -> None:
    text = sentence(run("build-vocab", "--from", "absent", "--words", "200", code=1))
    assert text.startswith("There is no store at absent; ")
    run("index", "photos", "--store", "bare", "--no-keep-features")
    text = sentence(run("build-vocab", "--from", "bare", "--words", "200", code=1))
    assert text.startswith("The store bare keeps no features of 10 photos")
    assert run("check").code == 0


# --- vocab info ---


def test_info_says_what_the_stores_own_vocabulary_is(own: Path) -> None:
    run("build-vocab", "photos", "--words", "200", "--depth", "2")
    outcome = run("vocab", "info")
    assert outcome.err == ""
    rows = dict(re.findall(r"^(.{11}) (.+)$", outcome.out, re.MULTILINE))
    rows = {label.strip(): value for label, value in rows.items()}
    assert re.fullmatch(r"\.handcraft/vocabulary-\d{6}\.h5, [\d.]+ KB", rows["vocabulary"])
    assert rows["words"] == "200 for hessian-affine-rootsift (128 x uint8)"
    assert rows["tree"].startswith("2 levels, 2")
    assert re.fullmatch(r"[\d,]+ descriptors of 10 photos, photos", rows["trained on"])
    assert "words 200, depth 2, iterations 20" in rows["asked for"]
    assert float(rows["distortion"].replace(",", "")) > 0
    assert float(rows["imbalance"].split(";")[0]) > 1
    assert rows["empty words"] == "0"
    assert re.fullmatch(r"\d+ \(0 %\), .*\(50 %\), .*, [\d,]+ \(100 %\) descriptors", rows["a word has"])


def test_info_without_a_store_is_about_the_shipped_vocabulary(nowhere: Path) -> None:
    tree = read_vocabulary(shipped_vocabulary())
    text = run("vocab", "info").out
    assert "hessian-affine.h5" in text
    assert f"{tree.words:,} for hessian-affine-rootsift (128 x uint8)" in text


@pytest.mark.parametrize("extractor", ["hessian-affine", "sift"])
def test_the_shipped_vocabulary_of_an_extractor(here: Path, extractor: str) -> None:
    """Whatever store is there, or is named."""
    tree = read_vocabulary(shipped_vocabulary(extractor))
    for store in ((), ("--store", ".handcraft")):
        data = run("vocab", "info", "--extractor", extractor, *store, "--json").data
        assert data["path"] == str(shipped_vocabulary(extractor))
        assert data["fingerprint"] == f"{extractor}-rootsift (128 x uint8)"
        assert (data["words"], data["nodes"]) == (tree.words, len(tree.child_counts))


def test_an_extractor_without_a_vocabulary(nowhere: Path) -> None:
    for extractor in ("mser", "dense-sift"):
        text = sentence(run("vocab", "info", "--extractor", extractor, code=1))
        assert text == (
            f"No vocabulary for {extractor} comes with handcraft; train one for your photos with "
            f"`handcraft build-vocab PHOTOS --extractor {extractor}`."
        )
    for extractor in ("surf", "../vocabulary/sift", ""):
        text = sentence(run("vocab", "info", "--extractor", extractor, code=1))
        assert text == unknown_extractor(extractor)


def test_a_file_and_an_extractor_do_not_mix(nowhere: Path) -> None:
    write_plain_vocabulary(nowhere / "deep.h5")
    outcome = run("vocab", "info", "deep.h5", "--extractor", "sift", code=2)
    assert outcome.err.endswith("Error: Name a FILE or an --extractor, not both.\n")


def test_info_in_json(own: Path) -> None:
    run("build-vocab", "photos", "--words", "200", "--output", "mine.h5")
    tree = read_vocabulary(own / "mine.h5")
    data = run("vocab", "info", "mine.h5", "--json").data
    assert data == {
        "path": "mine.h5",
        "bytes": (own / "mine.h5").stat().st_size,
        "words": 200,
        "depth": tree.depth,
        "nodes": len(tree.child_counts),
        "fingerprint": "hessian-affine-rootsift (128 x uint8)",
        "training": data["training"],
    }
    training = asdict(tree.training)
    training["balance"]["percentiles"] = list(training["balance"]["percentiles"])
    assert data["training"] == training
    assert len(data["training"]["balance"]["percentiles"]) == 101


def test_a_file_goes_before_the_store(own: Path) -> None:
    write_plain_vocabulary(own / "deep.h5")
    assert run("vocab", "info", "--json").data["path"].startswith(str(own / ".handcraft"))
    assert run("vocab", "info", "deep.h5", "--store", ".handcraft", "--json").data["words"] == 2


def test_the_named_store_is_meant(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("build-vocab", "photos", "--words", "50", "--store", "other")
    assert run("vocab", "info", "--store", "other", "--json").data["words"] == 50
    monkeypatch.setenv("HANDCRAFT_STORE", "other")
    assert run("vocab", "info", "--json").data["words"] == 50


def test_a_vocabulary_that_does_not_say_how_its_words_are_filled(nowhere: Path) -> None:
    write_plain_vocabulary(nowhere / "deep.h5")
    text = run("vocab", "info", "deep.h5").out
    assert "2 for deep (8 x float32)" in text
    assert "imbalance" not in text
    assert run("vocab", "info", "deep.h5", "--json").data["training"]["balance"] is None
    text = sentence(run("vocab", "info", "deep.h5", "--save", "balance.png", code=1))
    assert text == "deep.h5 does not say how its words are filled; train it again."


def test_what_is_no_vocabulary_is_refused(own: Path) -> None:
    (own / "words.h5").write_text("no vocabulary", encoding="utf-8")
    for name in ("query.jpg", "words.h5"):
        text = sentence(run("vocab", "info", name, code=1))
        assert text == f"{name} is not a handcraft vocabulary file, or its first bytes are damaged."
    segment = Path(".handcraft") / "segments" / "000001.index.h5"
    text = sentence(run("vocab", "info", segment, code=1))
    assert text == f"{segment} is not a handcraft vocabulary file, it is segment."
    assert sentence(run("vocab", "info", "absent.h5", code=1)) == "absent.h5 is missing."
    assert "is a directory" in run("vocab", "info", "photos", code=2).err


# --- its picture ---


def test_the_balance_is_drawn_as_png(nowhere: Path) -> None:
    pytest.importorskip("matplotlib")
    outcome = run("vocab", "info", "--save", "balance.png")
    assert outcome.err == "Written: balance.png\n"
    assert outcome.out == run("vocab", "info").out
    with Image.open(nowhere / "balance.png") as image:
        assert image.format == "PNG"
        assert image.width > image.height > 300
        darkest, brightest = image.convert("L").getextrema()
        assert (darkest, brightest) == (0, 255)
        colours = image.convert("RGB").getcolors(1 << 20)
        assert colours is not None
        assert sum(number for number, colour in colours if colour != (255, 255, 255)) > 10_000


def test_the_balance_is_drawn_as_svg_and_pdf(nowhere: Path) -> None:
    pytest.importorskip("matplotlib")
    run("vocab", "info", "--save", "balance.svg")
    assert ET.parse(nowhere / "balance.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"
    run("vocab", "info", "--save", "balance.PDF")
    assert (nowhere / "balance.PDF").read_bytes().startswith(b"%PDF-")


def test_a_picture_and_json_do_not_mix(nowhere: Path) -> None:
    pytest.importorskip("matplotlib")
    outcome = run("vocab", "info", "--save", "balance.png", "--json")
    assert outcome.data["words"] > 1000
    assert outcome.err == "Written: balance.png\n"


@pytest.mark.parametrize("name", ["balance.gif", "balance", "balance.png.txt"])
def test_another_format_is_refused(nowhere: Path, name: str) -> None:
    text = sentence(run("vocab", "info", "--save", name, code=1))
    assert text == f"{name} is no picture that can be drawn; end its name in .png, .svg, .pdf."
    assert list(nowhere.iterdir()) == []


def test_a_picture_that_cannot_be_written(nowhere: Path) -> None:
    pytest.importorskip("matplotlib")
    text = sentence(run("vocab", "info", "--save", "absent/balance.png", code=1))
    assert text == "absent/balance.png cannot be written: No such file or directory."


def test_without_matplotlib_it_is_said_how_to_get_it(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    text = sentence(run("vocab", "info", "--save", "balance.png", code=1))
    assert text == 'Plots need matplotlib, which is not installed: pip install "handcraft[plots]".'
    assert list(nowhere.iterdir()) == []
    assert run("vocab", "info").code == 0


def test_a_store_that_is_named_must_be_there(own: Path) -> None:
    assert sentence(run("vocab", "info", "--store", "nowhere", code=1)).startswith(
        "There is no store at nowhere; "
    )
