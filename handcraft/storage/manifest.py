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

FORMAT = 3
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
    """A live segment. signatures, vectors: of a store that votes by them. features: where they are kept.
    removed: local ids of its photos that are no longer in the collection."""

    number: int
    photos: int
    index: FileEntry
    signatures: FileEntry | None
    vectors: FileEntry | None
    features: FileEntry | None
    removed: tuple[int, ...] = ()

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """Its files."""
        files = self.index, self.signatures, self.vectors, self.features
        return tuple(entry for entry in files if entry)


@dataclass(frozen=True)
class Manifest:
    """What the store holds, as of one commit.

    generation: counts the commits. root: the folder that photo names are relative to, itself
    relative to the store. methods: how the segments can vote, the first unless another is asked for, with
    the parameters of what each keeps. vlad: the model of a store that votes by vectors. next_segment: a
    number never used yet.
    """

    root: str
    fingerprint: Fingerprint
    vocabulary: FileEntry
    methods: dict[str, dict[str, Any]]
    vlad: FileEntry | None = None
    segments: tuple[SegmentEntry, ...] = ()
    generation: int = 0
    next_segment: int = 1
    format: int = FORMAT

    def next(self, **changes: Any) -> Manifest:
        """The manifest of the next commit."""
        return replace(self, generation=self.generation + 1, **changes)

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """Every file that the manifest names."""
        models = (self.vocabulary, self.vlad) if self.vlad else (self.vocabulary,)
        return (*models, *(entry for segment in self.segments for entry in segment.files))


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
    if data["format"] == 1:
        data = _of_format_2(data)
    if data["format"] < FORMAT:
        data = _of_format_3(data)
    return Manifest(
        root=_of_type(str, data["root"]),
        fingerprint=_parse_fingerprint(data["fingerprint"]),
        vocabulary=_parse_file(data["vocabulary"]),
        segments=tuple(_parse_segment(segment) for segment in data["segments"]),
        methods=_parse_methods(data["methods"]),
        vlad=_parse_optional_file(data["vlad"]),
        generation=_of_type(int, data["generation"]),
        next_segment=_of_type(int, data["next_segment"]),
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
        signatures=_parse_optional_file(data["signatures"]),
        vectors=_parse_optional_file(data["vectors"]),
        features=_parse_optional_file(data["features"]),
        removed=removed,
    )


def _parse_methods(data: dict[str, Any]) -> dict[str, dict[str, Any]]:
    if not _of_type(dict, data):
        raise ValueError("no method to vote by")
    return {name: _of_type(dict, parameters) for name, parameters in data.items()}


def _of_format_2(data: dict[str, Any]) -> dict[str, Any]:
    """A manifest of format 1, which knew bags of words alone."""
    segments = [{**segment, "signatures": None} for segment in data["segments"]]
    return {**data, "segments": segments, "methods": {_of_type(str, data["method"]): {}}}


def _of_format_3(data: dict[str, Any]) -> dict[str, Any]:
    """A manifest of format 2, which knew no vectors."""
    segments = [{**segment, "vectors": None} for segment in data["segments"]]
    return {**data, "segments": segments, "vlad": None}


def _parse_optional_file(data: dict[str, Any] | None) -> FileEntry | None:
    return None if data is None else _parse_file(data)


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
