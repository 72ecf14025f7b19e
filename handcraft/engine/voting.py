"""Features of a query → the shortlist of a store, by the method that is asked for."""

from __future__ import annotations

import numpy as np

from handcraft.engine.methods import encoder_of, signature_options, vlad_options
from handcraft.engine.snapshot import Snapshot
from handcraft.errors import StoreError
from handcraft.index.asmk import AsmkScorer
from handcraft.index.bow import BowQuery, BowScorer
from handcraft.index.vlad import VladScorer
from handcraft.options import QueryOptions
from handcraft.search.scoring import Shortlist, shortlist
from handcraft.types import Features
from handcraft.vocabulary.assignment import Assignment, assign, spread


def method_of(snapshot: Snapshot, options: QueryOptions) -> str:
    """The method that a query votes by; raises StoreError where the store does not have it."""
    methods = snapshot.manifest.methods
    chosen = options.method or next(iter(methods))
    if chosen not in methods:
        raise StoreError(
            f"The store {snapshot.store} does not vote by {chosen} but by {', '.join(methods)}; "
            f"add it with `handcraft index FOLDER --method {chosen}`."
        )
    return chosen


def assignments_of(snapshot: Snapshot, options: QueryOptions) -> int:
    """The nearest words that a feature votes for."""
    method = method_of(snapshot, options)
    if method == "vlad":
        return 0  # its vectors have words of their own
    return (options.asmk if method == "asmk" else options.bow).assignments


def assign_query(snapshot: Snapshot, features: Features, nearest: int) -> Assignment:
    """The nearest words of a query's features; none where none are asked for."""
    if nearest:
        return assign(features.descriptors, snapshot.vocabulary, nearest)
    shape = (len(features), 0)
    return Assignment(np.empty(shape, np.int32), np.empty(shape, np.float32))


def steepness_of(snapshot: Snapshot, options: QueryOptions) -> float:
    """The power of similarity that scores are: half as alike is 1/16 of the score under ASMK's α = 4."""
    power = method_of(snapshot, options) == "asmk" and not options.asmk.deviation
    return options.asmk.alpha if power else 1.0


def vote(
    snapshot: Snapshot,
    features: Features,
    assignment: Assignment,
    options: QueryOptions,
    depth: int,
    threads: int,
) -> Shortlist:
    """The `depth` best photos by the votes of a query's features.

    assignment: the nearest words of each, as many as the method takes or more.
    """
    method = method_of(snapshot, options)
    if method == "vlad":
        return _vote_by_vector(snapshot, features, depth, threads)
    votes = assignment.head(assignments_of(snapshot, options))
    if method == "asmk":
        asmk = asmk_scorer(snapshot, options)
        signatures = asmk.query(features.descriptors, votes.words)
        return shortlist(lambda place: asmk.score(signatures, place), snapshot.collection, depth, threads)
    bow, vector = bow_scorer(snapshot, options), bow_query(snapshot, assignment, options)
    return shortlist(lambda place: bow.score(vector, place), snapshot.collection, depth, threads)


def _vote_by_vector(snapshot: Snapshot, features: Features, depth: int, threads: int) -> Shortlist:
    kept = vlad_options(snapshot.manifest)
    assert kept is not None  # method_of has made sure
    assert snapshot.vlad is not None
    vector = snapshot.vlad.vector(features.descriptors, kept.dimension)
    scorer = VladScorer(snapshot.collection)
    return shortlist(lambda place: scorer.score(vector, place), snapshot.collection, depth, threads)


def asmk_scorer(snapshot: Snapshot, options: QueryOptions) -> AsmkScorer:
    """What scores the photos of a store that has signatures; one for equal options."""
    found = snapshot.scorers.get(options.asmk)
    if not isinstance(found, AsmkScorer):
        encoder = encoder_of(signature_options(snapshot.manifest), snapshot.vocabulary)
        assert encoder is not None  # method_of has made sure
        found = AsmkScorer(snapshot.collection, encoder, options.asmk)
        snapshot.scorers[options.asmk] = found
    return found


def bow_query(snapshot: Snapshot, assignment: Assignment, options: QueryOptions) -> BowQuery:
    """The tf-idf vector of a query. assignment: the nearest words of its features, enough of them."""
    votes = assignment.head(options.bow.assignments)
    if options.bow.neighbours > 1:
        votes = spread(votes, snapshot.vocabulary, options.bow.neighbours)
    distances = votes.distances * np.float32(snapshot.vocabulary.root_sift_scale)
    return bow_scorer(snapshot, options).query(votes.words, distances)


def bow_scorer(snapshot: Snapshot, options: QueryOptions) -> BowScorer:
    """What scores the photos of a store by their tf-idf vectors; one for equal options."""
    found = snapshot.scorers.get(options.bow)
    if not isinstance(found, BowScorer):
        found = BowScorer(snapshot.collection, options.bow)
        snapshot.scorers[options.bow] = found
    return found
