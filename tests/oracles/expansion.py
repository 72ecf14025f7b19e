"""Query expansion in plain Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Signed = Mapping[int, tuple[int, ...]]  # the signature of each word, in planes of 64 bits


def majorities(query: Signed, answers: Sequence[Signed]) -> dict[int, tuple[int, ...]]:
    """For each word of an answer, ascending, the bits that most of the signatures have, the query's too; of
    as many ones as zeros, zero."""
    found = {}
    for word in sorted({word for answer in answers for word in answer}):
        signatures = [part[word] for part in (query, *answers) if word in part]
        planes = []
        for codes in zip(*signatures, strict=True):
            ones = [sum(code >> bit & 1 for code in codes) for bit in range(64)]
            planes.append(sum(1 << bit for bit in range(64) if 2 * ones[bit] > len(codes)))
        found[word] = tuple(planes)
    return found


def mean(vectors: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """Of sparse vectors, word by word."""
    words = sorted({word for vector in vectors for word in vector})
    return {word: sum(vector.get(word, 0.0) for vector in vectors) / len(vectors) for word in words}
