"""The manifest: the one small file that says what a store holds, replaced whole at each commit."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from handcraft.errors import StoreError
from handcraft.storage.atomic import sha256, write_atomically
from handcraft.types import Fingerprint

Value = TypeVar("Value")

FORMAT = 1
MANIFEST_FILE = "manifest.json"
SEGMENTS_FOLDER = "segments"


@dataclass(frozen=True)
class FileEntry:
    """A file of the store: its name relative to the store, its size in bytes and its SHA-256."""

    name: str
    size: int
    sha256: str

    @classmethod
    def of(cls, store: Path, path: Path) -> FileEntry:
        """The entry of a file that has just been written."""
        return cls(path.relative_to(store).as_posix(), path.stat().st_size, sha256(path))


@dataclass(frozen=True)
class SegmentEntry:
    """A live segment. removed: local ids of its photos that are no longer in the collection."""

    number: int
    photos: int
    index: FileEntry
    features: FileEntry | None
    removed: tuple[int, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """What the store holds, as of one commit.

    generation: counts the commits. root: the folder that photo names are relative to, itself
    relative to the store. method: how the segments vote. next_segment: a number never used yet.
    """

    root: str
    fingerprint: Fingerprint
    vocabulary: FileEntry
    segments: tuple[SegmentEntry, ...] = ()
    method: str = "bow"
    generation: int = 0
    next_segment: int = 1
    format: int = FORMAT

    def next(self, **changes: Any) -> Manifest:
        """The manifest of the next commit."""
        return replace(self, generation=self.generation + 1, **changes)

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """Every file that the manifest names."""
        segments = [entry for segment in self.segments for entry in (segment.index, segment.features)]
        return (self.vocabulary, *(entry for entry in segments if entry))


def write_manifest(store: Path, manifest: Manifest) -> None:
    """Commit: everything that the manifest names must be on disk by now."""
    text = json.dumps(asdict(manifest), indent=1)
    write_atomically(store / MANIFEST_FILE, text.encode("utf-8"))


def read_manifest(store: Path) -> Manifest:
    """Read the manifest of a store; raises StoreError."""
    path = store / MANIFEST_FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        version = data["format"]
    except FileNotFoundError as error:
        raise StoreError(
            f"There is no store at {store}; make one with `handcraft index FOLDER` or name one with --store."
        ) from error
    except PermissionError as error:
        raise StoreError(f"No permission to read {path}; change its mode or your user.") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(f"{path} is damaged; index the photos again into a new store.") from error
    if not isinstance(version, int) or version > FORMAT:
        raise StoreError(
            f"The store {store} has format {version}, this handcraft reads up to {FORMAT}; "
            "install a newer handcraft."
        )
    try:
        return _parse(data)
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path} is damaged; index the photos again into a new store.") from error


def _parse(data: dict[str, Any]) -> Manifest:
    """Raises KeyError, TypeError or ValueError for what is not a manifest."""
    return Manifest(
        root=_of_type(str, data["root"]),
        fingerprint=_parse_fingerprint(data["fingerprint"]),
        vocabulary=_parse_file(data["vocabulary"]),
        segments=tuple(_parse_segment(segment) for segment in data["segments"]),
        method=_of_type(str, data["method"]),
        generation=_of_type(int, data["generation"]),
        next_segment=_of_type(int, data["next_segment"]),
        format=_of_type(int, data["format"]),
    )


def _parse_segment(data: dict[str, Any]) -> SegmentEntry:
    photos = _of_type(int, data["photos"])
    removed = tuple(_of_type(int, local_id) for local_id in data["removed"])
    if any(not 0 <= local_id < photos for local_id in removed):
        raise ValueError("a removed photo that the segment does not have")
    return SegmentEntry(
        number=_of_type(int, data["number"]),
        photos=photos,
        index=_parse_file(data["index"]),
        features=_parse_file(data["features"]) if data["features"] is not None else None,
        removed=removed,
    )


def _parse_file(data: dict[str, Any]) -> FileEntry:
    return FileEntry(_of_type(str, data["name"]), _of_type(int, data["size"]), _of_type(str, data["sha256"]))


def _parse_fingerprint(data: dict[str, Any]) -> Fingerprint:
    kinds: dict[str, type[Any]] = {"descriptor": str, "dimension": int, "dtype": str, "parameters": dict}
    if set(data) != set(kinds):
        raise KeyError("a fingerprint of other parts")
    return Fingerprint(**{name: _of_type(kind, data[name]) for name, kind in kinds.items()})


def _of_type(kind: type[Value], value: object) -> Value:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} instead of {kind.__name__}")
    return value
