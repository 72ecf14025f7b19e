"""Asking a store: features → words → shortlist → verified hits."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from handcraft.engine.directions import describe_turned
from handcraft.engine.expanding import (
    answers_of,
    expand_query,
    expand_side,
    require_expandable,
    vote_again,
)
from handcraft.engine.importing import query_features_of
from handcraft.engine.snapshot import Snapshot
from handcraft.engine.verifying import (
    Compare,
    Finding,
    comparing_descriptors,
    comparing_words,
    find_evidence,
    is_verified,
    prepare_query,
    require_descriptors,
)
from handcraft.engine.voting import assign_query, assignments_of, method_of, vote
from handcraft.engine.writing import stored_options
from handcraft.errors import PhotoError, StoreError
from handcraft.features.extraction import available_threads, find_features, opencv_threads
from handcraft.features.extractor import Described, Found
from handcraft.features.registry import are_points, closer, extractor_of
from handcraft.options import FeatureOptions, QueryOptions
from handcraft.search.fusion import STRENGTH_DEPTH, FusedShortlist, fuse
from handcraft.search.scoring import Shortlist
from handcraft.types import Features, Hit, Match, Photo, RegionOfInterest
from handcraft.verification.correspondences import QuerySide
from handcraft.vocabulary.assignment import Assignment


@dataclass(frozen=True)
class QueryResult:
    """A ranking and how it came about.

    hits: best first. features: of the query as it is held, inside its region. photos: live in the store.
    compared: photos of the shortlist that geometry was tried on; verified: those of them with
    enough evidence. seconds: by stage, and "total".
    width, height: of the query photo, pixels. points: whether the features are points, so that maps were
    suggested by two pairs of them together.
    """

    hits: tuple[Hit, ...]
    features: int
    photos: int
    compared: int
    verified: int
    seconds: dict[str, float]
    width: int
    height: int
    points: bool = False


def query_photo(
    snapshot: Snapshot,
    path: Path,
    options: QueryOptions,
    roi: RegionOfInterest | None = None,
    threads: int = 0,
) -> QueryResult:
    """Search the photos that show what the query, or its region, shows; raises HandcraftError."""
    options = answerable(snapshot, options)
    threads = threads or available_threads()
    clock = _Clock()
    stored = stored_options(snapshot.manifest)
    photo, found, features = _extract(path, stored, roi, options)
    clock.lap("features")
    with ThreadPoolExecutor(threads) as pool:
        described = [features]
        options = replace(options, directions=_directions(options, stored))
        if options.directions > 1:
            described += describe_turned(found, features, stored.max_features, snapshot, options, roi, pool)
        clock.lap("directions")
        nearest = _nearest(snapshot, options)
        assignments = list(pool.map(lambda one: assign_query(snapshot, one, nearest), described))
        clock.lap("words")
    query = _Described(tuple(described), tuple(assignments), roi)
    ranking = _ranking(snapshot, query, options, threads, clock)
    return QueryResult(
        hits=_rank(snapshot, ranking, options),
        features=len(features),
        photos=len(snapshot.collection),
        compared=len(ranking.compared),
        verified=sum(is_verified(one.match, options.verification) for one in ranking.findings.values()),
        seconds=clock.seconds(),
        width=photo.width,
        height=photo.height,
        points=options.verification.points,
    )


def _directions(options: QueryOptions, stored: FeatureOptions) -> int:
    """In how many directions the query is looked at."""
    return 1 if options.features is not None else min(options.directions, extractor_of(stored).directions)


def answerable(snapshot: Snapshot, options: QueryOptions) -> QueryOptions:
    """The options, with verification where they expand, and of points where the store's features are that;
    raises StoreError where the store cannot answer such queries."""
    if not len(snapshot.collection):
        raise StoreError(f"The store {snapshot.store} holds no photos; add some with `handcraft index`.")
    method_of(snapshot, options)
    if options.expand:
        require_expandable(snapshot, options)
        options = replace(options, verify=True)
    if options.verify and options.verification.pairing == "descriptors":
        require_descriptors(snapshot)
    if are_points(snapshot.manifest.fingerprint):
        options = replace(options, verification=options.verification.of_points())
    return options


def query_features(snapshot: Snapshot, features: Features, options: QueryOptions) -> tuple[Hit, ...]:
    """Search the photos that show what these features show, in the one direction that they are described in;
    on one thread; raises HandcraftError."""
    nearest = _nearest(snapshot, options)
    query = _Described((features,), (assign_query(snapshot, features, nearest),), None)
    return _rank(snapshot, _ranking(snapshot, query, options, 1, _Clock()), options)


def _nearest(snapshot: Snapshot, options: QueryOptions) -> int:
    """How many of the words near each feature are looked up."""
    return max(assignments_of(snapshot, options), options.verification.words if options.verify else 0)


def _extract(
    path: Path, stored: FeatureOptions, roi: RegionOfInterest | None, options: QueryOptions
) -> tuple[Photo, Found, Features]:
    """What is found in the query, and its features in its region, described as it is held; with a closer look
    at a region where they are few."""
    with opencv_threads(available_threads()):
        photo, found = _find(path, stored, options.features)
        if roi is not None:
            check_region(roi, photo.width, photo.height)
        features = found.describe(0.0, stored.max_features, roi)
        looked = roi is None or options.features is not None or closer(stored) == stored
        if not looked and len(features) < options.few_features:
            _, found = find_features(path, closer(stored))
            features = found.describe(0.0, stored.max_features, roi)
    if not len(features):
        where = "the region" if roi is not None else "it"
        raise PhotoError(
            f"No features were found in {path}: {where} shows too little texture to search with."
        )
    return photo, found, features


def _find(path: Path, stored: FeatureOptions, file: Path | None) -> tuple[Photo, Found]:
    """What there is in the query: of its pixels, or in another program's file."""
    if file is None:
        return find_features(path, stored)
    photo, features = query_features_of(path, stored, file)
    return photo, Described(features)


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


@dataclass(frozen=True)
class _Described:
    """A query described once or in several directions, with the nearest words of its features."""

    features: tuple[Features, ...]
    assignments: tuple[Assignment, ...]
    roi: RegionOfInterest | None


@dataclass(frozen=True)
class _Ranking:
    """Candidates by their votes, and the evidence of those that geometry was tried on, by image id.

    compared: the ids that geometry was tried on. indirect: how well photos agree with the query and its
    answers together, where it was expanded.
    """

    candidates: Shortlist
    compared: frozenset[int] = frozenset()
    findings: dict[int, Finding] = field(default_factory=dict)
    indirect: dict[int, float] = field(default_factory=dict)

    def evidence(self, image_id: int) -> float:
        """Of a photo, 0 where none was found."""
        finding = self.findings.get(image_id)
        return max(finding.match.evidence if finding else 0.0, self.indirect.get(image_id, 0.0))


def _ranking(
    snapshot: Snapshot, query: _Described, options: QueryOptions, threads: int, clock: _Clock
) -> _Ranking:
    ranking = _first_ranking(snapshot, query, options, threads, clock)
    if options.expand:
        ranking = _expanded_ranking(snapshot, query, ranking, options, threads)
        clock.lap("expansion")
    return ranking


def _first_ranking(
    snapshot: Snapshot, query: _Described, options: QueryOptions, threads: int, clock: _Clock
) -> _Ranking:
    lists = [
        vote(snapshot, one, words, options, _depth(options), threads)
        for one, words in zip(query.features, query.assignments, strict=True)
    ]
    candidates = fuse(lists, options.direction_weight, _depth(options))
    clock.lap("votes")
    if not options.verify:
        return _Ranking(candidates)
    compare = _comparing(snapshot, query, options)
    findings = find_evidence(compare, candidates, options.verification.depth, threads)
    clock.lap("verification")
    compared = candidates.ids[: options.verification.depth].tolist()
    return _Ranking(candidates, frozenset(compared), findings)


def _comparing(snapshot: Snapshot, query: _Described, options: QueryOptions) -> Compare:
    """What compares the query with photos, as the options say."""
    verification = options.verification
    if verification.pairing == "descriptors":
        return comparing_descriptors(snapshot, query.features, verification, query.roi)
    sides = [_side(snapshot, query, number, options) for number in range(len(query.features))]
    return comparing_words(snapshot, sides, verification, query.roi)


def _side(snapshot: Snapshot, query: _Described, description: int, options: QueryOptions) -> QuerySide:
    words = query.assignments[description].head(options.verification.words).words
    return prepare_query(snapshot, query.features[description], words)


def _depth(options: QueryOptions) -> int:
    """Of the shortlist; the strength of a direction must not depend on how many hits are asked for."""
    return max(options.top, STRENGTH_DEPTH, options.verification.depth if options.verify else 0)


def _expanded_ranking(
    snapshot: Snapshot, query: _Described, ranking: _Ranking, options: QueryOptions, threads: int
) -> _Ranking:
    """The ranking of the query expanded by what it verified, again for as long as that verifies more.

    A photo becomes an answer by its evidence with the query itself, so that the query does not drift.
    """
    compare = _comparing(snapshot, query, options)
    first = dict(zip(ranking.candidates.ids.tolist(), ranking.candidates.scores.tolist(), strict=True))
    description, answers, asked = 0, dict[int, Match](), set[int]()
    for _ in range(options.expansion_rounds):
        description, answers = answers_of(ranking.findings, options)
        if answers.keys() <= asked:
            break
        asked = set(answers)
        features, assignment = query.features[description], query.assignments[description]
        expanded = expand_query(snapshot, features, assignment, answers, options, query.roi)
        known = {image_id: first.get(image_id, 0.0) for image_id in ranking.findings}
        candidates = vote_again(snapshot, expanded, known, _depth(options), threads)
        new = [i for i in candidates.ids[: options.verification.depth].tolist() if i not in ranking.compared]
        found = find_evidence(compare, _listed(new, description), len(new), threads)
        ranking = _Ranking(candidates, ranking.compared | set(new), {**ranking.findings, **found})
    if not answers:
        return ranking
    nearest = dict(list(answers.items())[: options.expansion_geometry])
    expanded_side = expand_side(snapshot, _side(snapshot, query, description, options), nearest, query.roi)
    # An answer would share all of its own features with the expanded query.
    others = [i for i in ranking.candidates.ids[: options.verification.depth].tolist() if i not in answers]
    compare = comparing_words(snapshot, [expanded_side.side], options.verification, query.roi)
    found = find_evidence(compare, _listed(others, 0), len(others), threads)
    indirect = {i: expanded_side.evidence_of(finding.match) for i, finding in found.items()}
    return replace(ranking, indirect=indirect)


def _listed(ids: Sequence[int], description: int) -> FusedShortlist:
    """Photos that are to be compared with one description of the query."""
    count = len(ids)
    return FusedShortlist(
        np.array(ids, np.int64), np.zeros(count, np.float32), np.full((count, 2), description)
    )


def _rank(snapshot: Snapshot, ranking: _Ranking, options: QueryOptions) -> tuple[Hit, ...]:
    """The hits by their votes, raised by their evidence; so nothing takes a photo behind where the votes
    alone had put it but the better evidence of others."""
    candidates, unit = ranking.candidates, options.verification.evidence_unit
    ranked = [
        (float(score) * (1 + ranking.evidence(int(i)) / unit), int(i))
        for i, score in zip(candidates.ids, candidates.scores, strict=True)
    ]
    ranked.sort(key=lambda entry: (-entry[0], entry[1]))
    hits = []
    for rank, (score, image_id) in enumerate(ranked[: options.top], 1):
        segment, local_id = snapshot.collection.locate(image_id)
        name = segment.photos.names[local_id]
        width, height = (int(side) for side in segment.photos.sizes[local_id])
        path = Path(os.path.normpath(snapshot.root / name))
        finding = ranking.findings.get(image_id)
        match = finding.match if finding and is_verified(finding.match, options.verification) else None
        hits.append(Hit(rank, name, path, image_id, width, height, score, match))
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
