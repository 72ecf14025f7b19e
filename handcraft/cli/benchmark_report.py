"""The results of a benchmark for people: a table, plots, and pages of what was found."""

from __future__ import annotations

import hashlib
import html
import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image

from handcraft.cli.common import count
from handcraft.cli.plots import save_precision_recall, save_tradeoff
from handcraft.engine.benchmarking import RANKINGS, crop
from handcraft.engine.reporting import Progress
from handcraft.evaluation.datasets import Dataset, Material
from handcraft.features.images import read_colour
from handcraft.storage.atomic import make_folder, write_atomically

THUMBNAIL = 160  # pixels
QUALITY = 80
STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem; color: #222; background: #faf8f5; }
section { border-top: 1px solid #ccc; padding: 1rem 0; }
h2 { font-size: 1rem; margin: 0 0 .5rem; }
ol { display: flex; flex-wrap: wrap; gap: .5rem; list-style: none; padding: 0; margin: 0; }
li { width: 160px; font-size: .75rem; overflow-wrap: anywhere; }
img { display: block; max-width: 100%; border: 4px solid #999; box-sizing: border-box; }
.right img { border-color: #2a7d2a; }
.wrong img { border-color: #b3261e; }
.junk img { border-color: #c9a227; }
"""


def table(results: Mapping[str, Any], dataset: Dataset) -> str:
    """The mAP of each ranking in Markdown, and what the literature has."""
    rows = list(_rows(results))
    levels = list(rows[0][2]["levels"])
    columns = [f"mAP {level}".strip() for level in levels]
    lines = [
        f"{dataset.title}: {_size(results['photos'], results['distractors'], results['queries'])}",
        "",
        f"| ranked by | {' | '.join(columns)} | ms a query |",
        f"|---|{'---|' * len(columns)}---|",
    ]
    for extractor, title, figures in rows:
        values = [f"{figures['levels'][level]['mAP']:.3f}" for level in levels]
        lines.append(f"| {title}, {extractor} | {' | '.join(values)} | {figures['milliseconds']:.0f} |")
    for title, published in dataset.published:
        values = [f"{published[level]:.3f}" if level in published else "–" for level in levels]
        lines.append(f"| *published:* {title} | {' | '.join(values)} | |")
    return "\n".join(lines)


def size_of(material: Material) -> str:
    """How many photos and queries a data set has."""
    return _size(len(material.photos), len(material.distractors), len(material.queries))


def _size(photos: int, distractors: int, queries: int) -> str:
    beside = f" and {count(distractors, 'distractor')}" if distractors else ""
    return f"{count(photos, 'photo')}{beside}, {count(queries, 'query')}"


def write_report(
    folder: Path, results: Mapping[str, Any], dataset: Dataset, material: Material, progress: Progress
) -> None:
    """Write results.md, a page for each ranking, and the plots where matplotlib is; raises HandcraftError."""
    write_atomically(folder / "results.md", (table(results, dataset) + "\n").encode())
    curves, points = {}, {}
    for extractor, title, figures in _rows(results):
        for level, measured in figures["levels"].items():
            label = f"{title}, {extractor}" + (f", {level}" if level else "")
            curves[label] = measured["precision at recall"]
            points[label] = (figures["milliseconds"], measured["mAP"])
    if find_spec("matplotlib") is not None:
        save_precision_recall(folder / "precision-recall.svg", curves)
        save_tradeoff(folder / "map-time.svg", points)
    pages = list(_pages(results))
    thumbnails = _Thumbnails(folder / "thumbnails", material)
    for done, (name, title, measured) in enumerate(pages, 1):
        write_atomically(folder / f"{name}.html", _page(title, measured, thumbnails).encode())
        progress("pages", done, len(pages))


def _rows(results: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Extractor, title and figures of each ranking."""
    for extractor, part in results["extractors"].items():
        for title, figures in part["rankings"].items():
            yield extractor, title, figures


def _pages(results: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """File name, title and figures of each page."""
    names = {ranking.title: name for name, ranking in RANKINGS.items()}
    for extractor, title, figures in _rows(results):
        for level, measured in figures["levels"].items():
            parts = [part for part in (extractor, names[title], level) if part]
            yield "-".join(parts), ", ".join([title, extractor, *parts[2:]]), measured


def _page(title: str, measured: Mapping[str, Any], thumbnails: _Thumbnails) -> str:
    """Each query's first photos, the worst queries first."""
    queries = sorted(measured["queries"].items(), key=lambda entry: (entry[1]["average precision"], entry[0]))
    sections = [_section(name, facts, thumbnails) for name, facts in queries]
    text = html.escape(title)
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f"<title>{text}</title>\n<style>{STYLE}</style>\n</head>\n<body>",
            f"<h1>{text}</h1>\n<p>mAP {measured['mAP']:.4f}. The worst queries first; green is right, red "
            "wrong, yellow junk.</p>",
            *sections,
            "</body>\n</html>\n",
        ]
    )


def _section(name: str, facts: Mapping[str, Any], thumbnails: _Thumbnails) -> str:
    found = len(facts["ranks"])
    cards = [_card(thumbnails.of_query(name), name, "query", "query")]
    cards += [
        _card(thumbnails.of_photo(photo), f"{rank}. {photo}", mark, mark)
        for rank, (photo, mark) in enumerate(facts["first"], 1)
    ]
    return (
        f"<section>\n<h2>{html.escape(name)}: average precision {facts['average precision']:.3f}, {found} of "
        f"{facts['positives']} found</h2>\n<ol>\n{''.join(cards)}</ol>\n</section>"
    )


def _card(picture: str, caption: str, kind: str, mark: str) -> str:
    text = html.escape(caption)
    return f'<li class="{kind}"><img src="{html.escape(picture)}" alt="{text}">{text} ({mark})</li>\n'


class _Thumbnails:
    """Small pictures in a folder, each drawn once."""

    def __init__(self, folder: Path, material: Material) -> None:
        self._folder, self._material = folder, material
        self._asked = {query.name: query for query in material.asked}
        make_folder(folder)

    def of_query(self, name: str) -> str:
        """The picture of what a query shows, its region if it has one, relative to the page."""
        query = self._asked[name]
        target = self._target(f"{name}, {query.roi}")
        if not target.exists():
            self._save(crop(self._material.queries[name], query), target)
        return f"{self._folder.name}/{target.name}"

    def of_photo(self, name: str) -> str:
        """The picture of a photo by its name from the folder of the data set."""
        target = self._target(name)
        if not target.exists():
            path = Path(os.path.normpath(self._material.root / name))
            self._save(Image.fromarray(read_colour(path, THUMBNAIL)), target)
        return f"{self._folder.name}/{target.name}"

    def _target(self, what: str) -> Path:
        """The file of the picture of what is called so."""
        digest = hashlib.blake2b(what.encode("utf-8", "surrogateescape"), digest_size=8)
        return self._folder / f"{digest.hexdigest()}.jpg"

    def _save(self, picture: Image.Image, target: Path) -> None:
        picture.thumbnail((THUMBNAIL, THUMBNAIL))
        with target.open("wb") as file:
            picture.save(file, "JPEG", quality=QUALITY)
