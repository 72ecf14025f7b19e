"""Which program wrote a file of features, and the reader for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from handcraft.errors import FeatureFileError
from handcraft.storage.exchange import colmap, delf, hloc, npz
from handcraft.storage.exchange.types import ForeignFile, file_error
from handcraft.storage.hdf5 import SIGNATURE

_OPENERS: dict[str, Callable[[Path], ForeignFile]] = {
    "hloc": hloc.open_hloc,
    "colmap": colmap.open_colmap,
    "npz": npz.open_npz,
    "delf": delf.open_delf,
}
KINDS = tuple(_OPENERS)
_FILE_SUFFIXES = {
    ".h5": "hloc",
    ".hdf5": "hloc",
    ".db": "colmap",
    ".sqlite": "colmap",
    ".sqlite3": "colmap",
}


def open_foreign(path: Path, kind: str = "") -> ForeignFile:
    """Open a file, or a folder of files, of another program's features.

    kind: one of KINDS; "" finds out by the first bytes, the suffix or what is in the folder.
    Raises FeatureFileError, and DependencyError where a library for this kind is missing.
    """
    if kind and kind not in _OPENERS:
        raise FeatureFileError(f"There is no kind of feature file {kind!r}; known are {', '.join(KINDS)}.")
    return _OPENERS[kind or _guess_kind(path)](path)


def _guess_kind(path: Path) -> str:
    try:
        if path.is_dir():
            return _guess_folder(path)
        with path.open("rb") as file:
            start = file.read(len(colmap.SIGNATURE))
    except OSError as error:
        raise file_error(path, error) from error
    if not start:
        raise FeatureFileError(f"{path} is empty; copy or compute it again.")
    if start.startswith(SIGNATURE):
        return "hloc"
    if start == colmap.SIGNATURE:
        return "colmap"
    suffix = path.suffix.lower()
    if suffix == npz.SUFFIX or suffix in delf.SUFFIXES:
        raise FeatureFileError(f"{path} is the file of one photo; name the folder that it lies in.")
    if suffix in _FILE_SUFFIXES:
        return _FILE_SUFFIXES[suffix]
    raise FeatureFileError(
        f"{path} does not tell what kind of feature file it is; say which: {', '.join(KINDS)}."
    )


def _guess_folder(folder: Path) -> str:
    for file in sorted(folder.rglob("*")):
        if file.suffix == npz.SUFFIX:
            return "npz"
        if file.suffix in delf.SUFFIXES:
            return "delf"
    raise FeatureFileError(
        f"{folder} has neither {npz.SUFFIX} nor {delf.SUFFIXES[0]} files; name a folder that has a file for "
        "each photo, or the one file of hloc or COLMAP."
    )
