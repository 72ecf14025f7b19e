"""Ground truth: which photos a query should find, and which it may find without gain or loss.

Two formats are read: the text files of the Oxford and Paris buildings (Philbin et al. 2007, 2008)
and JSON, {query file: [relevant files]}.
"""

from __future__ import annotations

import functools
import json
import math
from dataclasses import dataclass
from pathlib import Path

from handcraft.errors import EvaluationError
from handcraft.types import RegionOfInterest

PREFIX = "oxc1_"  # what Oxford's query files put before a photo's name; those of Paris do not
JSON_FORM = '{"query.jpg": ["relevant.jpg", ...], ...}'
QUERY_KEYS = ("relevant", "junk", "roi")
BOX_SLACK = 0.01  # of the long side, by which a box may reach beyond its photo


@dataclass(frozen=True)
class GroundTruthQuery:
    """One query and its answers; names are as the ground truth writes them.

    name: of the query itself, "all_souls_1". photo: the query photo. roi: the part of it that is
    searched for, pixels of the original photo, None for all of it. positives: the photos that
    should be found. junk: those that count neither way.
    """

    name: str
    photo: str
    roi: RegionOfInterest | None
    positives: frozenset[str]
    junk: frozenset[str]


def read_ground_truth(path: Path) -> tuple[GroundTruthQuery, ...]:
    """The queries of the ground truth at `path`, sorted by name.

    A folder holds Oxford text files: NAME_query.txt with the line "photo x1 y1 x2 y2", and one name
    a line in NAME_good.txt, NAME_ok.txt and NAME_junk.txt. Positives are good and ok together; a
    missing list of ok or junk is an empty one. A file holds JSON: {query file: [relevant files]},
    or for a query {"relevant": [files], "junk": [files], "roi": [x1, y1, x2, y2]}, of which only
    "relevant" is needed. Text is UTF-8.

    Raises EvaluationError for what is missing or malformed.
    """
    queries = _read_folder(path) if path.is_dir() else _read_json(path)
    return tuple(sorted(queries, key=lambda query: query.name))


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # a byte order mark, as Windows writes it, is no text
    except FileNotFoundError as error:
        raise EvaluationError(
            f"There is no ground truth at {path}; give a folder of Oxford text files or a JSON file."
        ) from error
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{path} is not UTF-8 text; save it as UTF-8.") from error
    except OSError as error:
        raise EvaluationError(
            f"{path} cannot be read: {error.strerror or error}; check its kind and its mode."
        ) from error


def box(values: list[float], where: str) -> RegionOfInterest:
    """`values` x1, y1, x2, y2 as a box; `where` they stand is for the error."""
    x1, y1, x2, y2 = values
    if not (all(map(math.isfinite, values)) and x1 < x2 and y1 < y2):
        raise EvaluationError(
            f"{where}: the box {x1:g} {y1:g} {x2:g} {y2:g} is empty or endless; "
            "it needs x1 < x2 and y1 < y2, in pixels."
        )
    return RegionOfInterest(x1, y1, x2, y2)


def require_box_of(query: GroundTruthQuery, width: int, height: int) -> None:
    """Raise EvaluationError for a box that reaches beyond its photo, of this size in pixels: it was drawn in
    one of another size. A hundredth of the long side is forgiven, as published boxes are not exact."""
    roi, slack = query.roi, BOX_SLACK * max(width, height)
    if roi is None:
        return
    if min(roi.x1, roi.y1) < -slack or roi.x2 > width + slack or roi.y2 > height + slack:
        raise EvaluationError(
            f"The box {roi.x1:g} {roi.y1:g} {roi.x2:g} {roi.y2:g} of the query {query.name!r} reaches beyond "
            f"its photo {query.photo!r}, which has {width} x {height} pixels; scale boxes as the photos are."
        )


# --- Oxford text files ---


def _read_folder(folder: Path) -> list[GroundTruthQuery]:
    paths = list(folder.glob("?*_query.txt"))
    if not paths:
        raise EvaluationError(
            f"{folder} holds no ground truth: it has no file *_query.txt; "
            "give a folder of Oxford text files or a JSON file."
        )
    return [_read_text_query(path) for path in sorted(paths)]


def _read_text_query(path: Path) -> GroundTruthQuery:
    """The query at `path`, NAME_query.txt, and the lists beside it."""
    photo, roi = _read_query_line(path)
    name = path.name.removesuffix("_query.txt")
    good = path.with_name(f"{name}_good.txt")
    ok = path.with_name(f"{name}_ok.txt")
    if not good.exists():
        raise EvaluationError(
            f"{good} is missing; every *_query.txt needs a *_good.txt beside it, one photo a line."
        )
    positives = _read_list(good) | _read_list(ok)
    if not positives:
        raise EvaluationError(
            f"The query {name} has no relevant photos; list at least one in {good} or {ok.name}."
        )
    return GroundTruthQuery(name, photo, roi, positives, _read_list(path.with_name(f"{name}_junk.txt")))


def _read_query_line(path: Path) -> tuple[str, RegionOfInterest]:
    lines = _numbered_lines(path)
    if len(lines) != 1:
        raise EvaluationError(
            f'{path} has {len(lines)} lines with text; a query is the one line "photo x1 y1 x2 y2".'
        )
    number, line = lines[0]
    fields = line.split()
    try:
        photo, values = fields[0], [float(field) for field in fields[1:]]
    except ValueError:
        values = []
    if len(values) != 4:
        raise EvaluationError(
            f'{path}, line {number}: "{line}" is no query; write it as "photo x1 y1 x2 y2", in pixels.'
        )
    return photo.removeprefix(PREFIX), box(values, f"{path}, line {number}")


def _read_list(path: Path) -> frozenset[str]:
    """The names at `path`, one a line; none when there is no such file."""
    if not path.exists():
        return frozenset()
    return frozenset(line.removeprefix(PREFIX) for _, line in _numbered_lines(path))


def _numbered_lines(path: Path) -> list[tuple[int, str]]:
    """The lines with text, without the white space around it, and their numbers from 1."""
    lines = ((number, line.strip()) for number, line in enumerate(_read_text(path).split("\n"), start=1))
    return [(number, line) for number, line in lines if line]


# --- JSON ---


def _read_json(path: Path) -> list[GroundTruthQuery]:
    text = _read_text(path)
    try:
        content = json.loads(text, object_pairs_hook=functools.partial(_object, path))
    except (ValueError, RecursionError) as error:  # ValueError: also a number of thousands of digits
        raise EvaluationError(f"{path} is not JSON ({error}); ground truth is {JSON_FORM}.") from error
    if not isinstance(content, dict):
        raise EvaluationError(f"{path} holds {_kind(content)}; ground truth is {JSON_FORM}.")
    if not content:
        raise EvaluationError(f"{path} holds no queries; ground truth is {JSON_FORM}.")
    return [_json_query(name, answers, path) for name, answers in content.items()]


def _object(path: Path, pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object as a dict; json itself would silently drop all but the last of equal keys."""
    content: dict[str, object] = {}
    for key, value in pairs:
        if key in content:
            raise EvaluationError(f"{path} has {key!r} twice in one object; merge the two entries.")
        content[key] = value
    return content


def _json_query(name: str, answers: object, path: Path) -> GroundTruthQuery:
    where = f"{path}, query {name!r}"
    if not name:
        raise EvaluationError(f"{where}: the name is empty; write the file name of the query photo.")
    if not isinstance(answers, dict):
        answers = {"relevant": answers}
    for key in answers:
        if key not in QUERY_KEYS:
            raise EvaluationError(f"{where}: there is no key {key!r}; the keys are {', '.join(QUERY_KEYS)}.")
    positives = _json_names(answers.get("relevant", []), f"{where}, relevant")
    junk = _json_names(answers.get("junk", []), f"{where}, junk")
    if not positives:
        raise EvaluationError(f"{where}: there are no relevant photos; list at least one.")
    if positives & junk:
        raise EvaluationError(
            f"{where}: {min(positives & junk)!r} is both relevant and junk; take it out of one list."
        )
    roi = answers.get("roi")
    region = None if roi is None else _json_region(roi, f"{where}, roi")
    return GroundTruthQuery(name, name, region, positives, junk)


def _json_names(value: object, where: str) -> frozenset[str]:
    if not isinstance(value, list):
        raise EvaluationError(f"{where}: this is {_kind(value)}; write a list of file names.")
    for name in value:
        if not (isinstance(name, str) and name):
            raise EvaluationError(f"{where}: {_kind(name)} is in the list; write file names only.")
    return frozenset(value)


def _json_region(value: object, where: str) -> RegionOfInterest:
    numbers = isinstance(value, list) and all(type(item) in (int, float) for item in value)
    if not (isinstance(value, list) and numbers and len(value) == 4):
        raise EvaluationError(f"{where}: this is no box; write [x1, y1, x2, y2], in pixels.")
    try:
        return box([float(item) for item in value], where)
    except OverflowError as error:  # an integer of hundreds of digits
        raise EvaluationError(f"{where}: a number is too large; write pixels of the photo.") from error


def _kind(value: object) -> str:
    """What a JSON value is, in words."""
    if value == "":
        return "an empty string"
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
