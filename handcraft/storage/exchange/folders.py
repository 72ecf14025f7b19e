"""Folders that have a file of features for each photo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from handcraft.errors import FeatureFileError
from handcraft.storage.exchange.types import ForeignFeatures, file_error, unknown_photo


@dataclass(frozen=True)
class FeatureFolder:
    """A folder that has a file for each photo: see ForeignFile. _features: reads one, of the photo of a
    name."""

    path: Path
    names: tuple[str, ...]
    _files: dict[str, Path] = field(repr=False)
    _features: Callable[[Path, str], ForeignFeatures] = field(repr=False)

    def read(self, name: str) -> ForeignFeatures:
        """The features of one of its photos; raises FeatureFileError."""
        if name not in self._files:
            raise unknown_photo(self.path, name)
        return self._features(self._files[name], name)


def open_folder(
    path: Path, suffixes: tuple[str, ...], features: Callable[[Path, str], ForeignFeatures]
) -> FeatureFolder:
    """Open a folder of files with one of these suffixes; raises FeatureFileError."""
    files = _photo_files(path, suffixes)
    return FeatureFolder(path, tuple(files), files, features)


def _photo_files(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
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
