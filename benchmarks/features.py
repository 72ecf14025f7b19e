"""What hessian-affine costs, finds and needs, next to pyhesaff and OpenCV's SIFT.

Time: photo by photo all take turns on one thread, from the same grey PNG file to descriptors of all
regions, so that a noisy machine disturbs all alike; the figures are of the sums of each photo's fastest
run. Repeatability and matches: on the five pairs of views of "graf". Spots: Gaussians of known place,
scale and axis ratio. Memory: of processes of their own. Needs `pip install pyhesaff`.
"""

from __future__ import annotations

import importlib.metadata
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pyhesaff
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from benchmarks.extraction import speedup
from benchmarks.report import data_folder, photo_paths, repeats_argument, report, seconds
from handcraft.features.descriptors import root_sift
from handcraft.features.extraction import extract_photo, opencv_threads
from handcraft.features.hessian_affine import RADIUS_PER_SCALE, detect
from handcraft.features.images import DecodedPhoto, read_photo
from handcraft.features.patches import CAMERA_BLUR
from handcraft.features.regions import rotation
from handcraft.options import FeatureOptions, MatchOptions
from handcraft.types import Features, Photo
from handcraft.verification.matching import match_descriptors

Floats = NDArray[np.float64]

OPTIONS = FeatureOptions()
ALL = 1_000_000  # features: more than any photo has
PHOTOS_PER_FOLDER = 10
VIEWS = range(2, 7)  # of graf, each with the first

MAX_ERROR = 0.4  # of the overlap of two regions that are the same
NORMAL_RADIUS = 30.0  # pixels to which both regions grow before they are compared (Mikolajczyk et al. 2005)
SAMPLES = 1000  # points of the unit disc by which overlaps are measured
PAIRS_AT_ONCE = 4096
MATCH_DISTANCE = 5.0  # pixels
MUTUAL_NEAREST = MatchOptions(ratio=1, rival_distance=math.inf)  # nothing is a rival

SPOT_SIDE = 261  # pixels
SPOT_SCALES = (3, 4, 5, 8, 12)
SPOT_RATIOS = (1.0, 1.5, 2.0, 3.0)
SPOT_DEGREES = (0, 20, 45, 70, 90, 135)
SPOT_CENTRES = ((130.3, 129.6), (130.8, 130.1), (129.0, 131.0))

MEGABYTE = 1 << 20
NOISE_SIZE = (768, 1024)  # as the photos of kth/database


class Described(NamedTuple):
    """The regions of a photo: frames (n, 2, 3) from the unit circle, or places alone, (n, 2, 3) with a
    linear part of zeros; and RootSIFT descriptors (n, 128) uint8."""

    frames: Floats
    descriptors: NDArray[np.uint8]


Extractor = Callable[[Path], Described]


# --- who takes part ---


def ours(upright: bool, limit: int) -> Extractor:
    """hessian-affine with these options."""
    options = FeatureOptions(extractor="hessian-affine", upright=upright, max_features=limit)

    def run(path: Path) -> Described:
        features = extract_photo(path, options)[1]
        return Described(features.frames.astype(np.float64), features.descriptors.astype(np.uint8))

    return run


def pyhesaff_from_file(path: Path) -> Described:
    """The peer of Perdoch et al.'s own code, upright as it is by default."""
    keypoints, descriptors = pyhesaff.detect_feats(str(path))
    return Described(pyhesaff_frames(keypoints), root_sift(descriptors.astype(np.float32)))


def pyhesaff_frames(keypoints: NDArray[np.float32]) -> Floats:
    """Of its rows of x, y, and a, b, c of the linear part [[a, 0], [b, c]]."""
    frames = np.zeros((len(keypoints), 2, 3))
    frames[:, :, 2] = keypoints[:, :2]
    frames[:, 0, 0], frames[:, 1, 0], frames[:, 1, 1] = keypoints[:, 2:5].T
    return frames


def opencv_from_file(path: Path) -> Described:
    """The peer without affine shapes."""
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert grey is not None
    sift = cv2.SIFT.create(enable_precise_upscale=True)
    keypoints, descriptors = sift.detectAndCompute(grey, None)
    frames = np.zeros((len(keypoints), 2, 3))
    frames[:, :, 2] = cv2.KeyPoint.convert(keypoints)
    return Described(frames, root_sift(np.asarray(descriptors, np.float32)))


# --- time ---


def evenly_spaced(paths: list[Path], count: int) -> list[Path]:
    """So many of the paths, from the first to the last."""
    return [paths[row] for row in np.linspace(0, len(paths) - 1, count).round().astype(int)]


def reduced_photos(paths: list[Path], folder: Path) -> list[Path]:
    """Grey copies of photos as PNG files, no longer than OPTIONS.max_size."""
    copies = [folder / f"{number}.png" for number in range(len(paths))]
    for path, copy in zip(paths, copies, strict=True):
        cv2.imwrite(str(copy), read_photo(path, OPTIONS.max_size).pixels)
    return copies


def costs(photos: list[Path], repeats: int) -> dict[str, object]:
    """Time and regions of all three; their ratio, ours to pyhesaff's."""
    extractors: dict[str, Extractor] = {
        "handcraft": ours(upright=True, limit=ALL),
        "pyhesaff": pyhesaff_from_file,
        "opencv sift": opencv_from_file,
    }
    took, regions = dict.fromkeys(extractors, 0.0), dict.fromkeys(extractors, 0)
    for photo in photos:
        fastest = dict.fromkeys(extractors, math.inf)
        for name, extractor in extractors.items():
            regions[name] += len(extractor(photo).frames)
        for _, (name, extractor) in product(range(repeats), extractors.items()):
            fastest[name] = min(fastest[name], seconds(lambda: extractor(photo)))  # noqa: B023 - runs at once
        for name, time in fastest.items():
            took[name] += time
    each = {name: 1e6 * took[name] / regions[name] for name in extractors}
    return {
        "µs a region": each,
        "ms a photo": {name: 1e3 * took[name] / len(photos) for name in extractors},
        "regions a photo": {name: regions[name] / len(photos) for name in extractors},
        "µs a region, handcraft to pyhesaff": each["handcraft"] / each["pyhesaff"],
        "ms a photo, handcraft to pyhesaff": took["handcraft"] / took["pyhesaff"],
    }


# --- views of graf ---


def graf(view: int) -> Path:
    """A photo of the wall."""
    return data_folder() / "graf" / f"img{view}.png"


def homography(view: int) -> Floats:
    """From the first view to another, (3, 3)."""
    return np.asarray(np.loadtxt(data_folder() / "graf" / f"H1to{view}p"))


def projected(frames: Floats, matrix: Floats) -> Floats:
    """Frames (n, 2, 3) under a homography's local affine maps."""
    ends = frames[:, :, 2] @ matrix[:, :2].T + matrix[:, 2]
    places = ends[:, :2] / ends[:, 2:]
    slopes = (matrix[:2, :2] - places[:, :, None] * matrix[2, :2]) / ends[:, 2, None, None]
    return np.concatenate([slopes @ frames[:, :, :2], places[:, :, None]], axis=2)


def seen(frames: Floats, matrix: Floats, photo: Path) -> Floats:
    """The frames whose centres lie in another photo, to which a homography leads."""
    grey = cv2.imread(str(photo), cv2.IMREAD_GRAYSCALE)
    assert grey is not None
    places = projected(frames, matrix)[:, :, 2]
    kept = ((places >= 0) & (places <= np.array(grey.shape[::-1]) - 1)).all(axis=1)
    return frames[kept]


def repeatability(extractor: Extractor, normalised: bool) -> dict[str, float]:
    """The share of the regions seen in both photos that are found in both, of the photo with fewer.

    normalised: see candidates.
    """
    first = extractor(graf(1)).frames
    shares = {}
    for view in VIEWS:
        forth = homography(view)
        back = np.asarray(np.linalg.inv(forth), np.float64)
        one = seen(first, forth, graf(view))
        two = projected(seen(extractor(graf(view)).frames, back, graf(1)), back)
        shares[f"1-{view}"] = same_regions(one, two, normalised) / min(len(one), len(two))
    return {**shares, "mean": float(np.mean(list(shares.values())))}


def same_regions(one: Floats, two: Floats, normalised: bool) -> int:
    """How many regions overlap by pairs, one to one, those with the least error first."""
    rows, columns, linear, offsets = candidates(one, two, normalised)
    errors = overlap_errors(linear, offsets)
    order = np.argsort(errors, kind="stable")
    free_rows, free_columns = np.ones(len(one), bool), np.ones(len(two), bool)
    count = 0
    for pair in order[errors[order] < MAX_ERROR]:
        row, column = rows[pair], columns[pair]
        if free_rows[row] and free_columns[column]:
            free_rows[row] = free_columns[column] = False
            count += 1
    return count


def candidates(
    one: Floats, two: Floats, normalised: bool
) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats, Floats]:
    """The pairs that may overlap enough: rows of each, and the second region in the coordinates in which
    the first is the unit disc, its linear part (n, 2, 2) and its centre (n, 2).

    normalised: both regions are grown by what makes the first as large as a circle of NORMAL_RADIUS, and
    their centres stay as many pixels apart as they were, as in Mikolajczyk et al.'s code; else the
    regions are compared as they are, which is the same as growing their distance too.
    """
    growth = NORMAL_RADIUS / radii(one) if normalised else np.ones(len(one))
    reach = growth * np.linalg.norm(one[:, :, :2], ord=2, axis=(1, 2))
    near = cKDTree(two[:, :, 2]).query_ball_point(one[:, :, 2], reach)
    rows = np.repeat(np.arange(len(one)), [len(found) for found in near])
    columns = np.concatenate([np.asarray(found, np.intp) for found in near])
    inverses = np.linalg.inv(one[:, :, :2])[rows]
    linear = inverses @ two[columns, :, :2]
    apart = (two[columns, :, 2] - one[rows, :, 2]) / growth[rows, None]
    offsets = (inverses @ apart[:, :, None])[:, :, 0]
    # Half a region at the most lies in one that its centre does not.
    sizes = np.abs(np.linalg.det(linear))
    kept = (np.hypot(*offsets.T) < 1) & (np.minimum(sizes, 1 / sizes) > 1 - MAX_ERROR)
    return rows[kept], columns[kept], linear[kept], offsets[kept]


def radii(frames: Floats) -> Floats:
    """Of the circles of the same area."""
    return np.asarray(np.sqrt(np.abs(np.linalg.det(frames[:, :, :2]))))


def overlap_errors(linear: Floats, offsets: Floats) -> Floats:
    """1 − intersection/union of the unit disc with ellipses, their matrices (n, 2, 2), centres (n, 2)."""
    inverses = np.linalg.inv(linear)
    shares = np.empty(len(linear))
    for start in range(0, len(linear), PAIRS_AT_ONCE):
        part = slice(start, start + PAIRS_AT_ONCE)
        points = inverses[part] @ (disc()[None] - offsets[part, :, None])
        shares[part] = ((points**2).sum(axis=1) <= 1).mean(axis=1)
    return np.asarray(1 - shares / (1 + np.abs(np.linalg.det(linear)) - shares))


@cache
def disc() -> Floats:
    """Points (2, SAMPLES) that fill the unit disc evenly, on Fibonacci's spiral."""
    numbers = np.arange(SAMPLES) + 0.5
    angles = math.pi * (1 + math.sqrt(5)) * numbers
    return np.asarray(np.sqrt(numbers / SAMPLES) * np.stack([np.cos(angles), np.sin(angles)]))


def correct_matches(extractor: Extractor) -> dict[str, int]:
    """Mutual nearest descriptors of two views whose places agree to MATCH_DISTANCE."""
    first = extractor(graf(1))
    counts = {}
    for view in VIEWS:
        other = extractor(graf(view))
        rows, columns = mutual_nearest(first, other)
        places = projected(first.frames[rows], homography(view))[:, :, 2]
        errors = np.hypot(*(places - other.frames[columns, :, 2]).T)
        counts[f"1-{view}"] = int((errors < MATCH_DISTANCE).sum())
    return {**counts, "sum": sum(counts.values())}


def mutual_nearest(first: Described, second: Described) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The rows of descriptors that are each other's nearest."""
    one, two = (Features(side.frames.astype(np.float32), side.descriptors, 1, 1) for side in (first, second))
    rows, columns = match_descriptors(one, two, MUTUAL_NEAREST).T
    return rows, columns


# --- spots ---


class SpotErrors(NamedTuple):
    """The distance of the centre, in pixels and in the spot's σ; shares of the scale and the axis ratio."""

    pixels: float
    sigmas: float
    scale: float
    ratio: float


def our_regions(grey: NDArray[np.uint8]) -> Floats:
    """The frames of hessian-affine."""
    return detect(DecodedPhoto(grey, Photo("spot", b"", 0, 0, *grey.shape[::-1])), OPTIONS).frames


def pyhesaff_regions(grey: NDArray[np.uint8]) -> Floats:
    """The frames of pyhesaff."""
    return pyhesaff_frames(pyhesaff.detect_feats_in_image(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))[0])


def spot(
    centre: tuple[float, float], scale: float, ratio: float, degrees: float, blur: float
) -> NDArray[np.uint8]:
    """A photo of a Gaussian spot with axes of scale·√ratio and scale/√ratio, further blurred by σ `blur`;
    the long axis points so many degrees from x towards y."""
    places = np.mgrid[:SPOT_SIDE, :SPOT_SIDE][::-1].reshape(2, -1) - np.array(centre)[:, None]
    along, aside = rotation(math.radians(degrees)).T @ places
    heights = along**2 / (scale**2 * ratio + blur**2) + aside**2 / (scale**2 / ratio + blur**2)
    levels = np.rint(50 + 150 * np.exp(-heights / 2)).reshape(SPOT_SIDE, SPOT_SIDE)
    return np.asarray(levels, np.uint8)


def spot_errors(frames: Floats, centre: tuple[float, float], scale: float, ratio: float) -> SpotErrors:
    """How far off the region nearest to a spot is."""
    if not len(frames):
        return SpotErrors(*[math.inf] * len(SpotErrors._fields))
    apart = np.hypot(*(frames[:, :, 2] - centre).T)
    long, short = np.linalg.svd(frames[apart.argmin(), :, :2])[1]
    pixels, found = float(apart.min()), math.sqrt(long * short) / RADIUS_PER_SCALE
    return SpotErrors(pixels, pixels / scale, abs(found / scale - 1), abs(long / short / ratio - 1))


def spots(find: Callable[[NDArray[np.uint8]], Floats], blur: float) -> dict[str, dict[str, float]]:
    """The largest errors by axis ratio."""
    largest = {}
    for ratio in SPOT_RATIOS:
        errors = [
            spot_errors(find(spot(centre, scale, ratio, degrees, blur)), centre, scale, ratio)
            for centre, scale, degrees in product(SPOT_CENTRES, SPOT_SCALES, SPOT_DEGREES)
        ]
        names = ("px of the centre", "σ of the centre", "of the scale", "of the axis ratio")
        largest[f"axis ratio {ratio:g}"] = dict(zip(names, np.max(errors, axis=0).tolist(), strict=True))
    return largest


# --- memory ---

# Of the process's own memory: ru_maxrss would be no less than that of this process, which starts it.
PEAK = """
from pathlib import Path
status = Path("/proc/self/status").read_text().splitlines()
print(next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""
EXTRACT = """
import sys
from handcraft.features.extraction import extract_photo
from handcraft.options import FeatureOptions
extract_photo(Path(sys.argv[1]), FeatureOptions())
"""


def peak(code: str, *arguments: str) -> float:
    """The peak memory in MB of a process that runs this."""
    command = [sys.executable, "-c", f"import handcraft\nfrom pathlib import Path\n{code}{PEAK}", *arguments]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    return int(done.stdout) * 1024 / MEGABYTE


def memory(photo: Path, folder: Path) -> dict[str, float]:
    """MB that extraction needs of a photo and of noise, beyond what a process without it does.

    The libraries are in them; those of extracting next to nothing are given too.
    """
    generator = np.random.default_rng(0)
    files = {"noise": folder / "noise.png", "tiny": folder / "tiny.png"}
    cv2.imwrite(str(files["noise"]), generator.integers(0, 256, NOISE_SIZE, dtype=np.uint8))
    cv2.imwrite(str(files["tiny"]), generator.integers(0, 256, (64, 64), dtype=np.uint8))
    imported = peak("")
    return {
        "MB, import handcraft": imported,
        "MB more, photo of 64 x 64": peak(EXTRACT, str(files["tiny"])) - imported,
        "MB more, photo of 1024 x 768": peak(EXTRACT, str(photo)) - imported,
        "MB more, noise of 1024 x 768": peak(EXTRACT, str(files["noise"])) - imported,
    }


# --- all ---


def measured(repeats: int, folder: Path) -> Iterator[tuple[str, object]]:
    """The figures by their names."""
    sets = [photo_paths("oxford1k/jpg"), photo_paths("kth/database")]
    chosen = [photo for photos in sets for photo in evenly_spaced(photos, PHOTOS_PER_FOLDER)]
    everything = ours(upright=True, limit=ALL)
    with opencv_threads(1):
        yield from costs(reduced_photos(chosen, folder), repeats).items()
    yield "speed-up of two workers", speedup(chosen, repeats)
    extractors = {
        "handcraft": everything,
        f"handcraft, {OPTIONS.max_features} features": ours(upright=True, limit=OPTIONS.max_features),
        "pyhesaff": pyhesaff_from_file,
    }
    for name, normalised in (("repeatability", False), (f"repeatability, {NORMAL_RADIUS:g} px", True)):
        yield name, {who: repeatability(extractor, normalised) for who, extractor in extractors.items()}
    describers = {
        "handcraft upright": everything,
        "handcraft oriented": ours(upright=False, limit=ALL),
        "pyhesaff": pyhesaff_from_file,
        "opencv sift": opencv_from_file,
    }
    yield "correct matches", {who: correct_matches(describer) for who, describer in describers.items()}
    yield (
        "largest errors of spots",
        {
            "handcraft": spots(our_regions, 0.0),
            f"handcraft, under a camera's blur of {CAMERA_BLUR:g} px": spots(our_regions, CAMERA_BLUR),
            "pyhesaff": spots(pyhesaff_regions, 0.0),
        },
    )
    yield "memory", memory(chosen[-1], folder)


def main() -> None:
    repeats = repeats_argument(__doc__, 3)
    parameters = {
        "photos": 2 * PHOTOS_PER_FOLDER,
        "repeats": repeats,
        "pyhesaff": importlib.metadata.version("pyhesaff"),
        "overlap error": MAX_ERROR,
        "px of a correct match": MATCH_DISTANCE,
        "scales of spots": SPOT_SCALES,
        "processes that ran before": os.getloadavg()[0],  # other work makes two workers look slow
    }
    with tempfile.TemporaryDirectory() as folder:
        figures = dict(measured(repeats, Path(folder)))
    report("features", parameters, figures)


if __name__ == "__main__":
    main()
