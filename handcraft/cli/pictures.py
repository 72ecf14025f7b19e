"""Pictures and pages of query results."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from handcraft.cli.page import PageHit, PageSection, render_page
from handcraft.engine.drawing import draw_hit, read_picture
from handcraft.errors import HandcraftError, PhotoError
from handcraft.storage.atomic import make_folder, write_atomically
from handcraft.types import Hit, RegionOfInterest

if TYPE_CHECKING:
    from handcraft.engine.reporting import Progress
    from handcraft.engine.searching import QueryResult

THUMBNAIL_SIZE = 360  # pixels, long side
JPEG_QUALITY = 90
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}  # of saved pictures, by suffix


def save_match_pictures(
    folder: Path, photo: Path, result: QueryResult, roi: RegionOfInterest | None, progress: Progress
) -> list[str]:
    """Draw the query beside each hit into a folder, a JPEG a hit.

    Returns a sentence for each hit whose photo cannot be read any more. Raises StoreError where the
    folder cannot be written.
    """
    make_folder(folder)
    query = read_picture(photo)
    problems = []
    for done, hit in enumerate(result.hits):
        progress("drawing", done, len(result.hits))
        try:
            drawn = draw_hit(query, read_picture(hit.path), result, hit, roi)
        except PhotoError as error:
            problems.append(str(error))
            continue
        save_picture(folder / picture_name(hit), drawn)
    progress("drawing", len(result.hits), len(result.hits))
    return problems


def check_picture(path: Path) -> None:
    """Raise HandcraftError unless the suffix is that of a picture that can be saved."""
    if path.suffix.lower() not in FORMATS:
        raise HandcraftError(f"{path} is no picture that can be saved; end its name in {', '.join(FORMATS)}.")


def save_picture(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write (h, w, 3) uint8 RGB in the format of the suffix, whole or not at all.

    Raises HandcraftError for another suffix and StoreError where the file cannot be written.
    """
    check_picture(path)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, FORMATS[path.suffix.lower()], quality=JPEG_QUALITY)
    make_folder(path.parent)
    write_atomically(path, encoded.getvalue())


def picture_name(hit: Hit) -> str:
    """A file name for a hit's picture: its rank, and as much of its own name as is safe."""
    return f"{hit.rank:03d}-{re.sub(r'[^A-Za-z0-9._-]+', '-', Path(hit.name).stem)[-80:]}.jpg"


def query_section(
    photo: Path,
    result: QueryResult,
    summary: str,
    roi: RegionOfInterest | None,
    progress: Progress,
) -> tuple[PageSection, list[str]]:
    """A query and its hits for a page, and a sentence for each hit that cannot be shown."""
    query = read_picture(photo)
    hits, problems = [], []
    for done, hit in enumerate(result.hits):
        progress("drawing", done, len(result.hits))
        try:
            picture = read_picture(hit.path)
        except PhotoError as error:
            problems.append(str(error))
            continue
        evidence = draw_hit(query, picture, result, hit, roi) if hit.match else None
        hits.append(PageHit(hit, _reduced(picture), evidence))
    progress("drawing", len(result.hits), len(result.hits))
    section = PageSection(query_name=photo.name, query=_reduced(query), summary=summary, hits=tuple(hits))
    return section, problems


def write_page(path: Path, title: str, sections: Sequence[PageSection]) -> None:
    """Write a page whole or not at all; raises StoreError."""
    make_folder(path.parent)
    write_atomically(path, render_page(title, sections).encode("utf-8"))


def _reduced(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = Image.fromarray(picture)
    image.thumbnail((THUMBNAIL_SIZE, THUMBNAIL_SIZE), Image.Resampling.LANCZOS)
    return np.asarray(image)
