"""Scans of lists by ASMK*'s kernel, and by a loop that reads the same and does nothing with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handcraft.compilation import kernel
from handcraft.index._kernels import SIGNATURES, vote_codes
from handcraft.index.asmk import AsmkQuery, AsmkScorer
from handcraft.index.collection import Collection
from handcraft.index.postings import find_lists
from handcraft.search.scoring import Shortlist, shortlist

Lists = list[tuple[NDArray[np.int64], NDArray[np.int64]]]  # where a query's lists are in each segment


def search(scorer: AsmkScorer, query: AsmkQuery, top: int, threads: int = 1) -> Shortlist:
    """The best photos."""
    return shortlist(lambda place: scorer.score(query, place), scorer.collection, top, threads)


def lists_of(collection: Collection, words: NDArray[np.uint32]) -> Lists:
    """The lists of a query with these words, ascending."""
    return [find_lists(words, each.postings, each.postings.offsets) for each in collection.segments]


def postings_of(lists: Lists) -> int:
    """How many there are in all."""
    return sum(int((ends - starts).sum()) for starts, ends in lists)


def vote_all(scorer: AsmkScorer, queries: Sequence[AsmkQuery], lists: Sequence[Lists]) -> None:
    """The votes of queries with these lists."""
    distances = np.empty(SIGNATURES, np.uint64)
    for query, each in zip(queries, lists, strict=True):
        own = (tuple(query.signatures), query.weights, scorer.table)
        for starts, ends, ids, codes, scores in _over_segments(scorer.collection, each):
            vote_codes(starts, ends, *own, ids, tuple(codes), distances, scores)


def loop_all(scorer: AsmkScorer, lists: Sequence[Lists]) -> None:
    """What vote_all reads and writes."""
    for each in lists:
        for arguments in _over_segments(scorer.collection, each):
            _loop(*arguments)


def _over_segments(collection: Collection, lists: Lists) -> Iterator[tuple[NDArray[Any], ...]]:
    """Of each segment the lists, the photo ids, the codes and an accumulator."""
    for segment, (starts, ends) in zip(collection.segments, lists, strict=True):
        assert segment.signatures is not None
        scores = segment.sums(np.float32)
        yield starts, ends, segment.postings.photo_ids, segment.signatures.codes, scores


@kernel
def _loop(starts: Any, ends: Any, photo_ids: Any, codes: Any, scores: Any) -> None:
    for i in range(starts.shape[0]):
        for posting in range(starts[i], ends[i]):
            bit = (codes[0, posting] ^ codes[1, posting]) & np.uint64(1)
            scores[photo_ids[posting]] += np.float32(bit)
