"""mAP of queries that are turned, over a database that is upright, and what looking all round costs others.

The queries of kth are turned by quarters exactly, otherwise on a larger canvas, so that nothing is cut; by 0
they are the photos themselves. Loss: of mAP, against these. One direction: the queries are described as they
are held, and in no other direction. The queries of Oxford are upright.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

import handcraft
from benchmarks.report import data_folder, photo_paths, report
from handcraft.options import QueryOptions

TURNS = (0, 90, 180, 270, 20, -20, 45, -45)  # degrees, clockwise; the first is what others are held against
TURNS_IN_ONE_DIRECTION = (0, 90)
QUALITY = 95  # of the JPEG files
TRUTHS = ("gt", "gt_whole")  # of oxford1k
WAYS = {"votes": QueryOptions(), "verified": QueryOptions(verify=True)}


def turned(picture: cv2.typing.MatLike, degrees: int) -> cv2.typing.MatLike:
    """A picture turned clockwise about its middle, black where it showed nothing."""
    if degrees % 90 == 0:
        return np.ascontiguousarray(np.rot90(picture, -degrees // 90))
    height, width = picture.shape[:2]
    cosine, sine = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    size = math.ceil(width * cosine + height * sine), math.ceil(width * sine + height * cosine)
    middle = (width - 1) / 2, (height - 1) / 2
    affine = cv2.getRotationMatrix2D(middle, -degrees, 1.0)
    affine[:, 2] += [(size[0] - 1) / 2 - middle[0], (size[1] - 1) / 2 - middle[1]]
    return cv2.warpAffine(picture, affine, size)


def turned_queries(degrees: int, folder: Path) -> Path:
    """The folder of kth's queries, turned."""
    if degrees == 0:
        return data_folder() / "kth/queries"
    target = folder / f"turned by {degrees}"
    if not target.exists():
        target.mkdir()
        for path in photo_paths("kth/queries"):
            picture = cv2.imread(str(path))
            assert picture is not None
            jpeg = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
            cv2.imwrite(str(target / path.name), turned(picture, degrees), jpeg)
    return target


def measured(store: handcraft.Store, queries: Path, truth: Path, options: QueryOptions) -> dict[str, float]:
    """The figures of the queries in a folder."""
    found = store.evaluate(queries, truth, options=options)
    return {"mAP": round(found.mean_average_precision, 4), "ms a query": round(found.milliseconds or 0, 1)}


def losses(
    store: handcraft.Store, turns: tuple[int, ...], options: QueryOptions, folder: Path
) -> dict[str, dict[str, float]]:
    """The figures of kth's queries by the degrees that they are turned by."""
    truth = data_folder() / "kth/ground_truth.json"
    figures = {degrees: measured(store, turned_queries(degrees, folder), truth, options) for degrees in turns}
    unturned = figures[turns[0]]["mAP"]
    return {
        f"{degrees} degrees": {**one, "loss": round(unturned - one["mAP"], 4)}
        for degrees, one in figures.items()
    }


def against_one_direction(store: handcraft.Store, truth: str, options: QueryOptions) -> dict[str, object]:
    """The figures of Oxford's upright queries, as usual and in one direction."""
    oxford = data_folder() / "oxford1k"
    usual, once = (
        measured(store, oxford / "jpg", oxford / truth, each)
        for each in (options, replace(options, directions=1))
    )
    return {
        f"{options.directions} directions": usual,
        "one direction": once,
        "difference of mAP": round(usual["mAP"] - once["mAP"], 4),
    }


def main() -> None:
    data = data_folder()
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kth = handcraft.open(folder / "kth")
        kth.add(data / "kth/database")
        for way, options in WAYS.items():
            figures[f"kth, {way}"] = losses(kth, TURNS, options, folder)
        once = replace(WAYS["votes"], directions=1)
        figures["kth, votes in one direction"] = losses(kth, TURNS_IN_ONE_DIRECTION, once, folder)
        oxford = handcraft.open(folder / "oxford1k")
        oxford.add(data / "oxford1k/jpg")
        for truth in TRUTHS:
            for way, options in WAYS.items():
                figures[f"oxford1k {truth}, {way}"] = against_one_direction(oxford, truth, options)
    report("turned_queries", {"query options": repr(QueryOptions()), "JPEG quality": QUALITY}, figures)


if __name__ == "__main__":
    main()
