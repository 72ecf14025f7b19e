"""Folders that have a file of features for each photo."""

from __future__ import annotations

from pathlib import Path

from handcraft.errors import FeatureFileError
from handcraft.storage.exchange.types import file_error, unknown_photo


def photo_files(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """The files of a folder and its sub-folders, sorted, by what their names say without one of the suffixes;
    raises FeatureFileError where there are none."""
    try:
        if not folder.exists():
            raise FeatureFileError(f"There is no folder of {suffixes[0]} files at {folder}; check its name.")
        if not folder.is_dir():
            raise FeatureFileError(f"{folder} is not a folder of {suffixes[0]} files; name the folder.")
        files = sorted(file for file in folder.rglob("*") if file.suffix in suffixes and file.is_file())
    except OSError as error:
        raise file_error(folder, error) from error
    if not files:
        raise FeatureFileError(f"{folder} has no {suffixes[0]} files; name the folder that they lie in.")
    return {file.relative_to(folder).as_posix()[: -len(file.suffix)]: file for file in files}


def file_of(folder: Path, files: dict[str, Path], name: str) -> Path:
    """The file of one photo; raises FeatureFileError where it has none."""
    if name not in files:
        raise unknown_photo(folder, name)
    return files[name]
