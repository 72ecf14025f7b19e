"""The head of a shortlist → the evidence of each photo."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from handcraft.engine.kept import KeptFeatures
from handcraft.engine.methods import encoder_of, signature_options
from handcraft.engine.snapshot import Snapshot
from handcraft.errors import StoreError
from handcraft.index.geometry import ALL
from handcraft.options import VerificationOptions
from handcraft.search.fusion import FusedShortlist
from handcraft.types import Features, Match, RegionOfInterest
from handcraft.verification.correspondences import PhotoSide, QuerySide, query_side
from handcraft.verification.matching import reciprocal_neighbours
from handcraft.verification.spatial import is_certain, verify, verify_pairs

# The match of a description of the query, by its number, with a photo, by its image id, however little of it
# there is; None where there is none.
Compare = Callable[[int, int], Match | None]


@dataclass(frozen=True)
class Finding:
    """The evidence of a photo, and the number of the query's description that it was found with."""

    match: Match
    description: int


def is_verified(match: Match, options: VerificationOptions) -> bool:
    """Whether there is enough evidence to tell a person that the photo shows what the query shows."""
    return is_certain(match.certainty, options)


def prepare_query(snapshot: Snapshot, features: Features, words: NDArray[np.int32]) -> QuerySide:
    """A description's side of the pairs, with its signatures where the store has some to compare them with.

    words: (n, k), the nearest of each feature.
    """
    kept = signature_options(snapshot.manifest)
    encoder = encoder_of(kept, snapshot.vocabulary)
    if kept is None or encoder is None or not kept.binary:
        return query_side(features, words)
    return query_side(features, words, encoder.encode_each(features.descriptors, words), encoder.bits)


def prepare_photo(snapshot: Snapshot, image_id: int, wanted: NDArray[np.bool_] | None = None) -> PhotoSide:
    """A photo's side of the pairs, from the index alone. wanted: (words,), of which words; None: of all."""
    segment, local_id = snapshot.collection.locate(image_id)
    width, height = segment.photos.sizes[local_id].tolist()
    chosen = ALL if wanted is None else segment.geometry.places_of(local_id, wanted)
    return PhotoSide(
        segment.geometry.words_of(local_id)[chosen],
        segment.geometry.frames_of(local_id, max(width, height), chosen),
        width,
        height,
        segment.signatures_of(local_id, chosen),
    )


def comparing_words(
    snapshot: Snapshot,
    queries: Sequence[QuerySide],
    options: VerificationOptions,
    roi: RegionOfInterest | None,
) -> Compare:
    """What compares descriptions with photos by the words that they share, from the index alone."""
    any_map, idf = replace(options, max_false_alarms=math.inf), snapshot.collection.idf
    asked = [_words_of(query, len(idf)) for query in queries]

    def compare(number: int, image_id: int) -> Match | None:
        return verify(queries[number], prepare_photo(snapshot, image_id, asked[number]), idf, any_map, roi)

    return compare


def require_descriptors(snapshot: Snapshot) -> None:
    """Raise StoreError where photos cannot be compared by their descriptors."""
    missing = KeptFeatures(snapshot).missing
    if missing:
        raise StoreError(
            f"The store {snapshot.store} keeps no features of {missing} of its photos to compare them "
            "by their descriptors; leave --verify-with out, or index them again into a new store, without "
            "--no-keep-features."
        )


def comparing_descriptors(
    snapshot: Snapshot,
    queries: Sequence[Features],
    options: VerificationOptions,
    roi: RegionOfInterest | None,
) -> Compare:
    """What compares descriptions with photos by the nearest descriptors, all of which are kept."""
    any_map = replace(options, max_false_alarms=math.inf)
    kept = KeptFeatures(snapshot)

    def compare(number: int, image_id: int) -> Match | None:
        photo = kept.of(image_id)
        assert photo is not None
        pairs = reciprocal_neighbours(queries[number], photo, options.neighbours)
        return verify_pairs(queries[number], photo, *pairs, any_map, roi)

    return compare


def find_evidence(
    compare: Compare, candidates: FusedShortlist, depth: int, threads: int
) -> dict[int, Finding]:
    """The evidence of the shortlist's head by image id, candidates in parallel, each with the description of
    the query by which it is ranked or with the one that it resembles most, whichever has more of it.

    Photos whose evidence is too little to be verified are among them.
    """

    def find(image_id: int, descriptions: Sequence[int]) -> Finding | None:
        tried = dict.fromkeys(descriptions)
        findings = [
            Finding(_among(match, len(tried)), number)
            for number in tried
            if (match := compare(number, image_id)) is not None
        ]
        return max(findings, key=lambda finding: finding.match.evidence, default=None)

    head, descriptions = candidates.ids[:depth].tolist(), candidates.descriptions.tolist()
    with ThreadPoolExecutor(threads) as pool:
        findings = list((pool.map if threads > 1 else map)(find, head, descriptions))
    return {image_id: one for image_id, one in zip(head, findings, strict=True) if one is not None}


def _words_of(query: QuerySide, count: int) -> NDArray[np.bool_]:
    """(count,): which words a description has."""
    present = np.zeros(count, np.bool_)
    present[query.words] = True
    return present


def _among(match: Match, tried: int) -> Match:
    """A match that is one of several tries."""
    if tried == 1:
        return match
    fewer = math.log10(tried)
    return replace(
        match,
        evidence=max(0.0, match.evidence - fewer),
        certainty=max(0.0, match.certainty - fewer),
    )
