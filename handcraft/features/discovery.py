"""Which photos the user means: folders are walked, everything readable by its suffix is taken."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from handcraft.errors import PhotoError
from handcraft.features.images import SUFFIXES


@dataclass(frozen=True)
class Discovery:
    """The photos found, sorted by path within each folder, and the paths that cannot be looked at."""

    photos: tuple[Path, ...]
    errors: tuple[PhotoError, ...]


def find_photos(paths: Iterable[Path]) -> Discovery:
    """The photos at these paths, each once; a folder stands for all the photos below it.

    Hidden files and folders are passed over, symbolic links are followed, but no folder is entered
    twice. A file that is named by the user is taken whatever its suffix.
    """
    photos: dict[Path, None] = {}
    errors: list[PhotoError] = []
    visited: set[tuple[int, int]] = set()
    for path in paths:
        absolute = Path(os.path.abspath(path))  # not resolve(): a link's own name is the photo's
        try:
            is_folder = stat.S_ISDIR(absolute.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            errors.append(PhotoError(f"There is no file or folder {path}; check the name."))
        except OSError as error:
            errors.append(_unreadable(absolute, error))
        else:
            if is_folder:
                _walk(absolute, photos, errors, visited)
            else:
                photos[absolute] = None
    return Discovery(tuple(photos), tuple(errors))


def _walk(
    folder: Path, photos: dict[Path, None], errors: list[PhotoError], visited: set[tuple[int, int]]
) -> None:
    waiting = [folder]
    while waiting:
        folder = waiting.pop()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            errors.append(_unreadable(folder, error))
            continue
        folders = []
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = Path(entry.path)
            try:
                if entry.is_dir():
                    folders.append(path)
                elif path.suffix.lower() in SUFFIXES and (entry.is_file() or not path.exists()):
                    photos[path] = None
            except OSError as error:  # a loop of links cannot even be looked at
                errors.append(_unreadable(path, error))
        waiting.extend(reversed(folders))


def _unreadable(path: Path, error: OSError) -> PhotoError:
    if isinstance(error, PermissionError):
        return PhotoError(f"No permission to look into {path}; change its mode or your user.")
    return PhotoError(f"{path} cannot be looked into: {error.strerror or error}.")
