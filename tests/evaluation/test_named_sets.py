"""Holidays and UKBench: ground truth that is in the names of the photos."""

from __future__ import annotations

import pytest

from handcraft.errors import EvaluationError
from handcraft.evaluation.named_sets import holidays, ukbench
from handcraft.evaluation.protocols import UKBENCH, score

# The size of each group: as many groups and photos as the set has.
SIZES = [2 + (number < 490) + (number == 0) for number in range(500)]
HOLIDAYS = [
    f"jpg/{100_000 + 100 * group + view}.jpg" for group, size in enumerate(SIZES) for view in range(size)
]
UKBENCH_PHOTOS = [f"ukbench{number:05d}.jpg" for number in range(10_200)]


def test_the_made_up_set_is_as_large_as_holidays() -> None:
    assert len(HOLIDAYS) == 1491
    assert len(SIZES) == 500


def test_the_first_photo_of_a_group_finds_the_others() -> None:
    queries = holidays([*reversed(HOLIDAYS), "distractor.jpg", "jpg/1000000.jpg"])
    assert len(queries) == 500
    first = queries[0]
    assert first.photo == "jpg/100000.jpg"
    assert first.positives == {"jpg/100001.jpg", "jpg/100002.jpg", "jpg/100003.jpg"}
    assert first.junk == {"jpg/100000.jpg"}
    assert sum(len(query.positives) for query in queries) == 991


def test_the_query_itself_neither_helps_nor_hurts() -> None:
    queries = holidays(HOLIDAYS)[:1]
    rest = ["jpg/100001.jpg", "x.jpg", "jpg/100002.jpg", "jpg/100003.jpg"]
    values = [
        score(queries, {"100000.jpg": ranking}).mean_average_precision
        for ranking in (rest, ["jpg/100000.jpg", *rest], [*rest[:2], "jpg/100000.jpg", *rest[2:]])
    ]
    assert values[1:] == values[:1] * 2
    assert 0 < values[0] < 1


def test_ukbench_scores_from_0_to_4() -> None:
    queries = ukbench(UKBENCH_PHOTOS)
    assert len(queries) == 10_200
    assert queries[6].positives == set(UKBENCH_PHOTOS[4:8])
    best = UKBENCH_PHOTOS[4:8]
    for found, ranking in ((4, best), (3, [*best[:3], "x", best[3]]), (1, [best[2], "x"]), (0, [])):
        report = score(queries[6:7], {"ukbench00006.jpg": ranking}, UKBENCH)
        assert 4 * report.mean_precision(4) == found


def test_photos_that_are_missing() -> None:
    with pytest.raises(EvaluationError) as error:
        holidays(HOLIDAYS[:-3])
    assert str(error.value) == (
        "Holidays has 1,491 photos, of which 1,488 are here; add the others, under their own names."
    )
    with pytest.raises(EvaluationError, match=r"^UKBench has 10,200 photos, of which 0 are here; "):
        ukbench(["a.jpg"])


def test_a_photo_under_two_names() -> None:
    with pytest.raises(EvaluationError, match=r"^'jpg/100000.jpg' and '100000.png' are one photo of Hol"):
        holidays([*HOLIDAYS, "100000.png"])
