"""Photographs for the tests: textures drawn from a seed, and views of them whose geometry is known."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from handcraft.engine.searching import QueryResult
from handcraft.options import QueryOptions

WIDTH, HEIGHT = 320, 240
SCENES = 8  # photos of scenes that nothing else shows, scene-0.jpg ...
VIEWED = 3  # the scene that the collection shows twice more: views/near.jpg and views/turned.jpg
QUERY_TURN, QUERY_SCALE = 25.0, 0.8  # of query.jpg: degrees, and scene pixels a query pixel
QUERY_SIZE = (240, 180)

ONCE = QueryOptions(directions=1)  # quicker, where it does not matter how the query is turned

Affine = NDArray[np.float64]


def scene(seed: int, width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """A photograph of nothing: noise of several scales under polygons and blobs, the same every time."""
    generator = np.random.default_rng(seed)
    sides = np.array([height, width, 3])
    pixels = np.zeros(sides)
    for cell in (48, 24, 10):
        grid = generator.integers(0, 256, (*-(-sides[:2] // cell), 3), np.uint8)
        layer = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
        pixels += np.asarray(layer, np.float64) / 3
    image = Image.fromarray(np.clip(2 * (pixels - 127) + 127, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(130):
        x, y = (float(v) for v in generator.uniform((0, 0), (width, height)))
        colour = tuple(int(v) for v in generator.integers(0, 256, 3))
        radius = float(generator.uniform(3, 16))
        if generator.random() < 0.4:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
        else:
            angles = np.sort(generator.uniform(0, 2 * math.pi, int(generator.integers(3, 7))))
            draw.polygon([(x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles], fill=colour)
    return image


def similarity(degrees: float, scale: float, centre: tuple[float, float], size: tuple[int, int]) -> Affine:
    """(2, 3): takes the middle of a view of this size to `centre`, turned and scaled."""
    angle = math.radians(degrees)
    linear = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    middle = (np.array(size) - 1) / 2
    return np.column_stack([linear, np.array(centre) - linear @ middle])


def view(image: Image.Image, affine: Affine, size: tuple[int, int]) -> Image.Image:
    """A view of an image; `affine` takes view pixels to image pixels, centres at whole numbers."""
    linear, offset = affine[:, :2], affine[:, 2]
    corner = offset + 0.5 - linear @ [0.5, 0.5]  # Pillow's whole numbers are corners
    data = (*linear[0], corner[0], *linear[1], corner[1])
    return image.transform(size, Image.Transform.AFFINE, data, Image.Resampling.BICUBIC, fillcolor="grey")


def query_affine() -> Affine:
    """The map from the pixels of query.jpg to those of the viewed scene."""
    return similarity(QUERY_TURN, QUERY_SCALE, (WIDTH / 2 + 10, HEIGHT / 2 - 6), QUERY_SIZE)


def turned_scene(degrees: float) -> Image.Image:
    """The viewed scene, turned clockwise about its middle: a square as high as it is."""
    size = (HEIGHT, HEIGHT)
    return view(scene(VIEWED), similarity(-degrees, 1, ((WIDTH - 1) / 2, (HEIGHT - 1) / 2), size), size)


def write_photos(folder: Path) -> Path:
    """Write the collection and query.jpg into a folder.

    photos/ holds scene-0.jpg ... scene-7.jpg and two more views of scene 3; query.jpg beside it is
    a part of scene 3, turned by 25 degrees and enlarged.
    """
    photos = folder / "photos"
    (photos / "views").mkdir(parents=True)
    scenes = [scene(seed) for seed in range(SCENES)]
    for number, image in enumerate(scenes):
        save(image, photos / f"scene-{number}.jpg")
    near = similarity(-10, 0.7, (WIDTH * 0.55, HEIGHT * 0.5), (WIDTH, HEIGHT))
    turned = similarity(70, 0.9, (WIDTH * 0.5, HEIGHT * 0.5), (HEIGHT, WIDTH))
    save(view(scenes[VIEWED], near, (WIDTH, HEIGHT)), photos / "views" / "near.jpg")
    save(view(scenes[VIEWED], turned, (HEIGHT, WIDTH)), photos / "views" / "turned.jpg")
    save(view(scenes[VIEWED], query_affine(), QUERY_SIZE), folder / "query.jpg")
    return folder


def save(image: Image.Image, path: Path) -> Path:
    """Write a photo in the format of its suffix."""
    image.save(path, **({"quality": 92} if path.suffix == ".jpg" else {}))
    return path


def blank_wall() -> Image.Image:
    """A photo without any feature."""
    return Image.new("L", (WIDTH, HEIGHT), 200)


def copy_of(collection: Path, folder: Path) -> Path:
    """A copy of an indexed collection for one test to change; photos keep their times."""
    return Path(shutil.copytree(collection, folder / "copy"))


def segment_bytes(store: Path) -> dict[str, bytes]:
    """The content of every segment file by its name."""
    return {path.name: path.read_bytes() for path in sorted((store / "segments").iterdir())}


def age(path: Path, seconds: int) -> None:
    """Move a file's modification time into the past."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns - seconds * 10**9))


def ranking(result: QueryResult) -> list[tuple[object, ...]]:
    """All that a ranking says of its hits, but for their image ids."""
    return [
        (
            hit.rank,
            hit.name,
            hit.score,
            hit.inliers,
            hit.match and (hit.match.weight, hit.match.affine.tolist(), hit.match.photo_points.tolist()),
        )
        for hit in result.hits
    ]
