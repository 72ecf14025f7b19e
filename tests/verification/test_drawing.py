"""The drawn match: what is drawn, where it is drawn, and what it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from handcraft.errors import PhotoError
from handcraft.types import Match, RegionOfInterest
from handcraft.verification.drawing import GUTTER, MAX_HEIGHT, MAX_LINES, MAX_WIDTH, draw_match

SIZE = (800, 600)  # of the original photos, whose pixels are given at their own resolution


def grey_photo(width: int = 800, height: int = 600, level: int = 128) -> NDArray[np.uint8]:
    return np.full((height, width, 3), level, np.uint8)


def noise_photo(width: int, height: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def corners(x1: float, y1: float, x2: float, y2: float) -> NDArray[np.float64]:
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], np.float64)


def match_of(
    points: list[tuple[float, float]] | NDArray[np.float64],
    photo_points: NDArray[np.float64] | None = None,
    region: NDArray[np.float64] | None = None,
) -> Match:
    """A match whose inliers lie at the same place in both photos; its region lies outside, unseen."""
    starts = np.asarray(points, np.float64).reshape(-1, 2)
    return Match(
        affine=np.eye(2, 3),
        query_points=starts,
        photo_points=starts if photo_points is None else photo_points,
        query_features=np.arange(len(starts), dtype=np.int32),
        region=corners(-90, -90, -80, -80) if region is None else region,
        weight=1.0,
        evidence=20.0,
        certainty=18.0,
    )


def draw(match: Match | None, roi: RegionOfInterest | None = None) -> NDArray[np.uint8]:
    return draw_match(grey_photo(), SIZE, grey_photo(), SIZE, match, roi)


def coloured(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where lines and circles are: everything else in a picture of grey photos is grey."""
    values = pixels.astype(int)
    return np.asarray(values.max(axis=2) - values.min(axis=2) > 40)


def changed(pixels: NDArray[np.uint8], level: int = 128) -> NDArray[np.bool_]:
    return np.asarray((pixels != level).any(axis=2))


def test_photos_stand_side_by_side_untouched_without_a_match() -> None:
    query, photo = noise_photo(800, 600), noise_photo(500, 600)
    picture = draw_match(query, (800, 600), photo, (500, 600), None, None)
    assert picture.shape == (600, 800 + GUTTER + 500, 3)
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture[:, :800], query)
    np.testing.assert_array_equal(picture[:, 800 + GUTTER :], photo)


def test_large_photos_are_reduced_without_aliasing() -> None:
    rows, columns = np.indices((1800, 2400))
    chequered = np.repeat(((rows + columns) % 2 * 255).astype(np.uint8)[:, :, None], 3, axis=2)
    picture = draw_match(chequered, (2400, 1800), chequered, (2400, 1800), None, None)
    assert picture.shape == (MAX_HEIGHT, 2 * 800 + GUTTER, 3)
    assert np.abs(picture[:, :800].astype(int) - 128).max() < 20


@pytest.mark.parametrize(
    ("query_size", "photo_size"),
    [((300, 400), (800, 200)), ((64, 48), (1024, 768)), ((1, 1), (640, 480)), ((3000, 20), (20, 3000))],
)
def test_photos_of_any_shape_fit(query_size: tuple[int, int], photo_size: tuple[int, int]) -> None:
    middle = np.array([query_size], np.float64) / 2
    match = match_of(middle, np.array([photo_size], np.float64) / 2, corners(0, 0, *photo_size))
    picture = draw_match(
        grey_photo(*query_size), query_size, grey_photo(*photo_size), photo_size, match, None
    )
    assert 1 <= picture.shape[0] <= MAX_HEIGHT
    assert picture.shape[1] <= 2 * MAX_WIDTH + GUTTER
    assert coloured(picture).any()


def test_an_inlier_is_joined_from_its_place_in_the_query_to_its_place_in_the_photo() -> None:
    match = match_of([(200, 100)], np.array([[300.0, 400.0]]))
    marks = coloured(draw(match))
    start, end = np.array([200.0, 100.0]), np.array([800 + GUTTER + 300.0, 400.0])
    for x, y in np.linspace(start, end, 50).round().astype(int):
        assert marks[y - 1 : y + 2, x - 1 : x + 2].any()
    rows, columns = np.nonzero(marks)
    assert (rows.min(), columns.min()) >= (90, 190)
    assert rows.max() <= 410
    assert columns.max() <= end[0] + 10


def test_inliers_are_placed_by_the_size_of_the_original_photo() -> None:
    # The photos are given at a quarter of their size: (x + 0.5) / 4 - 0.5 is where a pixel goes.
    match = match_of([(1601.5, 801.5)])
    picture = draw_match(grey_photo(), (3200, 2400), grey_photo(), (3200, 2400), match, None)
    rows, columns = np.nonzero(coloured(picture)[:, 8:401])  # up to the middle of the left end
    assert abs(rows.mean() - 200) < 0.2
    assert 395 <= columns.min() + 8 <= 400


def test_neighbouring_lines_have_different_colours() -> None:
    picture = draw(match_of([(100, 60 + 20 * k) for k in range(20)]))
    on_the_gutter = picture[:, 800 + GUTTER // 2]
    colours = {tuple(on_the_gutter[60 + 20 * k]) for k in range(20)}
    assert len(colours) == 20


def test_a_sample_of_many_inliers_covers_the_query() -> None:
    rows = np.linspace(5, 594, 2 * MAX_LINES)
    inliers = np.column_stack([np.full(len(rows), 400.0), rows])
    few = match_of(inliers[::2])
    many = match_of(np.random.default_rng(1).permutation(np.vstack([inliers] * 20)))
    on_the_gutter = coloured(draw(many))[:, 800 + GUTTER // 2]
    lines = int((np.diff(on_the_gutter.astype(int)) == 1).sum()) + int(on_the_gutter[0])
    assert lines <= MAX_LINES
    drawn = np.flatnonzero(on_the_gutter)
    assert drawn.min() <= 8
    assert drawn.max() >= 591
    assert np.diff(drawn).max() < 12
    assert coloured(draw(many)).sum() < 1.2 * coloured(draw(few)).sum()


def test_the_picture_does_not_depend_on_the_order_of_the_inliers() -> None:
    generator = np.random.default_rng(2)
    starts, ends = generator.uniform(0, 599, (2, 400, 2))
    order = generator.permutation(400)
    np.testing.assert_array_equal(draw(match_of(starts, ends)), draw(match_of(starts[order], ends[order])))


def test_the_region_of_interest_is_outlined_in_the_query_alone() -> None:
    picture = draw(None, RegionOfInterest(200, 150, 600, 450))
    assert not changed(picture[:, 800 + GUTTER :]).any()
    marks = changed(picture[:, :800])
    for x, y in ((200, 300), (600, 300), (400, 150), (400, 450)):
        assert marks[y, x]
    assert not marks[160:440, 210:590].any()
    assert marks[140:461, 190:611].sum() == marks.sum()


def test_without_a_region_of_interest_the_border_of_the_query_is_outlined() -> None:
    marks = changed(draw(match_of([]))[:, :800])
    assert marks[:8].any(axis=0).all()
    assert marks[:, :8].any(axis=1).all()
    assert not marks[10:590, 10:790].any()


@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_outline_shows_on_a_photo_of_any_brightness(level: int) -> None:
    match = match_of([], region=corners(200, 150, 600, 450))
    picture = draw_match(grey_photo(), SIZE, grey_photo(level=level), SIZE, match, None)
    stroke = picture[300, 800 + GUTTER + 190 : 800 + GUTTER + 211].astype(int)
    assert np.abs(stroke - level).max() > 100


def test_a_region_that_covers_the_photo_is_outlined_at_its_border() -> None:
    marks = changed(draw(match_of([], region=corners(-4000, -3000, 4000, 3000)))[:, 800 + GUTTER :])
    assert marks[:8].any(axis=0).all()
    assert not marks[10:590, 10:790].any()


def test_a_region_is_cut_at_the_edge_of_the_photo() -> None:
    marks = changed(draw(match_of([], region=corners(400, -1e6, 1e6, 300)))[:, 800 + GUTTER :])
    assert marks[150, 400]
    assert marks[300, 600]
    assert not marks[310:].any()
    assert not marks[:, :390].any()


@pytest.mark.parametrize(
    "region",
    [
        corners(5000, 5000, 6000, 6000),
        corners(1e12, 1e12, 2e12, 2e12),
        corners(-1e300, -1e300, -1e299, 1e300),
        corners(np.nan, 0, 10, 10),
        corners(-np.inf, -np.inf, np.inf, np.inf),
    ],
)
def test_a_region_that_cannot_be_seen_is_not_drawn(region: NDArray[np.float64]) -> None:
    assert not changed(draw(match_of([], region=region))[:, 800 + GUTTER :]).any()


@pytest.mark.parametrize(
    "region",
    [
        corners(400, 300, 400, 300),
        corners(-1e18, -1e18, 1e18, 1e18),
        corners(-1.7e308, -1.7e308, 1.7e308, 1.7e308),
    ],
)
def test_regions_of_extreme_size_are_drawn(region: NDArray[np.float64]) -> None:
    assert changed(draw(match_of([], region=region))[:, 800 + GUTTER :]).any()


def test_inliers_outside_the_photos_do_no_harm() -> None:
    starts = np.array([[-1e300, 4.0], [np.nan, 5.0], [100.0, 100.0], [1e12, 1e12]])
    ends = np.array([[1e300, np.inf], [5.0, 5.0], [-0.4, 100.0], [-1e12, 5.0]])
    picture = draw(match_of(starts, ends))
    assert coloured(picture)[95:106, 95:106].any()


def test_the_arguments_stay_as_they_were() -> None:
    query, photo = noise_photo(*SIZE), noise_photo(*SIZE)
    match = match_of([(10, 10), (700, 500)], region=corners(-50, -50, 900, 300))
    before = [array.copy() for array in (query, photo, match.query_points, match.region)]
    draw_match(query, SIZE, photo, SIZE, match, RegionOfInterest(5, 5, 100, 100))
    for array, copy in zip((query, photo, match.query_points, match.region), before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((5, 5), np.uint8), np.zeros((0, 5, 3), np.uint8), np.zeros((5, 5, 3), np.float32)],
)
def test_what_is_not_a_colour_photo_is_refused(pixels: NDArray[np.uint8]) -> None:
    with pytest.raises(PhotoError, match=r"The photo to draw .* uint8"):
        draw_match(grey_photo(), SIZE, pixels, SIZE, None, None)


def test_a_size_that_no_photo_has_is_refused() -> None:
    with pytest.raises(PhotoError, match=r"The query to draw .* 0 x 600"):
        draw_match(grey_photo(), (0, 600), grey_photo(), SIZE, None, None)
