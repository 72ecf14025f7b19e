"""Saying what a store holds, and proving it whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from handcraft.engine.reporting import Progress, silent
from handcraft.engine.snapshot import Snapshot
from handcraft.errors import HandcraftError
from handcraft.features.files import read_features
from handcraft.index.segment import check_segment, read_segment
from handcraft.storage.atomic import sha256
from handcraft.storage.manifest import FileEntry, Manifest, SegmentEntry, read_manifest
from handcraft.vocabulary.files import read_vocabulary
from handcraft.vocabulary.tree import Training, VocabularyTree


@dataclass(frozen=True)
class SegmentInfo:
    """One segment. photos: live; features, entries: of all its photos; bytes: of its files."""

    number: int
    photos: int
    removed: int
    features: int
    entries: int
    index_bytes: int
    features_bytes: int


@dataclass(frozen=True)
class StoreInfo:
    """What a store holds. bytes: all its files on disk."""

    store: Path
    root: Path
    generation: int
    method: str
    fingerprint: str
    words: int
    words_used: int
    training: Training
    photos: int
    bytes: int
    segments: tuple[SegmentInfo, ...]


def info(snapshot: Snapshot) -> StoreInfo:
    """Facts about an opened store."""
    manifest = snapshot.manifest
    segments = []
    used = np.zeros(snapshot.vocabulary.words, np.bool_)
    for entry, segment in zip(manifest.segments, snapshot.collection.segments, strict=True):
        used[segment.postings.words] = True
        segments.append(
            SegmentInfo(
                number=entry.number,
                photos=entry.photos - len(entry.removed),
                removed=len(entry.removed),
                features=len(segment.geometry.words),
                entries=len(segment.postings.photo_ids),
                index_bytes=entry.index.size,
                features_bytes=entry.features.size if entry.features else 0,
            )
        )
    return StoreInfo(
        store=snapshot.store,
        root=snapshot.root,
        generation=manifest.generation,
        method=manifest.method,
        fingerprint=str(manifest.fingerprint),
        words=snapshot.vocabulary.words,
        words_used=int(used.sum()),
        training=snapshot.vocabulary.training,
        photos=len(snapshot.collection),
        bytes=sum(entry.size for entry in manifest.files),
        segments=tuple(segments),
    )


@dataclass(frozen=True)
class CheckReport:
    """What `check` found. problems: a sentence each; a whole store has none."""

    photos: int
    files: int
    bytes: int
    problems: tuple[str, ...]


def check(store: Path, *, progress: Progress = silent) -> CheckReport:
    """Read every byte of a store and compare it with what the manifest promises.

    Raises StoreError only where there is no manifest to compare with.
    """
    manifest = read_manifest(store)
    problems: list[str] = []
    sound: set[str] = set()
    for done, entry in enumerate(manifest.files):
        progress("checking", done, len(manifest.files))
        problem = _file_problem(store, entry)
        if problem:
            problems.append(problem)
        else:
            sound.add(entry.name)
    if manifest.vocabulary.name in sound:
        problems.extend(_content_problems(store, manifest, sound))
    progress("checking", len(manifest.files), len(manifest.files))
    return CheckReport(
        photos=sum(entry.photos - len(entry.removed) for entry in manifest.segments),
        files=len(manifest.files) + 1,
        bytes=sum(entry.size for entry in manifest.files),
        problems=tuple(problems),
    )


def _file_problem(store: Path, entry: FileEntry) -> str | None:
    path = store / entry.name
    try:
        size = path.stat().st_size
        if size != entry.size:
            return f"{path} has {size} bytes instead of {entry.size}."
        if sha256(path) != entry.sha256:
            return f"{path} has changed since it was written: its checksum differs."
    except FileNotFoundError:
        return f"{path} is missing."
    except OSError as error:
        return f"{path} cannot be read: {error.strerror or error}."
    return None


def _content_problems(store: Path, manifest: Manifest, sound: set[str]) -> list[str]:
    """What is wrong inside files whose bytes are as they were written."""
    try:
        tree = read_vocabulary(store / manifest.vocabulary.name)
    except HandcraftError as error:
        return [str(error)]
    problems = []
    if not manifest.fingerprint.same_space(tree.fingerprint):
        problems.append(f"The vocabulary is for {tree.fingerprint}, the photos for {manifest.fingerprint}.")
    for entry in manifest.segments:
        try:
            problems.extend(_segment_problems(store, entry, tree, sound))
        except HandcraftError as error:
            problems.append(str(error))
    return problems


def _segment_problems(store: Path, entry: SegmentEntry, tree: VocabularyTree, sound: set[str]) -> list[str]:
    if entry.index.name not in sound:
        return []
    path = store / entry.index.name
    segment = read_segment(path, tree.words)
    problems = [f"{path}: {problem}." for problem in check_segment(segment, tree.words)]
    if len(segment) != entry.photos or any(not 0 <= i < entry.photos for i in entry.removed):
        problems.append(f"{path} holds {len(segment)} photos, the manifest says {entry.photos}.")
    if entry.features is not None and entry.features.name in sound:
        kept = read_features(store / entry.features.name)
        counts = np.diff(kept.offsets)
        if not np.array_equal(counts, np.diff(segment.geometry.offsets)):
            problems.append(f"{store / entry.features.name} does not fit {path}.")
    return problems
