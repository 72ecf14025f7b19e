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
from handcraft.cli import cli
from handcraft.demo import make_demo_photos

MATCH = Path(__file__).with_name("match.svg")
GRAF = Path(__file__).with_name("graf.svg")
QUERY = "china-combined.jpg"
WIDTH = 812  # of the query and its hit
QUALITY = 75  # of their JPEG
GUTTER = 12
PANEL = 200  # width of a photo of graf
DOTS = 100  # the most in a photo of graf


def main() -> None:
    MATCH.write_text(demo_match(), encoding="utf-8")
    data = os.environ.get("HANDCRAFT_DATA")
    if data:
        GRAF.write_text(graf_matches(Path(data) / "graf"), encoding="utf-8")


def demo_match() -> str:
    """A query of the demo beside the photo that it finds first, as `handcraft query --save-matches` draws
    them."""
    with tempfile.TemporaryDirectory() as folder:
        photos = make_demo_photos(Path(folder))
        query = next(query.path for query in photos.queries if query.path.name == QUERY)
        store, matches = Path(folder) / ".handcraft", Path(folder) / "matches"
        handcraft.open(store).add(photos.collection)
        cli(
            ["query", str(query), "--store", str(store), "--top", "1", "--save-matches", str(matches)],
            standalone_mode=False,
        )
        (drawn,) = matches.iterdir()
        return as_text(drawn)


def as_text(picture: Path) -> str:
    """A picture as an SVG that holds it, so that the project needs no binary file."""
    with Image.open(picture) as image:
        small = image.convert("RGB")
    small.thumbnail((WIDTH, WIDTH), Image.Resampling.LANCZOS)
    encoded = io.BytesIO()
    small.save(encoded, "JPEG", quality=QUALITY)
    data = base64.b64encode(encoded.getvalue()).decode("ascii")
    size = f'width="{small.width}" height="{small.height}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" '
        'aria-label="A query and the photo it was found in, with inliers joined">\n'
        f'<image {size} href="data:image/jpeg;base64,{data}"/>\n</svg>\n'
    )


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
    return f"rgb({255 * red:.0f},{255 * green:.0f},{255 * blue:.0f})"


if __name__ == "__main__":
    main()
