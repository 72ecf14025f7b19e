"""The ground truth of Revisited Oxford and Paris: three levels of difficulty from one file.

Radenović, Iscen, Tolias, Avrithis & Chum, "Revisiting Oxford and Paris: large-scale image retrieval
benchmarking", CVPR 2018, section 3.3.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handcraft.errors import EvaluationError
from handcraft.evaluation.ground_truth import GroundTruthQuery, box

# What counts as relevant and what neither way at each level, by the keys of a query in the file.
LEVELS = {
    "easy": (("easy",), ("junk", "hard")),
    "medium": (("easy", "hard"), ("junk",)),
    "hard": (("hard",), ("junk", "easy")),
}
KEYS = ("easy", "hard", "junk", "bbx")
FORM = "a gnd_*.pkl of Revisited Oxford or Paris has the lists gnd, imlist and qimlist"


@dataclass(frozen=True)
class RevisitedTruth:
    """photos: the names of the database, in the order that ranks count in. levels: the queries of each level,
    those without a relevant photo there left out. queries: the names of all queries, in their order."""

    photos: tuple[str, ...]
    queries: tuple[str, ...]
    levels: dict[str, tuple[GroundTruthQuery, ...]]


def read_revisited(path: Path) -> RevisitedTruth:
    """The ground truth of a gnd_*.pkl. Nothing in it is run: a file with anything but lists, dictionaries,
    numbers and strings is refused. Raises EvaluationError."""
    content = _unpickle(path)
    if not (isinstance(content, dict) and all(isinstance(content.get(k), list) for k in ("imlist", "gnd"))):
        raise EvaluationError(f"{path} is no ground truth: {FORM}.")
    photos, queries = (_names(content.get(key), f"{path}, {key}") for key in ("imlist", "qimlist"))
    answers = content["gnd"]
    if len(answers) != len(queries):
        raise EvaluationError(f"{path} has {len(queries)} queries and answers to {len(answers)}: {FORM}.")
    levels: dict[str, list[GroundTruthQuery]] = {level: [] for level in LEVELS}
    for name, answer in zip(queries, answers, strict=True):
        lists = _lists(answer, photos, f"{path}, query {name!r}")
        for level, (relevant, junk) in LEVELS.items():
            positives = frozenset[str]().union(*(lists[key] for key in relevant))
            ignored = frozenset[str]().union(*(lists[key] for key in junk))
            if positives:
                region = box([float(side) for side in answer["bbx"]], f"{path}, query {name!r}")
                levels[level].append(GroundTruthQuery(name, name, region, positives, ignored))
    return RevisitedTruth(photos, queries, {level: tuple(found) for level, found in levels.items()})


class _PlainUnpickler(pickle.Unpickler):
    """Builds lists, dictionaries, numbers and strings, and nothing that a file can name."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it asks for another object")


def _unpickle(path: Path) -> Any:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EvaluationError(f"{path} cannot be read: {error.strerror or error}.") from error
    try:
        return _PlainUnpickler(io.BytesIO(data), encoding="utf-8").load()
    # A damaged pickle raises nearly anything.
    except Exception as error:
        raise EvaluationError(f"{path} is refused: {error}; {FORM}, of plain numbers and strings.") from error


def _names(value: object, where: str) -> tuple[str, ...]:
    if not (isinstance(value, list) and value and all(isinstance(name, str) for name in value)):
        raise EvaluationError(f"{where}: this is no list of names; {FORM}.")
    return tuple(value)


def _lists(answer: object, photos: Sequence[str], where: str) -> Mapping[str, frozenset[str]]:
    """The names of the easy, hard and junk photos of a query."""
    if not (isinstance(answer, dict) and all(isinstance(answer.get(key), list) for key in KEYS)):
        raise EvaluationError(f"{where}: the lists {', '.join(KEYS)} are not all there; {FORM}.")
    for key in KEYS[:3]:
        for number in answer[key]:
            if type(number) is not int or not 0 <= number < len(photos):
                raise EvaluationError(
                    f"{where}, {key}: {number!r} is not the number of one of the {len(photos)} photos."
                )
    numbers = all(type(side) in (int, float) for side in answer["bbx"])
    if len(answer["bbx"]) != 4 or not numbers:
        raise EvaluationError(f"{where}, bbx: this is no box of four numbers.")
    return {key: frozenset(photos[number] for number in answer[key]) for key in KEYS[:3]}
