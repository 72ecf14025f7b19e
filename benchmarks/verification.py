"""Spatial verification: pairs of known geometry beside the estimators of
OpenCV and PoseLib, re-ranking, and false answers.

Synthetic pairs: 500 matches in photos of 1024 x 768, points with a noise of 1 pixel, frames as far from the
map's as those of correct matches on "graf" are (measured in the same run); the other matches are random. A
pair is recovered where the corners of the query land within 10 pixels on average. "none": of pairs without
any true match, how many are verified by the options of a query. Re-ranking: the 100 best photos of oxford1k
by votes, from the index, on one thread. Rejection: queries of one place on photos of others.

Points: the same without frames, of maps that change the scale by half to twice and turn by up to 30 degrees;
and the photos of kth, described as by default, of how many pairs of photos are verified with their frames and
with frames that are all the same upright circle.
"""

from __future__ import annotations

import argparse
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import poselib
from numpy.typing import NDArray

import handcraft
from benchmarks.features import VIEWS, graf, homography, projected
from benchmarks.report import earlier_figures, in_turns, photo_paths, report
from benchmarks.synthetic import kept_store
from handcraft.engine.searching import QueryResult
from handcraft.features.extraction import find_features
from handcraft.options import FeatureOptions, MatchOptions, QueryOptions, VerificationOptions
from handcraft.types import Features, Match
from handcraft.verification.matching import match_descriptors, reciprocal_neighbours
from handcraft.verification.spatial import project, verify_pairs

WIDTH, HEIGHT = 1024, 768
MATCHES, PAIRS = 500, 15
SHARES = (0.05, 0.1, 0.2, 0.4)  # of inliers
WITHOUT = 10_000  # pairs without inliers
RECOVERED = 10.0  # pixels, of the mean corner error
CORRECT = 3.0  # pixels
THRESHOLD = 5.0  # pixels, of the peers
LIKE_A_PAIR = VerificationOptions(max_false_alarms=1e-3)
POINTS = VerificationOptions(points=True)
UNLIKE = 1000  # pairs of photos of kth that show other buildings
PEERS = {
    "RHO": (cv2.RHO, 2000),
    "USAC_FAST": (cv2.USAC_FAST, 10_000),
    "USAC_MAGSAC": (cv2.USAC_MAGSAC, 10_000),
}
Floats = NDArray[np.float64]


# --- synthetic pairs ---


def frame_noise() -> float:
    """The standard deviation of each entry of A_photo·A_seen⁻¹ − 1 over correct matches on graf, A_seen being
    the query's frame as the homography lets it be seen; from the median of its absolute values."""
    first = features_of_view(1)
    off: list[Floats] = []
    for view in VIEWS:
        other = features_of_view(view)
        rows = match_descriptors(first, other, MatchOptions())
        seen = projected(first.frames[rows[:, 0]].astype(np.float64), homography(view))
        found = other.frames[rows[:, 1]].astype(np.float64)
        correct = np.linalg.norm(seen[:, :, 2] - found[:, :, 2], axis=1) < CORRECT
        linear = found[correct, :, :2] @ np.linalg.inv(seen[correct, :, :2])
        off.append((linear - np.eye(2)).ravel())
    return float(np.median(np.abs(np.concatenate(off)))) / 0.6745


def features_of_view(view: int) -> Features:
    """Of graf, by the default options."""
    return default_features(graf(view))


def default_features(path: Path) -> Features:
    _, found = find_features(path, FeatureOptions())
    return found.describe(0.0, FeatureOptions.max_features, None)


class Pair:
    """Two photos whose first matches, a share of all, are views of the same points.

    noise: of frames. turned: radians, the largest turn. scaled: logarithm of the largest change of scale.
    """

    def __init__(
        self, seed: int, share: float, noise: float, turned: float = 0.3, scaled: float = 0.5
    ) -> None:
        generator = np.random.default_rng(seed)
        true, angle = round(share * MATCHES), generator.uniform(-turned, turned)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        linear = np.exp(generator.uniform(-scaled, scaled)) * turn @ np.array([[1, 0.1], [0, 1.1]])
        middle = np.array([WIDTH, HEIGHT]) / 2
        self.map = np.column_stack([linear, middle - linear @ middle])
        query, photo = (random_frames(generator) for _ in range(2))
        wobble = np.eye(2) + generator.normal(0, noise, (true, 2, 2))
        photo[:true, :, :2] = wobble @ linear @ query[:true, :, :2]
        photo[:true, :, 2] = self.seen(query[:true, :, 2]) + generator.normal(0, 1, (true, 2))
        order = generator.permutation(MATCHES)
        none = np.zeros((MATCHES, 0), np.uint8)
        self.query = Features(query[order].astype(np.float32), none, WIDTH, HEIGHT)
        self.photo = Features(photo[order].astype(np.float32), none, WIDTH, HEIGHT)

    def seen(self, points: Floats) -> Floats:
        return np.asarray(points @ self.map[:, :2].T + self.map[:, 2])

    def recovered(self, mapped: Callable[[Floats], Floats]) -> bool:
        corners = np.array([[0, 0], [WIDTH, 0], [WIDTH, HEIGHT], [0, HEIGHT]], np.float64)
        error = np.linalg.norm(mapped(corners) - self.seen(corners), axis=1).mean()
        return bool(error < RECOVERED)


def random_frames(generator: np.random.Generator) -> Floats:
    frames = np.zeros((MATCHES, 2, 3))
    frames[:, 0, 0] = np.exp(generator.uniform(np.log(5), np.log(40), MATCHES))
    frames[:, 1, 1] = frames[:, 0, 0] * generator.uniform(0.7, 1.4, MATCHES)
    frames[:, 1, 0] = frames[:, 0, 0] * generator.uniform(-0.3, 0.3, MATCHES)
    frames[:, :, 2] = generator.uniform(0, (WIDTH, HEIGHT), (MATCHES, 2))
    return frames


ROWS = np.repeat(np.arange(MATCHES, dtype=np.int32)[:, None], 2, axis=1)
ONES = np.ones(MATCHES)


def by_handcraft(pair: Pair, options: VerificationOptions = LIKE_A_PAIR) -> bool:
    """Whether the pair is verified by the map that it has."""
    match = verify_pairs(pair.query, pair.photo, ROWS, ONES, options)
    return match is not None and pair.recovered(lambda points: project(whole_map(match), points))


def whole_map(match: Match) -> Floats:
    """(3, 3): the homography, or the affine map where that is all there is."""
    return np.vstack([match.affine, [0, 0, 1]]) if match.homography is None else match.homography


def by_opencv(pair: Pair, method: int, iterations: int) -> bool:
    query, photo = (np.ascontiguousarray(side.centres) for side in (pair.query, pair.photo))
    found, _ = cv2.findHomography(query, photo, method, THRESHOLD, maxIters=iterations)
    if found is None:
        return False
    return pair.recovered(
        lambda points: np.asarray(cv2.perspectiveTransform(points[:, None], found)[:, 0], np.float64)
    )


def by_poselib(pair: Pair) -> bool:
    limits = {"max_reproj_error": THRESHOLD, "max_iterations": 10_000}
    found, _ = poselib.estimate_homography(pair.query.centres, pair.photo.centres, limits)
    return pair.recovered(lambda points: project(found, points))


def peer(method: int, iterations: int) -> Callable[[Pair], bool]:
    return lambda pair: by_opencv(pair, method, iterations)


METHODS: dict[str, Callable[[Pair], bool]] = {
    "handcraft": by_handcraft,
    **{name: peer(*arguments) for name, arguments in PEERS.items()},
    "poselib": by_poselib,
}


def synthetic(scratch: Path) -> dict[str, Any]:
    """Recovered pairs and pairs a second, of one thread."""
    cv2.setNumThreads(1)
    noise = frame_noise()
    figures: dict[str, Any] = {"frames off by": round(noise, 3)}
    for share in (*SHARES, 0.0):
        pairs = [Pair(seed, share, noise) for seed in range(PAIRS)]
        figures[f"{share:.0%} inliers"] = {
            name: recovered_and_fast(method, pairs) for name, method in METHODS.items()
        }
    verified = (
        verify_pairs(pair.query, pair.photo, ROWS, ONES, VerificationOptions()) is not None
        for pair in (Pair(seed, 0.0, noise) for seed in range(WITHOUT))
    )
    return {**figures, "none": {"pairs": WITHOUT, "verified": sum(verified)}}


def recovered_and_fast(method: Callable[[Pair], bool], pairs: Sequence[Pair]) -> dict[str, int]:
    """How many pairs a method recovers, and how many it looks at in a second."""

    def run() -> int:
        return sum(method(pair) for pair in pairs)

    return {"recovered": run(), "pairs a second": round(len(pairs) / best_time(run))}


def best_time(run: Callable[[], object]) -> float:
    """The median of seven, after one that does not count, in seconds."""
    run()
    return in_turns(run, lambda: None, 7)[0]


# --- points ---


def without_frames(features: Features) -> Features:
    """Every frame the same upright circle."""
    frames = features.frames.copy()
    frames[:, :, :2] = 8 * np.eye(2)
    return replace(features, frames=frames)


def pair_of_points(seed: int, share: float) -> Pair:
    pair = Pair(seed, share, 0.0, np.radians(30), np.log(2))
    pair.query, pair.photo = without_frames(pair.query), without_frames(pair.photo)
    return pair


def points(scratch: Path) -> dict[str, Any]:
    """Of synthetic pairs, what is recovered, and pairs a second of one thread; of kth, what is verified."""
    figures: dict[str, Any] = {}
    like_a_pair = replace(LIKE_A_PAIR, points=True)
    for share in (*SHARES, 0.0):
        pairs = [pair_of_points(seed, share) for seed in range(PAIRS)]
        figures[f"{share:.0%} inliers"] = recovered_and_fast(
            lambda pair: by_handcraft(pair, like_a_pair), pairs
        )
    verified = (
        verify_pairs(pair.query, pair.photo, ROWS, ONES, POINTS) is not None
        for pair in (pair_of_points(seed, 0.0) for seed in range(WITHOUT))
    )
    return {**figures, "none": {"pairs": WITHOUT, "verified": sum(verified)}, "kth": points_of_kth()}


def points_of_kth() -> dict[str, Any]:
    """Pairs of a query and a photo of the database, by what their descriptors match."""
    queries, photos = (
        {path.name: default_features(path) for path in photo_paths(f"kth/{part}")}
        for part in ("queries", "database")
    )
    alike = [(a, b) for a in queries for b in photos if a.split("_")[0] == b.split("_")[0]]
    unlike = [(a, b) for a in queries for b in photos if a.split("_")[0] != b.split("_")[0]]
    chosen = np.random.default_rng(0).permutation(len(unlike))[:UNLIKE]
    figures = {}
    for name, pairs in (("same building", alike), ("others", [unlike[number] for number in chosen])):
        counts: Counter[str] = Counter(pairs=len(pairs))
        for one, other in pairs:
            query, photo = queries[one], photos[other]
            mutual = match_descriptors(query, photo, MatchOptions())
            matches = {
                "mutual": (mutual, np.ones(len(mutual))),
                "three nearest": reciprocal_neighbours(query, photo, VerificationOptions.neighbours),
            }
            for way, found in matches.items():
                framed = verify_pairs(query, photo, *found, VerificationOptions())
                pointed = verify_pairs(without_frames(query), without_frames(photo), *found, POINTS)
                counts[f"{way}, with frames"] += framed is not None
                counts[f"{way}, as points"] += pointed is not None
                counts[f"{way}, with both"] += framed is not None and pointed is not None
        figures[name] = dict(counts)
    return figures


# --- real photos ---


def verified_pairs_of_graf(scratch: Path) -> dict[str, Any]:
    """The inliers of `handcraft match`, and how far its map is from the true homography at the corners."""
    figures = {}
    for view in VIEWS:
        found = handcraft.match(graf(1), graf(view))
        width, height = found.sizes[0]
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
        error = None
        if found.match is not None:
            off = project(whole_map(found.match), corners) - project(homography(view), corners)
            error = round(float(np.linalg.norm(off, axis=1).mean()), 1)
        figures[f"1-{view}"] = {"inliers": found.inliers, "pixels, mean corner error": error}
    return figures


def reranking(scratch: Path) -> dict[str, Any]:
    """Milliseconds of the verification of 100 photos of oxford1k, of one thread, warm."""
    hundred = VerificationOptions(depth=100)
    store = handcraft.open(kept_store(scratch, "oxford1k/jpg").path, threads=1)
    photos = photo_paths("oxford1k/jpg")[::50]
    figures = {}
    for name, directions in (("one direction", 1), ("as by default", QueryOptions.directions)):
        options = QueryOptions(method="asmk", verify=True, directions=directions, verification=hundred)
        store.query(photos[0], options=options)
        times = [1000 * store.query(photo, options=options).seconds["verification"] for photo in photos]
        figures[f"ms, {name}"] = round(statistics.median(times), 1)
    return figures


def rejection(scratch: Path) -> dict[str, Any]:
    """Of 50 queries of other places, those that verify any photo."""
    options = QueryOptions(method="asmk", verify=True)
    cases = {
        "kth on oxford1k": ("oxford1k/jpg", photo_paths("kth/queries")),
        "oxford1k on train": ("train", photo_paths("oxford1k/jpg")[::20][:50]),
    }
    figures = {}
    for name, (photos, queries) in cases.items():
        store = kept_store(scratch, photos)
        results: list[QueryResult] = [store.query(query, options=options) for query in queries]
        figures[name] = {
            "queries": len(results),
            "with a verified photo": sum(result.verified > 0 for result in results),
        }
    return figures


PARTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "synthetic": synthetic,
    "points": points,
    "graf": verified_pairs_of_graf,
    "reranking": reranking,
    "rejection": rejection,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True, help="a folder for stores, kept")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all without")
    arguments = parser.parse_args()
    parameters = {"matches": MATCHES, "options": repr(VerificationOptions())}
    for part in arguments.parts or PARTS:
        figures = {**earlier_figures("verification"), part: PARTS[part](arguments.scratch)}
        report("verification", parameters, figures)


if __name__ == "__main__":
    main()
