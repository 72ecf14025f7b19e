"""Features of a query → words → the shortlist of a store."""

from __future__ import annotations

from handcraft.engine.snapshot import Snapshot
from handcraft.index.bow import query_vector
from handcraft.options import QueryOptions
from handcraft.search.scoring import Shortlist, shortlist
from handcraft.vocabulary.assignment import Assignment, spread


def vote(
    snapshot: Snapshot, assignment: Assignment, options: QueryOptions, depth: int, threads: int
) -> Shortlist:
    """The `depth` best photos by the votes of a query's words."""
    votes = assignment.head(options.assignments)
    if options.neighbours > 1:
        votes = spread(votes, snapshot.vocabulary, options.neighbours)
    vector = query_vector(votes.words, votes.distances, snapshot.collection.idf, options.assignment_variance)
    return shortlist(vector, snapshot.collection, depth, threads)
