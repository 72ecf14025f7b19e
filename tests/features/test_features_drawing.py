"""Drawn features: ellipses where the features are, radii where they are oriented, and nothing else."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from handcraft.errors import PhotoError
from handcraft.features.drawing import FEW, PICTURE_SIZE, draw_features
from handcraft.types import Features

SIZE = (PICTURE_SIZE, 1200)  # a photo of the picture's size: its pixels are the picture's
ELLIPSE = [[120.0, 0.0, 600.0], [40.0, 60.0, 500.0]]


def photo(width: int = SIZE[0], height: int = SIZE[1], level: int = 128) -> NDArray[np.uint8]:
    return np.full((height, width, 3), level, np.uint8)


def features(*frames: list[list[float]], size: tuple[int, int] = SIZE) -> Features:
    table = np.array(frames, np.float32).reshape(-1, 2, 3)
    return Features(table, np.zeros((len(table), 128), np.uint8), *size)


def changed(picture: NDArray[np.uint8], level: int = 128) -> NDArray[np.bool_]:
    return np.asarray((picture != level).any(axis=2))


def on_ellipse(frame: list[list[float]], radius: float = 1.0) -> NDArray[np.intp]:
    """(n, 2) x and y of whole pixels along the ellipse, or along one of its smaller sisters."""
    angles = np.linspace(0, 2 * math.pi, 100)
    linear, centre = np.array(frame)[:, :2], np.array(frame)[:, 2]
    circle = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.rint(circle @ linear.T + centre).astype(np.intp)


def test_the_ellipse_of_the_frame_is_drawn_and_nothing_else() -> None:
    marks = changed(draw_features(photo(), features(ELLIPSE), oriented=False))
    x, y = on_ellipse(ELLIPSE).T
    assert marks[y, x].all()
    for radius in (0.9, 1.1):  # at least 5 pixels from the stroke's middle
        x, y = on_ellipse(ELLIPSE, radius).T
        assert not marks[y, x].any()
    x, y = on_ellipse(ELLIPSE, 1.1).T
    assert marks[y.min() : y.max(), x.min() : x.max()].sum() == marks.sum()


def test_a_radius_points_where_the_feature_is_oriented() -> None:
    """The frame's first axis, from the centre to the ellipse."""
    plain = changed(draw_features(photo(), features(ELLIPSE), oriented=False))
    marks = changed(draw_features(photo(), features(ELLIPSE), oriented=True)) & ~plain
    for part in np.linspace(0, 0.95, 40):
        assert marks[round(500 + part * 40), round(600 + part * 120)]
    rows, columns = np.nonzero(marks)
    along = (columns - 600) * 40 - (rows - 500) * 120
    assert np.abs(along).max() / math.hypot(40, 120) < 4  # pixels from the radius


@pytest.mark.parametrize("level", [0, 128, 255])
def test_strokes_show_on_a_photo_of_any_brightness(level: int) -> None:
    for scale in (0.1, 1.0, 3.0):
        frame = [[scale * a for a in row[:2]] + row[2:] for row in ELLIPSE]
        picture = draw_features(photo(level=level), features(frame), oriented=False).astype(int)
        x, y = (min if scale > 1 else max)(on_ellipse(frame).tolist())
        stroke = picture[y - 3 : y + 4, x - 3 : x + 4]
        assert np.abs(stroke - level).max() > 80


def test_small_regions_have_another_colour_than_large_ones_and_lie_on_top() -> None:
    large, small = [[200.0, 0, 600], [0, 200, 500]], [[20.0, 0, 800], [0, 20, 500]]
    for frames in ((large, small), (small, large)):
        picture = draw_features(photo(), features(*frames), oriented=False).astype(int)
        yellow, blue = picture[500, 820], picture[500, 400]
        assert yellow[0] > yellow[2] + 60
        assert blue[2] > blue[0] + 60
        crossing = [picture[round(y), round(x)] for x, y in ((799, 520), (799, 480))]
        assert all(pixel[0] > pixel[2] + 60 for pixel in crossing)


def test_many_features_have_finer_strokes() -> None:
    few, many = (
        draw_features(photo(), features(*[ELLIPSE] * number), oriented=False).astype(int)
        for number in (FEW, FEW + 1)
    )
    bright_in_few, bright_in_many = (np.ptp(picture, axis=2) > 100 for picture in (few, many))
    assert bright_in_many.sum() < 0.8 * bright_in_few.sum()


@pytest.mark.parametrize("size", [(400, 300), (1600, 1200), (3200, 2400), (300, 400), (1000, 1)])
def test_the_picture_has_its_size_whatever_the_photo_has(size: tuple[int, int]) -> None:
    picture = draw_features(photo(*size), features(size=size), oriented=True)
    assert picture.dtype == np.uint8
    assert max(picture.shape) == PICTURE_SIZE
    assert picture.shape[0] == pytest.approx(PICTURE_SIZE * size[1] / max(size), abs=1)
    assert not changed(picture).any()


def test_features_are_placed_by_the_size_of_the_original() -> None:
    """The picture has a quarter of the original's size: (x + 0.5) / 4 - 0.5 is where a pixel goes."""
    reduced = photo(SIZE[0] // 2, SIZE[1] // 2)
    frame = [[400.0, 0, 2401.5], [0, 400.0, 2001.5]]
    picture = draw_features(reduced, features(frame, size=(4 * SIZE[0], 4 * SIZE[1])), oriented=False)
    rows, columns = np.nonzero(changed(picture))
    assert (rows.min() + rows.max()) / 2 == pytest.approx(500, abs=0.6)
    assert (columns.min() + columns.max()) / 2 == pytest.approx(600, abs=0.6)
    assert columns.max() - columns.min() == pytest.approx(200, abs=8)


@pytest.mark.parametrize("place", [(-50.0, 600.0), (1590.0, 1199.0), (800.0, -90.0)])
def test_an_ellipse_is_cut_at_the_edge_of_the_photo(place: tuple[float, float]) -> None:
    frame = [[100.0, 0.0, place[0]], [0.0, 100.0, place[1]]]
    marks = changed(draw_features(photo(), features(frame), oriented=True))
    assert marks.any()
    rows, columns = np.nonzero(marks)
    assert (np.hypot(columns - place[0], rows - place[1]) < 105).all()


@pytest.mark.parametrize("number", [1e12, -1e30, math.nan, math.inf])
def test_features_outside_the_photo_do_no_harm(number: float) -> None:
    stray = [[[9.0, 0.0, number], [0.0, 9.0, 50.0]], [[0.0, 0.0, 9.0], [0.0, 0.0, 9.0]]]
    picture = draw_features(photo(), features(*stray, ELLIPSE), oriented=True)
    x, y = on_ellipse(ELLIPSE).T
    assert changed(picture)[y, x].all()


def test_the_arguments_stay_as_they_were() -> None:
    pixels, found = photo(), features(ELLIPSE)
    draw_features(pixels, found, oriented=True)
    assert not changed(pixels).any()
    assert found.frames.tolist() == [ELLIPSE]


@pytest.mark.parametrize(
    "pixels", [np.zeros((5, 5), np.uint8), np.zeros((0, 5, 3), np.uint8), np.zeros((5, 5, 3), np.float32)]
)
def test_what_is_not_a_colour_photo_is_refused(pixels: NDArray[np.uint8]) -> None:
    with pytest.raises(PhotoError, match=r"The photo to draw .* uint8"):
        draw_features(pixels, features(), oriented=True)
