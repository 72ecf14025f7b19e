"""One self-contained HTML page of queries and their hits, to open from a file or to send to someone."""

from __future__ import annotations

import base64
import html
import io
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from handcraft.types import Hit

JPEG_QUALITY = 86

_ESCAPED_CATEGORIES = frozenset({"Cc", "Cs"})  # control characters, and bytes of a name that is not UTF-8


@dataclass(frozen=True)
class PageHit:
    """A hit with its pictures.

    picture: (h, w, 3) uint8 RGB, a thumbnail of the photo, some 360 pixels in its long side.
    evidence: (h, w, 3) uint8 RGB, the drawn match. None where there is nothing to show.
    """

    hit: Hit
    picture: NDArray[np.uint8]
    evidence: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class PageSection:
    """A query with its hits, in the order of their ranks.

    query: (h, w, 3) uint8 RGB, a thumbnail of the query, some 360 pixels in its long side.
    summary: a sentence on the search, such as "149 photos searched, 4 verified, 0.31 s".
    """

    query_name: str
    query: NDArray[np.uint8]
    summary: str
    hits: Sequence[PageHit]


def render_page(title: str, sections: Sequence[PageSection]) -> str:
    """Write a page of queries and hits as HTML that needs no other file and no network.

    Names and summaries are shown as text, whatever they hold. The page can always be encoded as
    UTF-8: what a name holds that cannot is shown as "\\udce9".
    """
    content = [_section(number, section) for number, section in enumerate(sections, 1)]
    content = content or ['<p class="empty">There is no query on this page.</p>']
    has_evidence = any(hit.evidence is not None for section in sections for hit in section.hits)
    hint = '<p class="hint">Select a photo to see its match with the query.</p>' if has_evidence else ""
    return "\n".join(
        [
            _HEAD.replace("{title}", _text(title)),
            f"<header><h1>{_text(title)}</h1>{hint}</header>",
            "<main>",
            *content,
            "</main>",
            _SCRIPT,
            "</body>",
            "</html>",
            "",
        ]
    )


def _section(number: int, section: PageSection) -> str:
    name = _text(section.query_name)
    hits = [_card(f"{number}-{place}", hit) for place, hit in enumerate(section.hits, 1)]
    matches = [
        _match(f"{number}-{place}", name, hit)
        for place, hit in enumerate(section.hits, 1)
        if hit.evidence is not None
    ]
    listing = ['<ol class="hits" role="list">', *hits, "</ol>", *matches]
    return "\n".join(
        [
            f'<section aria-labelledby="query-{number}">',
            '<div class="query">',
            f'<span class="mat">{_picture(section.query, f"The query {name}")}</span>',
            f'<h2 id="query-{number}"><small>Query</small> <bdi>{name}</bdi></h2>',
            f"<p>{_text(section.summary)}</p>",
            "</div>",
            *(listing if hits else ['<p class="empty">No photo was found.</p>']),
            "</section>",
        ]
    )


def _card(key: str, page_hit: PageHit) -> str:
    """One photo of the ranking; a link to its match where that was drawn."""
    name = _text(page_hit.hit.name)
    picture = _picture(page_hit.picture, name)
    if page_hit.evidence is None:
        picture = f'<span class="mat">{picture}</span>'
    else:
        picture = f'<a class="mat" href="#match-{key}" aria-label="Show the match with {name}">{picture}</a>'
    verified = "verified" if page_hit.hit.inliers else "unverified"
    return f'<li class="{verified}" id="hit-{key}">\n{picture}\n{_label(page_hit.hit)}\n</li>'


def _match(key: str, query_name: str, page_hit: PageHit) -> str:
    """The drawn match, over the whole window once it is asked for."""
    assert page_hit.evidence is not None
    alternative = f"The match of {query_name} and {_text(page_hit.hit.name)}: {_inliers(page_hit.hit)}"
    return "\n".join(
        [
            f'<dialog id="match-{key}" aria-label="{alternative}">',
            _picture(page_hit.evidence, alternative),
            _label(page_hit.hit),
            f'<a class="close" href="#hit-{key}" autofocus>Close</a>',
            "</dialog>",
        ]
    )


def _label(hit: Hit) -> str:
    return (
        f'<div class="label"><span class="rank">{hit.rank}</span> '
        f"<p><bdi>{_text(hit.name)}</bdi></p> "
        f'<p class="facts"><span>score {hit.score:.4f}</span> <b>{_inliers(hit)}</b></p></div>'
    )


def _inliers(hit: Hit) -> str:
    if hit.match is None:
        return "not verified"
    return "1 inlier" if hit.inliers == 1 else f"{hit.inliers} inliers"


def _picture(pixels: NDArray[np.uint8], alternative: str) -> str:
    """An <img> with its pixels inside; `alternative` is escaped already."""
    encoded = io.BytesIO()
    # Colour at full resolution, or the thin lines of a match would turn grey.
    PillowImage.fromarray(pixels).save(encoded, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    data = base64.b64encode(encoded.getvalue()).decode("ascii")
    height, width = pixels.shape[:2]
    source = f"data:image/jpeg;base64,{data}"
    return f'<img src="{source}" width="{width}" height="{height}" alt="{alternative}">'


def _text(text: str) -> str:
    """Escape text for HTML and its attributes; what cannot be shown or encoded is written out."""
    shown = (
        character.encode("unicode_escape").decode("ascii")
        if unicodedata.category(character) in _ESCAPED_CATEGORIES
        else character
        for character in text
    )
    return html.escape("".join(shown))


_HEAD = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="handcraft">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {
  color-scheme: light dark;
  --wall: #f7f5f0; --mat: #edeae2; --ink: #23211d; --soft: #6a655b; --line: #d8d3c7; --accent: #8a4b17;
}
@media (prefers-color-scheme: dark) {
  :root {
    --wall: #171614; --mat: #22201d; --ink: #e9e5db; --soft: #a19a8c; --line: #3a3731; --accent: #e0a36a;
  }
}
*, ::before, ::after { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 92rem; padding: 3rem clamp(1rem, 4vw, 4rem) 6rem;
  background: var(--wall); color: var(--ink);
  font: 1rem/1.45 "Iowan Old Style", "Palatino Linotype", Palatino, P052, Georgia, serif;
  font-variant-numeric: lining-nums tabular-nums; text-size-adjust: 100%;
}
h1, h2, p, ol { margin: 0; padding: 0; font-weight: normal; }
bdi, h1, .query p { overflow-wrap: anywhere; }
img { display: block; max-width: 100%; height: auto; }
header { margin-bottom: 3rem; }
h1 { font-size: 1.75rem; line-height: 1.2; text-wrap: balance; }
.hint, .query p, .empty { color: var(--soft); }
.hint { margin-top: .4rem; font-style: italic; }
section {
  display: grid; grid-template-columns: minmax(0, 17rem) minmax(0, 1fr); gap: 2rem 3.5rem;
  align-items: start; padding: 2rem 0 4rem; border-top: 1px solid var(--line);
}
.query { position: sticky; top: 2rem; }
h2 { margin-top: 1rem; font-size: 1.25rem; line-height: 1.3; }
h2 small {
  display: block; color: var(--soft); font-size: .8125rem; letter-spacing: .09em; text-transform: uppercase;
}
.query p { margin-top: .35rem; font-size: .9375rem; }
.hits {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(min(13rem, 42%), 1fr));
  gap: 2.5rem 1.75rem; list-style: none;
}
.mat { display: block; background: var(--mat); }
.query .mat { background: none; }
.query img { max-height: 60vh; width: auto; }
.hits .mat { aspect-ratio: 4 / 3; }
.hits img { width: 100%; height: 100%; object-fit: contain; }
a.mat { cursor: zoom-in; }
a.mat:hover img { filter: brightness(1.08); }
a:focus-visible { outline: 3px solid var(--accent); outline-offset: 3px; }
dialog:focus-visible { outline: none; }
.label { display: grid; grid-template-columns: auto minmax(0, 1fr); column-gap: .5rem; }
.rank { min-width: 1em; color: var(--soft); }
.facts { grid-column: 2; display: flex; flex-wrap: wrap; gap: 0 .8em; color: var(--soft); }
.facts b { font-weight: normal; }
.hits .label { margin-top: .6rem; padding-top: .5rem; border-top: 1px dotted var(--soft); }
.hits .facts { font-size: .9375rem; }
.hits .verified .label { border-top: 2px solid var(--accent); padding-top: calc(.5rem - 1px); }
.verified b, dialog b { color: var(--accent); }
.verified b::before { content: "\\2713\\a0"; }
.unverified b { font-style: italic; }
dialog {
  position: fixed; inset: 0; width: 100%; height: 100%; max-width: none; max-height: none; margin: 0;
  padding: clamp(.75rem, 3vw, 2.5rem); border: 0; overflow: auto; cursor: zoom-out;
  grid-template-columns: minmax(0, 1fr) auto; gap: 1rem 2rem; align-content: safe center;
  color-scheme: dark; --soft: #b3ac9f; --accent: #e0a36a; background: #141414; color: #f1ede4;
}
dialog[open] { display: grid; }
dialog img { grid-column: 1 / -1; justify-self: center; max-height: calc(100vh - 11rem); width: auto; }
dialog .label { max-width: 44rem; }
.close { align-self: start; color: inherit; text-underline-offset: .2em; }
body:has(dialog[open]) { overflow: hidden; }
@media (max-width: 56rem) {
  body { padding-top: 1.75rem; }
  header { margin-bottom: 1.75rem; }
  section { grid-template-columns: minmax(0, 1fr); padding-top: 1.5rem; }
  .query { position: static; max-width: 26rem; }
  .hits { gap: 1.75rem 1rem; }
}
@media print { .hint { display: none; } .query { position: static; } li { break-inside: avoid; } }
</style>
<noscript><style>dialog:target { display: grid; }</style></noscript>
</head>
<body>"""

# Without it, the links open and close a match by the address alone; with it, Escape closes as well,
# the keyboard stays inside an open match, and the page behind keeps its place.
_SCRIPT = """\
<script>
const show = (hash) => {
  const match = document.getElementById(hash.slice(1));
  if (!match?.showModal) return false;
  if (!match.open) match.showModal();
  return true;
};
document.addEventListener("click", (event) => {
  const shown = event.target.closest("dialog[open]");
  const link = event.target.closest("a.mat");
  shown?.close();
  if (shown || (link && show(link.hash))) event.preventDefault();
});
addEventListener("hashchange", () => show(location.hash));
show(location.hash);
</script>"""
