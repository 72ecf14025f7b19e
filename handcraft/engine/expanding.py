"""Asking again with what the verified answers show: query expansion."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from handcraft.engine.methods import signature_options
from handcraft.engine.snapshot import Snapshot
from handcraft.engine.verifying import Finding, is_verified, prepare_photo
from handcraft.engine.voting import asmk_scorer, bow_query, bow_scorer, method_of
from handcraft.errors import StoreError
from handcraft.index.bow import BowQuery, BowScorer
from handcraft.options import QueryOptions
from handcraft.search.expansion import SignedWords, WeightedWords, average, expand_signatures, separate
from handcraft.search.scoring import Shortlist, shortlist
from handcraft.types import Features, Match, RegionOfInterest
from handcraft.verification.correspondences import PhotoSide, QuerySide
from handcraft.vocabulary.assignment import Assignment

Scores = Callable[[int], NDArray[np.float32]]  # of the photos of a segment, by its place


def require_expandable(snapshot: Snapshot, options: QueryOptions) -> None:
    """Raise StoreError where a query cannot be expanded as it is asked to by how the store votes."""
    method = method_of(snapshot, options)
    if options.expand == "hqe":
        kept = signature_options(snapshot.manifest)
        if method != "asmk" or kept is None or not (kept.aggregated and kept.binary):
            raise StoreError(
                "Expansion by hqe is of the signatures of ASMK*; give --method asmk, and index with one "
                "binary signature for a word of a photo, or give --expand aqe --method bow."
            )
    elif method != "bow":
        raise StoreError(
            f"Expansion by {options.expand} is of bags of words; give --method bow"
            + (", or --expand hqe." if method == "asmk" else ".")
        )
    elif options.expand == "dqe" and options.bow.norm != 2:
        raise StoreError("Expansion by dqe compares by the cosine; leave --norm out, or give --expand aqe.")


def answers_of(findings: Mapping[int, Finding], options: QueryOptions) -> tuple[int, dict[int, Match]]:
    """The description of the query that most photos are verified with, of equals the first, and these photos'
    matches by image id, those of the most evidence, of equals the first."""
    verified = {
        i: finding for i, finding in findings.items() if is_verified(finding.match, options.verification)
    }
    counts = Counter(finding.description for finding in verified.values())
    description = min(counts, key=lambda number: (-counts[number], number), default=0)
    chosen = [i for i, finding in verified.items() if finding.description == description]
    chosen.sort(key=lambda image_id: (-verified[image_id].match.evidence, image_id))
    return description, {i: verified[i].match for i in chosen[: options.expansion_answers]}


def expand_query(
    snapshot: Snapshot,
    features: Features,
    assignment: Assignment,
    answers: Mapping[int, Match],
    options: QueryOptions,
    roi: RegionOfInterest | None,
) -> Scores:
    """What scores the photos of a segment by what a query and its answers have in common.

    features, assignment: the description of the query that the answers were verified with, and its words.
    """
    box = roi or RegionOfInterest.whole(features.width, features.height)
    parts = [_inside(prepare_photo(snapshot, image_id), match, box) for image_id, match in answers.items()]
    if options.expand == "hqe":
        return _by_signatures(snapshot, features, assignment, parts, options)
    return _by_words(snapshot, assignment, parts, list(answers), options)


def _by_signatures(
    snapshot: Snapshot,
    features: Features,
    assignment: Assignment,
    parts: Sequence[PhotoSide],
    options: QueryOptions,
) -> Scores:
    """HQE. parts: of the answers, what lies in the query's region."""
    scorer = asmk_scorer(snapshot, options)
    words = assignment.head(options.asmk.assignments).words
    found, signatures = scorer.encoder.encode(features.descriptors, words)
    answered = []
    for part in parts:
        present, first = np.unique(part.words, return_index=True)
        answered.append(SignedWords(present.astype(np.int64), part.signatures[:, first]))
    expanded = expand_signatures(SignedWords(found, signatures.astype(np.uint64, copy=False)), answered)
    query = scorer.weigh(expanded.words, expanded.signatures)
    return lambda place: scorer.score(query, place)


def _by_words(
    snapshot: Snapshot,
    assignment: Assignment,
    parts: Sequence[PhotoSide],
    answers: Sequence[int],
    options: QueryOptions,
) -> Scores:
    """AQE and DQE. parts: of the answers, what lies in the query's region."""
    scorer, query = bow_scorer(snapshot, options), bow_query(snapshot, assignment, options)

    def vector(words: NDArray[np.uint32]) -> WeightedWords:
        present, counts = np.unique(words, return_counts=True)
        found = scorer.weigh(present, counts.astype(np.float64))
        return WeightedWords(found.words, found.weights)

    positives = [WeightedWords(query.words, query.weights), *(vector(part.words) for part in parts)]
    if options.expand == "aqe":
        expanded = average(positives)
    else:
        others = _least_alike(snapshot, scorer, query, answers, options.expansion_negatives)
        negatives = [vector(prepare_photo(snapshot, image_id).words) for image_id in others]
        expanded = separate(positives, negatives) if negatives else average(positives)
    weighted = scorer.scale(expanded.words, expanded.weights)
    return lambda place: scorer.score(weighted, place)


def _least_alike(
    snapshot: Snapshot, scorer: BowScorer, query: BowQuery, answers: Sequence[int], count: int
) -> list[int]:
    """The live photos that have the fewest votes of a query, of equals the first, without its answers; half
    of a small collection at the most."""
    collection = snapshot.collection
    ids, scores = [], []
    for place, live in enumerate(collection.live):
        local = np.flatnonzero(live)
        ids.append(local + collection.starts[place])
        scores.append(scorer.score(query, place)[local])
    order = np.argsort(np.concatenate(scores), kind="stable")
    found = np.concatenate(ids)[order[: len(order) // 2]]
    return [int(image_id) for image_id in found[~np.isin(found, answers)][:count]]


@dataclass(frozen=True)
class ExpandedSide:
    """A query's side of the pairs with its answers' features among its own.

    vouched: (n,) float64, of each feature the evidence of the answer that it is from; infinite for the
    query's own.
    """

    side: QuerySide
    vouched: NDArray[np.float64]

    def evidence_of(self, match: Match) -> float:
        """Of a match with it: an answer vouches for a photo no further than the query vouches for the answer,
        and half of the inliers are vouched for so far."""
        return min(match.evidence, float(np.median(self.vouched[match.query_features])))


def expand_side(
    snapshot: Snapshot, query: QuerySide, answers: Mapping[int, Match], roi: RegionOfInterest | None
) -> ExpandedSide:
    """A description's side of the pairs, with the features of its answers mapped back into its region: so a
    photo is compared with all of them."""
    box = roi or RegionOfInterest.whole(query.width, query.height)
    parts = [_inside(prepare_photo(snapshot, image_id), match, box) for image_id, match in answers.items()]
    features = np.arange(sum(len(part.words) for part in parts), dtype=np.int32) + np.int32(len(query.frames))
    words = np.concatenate([query.words, *(part.words for part in parts)])
    signatures = np.concatenate([query.signatures, *(part.signatures for part in parts)], axis=1)
    order = np.argsort(words, kind="stable")
    side = replace(
        query,
        words=words[order],
        features=np.concatenate([query.features, features])[order],
        frames=np.concatenate([query.frames, *(part.frames for part in parts)]),
        signatures=np.ascontiguousarray(signatures[:, order]),
    )
    evidence = [math.inf, *(match.evidence for match in answers.values())]
    return ExpandedSide(side, np.repeat(evidence, [len(query.frames), *(len(part.words) for part in parts)]))


def _inside(photo: PhotoSide, match: Match, box: RegionOfInterest) -> PhotoSide:
    """The features of an answer that lie in a box of the query, their frames mapped back into it."""
    back = np.linalg.inv(match.affine[:, :2])
    centres = (photo.frames[:, :, 2] - match.affine[:, 2]) @ back.T
    inside = np.flatnonzero(box.holds(centres))
    frames = np.concatenate([back @ photo.frames[inside, :, :2], centres[inside, :, None]], axis=2)
    return replace(photo, words=photo.words[inside], frames=frames, signatures=photo.signatures[:, inside])


def vote_again(
    snapshot: Snapshot, score: Scores, known: Mapping[int, float], depth: int, threads: int
) -> Shortlist:
    """The `depth` best photos by the votes of an expanded query, and all those that are known.

    score: of expand_query. known: photos with evidence by image id, and the scores that they have so far,
    which are theirs where the expanded query gives less: a photo that answers another description of the
    query is not forgotten.
    """
    collection = snapshot.collection
    scores = dict(known)
    by_segment: dict[int, list[int]] = {}
    for image_id in known:
        by_segment.setdefault(collection.place(image_id)[0], []).append(image_id)

    def score_known(place: int) -> NDArray[np.float32]:
        values = score(place)
        for image_id in by_segment.get(place, ()):
            scores[image_id] = max(scores[image_id], float(values[image_id - collection.starts[place]]))
        return values

    found = shortlist(score_known, collection, depth, threads)
    scores = {**dict(zip(found.ids.tolist(), found.scores.tolist(), strict=True)), **scores}
    ids = np.array(sorted(scores, key=lambda image_id: (-scores[image_id], image_id)), np.int64)
    return Shortlist(ids, np.array([scores[image_id] for image_id in ids.tolist()], np.float32))
