"""Asking a store: features → words → shortlist → verified hits."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handcraft.engine.directions import describe_turned
from handcraft.engine.methods import encoder_of, signature_options
from handcraft.engine.snapshot import Snapshot
from handcraft.engine.voting import assign_query, assignments_of, vote
from handcraft.engine.writing import stored_options
from handcraft.errors import PhotoError, StoreError
from handcraft.features.description import Found
from handcraft.features.extraction import available_threads, find_features, opencv_threads
from handcraft.options import FeatureOptions, QueryOptions, VerificationOptions
from handcraft.search.fusion import STRENGTH_DEPTH, FusedShortlist, fuse
from handcraft.search.scoring import Shortlist
from handcraft.types import Features, Hit, Match, Photo, RegionOfInterest
from handcraft.verification.correspondences import PhotoSide, QuerySide, query_side
from handcraft.verification.spatial import verify


@dataclass(frozen=True)
class QueryResult:
    """A ranking and how it came about.

    hits: best first. features: of the query as it is held, inside its region. photos: live in the store.
    compared: photos of the shortlist that geometry was tried on; verified: those of them with
    enough evidence. seconds: by stage, and "total".
    width, height: of the query photo, pixels.
    """

    hits: tuple[Hit, ...]
    features: int
    photos: int
    compared: int
    verified: int
    seconds: dict[str, float]
    width: int
    height: int


def query_photo(
    snapshot: Snapshot,
    path: Path,
    options: QueryOptions,
    roi: RegionOfInterest | None = None,
    threads: int = 0,
) -> QueryResult:
    """Search the photos that show what the query, or its region, shows; raises HandcraftError."""
    if not len(snapshot.collection):
        raise StoreError(f"The store {snapshot.store} holds no photos; add some with `handcraft index`.")
    threads = threads or available_threads()
    clock = _Clock()
    stored = stored_options(snapshot.manifest)
    photo, found, features = _extract(path, stored, roi)
    clock.lap("features")
    with ThreadPoolExecutor(threads) as pool:
        described = [features]
        if stored.upright and options.directions > 1:
            described += describe_turned(found, features, stored.max_features, snapshot, options, roi, pool)
        clock.lap("directions")
        nearest = max(assignments_of(snapshot, options), options.verification.words if options.verify else 0)
        assignments = list(pool.map(lambda one: assign_query(snapshot, one, nearest), described))
        clock.lap("words")
    # The strength of a direction's answer must not depend on how many hits are asked for.
    depth = max(options.top, STRENGTH_DEPTH, options.verification.depth if options.verify else 0)
    lists = [
        vote(snapshot, one, words, options, depth, threads)
        for one, words in zip(described, assignments, strict=True)
    ]
    candidates = fuse(lists, options.direction_weight, depth)
    clock.lap("votes")
    matches: dict[int, Match] = {}
    if options.verify:
        queries = [
            _query_side(snapshot, one, assignment.head(options.verification.words).words)
            for one, assignment in zip(described, assignments, strict=True)
        ]
        matches = _verify(snapshot, queries, candidates, options, roi, threads)
        clock.lap("verification")
    return QueryResult(
        hits=_rank(snapshot, candidates, matches, options),
        features=len(features),
        photos=len(snapshot.collection),
        compared=min(len(candidates.ids), options.verification.depth) if options.verify else 0,
        verified=sum(_is_verified(match, options.verification) for match in matches.values()),
        seconds=clock.seconds(),
        width=photo.width,
        height=photo.height,
    )


def _extract(
    path: Path, options: FeatureOptions, roi: RegionOfInterest | None
) -> tuple[Photo, Found, Features]:
    """What is found in the query, and its features in its region, described as it is held."""
    with opencv_threads(available_threads()):
        photo, found = find_features(path, options)
        if roi is not None:
            check_region(roi, photo.width, photo.height)
        features = found.describe(0.0, options.max_features, roi)
    if not len(features):
        where = "the region" if roi is not None else "it"
        raise PhotoError(
            f"No features were found in {path}: {where} shows too little texture to search with."
        )
    return photo, found, features


def check_region(roi: RegionOfInterest, width: int, height: int) -> None:
    """Raise PhotoError unless the box has an area and meets a photo of this size, in pixels."""
    if not (roi.x1 < roi.x2 and roi.y1 < roi.y2):
        raise PhotoError(
            f"The region {roi.x1:g},{roi.y1:g},{roi.x2:g},{roi.y2:g} is empty: "
            "it must be x1,y1,x2,y2 with x1 < x2 and y1 < y2."
        )
    if roi.x1 >= width or roi.y1 >= height or roi.x2 <= 0 or roi.y2 <= 0:
        raise PhotoError(
            f"The region {roi.x1:g},{roi.y1:g},{roi.x2:g},{roi.y2:g} lies outside the photo, "
            f"which has {width} x {height} pixels."
        )


def _query_side(snapshot: Snapshot, features: Features, words: NDArray[np.int32]) -> QuerySide:
    """A query's side of the pairs, with its signatures where the store has some to compare them with."""
    kept = signature_options(snapshot.manifest)
    encoder = encoder_of(kept, snapshot.vocabulary)
    if kept is None or encoder is None or not kept.binary:
        return query_side(features, words)
    return query_side(features, words, encoder.encode_each(features.descriptors, words), encoder.bits)


def _verify(
    snapshot: Snapshot,
    queries: Sequence[QuerySide],
    candidates: FusedShortlist,
    options: QueryOptions,
    roi: RegionOfInterest | None,
    threads: int,
) -> dict[int, Match]:
    """The matches of the shortlist's head by image id, candidates in parallel, each with the description of
    the query by which it is ranked or with the one that it resembles most, whichever has more evidence.

    Those with too little to be verified are among them."""
    collection = snapshot.collection

    def match(image_id: int, descriptions: Sequence[int]) -> Match | None:
        segment, local_id = collection.locate(image_id)
        width, height = (int(side) for side in segment.photos.sizes[local_id])
        geometry = segment.geometry
        photo = PhotoSide(
            geometry.words_of(local_id),
            geometry.frames_of(local_id, max(width, height)),
            width,
            height,
            segment.signatures_of(local_id),
        )
        tried = dict.fromkeys(descriptions)
        better_than_chance = replace(options.verification, max_false_alarms=1 / len(tried))
        found = [verify(queries[number], photo, collection.idf, better_than_chance, roi) for number in tried]
        best = max((one for one in found if one), key=lambda one: one.evidence, default=None)
        return best and replace(best, evidence=best.evidence - math.log10(len(tried)))

    head = candidates.ids[: options.verification.depth].tolist()
    with ThreadPoolExecutor(threads) as pool:
        found = pool.map(match, head, candidates.descriptions.tolist())
        return {image_id: one for image_id, one in zip(head, found, strict=True) if one is not None}


def _is_verified(match: Match, options: VerificationOptions) -> bool:
    """Whether there is enough evidence to tell a person that the photo shows what the query shows."""
    return match.inliers >= options.min_inliers and 10.0**-match.evidence < options.max_false_alarms


def _rank(
    snapshot: Snapshot, candidates: Shortlist, matches: dict[int, Match], options: QueryOptions
) -> tuple[Hit, ...]:
    """The hits by their votes, raised by their evidence; so no evidence takes a photo behind where the votes
    alone had put it but the better evidence of others."""
    unit = options.verification.evidence_unit
    ranked = [
        (float(score) * (1 + (matches[int(i)].evidence / unit if int(i) in matches else 0)), int(i))
        for i, score in zip(candidates.ids, candidates.scores, strict=True)
    ]
    ranked.sort(key=lambda entry: (-entry[0], entry[1]))
    hits = []
    for rank, (score, image_id) in enumerate(ranked[: options.top], 1):
        segment, local_id = snapshot.collection.locate(image_id)
        name = segment.photos.names[local_id]
        width, height = (int(side) for side in segment.photos.sizes[local_id])
        path = Path(os.path.normpath(snapshot.root / name))
        match = matches.get(image_id)
        shown = match if match and _is_verified(match, options.verification) else None
        hits.append(Hit(rank, name, path, image_id, width, height, score, shown))
    return tuple(hits)


class _Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        """Charge the time since the last lap to this stage."""
        now = time.perf_counter()
        self._laps[stage] = now - self._last
        self._last = now

    def seconds(self) -> dict[str, float]:
        """The laps, and the total."""
        return {**self._laps, "total": self._last - self._start}
