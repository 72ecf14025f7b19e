"""handcraft match: what it says of two photos, in words, as JSON, as a picture and as an exit code."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from commands import run, sentence
from photographs import (
    HEIGHT,
    QUERY_SCALE,
    QUERY_SIZE,
    QUERY_TURN,
    WIDTH,
    blank_wall,
    save,
    turned_scene,
)
from PIL import Image

import handcraft

A, B = "query.jpg", "photos/scene-3.jpg"
OTHER = "photos/scene-4.jpg"
NOTHING = "They do not show the same thing, or too little of it to tell."


# --- what it says ---


def test_photos_of_the_same_thing(here: Path) -> None:
    outcome = run("match", A, B)
    assert outcome.err == ""
    counts, verdict = outcome.out.splitlines()
    expected = handcraft.match(A, B)
    assert re.sub(r"\d+\.\d\d s", "SECONDS", counts) == (
        f"{expected.features[0]} features in {A}, {expected.features[1]} in {B}: "
        f"{expected.tentative} tentative matches, {expected.inliers} inliers in SECONDS."
    )
    assert verdict == (
        f"They show the same thing: in {B} it is {QUERY_SCALE:.2f} times as large, "
        f"and turned by {QUERY_TURN:.0f} degrees clockwise."
    )


def test_the_other_way_round(here: Path) -> None:
    verdict = run("match", B, A).out.splitlines()[1]
    assert verdict == (
        f"They show the same thing: in {A} it is {1 / QUERY_SCALE:.2f} times as large, "
        f"and turned by {QUERY_TURN:.0f} degrees anticlockwise."
    )


def test_a_photo_and_itself(here: Path) -> None:
    verdict = run("match", A, A).out.splitlines()[1]
    assert verdict == f"They show the same thing: in {A} it is 1.00 times as large, and not turned."


def test_photos_of_different_things_are_code_1(here: Path) -> None:
    outcome = run("match", A, OTHER, code=1)
    assert outcome.err == ""
    counts, verdict = outcome.out.splitlines()
    assert " 0 inliers in " in counts
    assert verdict == NOTHING


def test_json_holds_the_evidence(here: Path) -> None:
    data = run("match", A, B, "--json").data
    expected = handcraft.match(A, B)
    assert expected.match is not None
    assert data["query"] == dict(
        zip(("path", "width", "height", "features"), (A, *QUERY_SIZE, expected.features[0]), strict=True)
    )
    assert data["photo"] == dict(
        zip(("path", "width", "height", "features"), (B, WIDTH, HEIGHT, expected.features[1]), strict=True)
    )
    assert data["tentative"] == expected.tentative
    assert data["inliers"] == len(data["query_points"]) == len(data["photo_points"]) == expected.inliers
    assert data["affine"] == expected.match.affine.tolist()
    assert data["region"] == expected.match.region.tolist()
    assert data["scale"] == pytest.approx(QUERY_SCALE, rel=0.02)
    assert data["rotation"] == pytest.approx(QUERY_TURN, abs=1)
    assert data["seconds"] > 0
    ahead = (
        np.array(data["query_points"]) @ np.array(data["affine"])[:, :2].T + np.array(data["affine"])[:, 2]
    )
    assert ahead == pytest.approx(np.array(data["photo_points"]), abs=4)


def test_json_without_evidence(here: Path) -> None:
    data = run("match", A, OTHER, "--json", code=1).data
    assert set(data) == {"query", "photo", "tentative", "inliers", "seconds"}
    assert data["inliers"] == 0


# --- pictures ---


@pytest.mark.parametrize(("name", "kind"), [("m.png", "PNG"), ("m.JPG", "JPEG"), ("new/m.jpeg", "JPEG")])
def test_the_picture_is_in_the_format_of_its_suffix(own: Path, name: str, kind: str) -> None:
    outcome = run("match", A, B, "--save", name)
    assert outcome.err == f"Written: {name}\n"
    with Image.open(own / name) as picture:
        assert picture.format == kind
        assert picture.width > QUERY_SIZE[0] + WIDTH
        assert picture.height == HEIGHT
        colours = np.asarray(picture.convert("HSV"))[:, QUERY_SIZE[0] * HEIGHT // QUERY_SIZE[1] + 6, 1]
        assert (colours > 100).sum() > 10  # lines on the gutter


def test_the_picture_of_photos_that_do_not_match_has_no_lines(own: Path) -> None:
    run("match", A, OTHER, "--save", "m.png", code=1)
    with Image.open(own / "m.png") as picture:
        gutter = np.asarray(picture)[:, QUERY_SIZE[0] * HEIGHT // QUERY_SIZE[1] + 6]
    assert (gutter == gutter[0]).all()


def test_saving_again_replaces_the_picture(own: Path) -> None:
    (own / "m.png").write_text("old", encoding="utf-8")
    run("match", A, B, "--save", "m.png", "--json")
    assert (own / "m.png").read_bytes().startswith(b"\x89PNG")
    assert not list(own.glob(".writing-*"))


# --- options ---


@pytest.mark.parametrize("extractor", ["sift", "hessian-affine"])
def test_upright_features_match_turned_photos(own: Path, extractor: str) -> None:
    save(turned_scene(135), own / "turned.png")
    options = ("--extractor", extractor, "--upright")
    assert "turned by 135 degrees clockwise." in run("match", B, "turned.png", *options).out


def test_options_of_the_features(here: Path) -> None:
    assert run("match", A, B, "--max-features", "100", "--json").data["query"]["features"] == 100
    small = run("match", A, B, "--max-size", "120", "--json").data
    assert small["query"]["features"] < run("match", A, B, "--json").data["query"]["features"]
    assert (small["query"]["width"], small["query"]["height"]) == QUERY_SIZE
    few = ("--max-features", "100", "--json")
    usual, spread, oriented = (
        run("match", A, B, *few, *flag).data for flag in ((), ("--spread",), ("--oriented",))
    )
    assert usual["query_points"] != spread["query_points"]
    assert usual["query_points"] != oriented["query_points"]


def test_ratio(here: Path) -> None:
    usual = run("match", A, B, "--json").data
    assert run("match", A, B, "--ratio", "0.5", "--json").data["tentative"] < usual["tentative"]
    assert run("match", A, B, "--ratio", "1", "--json").data["tentative"] > usual["tentative"]
    for ratio in ("0", "1.1", "-1", "half"):
        assert "Invalid value for '--ratio'" in run("match", A, B, f"--ratio={ratio}", code=2).err


# --- what cannot be matched ---


def test_photos_that_cannot_be_read(own: Path) -> None:
    (own / "text.jpg").write_text("this is no photo", encoding="utf-8")
    save(blank_wall(), own / "wall.png")
    save(Image.new("RGB", (1, 1)), own / "tiny.png")
    reasons = {
        "absent.jpg": "There is no photo at absent.jpg; check the name.",
        "photos": "photos is a folder, not a photo.",
        "text.jpg": "text.jpg is not a JPEG, PNG, TIFF, WebP or BMP photo, whatever its name says.",
        "wall.png": "No features were found in wall.png: it shows too little texture to match.",
        "tiny.png": "No features were found in tiny.png: it shows too little texture to match.",
    }
    for name, reason in reasons.items():
        assert sentence(run("match", name, B, "--save", "m.png", code=1)) == reason
        assert sentence(run("match", A, name, "--json", code=1)) == reason
    assert not (own / "m.png").exists()


def test_an_unknown_extractor(here: Path) -> None:
    text = sentence(run("match", A, B, "--extractor", "surf", code=1))
    assert text.startswith("There is no extractor 'surf'; the extractors are ")


@pytest.mark.parametrize("name", ["m.gif", "m", "m.png.txt"])
def test_a_suffix_that_is_no_picture_is_refused_before_the_work(own: Path, name: str) -> None:
    text = sentence(run("match", "absent.jpg", B, "--save", name, code=1))
    assert text == f"{name} is no picture that can be saved; end its name in .png, .jpg, .jpeg."
    assert not (own / name).exists()


def test_a_place_that_cannot_be_written(own: Path) -> None:
    text = sentence(run("match", A, B, "--save", f"{A}/m.png", code=1))
    assert text.startswith(f"{A} cannot be written: ")
    assert "is a directory" in run("match", A, B, "--save", "photos", code=2).err


@pytest.mark.parametrize("arguments", [(), (A,), (A, B, OTHER)])
def test_two_photos_are_wanted(here: Path, arguments: tuple[str, ...]) -> None:
    assert "Usage: " in run("match", *arguments, code=2).err
