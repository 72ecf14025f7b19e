"""The head of a shortlist → the evidence of each photo."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from handcraft.engine.methods import encoder_of, signature_options
from handcraft.engine.snapshot import Snapshot
from handcraft.options import VerificationOptions
from handcraft.search.fusion import FusedShortlist
from handcraft.types import Features, Match, RegionOfInterest
from handcraft.verification.correspondences import PhotoSide, QuerySide, query_side
from handcraft.verification.spatial import verify


@dataclass(frozen=True)
class Finding:
    """The evidence of a photo, and the number of the query's description that it was found with."""

    match: Match
    description: int


def is_verified(match: Match, options: VerificationOptions) -> bool:
    """Whether there is enough evidence to tell a person that the photo shows what the query shows."""
    return match.inliers >= options.min_inliers and 10.0**-match.evidence < options.max_false_alarms


def prepare_query(snapshot: Snapshot, features: Features, words: NDArray[np.int32]) -> QuerySide:
    """A description's side of the pairs, with its signatures where the store has some to compare them with.

    words: (n, k), the nearest of each feature.
    """
    kept = signature_options(snapshot.manifest)
    encoder = encoder_of(kept, snapshot.vocabulary)
    if kept is None or encoder is None or not kept.binary:
        return query_side(features, words)
    return query_side(features, words, encoder.encode_each(features.descriptors, words), encoder.bits)


def prepare_photo(snapshot: Snapshot, image_id: int) -> PhotoSide:
    """A photo's side of the pairs, from the index alone."""
    segment, local_id = snapshot.collection.locate(image_id)
    width, height = (int(side) for side in segment.photos.sizes[local_id])
    geometry = segment.geometry
    return PhotoSide(
        geometry.words_of(local_id),
        geometry.frames_of(local_id, max(width, height)),
        width,
        height,
        segment.signatures_of(local_id),
    )


def find_evidence(
    snapshot: Snapshot,
    queries: Sequence[QuerySide],
    candidates: FusedShortlist,
    options: VerificationOptions,
    roi: RegionOfInterest | None,
    threads: int,
) -> dict[int, Finding]:
    """The evidence of the shortlist's head by image id, candidates in parallel, each with the description of
    the query by which it is ranked or with the one that it resembles most, whichever has more of it.

    Photos whose evidence is too little to be verified are among them.
    """

    def find(image_id: int, descriptions: Sequence[int]) -> Finding | None:
        photo = prepare_photo(snapshot, image_id)
        tried = dict.fromkeys(descriptions)
        better_than_chance = replace(options, max_false_alarms=1 / len(tried))
        findings = [
            Finding(replace(match, evidence=match.evidence - math.log10(len(tried))), number)
            for number in tried
            if (match := verify(queries[number], photo, snapshot.collection.idf, better_than_chance, roi))
        ]
        return max(findings, key=lambda finding: finding.match.evidence, default=None)

    head = candidates.ids[: options.depth].tolist()
    with ThreadPoolExecutor(threads) as pool:
        findings = pool.map(find, head, candidates.descriptions.tolist())
        return {image_id: one for image_id, one in zip(head, findings, strict=True) if one is not None}
