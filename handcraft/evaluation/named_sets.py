"""Data sets whose ground truth is in the names of their photos: Holidays and UKBench."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping

from handcraft.errors import EvaluationError
from handcraft.evaluation.ground_truth import GroundTruthQuery

HOLIDAYS = 1491, 500  # photos, groups (Jégou, Douze & Schmid 2008)
UKBENCH = 10_200, 2550  # (Nistér & Stewénius 2006)


def holidays(names: Iterable[str]) -> tuple[GroundTruthQuery, ...]:
    """The queries of INRIA Holidays: the first photo of each group of a hundred numbers, 100000.jpg, finds
    the others, and itself counts neither way (Jégou, Douze & Schmid, "Hamming embedding and weak geometric
    consistency for large scale image search", ECCV 2008). Raises EvaluationError for other names, and where
    photos of the set are missing."""
    numbers = _numbers(names, r"\d{6}", "Holidays", HOLIDAYS[0])
    groups: dict[int, list[int]] = {}
    for number in sorted(numbers):
        groups.setdefault(number // 100, []).append(number)
    return tuple(
        GroundTruthQuery(
            numbers[first],
            numbers[first],
            None,
            frozenset(numbers[other] for other in others),
            frozenset([numbers[first]]),
        )
        for first, *others in groups.values()
    )


def ukbench(names: Iterable[str]) -> tuple[GroundTruthQuery, ...]:
    """The queries of UKBench: every photo finds the four of its object, ukbench00000.jpg to 00003, itself
    among them (Nistér & Stewénius, "Scalable recognition with a vocabulary tree", CVPR 2006). Raises
    EvaluationError for other names, and where photos of the set are missing."""
    numbers = _numbers(names, r"ukbench(\d{5})", "UKBench", UKBENCH[0])
    return tuple(
        GroundTruthQuery(
            numbers[number],
            numbers[number],
            None,
            frozenset(numbers[number // 4 * 4 + view] for view in range(4)),
            frozenset(),
        )
        for number in sorted(numbers)
    )


# The sets by what they are called instead of a file of ground truth.
NAMED_SETS: Mapping[str, Callable[[Iterable[str]], tuple[GroundTruthQuery, ...]]] = {
    "holidays": holidays,
    "ukbench": ukbench,
}


def _numbers(names: Iterable[str], pattern: str, title: str, count: int) -> dict[int, str]:
    """The photos of the set among these names, by their numbers; others are distractors."""
    found: dict[int, str] = {}
    for name in names:
        stem = posixpath.splitext(posixpath.basename(name))[0]
        match = re.fullmatch(pattern, stem)
        if not match:
            continue
        number = int(match[match.lastindex or 0])
        if found.setdefault(number, name) != name:
            raise EvaluationError(f"{found[number]!r} and {name!r} are one photo of {title}; leave one out.")
    if len(found) != count:
        raise EvaluationError(
            f"{title} has {count:,} photos, of which {len(found):,} are here; add the others, under their "
            "own names."
        )
    return found
