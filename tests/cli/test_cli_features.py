"""handcraft features show: a photo's features counted, as numbers, and drawn."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
from commands import run, sentence
from permissions import a_common_user
from photographs import HEIGHT, QUERY_SIZE, WIDTH, blank_wall, save, scene
from PIL import Image

from handcraft.features.extraction import extract_photo
from handcraft.options import FeatureOptions

PHOTO = "photos/scene-3.jpg"


def show(*arguments: str) -> tuple[str, ...]:
    return ("features", "show", *arguments)


@pytest.mark.parametrize("extractor", ["sift", "hessian-affine"])
def test_the_summary(here: Path, extractor: str) -> None:
    outcome = run(*show(PHOTO, "--extractor", extractor, "--max-features", "100"))
    assert outcome.err == ""
    line = rf"100 {extractor} features in {PHOTO}, {WIDTH} x {HEIGHT} pixels, in \d+\.\d\d s\.\n"
    assert re.fullmatch(line, outcome.out)


def test_json_holds_every_feature(here: Path) -> None:
    data = run(*show(PHOTO, "--max-features", "50", "--max-size", "200", "--json")).data
    _, expected = extract_photo(here / PHOTO, FeatureOptions(max_features=50, max_size=200))
    assert (data["photo"], data["extractor"]) == (PHOTO, "hessian-affine")
    assert (data["width"], data["height"], data["count"]) == (WIDTH, HEIGHT, len(expected))
    assert data["seconds"] > 0
    frames = [
        [[*row, place] for row, place in zip(feature["matrix"], (feature["x"], feature["y"]), strict=True)]
        for feature in data["features"]
    ]
    assert frames == expected.frames.tolist()


@pytest.mark.parametrize("flag", ["--oriented", "--spread", "--double"])
def test_options_of_the_features(here: Path, flag: str) -> None:
    usual = show(PHOTO, "--extractor", "hessian-affine", "--max-features", "60", "--json")
    assert run(*usual, flag).data["features"] != run(*usual).data["features"]


def test_upright_is_the_default(here: Path) -> None:
    usual = show(PHOTO, "--max-features", "20", "--json")
    assert run(*usual, "--upright").data["features"] == run(*usual).data["features"]
    for feature in run(*usual).data["features"]:
        assert feature["matrix"][0][1] == 0  # the vertical of the region is that of the photo


@pytest.mark.parametrize(("name", "kind"), [("f.png", "PNG"), ("new/f.jpg", "JPEG"), ("f.JPEG", "JPEG")])
def test_the_picture_is_in_the_format_of_its_suffix(own: Path, name: str, kind: str) -> None:
    outcome = run(*show("query.jpg", "--save", name))
    assert outcome.err == f"Written: {name}\n"
    with Image.open(own / name) as picture:
        assert picture.format == kind
        assert picture.width / picture.height == pytest.approx(QUERY_SIZE[0] / QUERY_SIZE[1], rel=0.01)
        picture.load()


def test_the_picture_shows_the_features(own: Path) -> None:
    """Those of a photo whose left half is blank; upright ones have no radius."""
    photo = scene(3)
    photo.paste("grey", (0, 0, WIDTH // 2, HEIGHT))
    save(photo, own / "half.png")
    drawn = []
    for number, options in enumerate([("--max-features", "1"), ("--oriented",), ("--upright",)]):
        run(*show("half.png", "--max-features", "20", *options, "--save", f"{number}.png"))
        with Image.open(own / f"{number}.png") as picture:
            drawn.append(np.asarray(picture).astype(int))
    one, oriented, upright = drawn
    assert np.ptp(oriented[:, : oriented.shape[1] // 4]) == 0
    assert (one != oriented).any()
    assert (oriented != upright).any()


def test_a_photo_without_features(own: Path) -> None:
    """None is an answer; the picture shows the photo."""
    save(blank_wall(), own / "wall.png")
    outcome = run(*show("wall.png", "--save", "f.png"))
    assert outcome.out.startswith(f"0 hessian-affine features in wall.png, {WIDTH} x {HEIGHT} pixels, in ")
    with Image.open(own / "f.png") as picture:
        assert picture.getextrema() == ((200, 200),) * 3
    data = run(*show("wall.png", "--json")).data
    assert (data["count"], data["features"]) == (0, [])
    for size in ((1, 1), (400, 1)):
        save(Image.new("RGB", size), own / "tiny.png")
        for extractor in ("sift", "hessian-affine"):
            outcome = run(*show("tiny.png", "--extractor", extractor, "--save", "f.png"))
            assert outcome.out.startswith(f"0 {extractor} features in tiny.png, {size[0]} x 1 pixels, in ")


# --- what cannot be shown ---


def test_photos_that_cannot_be_read(own: Path) -> None:
    (own / "text.jpg").write_text("this is no photo", encoding="utf-8")
    reasons = {
        "absent.jpg": "There is no photo at absent.jpg; check the name.",
        "photos": "photos is a folder, not a photo.",
        "text.jpg": "text.jpg is not a JPEG, PNG, TIFF, WebP or BMP photo, whatever its name says.",
    }
    for name, reason in reasons.items():
        assert sentence(run(*show(name, "--save", "f.png"), code=1)) == reason
    assert not (own / "f.png").exists()


def test_an_unknown_extractor(here: Path) -> None:
    text = sentence(run(*show(PHOTO, "--extractor", "surf"), code=1))
    assert text.startswith("There is no extractor 'surf'; the extractors are ")


def test_a_suffix_that_is_no_picture_is_refused_before_the_work(own: Path) -> None:
    text = sentence(run(*show("absent.jpg", "--save", "f.bmp"), code=1))
    assert text == "f.bmp is no picture that can be saved; end its name in .png, .jpg, .jpeg."


def test_places_that_cannot_be_written(own: Path) -> None:
    text = sentence(run(*show(PHOTO, "--save", f"{PHOTO}/f.png"), code=1))
    assert text.startswith(f"{PHOTO} cannot be written: ")
    assert "is a directory" in run(*show(PHOTO, "--save", "photos"), code=2).err


def test_a_folder_that_may_not_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as name:  # which other users may enter, unlike pytest's
        folder = Path(name)
        folder.chmod(0o755)
        save(scene(3), folder / "photo.jpg").chmod(0o644)
        (folder / "closed").mkdir(mode=0o555)
        monkeypatch.chdir(folder)
        with a_common_user():
            text = sentence(run(*show("photo.jpg", "--save", "closed/f.png"), code=1))
        monkeypatch.undo()
        assert text == "No permission to write closed/f.png; change its mode, or choose another place."
        assert not list((folder / "closed").iterdir())


@pytest.mark.parametrize("arguments", [(), ("show",), ("show", PHOTO, "--max-features", "0"), ("draw",)])
def test_wrong_usage_is_code_2(here: Path, arguments: tuple[str, ...]) -> None:
    assert "Usage: " in run("features", *arguments, code=2).err
