"""What extraction costs over OpenCV's own detectAndCompute, and what a second worker brings.

Photo by photo both take turns, so that a noisy machine disturbs both alike; the figure is the ratio
of the sums of each photo's fastest run. "pixels" starts both from the same decoded photo; "file"
has OpenCV read and resize the photo itself.
"""

from __future__ import annotations

import time
from pathlib import Path

import cv2

from benchmarks.report import photo_paths, repeats_argument, report, seconds
from handcraft.features.extraction import extract_photo, extract_photos, opencv_threads
from handcraft.features.images import read_photo
from handcraft.features.registry import extract
from handcraft.options import FeatureOptions

OPTIONS = FeatureOptions()


def opencv_sift(grey: cv2.typing.MatLike) -> object:
    """The peer, with the same limit and the same octaves."""
    sift = cv2.SIFT.create(nfeatures=OPTIONS.max_features, enable_precise_upscale=True)
    return sift.detectAndCompute(grey, None)


def opencv_from_file(path: Path) -> object:
    """The peer, reading and reducing the photo too."""
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert grey is not None
    scale = min(1.0, OPTIONS.max_size / max(grey.shape))
    if scale < 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return opencv_sift(grey)


def overheads(photos: list[Path], repeats: int) -> dict[str, float]:
    """Ratios of the sums of fastest times, ours to OpenCV's."""
    sums = dict.fromkeys(("pixels", "opencv pixels", "file", "opencv file"), 0.0)
    for path in photos:
        decoded = read_photo(path, OPTIONS.max_size)
        fastest = dict.fromkeys(sums, float("inf"))
        for _ in range(repeats):
            for name, took in (
                ("pixels", seconds(lambda: extract(decoded, OPTIONS))),  # noqa: B023 - runs at once
                ("opencv pixels", seconds(lambda: opencv_sift(decoded.pixels))),  # noqa: B023
                ("file", seconds(lambda: extract_photo(path, OPTIONS))),  # noqa: B023
                ("opencv file", seconds(lambda: opencv_from_file(path))),  # noqa: B023
            ):
                fastest[name] = min(fastest[name], took)
        for name in sums:
            sums[name] += fastest[name]
    return {
        "ms a photo, OpenCV from pixels": 1000 * sums["opencv pixels"] / len(photos),
        "ms a photo, handcraft from pixels": 1000 * sums["pixels"] / len(photos),
        "overhead from pixels": sums["pixels"] / sums["opencv pixels"] - 1,
        "overhead from file": sums["file"] / sums["opencv file"] - 1,
    }


def speedup(photos: list[Path], repeats: int) -> float:
    """The best ratio of one worker's time to two workers', run in turns."""
    items = [(path, path.name) for path in photos]

    def run(threads: int) -> float:
        start = time.perf_counter()
        for _ in extract_photos(items, OPTIONS, threads):
            pass
        return time.perf_counter() - start

    one, two = [], []
    for _ in range(repeats):
        one.append(run(1))
        two.append(run(2))
    return min(one) / min(two)


def main() -> None:
    repeats = repeats_argument(__doc__, 5)
    photos = photo_paths("kth/database")[:12] + photo_paths("oxford1k/jpg")[:12]
    with opencv_threads(1):
        figures: dict[str, object] = {**overheads(photos, repeats)}
    figures["speed-up of two workers"] = speedup(photos, repeats)
    report("extraction", {"photos": len(photos), "repeats": repeats}, figures)


if __name__ == "__main__":
    main()
