"""Draws the pictures of the documentation: python -m docs.pictures

docs/match.svg, from the demo's photos. docs/graf.svg, from the photos of graf (data/README.md) if the
environment variable HANDCRAFT_DATA names the folder that has them; it shows places, not the photos.
"""

from __future__ import annotations

import base64
import colorsys
import io
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

import handcraft
from handcraft.demo import make_demo_photos
from handcraft.types import Match

MATCH = Path(__file__).with_name("match.svg")
GRAF = Path(__file__).with_name("graf.svg")
QUERY = "china-combined.jpg"
WIDTH = 400  # of each photo, in units of the picture
GUTTER = 12
LINES = 40
PANEL = 200  # width of a photo of graf
DOTS = 100  # the most in a photo of graf


def main() -> None:
    MATCH.write_text(demo_match(), encoding="utf-8")
    data = os.environ.get("HANDCRAFT_DATA")
    if data:
        GRAF.write_text(graf_matches(Path(data) / "graf"), encoding="utf-8")


def demo_match() -> str:
    """A query of the demo beside the photo that it finds first."""
    with tempfile.TemporaryDirectory() as folder:
        photos = make_demo_photos(Path(folder))
        store = handcraft.open(Path(folder) / ".handcraft")
        store.add(photos.collection)
        query = next(query.path for query in photos.queries if query.path.name == QUERY)
        hit = store.query(query, verify=True).hits[0]
        assert hit.match is not None
        return draw(query, hit.path, hit.match)


def graf_matches(folder: Path) -> str:
    """The inliers of graf's first photo with each of the others, of one colour where they are one place,
    and the outline of the first photo in the others, as `handcraft match` finds them."""
    panels = []
    for number in range(2, 7):
        result = handcraft.match(folder / "img1.png", folder / f"img{number}.png")
        assert result.match is not None
        size, other_size = result.sizes
        colours = [_colour_of(x / size[0], y / size[1]) for x, y in result.match.query_points]
        if number == 2:
            corners = [(0, 0), (size[0], 0), size, (0, size[1])]
            panels.append(_panel("1", size, result.match.query_points, colours, corners))
        label = f"1-{number}: {result.inliers} inliers"
        panels.append(_panel(label, other_size, result.match.photo_points, colours, result.match.region))
    placed = [
        f'<g transform="translate({GUTTER + number % 3 * (PANEL + GUTTER)} {GUTTER + number // 3 * PANEL})">'
        f"{panel}</g>"
        for number, panel in enumerate(panels)
    ]
    width, height = 3 * (PANEL + GUTTER) + GUTTER, 2 * PANEL + GUTTER
    start = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'font-family="sans-serif" font-size="12" aria-label="Inliers between the photos of graf">'
    )
    return (
        "\n".join([start, f'<rect width="{width}" height="{height}" fill="#fff"/>', *placed, "</svg>"]) + "\n"
    )


def _panel(
    label: str, size: tuple[int, int], points: ArrayLike, colours: Sequence[str], outline: ArrayLike
) -> str:
    """A photo as its frame, the points in it, and an outline."""
    scale = PANEL / size[0]
    height = size[1] * scale
    places = (np.asarray(points) + 0.5) * scale
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.6" fill="{colour}"/>'
        for (x, y), colour in list(zip(places, colours, strict=True))[:: max(1, len(places) // DOTS)]
    )
    corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in np.asarray(outline) * scale)
    return (
        f'<rect width="{PANEL}" height="{height:.1f}" fill="#f2f2f2"/>'
        f'<svg width="{PANEL}" height="{height:.1f}">'
        f'<polygon points="{corners}" fill="#fff" stroke="#06c"/></svg>{dots}'
        f'<text y="{height + 15:.1f}">{label}</text>'
    )


def _colour_of(x: float, y: float) -> str:
    """A colour for each place of a photo, 0 to 1 along both sides."""
    red, green, blue = colorsys.hsv_to_rgb(0.85 * x, 0.9, 0.45 + 0.5 * y)
    return _rgb(red, green, blue)


def _rgb(red: float, green: float, blue: float) -> str:
    return f"rgb({255 * red:.0f},{255 * green:.0f},{255 * blue:.0f})"


def draw(query: Path, photo: Path, match: Match) -> str:
    """Both photos, side by side, with the inliers joined and the query's outline in the photo."""
    left, query_scale, query_height = _embed(query, 0)
    right, photo_scale, photo_height = _embed(photo, WIDTH + GUTTER)
    step = max(1, match.inliers // LINES)
    lines = []
    for number in range(0, match.inliers, step):
        x1, y1 = (match.query_points[number] + 0.5) * query_scale
        x2, y2 = (match.photo_points[number] + 0.5) * photo_scale
        colour = _rgb(*colorsys.hsv_to_rgb((number * 0.618034) % 1, 0.75, 1.0))
        lines.append(f'<path d="M{x1:.1f} {y1:.1f}L{x2 + WIDTH + GUTTER:.1f} {y2:.1f}" stroke="{colour}"/>')
    corners = [(p + 0.5) * photo_scale for p in match.region]
    outline = " ".join(f"{x + WIDTH + GUTTER:.1f},{y:.1f}" for x, y in corners)
    height = max(query_height, photo_height)
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH + GUTTER} {height:.0f}" '
        'role="img" aria-label="A query and the photo it was found in, with inliers joined">',
        left,
        right,
        f'<g stroke-width="1" stroke-opacity="0.85" fill="none">{"".join(lines)}</g>',
        f'<polygon points="{outline}" fill="none" stroke="#fff" stroke-width="2.5"/>',
        f'<polygon points="{outline}" fill="none" stroke="#06c" stroke-width="1.2"/>',
        "</svg>",
    ]
    return "\n".join(body) + "\n"


def _embed(path: Path, x: float) -> tuple[str, float, float]:
    """The photo as an element at x, its scale, and its height, in units of the picture."""
    with Image.open(path) as image:
        scale = WIDTH / image.width
        height = image.height * scale
        small = image.convert("RGB").resize((WIDTH, round(height)), Image.Resampling.LANCZOS)
    encoded = io.BytesIO()
    small.save(encoded, "JPEG", quality=70)
    data = base64.b64encode(encoded.getvalue()).decode("ascii")
    source = f"data:image/jpeg;base64,{data}"
    return f'<image x="{x}" width="{WIDTH}" height="{height:.1f}" href="{source}"/>', scale, height


if __name__ == "__main__":
    main()
