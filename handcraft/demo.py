"""The photographs of `handcraft demo`: a small collection, and queries whose answers are known.

The photographs are files that scikit-image and scikit-learn install with themselves, so no network
is needed, and neither library is imported. A query is a part of a photograph of the collection as
another camera might have seen it: turned, from one side, in the dark, saved at a low quality. One
query is no such imitation: it is the second view of a motorcycle, taken 193 mm beside the first.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from handcraft.errors import DependencyError, HandcraftError

_COLLECTION_FOLDER = "collection"
_QUERY_FOLDER = "queries"

_INSTALL = 'pip install "handcraft[demo]"'

_FIRST_VIEW = "motorcycle_left.png"
_SECOND_VIEW = "motorcycle_right.png"

# Every photograph that the wheels of scikit-image 0.22 to 0.26 hold, through a microscope or a
# telescope too. Not in it: drawings (chessboards, colour wheel, horse, logo, phantom) and the
# second view, which is a query.
_SCIKIT_IMAGE_PHOTOS = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "cell.png",
    "chelsea.png",
    "clock_motion.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "microaneurysms.png",
    "moon.png",
    _FIRST_VIEW,
    "page.png",
    "retina.jpg",
    "rocket.jpg",
    "text.png",
)
_SCIKIT_LEARN_PHOTOS = ("china.jpg", "flower.jpg")

_Corners = tuple[tuple[float, float], ...]

# Corners of a query in its photo: top left, top right, bottom right, bottom left of what the query
# shows, as fractions of the photo's width and height. A side that is shorter here is stretched in
# the query, so it looks nearer than the side across.
_WHOLE: _Corners = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
_PART: _Corners = ((0.12, 0.08), (0.93, 0.08), (0.93, 0.88), (0.12, 0.88))  # 65 % of the area
_FROM_THE_LEFT: _Corners = ((0.08, 0.18), (0.96, 0.04), (0.96, 0.96), (0.08, 0.80))
_FROM_BELOW: _Corners = ((0.03, 0.06), (0.97, 0.06), (0.82, 0.94), (0.17, 0.94))


@dataclass(frozen=True)
class DemoQuery:
    """A query photo and the photo of the collection that it must find first.

    description: what was done to the photo, such as "turned by 30°". expected: a file name of the
    collection.
    """

    path: Path
    description: str
    expected: str


@dataclass(frozen=True)
class DemoPhotos:
    """What `make_demo_photos` wrote.

    collection: the folder with the photos. left_out: sentences on what could not be made.
    """

    collection: Path
    queries: tuple[DemoQuery, ...]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Treatment:
    """How a query is made from its photo."""

    name: str  # the end of the query's file name
    description: str
    corners: _Corners = _WHOLE  # what the query shows before it is turned, see above
    turn: float = 0.0  # degrees by which the photo turns clockwise
    exposure: float = 1.0  # factor on the brightness
    gamma: float = 1.0  # above 1: shadows darken more than lights
    quality: int = 90  # of the JPEG; 90 leaves no visible trace


_TURNED = _Treatment("rotated", "turned by 30°", turn=30)
_TURNED_FAR = _Treatment("rotated", "turned by 120°", turn=120)
_PERSPECTIVE_LEFT = _Treatment("perspective", "in perspective, from the left", _FROM_THE_LEFT)
_PERSPECTIVE_BELOW = _Treatment("perspective", "in perspective, from below", _FROM_BELOW)
_DARKENED = _Treatment("darkened", "cropped, darkened to 40 %", _PART, exposure=0.4, gamma=1.2)
_RECOMPRESSED = _Treatment("recompressed", "cropped, JPEG quality 15", _PART, quality=15)
_COMBINED = _Treatment(
    "combined",
    "turned by 200°, in perspective, darkened to 60 %, JPEG quality 30",
    _FROM_BELOW,
    turn=200,
    exposure=0.6,
    quality=30,
)

# One query of every photo that has the texture local features need. Those without a query have
# fewer than 200 SIFT features: clock_motion, microaneurysms and cell under ten, moon 80, retina 166.
_TREATMENTS = {
    "astronaut.png": _TURNED,
    "brick.png": _PERSPECTIVE_LEFT,
    "camera.png": _TURNED_FAR,
    "chelsea.png": _RECOMPRESSED,
    "china.jpg": _COMBINED,
    "coffee.png": _PERSPECTIVE_LEFT,
    "coins.png": _DARKENED,
    "flower.jpg": _DARKENED,
    "grass.png": _COMBINED,
    "gravel.png": _TURNED_FAR,
    "hubble_deep_field.jpg": _RECOMPRESSED,
    "ihc.png": _COMBINED,
    "page.png": _PERSPECTIVE_LEFT,
    "rocket.jpg": _PERSPECTIVE_BELOW,
    "text.png": _PERSPECTIVE_BELOW,
}


def make_demo_photos(folder: Path) -> DemoPhotos:
    """Write the collection and the queries under `folder`; the same bytes on every run.

    Raises DependencyError where scikit-image or scikit-learn is missing, HandcraftError where the
    folder cannot be written. A photo that an installation lacks is left out, with its queries.
    """
    sources = {
        **_photo_files("scikit-image", "skimage", "data", (*_SCIKIT_IMAGE_PHOTOS, _SECOND_VIEW)),
        **_photo_files("scikit-learn", "sklearn", "datasets/images", _SCIKIT_LEARN_PHOTOS),
    }
    collection, query_folder = folder / _COLLECTION_FOLDER, folder / _QUERY_FOLDER
    try:
        collection.mkdir(parents=True, exist_ok=True)
        query_folder.mkdir(exist_ok=True)
        for name, source in sources.items():
            if name != _SECOND_VIEW:
                shutil.copyfile(source, collection / name)
        queries = tuple(_make_queries(sources, query_folder))
    except OSError as error:
        raise HandcraftError(
            f"The photos of the demo cannot be made in {folder}: {error.strerror or error}."
        ) from error
    return DemoPhotos(collection, queries, tuple(_left_out(sources)))


def _photo_files(project: str, package: str, data_folder: str, names: tuple[str, ...]) -> dict[str, Path]:
    """Those of the named photos that the package has installed; raises DependencyError for none.

    The package is found but not imported: only its files are of use, and importing takes a second.
    """
    spec = find_spec(package)
    if spec is None:
        raise DependencyError(f"The demo shows photos of {project}, which is not installed: {_INSTALL}.")
    folders = [Path(folder) / data_folder for folder in spec.submodule_search_locations or ()]
    found = {name: folder / name for folder in folders for name in names if (folder / name).is_file()}
    if not found:
        raise DependencyError(
            f"The demo shows photos of {project}, but the one that is installed holds none; "
            f"install it anew: {_INSTALL}."
        )
    return found


def _left_out(sources: dict[str, Path]) -> Iterator[str]:
    missing = [name for name in (*_SCIKIT_IMAGE_PHOTOS, *_SCIKIT_LEARN_PHOTOS) if name not in sources]
    if missing:
        names = ", ".join(missing)
        yield f"The installed scikit-image or scikit-learn lacks these photos, left out here: {names}."
    if not {_FIRST_VIEW, _SECOND_VIEW} <= sources.keys():
        yield "The second view of the motorcycle is left out: the installed scikit-image lacks the pair."


def _make_queries(sources: dict[str, Path], folder: Path) -> Iterator[DemoQuery]:
    for name, treatment in _TREATMENTS.items():
        if name not in sources:
            continue
        path = folder / f"{Path(name).stem}-{treatment.name}.jpg"
        _treat(_read(sources[name]), treatment).save(path, quality=treatment.quality)
        yield DemoQuery(path, treatment.description, name)
    if {_FIRST_VIEW, _SECOND_VIEW} <= sources.keys():
        path = folder / "motorcycle-second-view.jpg"
        _read(sources[_SECOND_VIEW]).save(path, quality=90)
        yield DemoQuery(path, "second view, from 193 mm beside", _FIRST_VIEW)


def _read(path: Path) -> PillowImage.Image:
    """A photo in grey or in RGB, the modes that a JPEG can hold."""
    with PillowImage.open(path) as image:
        return image.convert("L" if image.mode == "L" else "RGB")


def _treat(photo: PillowImage.Image, treatment: _Treatment) -> PillowImage.Image:
    corners = _corners_in_photo(photo.width, photo.height, treatment)
    width, height = _size_of(corners)
    seen = photo.transform(
        (width, height),
        PillowImage.Transform.PERSPECTIVE,
        _perspective(width, height, corners),
        PillowImage.Resampling.BICUBIC,
    )
    levels = 255 * treatment.exposure * (np.arange(256) / 255) ** treatment.gamma
    return seen.point(np.rint(levels).astype(int).tolist() * len(seen.getbands()))


def _corners_in_photo(width: int, height: int, treatment: _Treatment) -> NDArray[np.float64]:
    """(4, 2) pixels, measured from the photo's outer corner; all of them lie in the photo.

    What turns out of the photo is drawn towards its centre, so that no query has black corners.
    """
    half_size = np.array([width, height]) / 2
    offsets = (2 * np.array(treatment.corners) - 1) * half_size
    # The photo turns clockwise when the frame through which it is seen turns the other way.
    angle = np.deg2rad(treatment.turn)
    cosine, sine = np.cos(angle), np.sin(angle)
    offsets = offsets @ np.array([[cosine, -sine], [sine, cosine]])
    overhang = np.max(np.abs(offsets) / half_size)
    return np.asarray(half_size + offsets / max(1.0, overhang), np.float64)


def _size_of(corners: NDArray[np.float64]) -> tuple[int, int]:
    """Width and height in pixels of a query that shows its photo at about the same scale."""
    top, right, bottom, left = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    return round((top + bottom) / 2), round((left + right) / 2)


def _perspective(width: int, height: int, corners: NDArray[np.float64]) -> tuple[float, ...]:
    """The map from query to photo that takes the query's corners to `corners`.

    Its eight coefficients (a, …, h): x' = (a x + b y + c) / (g x + h y + 1), and y' with d, e, f.
    """
    rows: list[list[float]] = []
    query_corners = ((0, 0), (width, 0), (width, height), (0, height))
    for (x, y), (to_x, to_y) in zip(query_corners, corners, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -x * to_x, -y * to_x])
        rows.append([0, 0, 0, x, y, 1, -x * to_y, -y * to_y])
    return tuple(np.linalg.solve(np.array(rows, np.float64), corners.ravel()).tolist())
