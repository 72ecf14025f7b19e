"""The directions in which the query of an upright store is described, since its photo may be turned."""

from __future__ import annotations

from concurrent.futures import Executor

import numpy as np

from handcraft.engine.snapshot import Snapshot
from handcraft.engine.voting import assign_query, assignments_of, steepness_of, vote
from handcraft.features.extractor import Found
from handcraft.features.registry import directions_around
from handcraft.options import QueryOptions
from handcraft.search.fusion import STRENGTH_DEPTH, answer_strength
from handcraft.types import Features, RegionOfInterest


def describe_turned(
    found: Found,
    upright: Features,
    limit: int,
    snapshot: Snapshot,
    options: QueryOptions,
    roi: RegionOfInterest | None,
    pool: Executor,
) -> list[Features]:
    """The query described in the directions that it may be turned to, besides as it is held.

    Its strongest features alone are described in every direction; all of them, at most `limit`, only where
    these are answered well enough, compared with the best direction. upright: as it is held.
    """
    directions = directions_around(options.directions)[1:]

    def strength(probe: Features) -> float:
        words = assign_query(snapshot, probe, assignments_of(snapshot, options))
        return answer_strength(vote(snapshot, probe, words, options, STRENGTH_DEPTH, threads=1))

    def probe(direction: float) -> float:
        return strength(found.describe(direction, min(options.probe_features, limit), roi))

    def describe(direction: float) -> Features:
        return found.describe(direction, limit, roi)

    strengths = np.array(list(pool.map(probe, directions)))
    as_held = strength(upright.head(options.probe_features))
    best = np.argsort(-strengths, kind="stable")[: options.most_directions]
    least = options.probe_share ** steepness_of(snapshot, options) * max(as_held, strengths.max())
    answered = best[(strengths[best] >= least) & (strengths[best] > 0)]
    return list(pool.map(describe, [directions[number] for number in sorted(answered)]))
