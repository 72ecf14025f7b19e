"""Draws docs/match.svg, the picture of the README, from the demo's photos: python -m docs.picture"""

from __future__ import annotations

import base64
import colorsys
import io
import tempfile
from pathlib import Path

from PIL import Image

import handcraft
from handcraft.demo import make_demo_photos
from handcraft.types import Match

PICTURE = Path(__file__).with_name("match.svg")
QUERY = "china-combined.jpg"
WIDTH = 400  # of each photo, in units of the picture
GUTTER = 12
LINES = 40


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        photos = make_demo_photos(Path(folder))
        store = handcraft.open(Path(folder) / ".handcraft")
        store.add(photos.collection)
        query = next(query.path for query in photos.queries if query.path.name == QUERY)
        hit = store.query(query, verify=True).hits[0]
        assert hit.match is not None
        PICTURE.write_text(draw(query, hit.path, hit.match), encoding="utf-8")


def draw(query: Path, photo: Path, match: Match) -> str:
    """Both photos, side by side, with the inliers joined and the query's outline in the photo."""
    left, query_scale, query_height = _embed(query, 0)
    right, photo_scale, photo_height = _embed(photo, WIDTH + GUTTER)
    step = max(1, match.inliers // LINES)
    lines = []
    for number in range(0, match.inliers, step):
        x1, y1 = (match.query_points[number] + 0.5) * query_scale
        x2, y2 = (match.photo_points[number] + 0.5) * photo_scale
        red, green, blue = colorsys.hsv_to_rgb((number * 0.618034) % 1, 0.75, 1.0)
        colour = f"rgb({255 * red:.0f},{255 * green:.0f},{255 * blue:.0f})"
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
