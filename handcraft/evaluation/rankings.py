"""Rankings that anyone has made: files of JSON, CSV, or numpy's."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from handcraft.errors import EvaluationError

FORMS = "a ranking file is .json, .csv or .npy"
JSON_FORM = '{"query": ["best photo", "next photo", ...], ...}'
CSV_FORM = "the columns query and photo, best photo first, or a column score too"


def read_rankings(
    path: Path, queries: Sequence[str], photos: Sequence[str] | None = None
) -> dict[str, list[str]]:
    """The photos of each query, best first.

    JSON holds an object of lists; CSV the columns query and photo, with scores if it has the column score;
    .npy an array (photos, queries) of the numbers of photos, best in the first row, as the evaluation code of
    Radenović et al. 2018 takes them: those need `queries` and `photos`, the names in their order.
    Raises EvaluationError.
    """
    suffix = path.suffix.lower()
    if suffix == ".json":
        return _of_json(path)
    if suffix == ".csv":
        return _of_csv(path)
    if suffix == ".npy":
        return _of_array(path, queries, photos)
    raise EvaluationError(f"{path} is no ranking file: {FORMS}.")


def read_names(path: Path) -> list[str]:
    """The names in a text file, one a line; raises EvaluationError."""
    names = [line.strip() for line in _read(path).splitlines() if line.strip()]
    if not names:
        raise EvaluationError(f"{path} names no photos; write one a line.")
    return names


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{path} is not UTF-8 text; save it as UTF-8.") from error
    except OSError as error:
        raise EvaluationError(f"{path} cannot be read: {error.strerror or error}.") from error


def _of_json(path: Path) -> dict[str, list[str]]:
    try:
        content = json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise EvaluationError(f"{path} is not JSON ({error}); rankings are {JSON_FORM}.") from error
    if not isinstance(content, dict):
        raise EvaluationError(f"{path} holds no object; rankings are {JSON_FORM}.")
    for query, photos in content.items():
        if not (isinstance(photos, list) and all(isinstance(name, str) for name in photos)):
            raise EvaluationError(
                f"{path}, query {query!r}: this is no list of names; rankings are {JSON_FORM}."
            )
    return content


def _of_csv(path: Path) -> dict[str, list[str]]:
    reader = csv.DictReader(io.StringIO(_read(path), newline=""))
    scored: dict[str, list[tuple[float, str]]] = {}
    try:
        if not {"query", "photo"} <= set(reader.fieldnames or []):
            raise EvaluationError(f"{path} has no line that names its columns; rankings have {CSV_FORM}.")
        for row in reader:
            score = float(row.get("score", "0") or "nan")
            if not row["query"] or not row["photo"] or math.isnan(score):
                raise ValueError("something is missing")
            scored.setdefault(row["query"], []).append((-score, row["photo"]))
    except (ValueError, csv.Error) as error:
        raise EvaluationError(
            f"{path}, line {reader.line_num}: this is no row ({error}); rankings have {CSV_FORM}."
        ) from error
    for rows in scored.values():
        rows.sort(key=lambda row: row[0])  # equals stay as they stand
    return {query: [photo for _, photo in rows] for query, rows in scored.items()}


def _of_array(path: Path, queries: Sequence[str], photos: Sequence[str] | None) -> dict[str, list[str]]:
    if photos is None:
        raise EvaluationError(
            f"{path} holds numbers of photos; name the photos that they count, one a line, with --names."
        )
    try:
        ranks = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise EvaluationError(f"{path} is no array of numpy's: {error}.") from error
    if not (isinstance(ranks, np.ndarray) and ranks.ndim == 2 and ranks.dtype.kind in "iu"):
        raise EvaluationError(f"{path} is no array of whole numbers (photos, queries).")
    if ranks.shape[1] != len(queries):
        raise EvaluationError(
            f"{path} ranks photos for {ranks.shape[1]} queries, a column each; the ground truth has "
            f"{len(queries)}."
        )
    if ranks.size and not (ranks.min() >= 0 and ranks.max() < len(photos)):
        raise EvaluationError(
            f"{path} has numbers from {ranks.min()} to {ranks.max()}; those of {len(photos)} photos count "
            f"from 0 to {len(photos) - 1}."
        )
    return {
        query: [photos[number] for number in column]
        for query, column in zip(queries, ranks.T.tolist(), strict=True)
    }
