"""Asking again with what the verified answers show: query expansion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from handcraft.engine.methods import signature_options
from handcraft.engine.snapshot import Snapshot
from handcraft.engine.verifying import Finding, is_verified, prepare_photo
from handcraft.engine.voting import asmk_scorer, method_of
from handcraft.errors import StoreError
from handcraft.index.asmk import AsmkQuery
from handcraft.options import QueryOptions
from handcraft.search.expansion import SignedWords, expand_signatures
from handcraft.search.scoring import Shortlist, shortlist
from handcraft.types import Features, Match, RegionOfInterest
from handcraft.verification.correspondences import PhotoSide, QuerySide
from handcraft.vocabulary.assignment import Assignment


def require_expandable(snapshot: Snapshot, options: QueryOptions) -> None:
    """Raise StoreError where a query cannot be expanded by the store's signatures."""
    kept = signature_options(snapshot.manifest)
    if method_of(snapshot, options) != "asmk" or kept is None or not (kept.aggregated and kept.binary):
        raise StoreError(
            "Queries are expanded by the signatures of ASMK*; give --method asmk, and index with one binary "
            "signature for a word of a photo, or leave --expand out."
        )


def answers_of(findings: Mapping[int, Finding], options: QueryOptions) -> tuple[int, dict[int, Match]]:
    """The description of the query that most photos are verified with, of equals the first, and these photos'
    matches by image id, those of the most evidence, of equals the first."""
    verified = {
        image_id: finding
        for image_id, finding in findings.items()
        if is_verified(finding.match, options.verification)
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
) -> AsmkQuery:
    """What a query and its answers have in common, to vote by.

    features, assignment: the description of the query that the answers were verified with, and its words.
    """
    scorer = asmk_scorer(snapshot, options)
    words = assignment.head(options.asmk.assignments).words
    found, signatures = scorer.encoder.encode(features.descriptors, words)
    query = SignedWords(found, signatures.astype(np.uint64, copy=False))
    box = roi or RegionOfInterest.whole(features.width, features.height)
    parts = []
    for image_id, match in answers.items():
        photo = _inside(prepare_photo(snapshot, image_id), match, box)
        present, first = np.unique(photo.words, return_index=True)
        parts.append(SignedWords(present.astype(np.int64), photo.signatures[:, first]))
    expanded = expand_signatures(query, parts)
    return scorer.weigh(expanded.words, expanded.signatures)


def expand_side(
    snapshot: Snapshot, query: QuerySide, answers: Mapping[int, Match], roi: RegionOfInterest | None
) -> QuerySide:
    """A description's side of the pairs, with the features of its answers mapped back into its region: so a
    photo is compared with all of them."""
    box = roi or RegionOfInterest.whole(query.width, query.height)
    parts = [_inside(prepare_photo(snapshot, image_id), match, box) for image_id, match in answers.items()]
    features = np.arange(sum(len(part.words) for part in parts), dtype=np.int32) + np.int32(len(query.frames))
    words = np.concatenate([query.words, *(part.words for part in parts)])
    signatures = np.concatenate([query.signatures, *(part.signatures for part in parts)], axis=1)
    order = np.argsort(words, kind="stable")
    return replace(
        query,
        words=words[order],
        features=np.concatenate([query.features, features])[order],
        frames=np.concatenate([query.frames, *(part.frames for part in parts)]),
        signatures=np.ascontiguousarray(signatures[:, order]),
    )


def _inside(photo: PhotoSide, match: Match, box: RegionOfInterest) -> PhotoSide:
    """The features of an answer that lie in a box of the query, their frames mapped back into it."""
    back = np.linalg.inv(match.affine[:, :2])
    centres = (photo.frames[:, :, 2] - match.affine[:, 2]) @ back.T
    inside = np.flatnonzero(box.holds(centres))
    frames = np.concatenate([back @ photo.frames[inside, :, :2], centres[inside, :, None]], axis=2)
    return replace(photo, words=photo.words[inside], frames=frames, signatures=photo.signatures[:, inside])


def vote_again(
    snapshot: Snapshot,
    query: AsmkQuery,
    known: Mapping[int, float],
    options: QueryOptions,
    depth: int,
    threads: int,
) -> Shortlist:
    """The `depth` best photos by the votes of an expanded query, and all those that are known.

    known: photos with evidence by image id, and the scores that they have so far, which are theirs where the
    expanded query gives less: a photo that answers another description of the query is not forgotten.
    """
    scorer, collection = asmk_scorer(snapshot, options), snapshot.collection
    scores = dict(known)
    by_segment: dict[int, list[int]] = {}
    for image_id in known:
        by_segment.setdefault(collection.place(image_id)[0], []).append(image_id)

    def score(place: int) -> NDArray[np.float32]:
        values = scorer.score(query, place)
        for image_id in by_segment.get(place, ()):
            scores[image_id] = max(scores[image_id], float(values[image_id - collection.starts[place]]))
        return values

    found = shortlist(score, collection, depth, threads)
    scores = {**dict(zip(found.ids.tolist(), found.scores.tolist(), strict=True)), **scores}
    ids = np.array(sorted(scores, key=lambda image_id: (-scores[image_id], image_id)), np.int64)
    return Shortlist(ids, np.array([scores[image_id] for image_id in ids.tolist()], np.float32))
