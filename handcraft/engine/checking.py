"""Saying what a store holds, and proving it whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from handcraft.engine.methods import signature_options
from handcraft.engine.reporting import Progress, silent
from handcraft.engine.snapshot import Snapshot, open_segment, open_vlad
from handcraft.errors import HandcraftError
from handcraft.features.files import read_features
from handcraft.index.segment import check_segment
from handcraft.index.signatures import check_signatures
from handcraft.storage.atomic import sha256
from handcraft.storage.manifest import FileEntry, Manifest, SegmentEntry, read_manifest
from handcraft.vocabulary.files import read_vocabulary
from handcraft.vocabulary.tree import Training, VocabularyTree, imbalance


@dataclass(frozen=True)
class SegmentInfo:
    """One segment. photos: live; features, entries: of all its photos; bytes: of its files."""

    number: int
    photos: int
    removed: int
    features: int
    entries: int
    index_bytes: int
    signatures_bytes: int
    vectors_bytes: int
    features_bytes: int


@dataclass(frozen=True)
class StoreInfo:
    """What a store holds. imbalance: of the entries over the words that occur, see vocabulary.tree. bytes:
    all its files on disk."""

    store: Path
    root: Path
    generation: int
    methods: dict[str, dict[str, Any]]
    fingerprint: str
    words: int
    words_used: int
    imbalance: float
    training: Training
    photos: int
    bytes: int
    segments: tuple[SegmentInfo, ...]


def info(snapshot: Snapshot) -> StoreInfo:
    """Facts about an opened store."""
    manifest = snapshot.manifest
    segments = []
    entries = np.zeros(snapshot.vocabulary.words, np.int64)
    for entry, segment in zip(manifest.segments, snapshot.collection.segments, strict=True):
        entries[segment.postings.words] += np.diff(segment.postings.offsets).astype(np.int64)
        segments.append(
            SegmentInfo(
                number=entry.number,
                photos=entry.photos - len(entry.removed),
                removed=len(entry.removed),
                features=len(segment.geometry.words),
                entries=len(segment.postings.photo_ids),
                index_bytes=entry.index.size,
                signatures_bytes=entry.signatures.size if entry.signatures else 0,
                vectors_bytes=entry.vectors.size if entry.vectors else 0,
                features_bytes=entry.features.size if entry.features else 0,
            )
        )
    return StoreInfo(
        store=snapshot.store,
        root=snapshot.root,
        generation=manifest.generation,
        methods=manifest.methods,
        fingerprint=str(manifest.fingerprint),
        words=snapshot.vocabulary.words,
        words_used=int((entries > 0).sum()),
        imbalance=imbalance(entries[entries > 0]),
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
    if manifest.vlad is not None and manifest.vlad.name in sound:
        try:
            open_vlad(store, manifest)
        except HandcraftError as error:
            problems.append(str(error))
    if not manifest.fingerprint.same_space(tree.fingerprint):
        problems.append(f"The vocabulary is for {tree.fingerprint}, the photos for {manifest.fingerprint}.")
    for entry in manifest.segments:
        try:
            problems.extend(_segment_problems(store, manifest, entry, tree, sound))
        except HandcraftError as error:
            problems.append(str(error))
    return problems


def _segment_problems(
    store: Path, manifest: Manifest, entry: SegmentEntry, tree: VocabularyTree, sound: set[str]
) -> list[str]:
    if not sound.issuperset(file.name for file in (entry.index, entry.signatures, entry.vectors) if file):
        return []
    path = store / entry.index.name
    segment = open_segment(store, manifest, entry, tree.words)
    problems = [f"{path}: {problem}." for problem in check_segment(segment, tree.words)]
    options = signature_options(manifest)
    if options is not None and entry.signatures is not None and segment.signatures is not None:
        found = check_signatures(segment.signatures, segment.postings, options)
        problems += [f"{store / entry.signatures.name}: {problem}." for problem in found]
    if len(segment) != entry.photos or any(not 0 <= i < entry.photos for i in entry.removed):
        problems.append(f"{path} holds {len(segment)} photos, the manifest says {entry.photos}.")
    if entry.features is not None and entry.features.name in sound:
        kept = read_features(store / entry.features.name)
        counts = np.diff(kept.offsets)
        if not np.array_equal(counts, np.diff(segment.geometry.offsets)):
            problems.append(f"{store / entry.features.name} does not fit {path}.")
    return problems
