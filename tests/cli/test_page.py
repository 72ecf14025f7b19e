"""The page of results: complete, in order, self-contained, and unharmed by any name."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from handcraft.cli.page import PageHit, PageSection, render_page
from handcraft.types import Hit, Match

VOID_TAGS = {"meta", "img", "link", "br", "hr", "input"}
HOSTILE_NAMES = [
    "<script>alert(1)</script>.jpg",
    '" onerror="alert(1)" x=".jpg',
    "' autofocus='.jpg",
    "</title></style><h1>.jpg",
    "&lt;tags&gt;&amp;.jpg",
    "{title} {0} %s $name.jpg",
]


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    text: str = ""  # its own and that of its descendants
    inside: list[Element] = field(default_factory=list)

    def every(self, tag: str) -> list[Element]:
        return [element for element in self.inside if element.tag == tag]


class Page(HTMLParser):
    """A parsed page: all its elements in order; fails where tags do not pair."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.root = Element("root", {})
        self.stack = [self.root]
        self.feed(page)
        self.close()
        assert self.stack == [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        for ancestor in self.stack:
            ancestor.inside.append(element)
        if tag not in VOID_TAGS:
            self.stack.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for ancestor in self.stack:
            ancestor.text += data

    def every(self, tag: str) -> list[Element]:
        return self.root.every(tag)

    def element(self, identifier: str) -> Element:
        (found,) = (e for e in self.root.inside if e.attributes.get("id") == identifier)
        return found


def picture(level: int = 90, width: int = 40, height: int = 30) -> NDArray[np.uint8]:
    return np.full((height, width, 3), level, np.uint8)


def hit_of(rank: int, name: str = "photo.jpg", inliers: int | None = None, score: float = 0.5) -> Hit:
    match = None
    if inliers is not None:
        points = np.zeros((inliers, 2))
        features = np.arange(inliers, dtype=np.int32)
        match = Match(np.eye(2, 3), points, points, features, np.zeros((4, 2)), 1.0, 20.0, 18.0)
    return Hit(rank, name, Path("/photos") / name, rank, 40, 30, score, match)


def section_of(*hits: PageHit, name: str = "query.jpg") -> PageSection:
    return PageSection(name, picture(), "149 photos searched, 4 verified, 0.31 s", hits)


def decode(image: Element) -> Image.Image:
    prefix, data = image.attributes["src"].split(",")
    assert prefix == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_the_page_is_a_whole_document() -> None:
    text = render_page("Results for query.jpg", [section_of()])
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>\n")
    assert page.every("html")[0].attributes["lang"] == "en"
    assert any(meta.attributes.get("charset") == "utf-8" for meta in page.every("meta"))
    assert any(meta.attributes.get("name") == "viewport" for meta in page.every("meta"))
    assert page.every("title")[0].text == page.every("h1")[0].text == "Results for query.jpg"


def test_a_section_shows_its_query_and_its_summary() -> None:
    (section,) = Page(render_page("Title", [section_of(name="facade.jpg")])).every("section")
    assert "facade.jpg" in section.text
    assert "149 photos searched, 4 verified, 0.31 s" in section.text
    (image,) = section.every("img")
    assert "facade.jpg" in image.attributes["alt"]


def test_hits_stand_in_order_with_rank_name_score_and_inliers() -> None:
    hits = [
        PageHit(hit_of(1, "first.jpg", 27, 0.81249), picture()),
        PageHit(hit_of(2, "second.jpg", 1, 0.25), picture()),
        PageHit(hit_of(3, "third.jpg", 0, 0.0625), picture()),
        PageHit(hit_of(4, "fourth.jpg", None, 1.0), picture()),
    ]
    cards = Page(render_page("Title", [section_of(*hits)])).every("li")
    texts = [" ".join(card.text.split()) for card in cards]
    expected = [
        ("1", "first.jpg", "0.812", "27 inliers"),
        ("2", "second.jpg", "0.250", "1 inlier"),
        ("3", "third.jpg", "0.062", "0 inliers"),
        ("4", "fourth.jpg", "1.000", "not verified"),
    ]
    for text, (rank, name, score, inliers) in zip(texts, expected, strict=True):
        assert text.startswith(rank)
        assert name in text
        assert score in text
        assert text.endswith(inliers)
    looks = [card.attributes["class"] for card in cards]
    assert looks[0] == looks[1]
    assert looks[2] == looks[3]
    assert looks[0] != looks[2]


def test_every_picture_is_embedded_once() -> None:
    hits = [
        PageHit(hit_of(1, inliers=9), picture(40, 50, 20), picture(200, 90, 30)),
        PageHit(hit_of(2), picture(120, 20, 50)),
    ]
    images = Page(render_page("Title", [section_of(*hits)])).every("img")
    decoded = [decode(image) for image in images]
    assert sorted((im.size, im.convert("L").getpixel((5, 5))) for im in decoded) == [
        ((20, 50), 120),
        ((40, 30), 90),
        ((50, 20), 40),
        ((90, 30), 200),
    ]
    for image, pixels in zip(images, decoded, strict=True):
        assert image.attributes["alt"]
        assert (int(image.attributes["width"]), int(image.attributes["height"])) == pixels.size


def test_thin_coloured_lines_keep_their_colour() -> None:
    evidence = picture(128, 64, 64)
    evidence[32] = (255, 51, 51)
    page = Page(render_page("Title", [section_of(PageHit(hit_of(1, inliers=9), picture(), evidence))]))
    (shown,) = page.every("dialog")[0].every("img")
    red, green, _ = np.asarray(decode(shown))[32, 30].astype(int)
    assert red - green > 120


def test_each_match_is_reached_from_its_hit_and_leads_back() -> None:
    hits = [PageHit(hit_of(k, f"{k}.jpg", 9), picture(), picture(20 * k, 60)) for k in (1, 2, 3)]
    hits.insert(1, PageHit(hit_of(4, "plain.jpg"), picture()))
    page = Page(render_page("Title", [section_of(*hits), section_of(*hits)]))
    identifiers = [e.attributes["id"] for e in page.root.inside if "id" in e.attributes]
    assert len(identifiers) == len(set(identifiers))
    reached = []
    for card in page.every("li"):
        links = card.every("a")
        if "plain.jpg" in card.text:
            assert links == []
            continue
        (link,) = links
        match = page.element(link.attributes["href"].removeprefix("#"))
        assert match.tag == "dialog"
        (image,) = match.every("img")
        level = int(np.asarray(decode(image))[5, 5, 0])
        assert abs(level - 20 * int(card.text.split()[0])) <= 2
        assert card.every("bdi")[0].text in match.text
        assert match.every("a")[-1].attributes["href"] == "#" + card.attributes["id"]
        reached.append(match)
    assert len(reached) == len(page.every("dialog")) == 6


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_name_is_text_wherever_it_stands(name: str) -> None:
    plain = render_page("x", [section_of(PageHit(hit_of(1, "x", 9), picture(), picture()), name="x")])
    hostile = render_page(name, [section_of(PageHit(hit_of(1, name, 9), picture(), picture()), name=name)])
    page = Page(hostile)
    assert [e.tag for e in page.root.inside] == [e.tag for e in Page(plain).root.inside]
    assert [set(e.attributes) for e in page.root.inside] == [
        set(e.attributes) for e in Page(plain).root.inside
    ]
    assert page.every("title")[0].text == name
    assert page.every("h1")[0].text == name
    assert page.every("li")[0].every("bdi")[0].text == name
    assert any(name in image.attributes["alt"] for image in page.every("img"))
    if "<" in name:
        assert name not in hostile


def test_names_that_are_not_utf8_are_written_out() -> None:
    name = b"caf\xe9\x1b[31m\n\x00.jpg".decode("utf-8", "surrogateescape")
    text = render_page(name, [section_of(PageHit(hit_of(1, name, 9), picture(), picture()), name=name)])
    assert text.encode("utf-8").decode("utf-8") == text
    shown = Page(text).every("li")[0].every("bdi")[0].text
    assert shown == "caf\\udce9\\x1b[31m\\n\\x00.jpg"
    assert "\x1b" not in text
    assert "\x00" not in text


def test_names_in_any_script_stay_as_they_are() -> None:
    name = "日本 · école · صورة · 👩‍🎨.jpg"
    page = Page(render_page("Title", [section_of(PageHit(hit_of(1, name), picture()))]))
    assert page.every("li")[0].every("bdi")[0].text == name


def test_long_names_may_wrap_anywhere() -> None:
    name = "x" * 246 + ".jpg"
    page = Page(render_page(name, [section_of(PageHit(hit_of(1, name), picture()), name=name)]))
    assert page.every("li")[0].every("bdi")[0].text == name
    rule = next(
        line for line in page.every("style")[0].text.splitlines() if "overflow-wrap: anywhere" in line
    )
    assert "bdi" in rule
    assert "h1" in rule


def test_the_page_needs_nothing_but_itself() -> None:
    text = render_page("Title", [section_of(PageHit(hit_of(1, inliers=9), picture(), picture()))])
    assert "http://" not in text
    assert "https://" not in text
    page = Page(text)
    assert page.every("link") == []
    for element in page.root.inside:
        assert element.attributes.get("src", "data:").startswith("data:")
        assert element.attributes.get("href", "#").startswith("#")
    styles = "".join(style.text for style in page.every("style"))
    assert "url(" not in styles
    assert "@import" not in styles


def test_both_colour_schemes_are_set() -> None:
    page = Page(render_page("Title", []))
    assert "prefers-color-scheme: dark" in page.every("style")[0].text
    assert "focus-visible" in page.every("style")[0].text


def test_a_query_without_hits_says_so() -> None:
    page = Page(render_page("Title", [section_of()]))
    assert "No photo was found." in page.every("section")[0].text
    assert page.every("ol") == []
    assert "Select a photo" not in page.every("body")[0].text


def test_a_page_without_queries_says_so() -> None:
    page = Page(render_page("Title", []))
    assert "There is no query on this page." in page.every("main")[0].text
    assert page.every("img") == []


def test_the_same_results_give_the_same_page() -> None:
    sections = [section_of(PageHit(hit_of(1, inliers=9), picture(), picture()))]
    assert render_page("Title", sections) == render_page("Title", sections)
