"""Adding photos to a store, removing them, and merging its segments."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from handcraft.engine.methods import signature_options
from handcraft.engine.quantising import assign_all, complete_segment
from handcraft.engine.reindexing import add_method
from handcraft.engine.reporting import Progress, silent
from handcraft.engine.snapshot import Snapshot, open_snapshot, segment_file
from handcraft.engine.writing import (
    add_index,
    add_segment,
    create,
    features_path,
    require_same_features,
    stored_options,
    with_removed,
    writer,
)
from handcraft.errors import FingerprintError, PhotoError, StoreError
from handcraft.features.discovery import Discovery, find_photos
from handcraft.features.extraction import Extraction, Item, extract_photos
from handcraft.features.files import copy_features, read_features
from handcraft.features.images import SUFFIXES, read_bytes
from handcraft.features.registry import fingerprint_of
from handcraft.index.segment import MAX_PHOTOS, build_segment, merge_segments
from handcraft.options import FeatureOptions, IndexOptions
from handcraft.storage.manifest import (
    MANIFEST_FILE,
    FileEntry,
    Manifest,
    SegmentEntry,
    read_manifest,
    write_manifest,
)
from handcraft.types import Features, Photo
from handcraft.vocabulary.files import read_vocabulary, shipped_vocabulary

Describe = Callable[[Iterable[Item]], Iterator[Extraction]]


@dataclass(frozen=True)
class AddReport:
    """What `add` did. added, updated, unchanged: photos. unreadable: one error each.
    featureless: names of the photos just indexed in which no feature was found."""

    added: int
    updated: int
    unchanged: int
    unreadable: tuple[PhotoError, ...]
    featureless: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Batch:
    """Photos described and not yet committed."""

    photos: list[Photo]
    features: list[Features]


def add_photos(
    store: Path,
    paths: Sequence[Path],
    *,
    features: FeatureOptions | None = None,
    index: IndexOptions | None = None,
    vocabulary: Path | None = None,
    threads: int = 0,
    progress: Progress = silent,
) -> AddReport:
    """Index the photos at these paths: new ones, and those whose content changed.

    features, vocabulary: for a new store; an existing one must have been made with the same. A method that
    an existing store does not vote by yet is added to it, from the features that it keeps.
    Every `index.photos_per_commit` photos are committed, so that an interrupted run goes on there.
    Raises HandcraftError where nothing can be done at all.
    """
    index = index or IndexOptions()
    found = find_photos(paths)
    if not found.photos:
        raise found.errors[0] if found.errors else no_photos(paths)
    with writer(store, "index"):
        if not (store / MANIFEST_FILE).exists():
            asked = features or FeatureOptions()
            fingerprint_of(asked)  # an unknown extractor is not to be taken for one without a vocabulary
            words = vocabulary or shipped_vocabulary(asked.extractor, asked.descriptor)
            create(store, asked, read_vocabulary(words), index)
        snapshot = open_snapshot(store)
        if vocabulary is not None:
            require_same_vocabulary(snapshot, vocabulary)
        if features is not None:
            require_same_features(store, snapshot.manifest, features)
        snapshot = add_method(snapshot, index, threads=threads, progress=progress)
        stored = stored_options(snapshot.manifest)

        def describe(items: Iterable[Item]) -> Iterator[Extraction]:
            return extract_photos(items, stored, threads)

        return add_described(snapshot, found, describe, index, threads, progress)


def require_same_vocabulary(snapshot: Snapshot, path: Path) -> None:
    """Raise FingerprintError unless a file has the vocabulary that a store has."""
    own, other = snapshot.vocabulary, read_vocabulary(path)
    if not (
        own.fingerprint.same_space(other.fingerprint)
        and np.array_equal(own.child_counts, other.child_counts)
        and np.array_equal(own.panels.values, other.panels.values)
    ):
        raise FingerprintError(
            f"The store {snapshot.store} has a vocabulary of {own.words:,} words of its own, not the "
            f"{other.words:,} of {path}; leave --vocabulary out, replace the store's with "
            "`handcraft build-vocab`, or make another store with --store."
        )


def no_photos(paths: Sequence[Path]) -> PhotoError:
    """The error for paths that hold nothing to read."""
    if not paths:
        return PhotoError("There are no photos in an empty list of paths; name a photo or a folder.")
    places = ", ".join(str(path) for path in paths)
    return PhotoError(f"There are no photos in {places}; handcraft reads {', '.join(sorted(SUFFIXES))}.")


def add_described(
    snapshot: Snapshot,
    found: Discovery,
    describe: Describe,
    options: IndexOptions,
    threads: int,
    progress: Progress,
) -> AddReport:
    """Index those of the photos that are new or changed, described by a function of their paths and names.
    The caller is the store's writer."""
    paths, unreadable = found.photos, list(found.errors)
    names = {path: photo_name(path, snapshot.root) for path in paths}
    ids = snapshot.collection.ids
    known = {name: snapshot.photo(ids[name]) for name in names.values() if name in ids}
    pending = [path for path in paths if _is_new_or_changed(path, known.get(names[path]))]
    manifest = snapshot.manifest
    added = updated = 0
    featureless: list[str] = []
    batch = _Batch([], [])
    progress("indexing", 0, len(pending))
    for done, extraction in enumerate(describe((path, names[path]) for path in pending), 1):
        if extraction.error is not None:
            unreadable.append(extraction.error)
        if extraction.photo is not None and extraction.features is not None:
            batch.photos.append(extraction.photo)
            batch.features.append(extraction.features)
            if not len(extraction.features):
                featureless.append(extraction.photo.name)
        full = len(batch.photos) >= min(options.photos_per_commit, MAX_PHOTOS)
        if batch.photos and (full or done == len(pending)):
            replaced = [ids[photo.name] for photo in batch.photos if photo.name in known]
            manifest = _commit(snapshot, manifest, batch, replaced, options, threads)
            updated += len(replaced)
            added += len(batch.photos) - len(replaced)
            batch = _Batch([], [])
        progress("indexing", done, len(pending))
    unchanged = len(paths) - len(pending)
    return AddReport(added, updated, unchanged, tuple(unreadable), tuple(featureless))


def photo_name(path: Path, root: Path) -> str:
    """A photo's name in the store: relative to the collection's root, with forward slashes."""
    return Path(os.path.relpath(path, root)).as_posix()


def _is_new_or_changed(path: Path, known: Photo | None) -> bool:
    """Whether the photo at a path is not the known one: by size, modification time, then content."""
    if known is None:
        return True
    try:
        status = path.stat()
    except OSError:
        return True  # extraction says what is wrong with it
    if status.st_size != known.file_size:
        return True
    if status.st_mtime_ns == known.modified_ns:
        return False
    try:
        _, data = read_bytes(path)
    except PhotoError:
        return True
    return hashlib.blake2b(data, digest_size=16).digest() != known.content_hash


def _commit(
    snapshot: Snapshot,
    manifest: Manifest,
    batch: _Batch,
    replaced: Sequence[int],
    options: IndexOptions,
    threads: int,
) -> Manifest:
    """Write a segment of the batch, and the manifest that adds it and removes what it replaces."""
    words = assign_all(batch.features, snapshot.vocabulary, threads)
    segment = build_segment(batch.photos, batch.features, words, snapshot.vocabulary.words)
    own = manifest, snapshot.vocabulary, snapshot.vlad
    segment = complete_segment(segment, batch.features, words, *own, threads)
    kept = batch.features if options.keep_features else None
    entry = add_segment(snapshot.store, manifest, segment, kept)
    segments = with_removed(manifest.segments, [snapshot.collection.place(image_id) for image_id in replaced])
    manifest = manifest.next(segments=(*segments, entry), next_segment=manifest.next_segment + 1)
    write_manifest(snapshot.store, manifest)
    return manifest


def remove_photos(store: Path, paths: Sequence[Path], *, missing: bool = False) -> int:
    """Remove photos and all those below folders; return how many.

    paths: of photos or folders, as they are or were on disk. missing: also those whose file is gone.
    A path of which the store holds nothing is an error, and then nothing is removed.
    """
    read_manifest(store)  # a missing store is said before a lock is made in it
    with writer(store, "remove"):
        snapshot = open_snapshot(store)
        ids = snapshot.collection.ids
        chosen: set[int] = set()
        for path in paths:
            wanted = os.path.join(os.path.abspath(path), "")
            matching = {
                image_id
                for name, image_id in ids.items()
                if os.path.join(os.path.normpath(snapshot.root / name), "").startswith(wanted)
            }
            if not matching:
                raise StoreError(
                    f"The store {store} holds no photo {path}; `handcraft info --photos` lists them."
                )
            chosen |= matching
        if missing:
            chosen |= {image_id for name, image_id in ids.items() if _is_gone(snapshot.root / name)}
        if chosen:
            places = [snapshot.collection.place(image_id) for image_id in sorted(chosen)]
            segments = with_removed(snapshot.manifest.segments, places)
            write_manifest(store, snapshot.manifest.next(segments=segments))
        return len(chosen)


def _is_gone(path: Path) -> bool:
    """Whether there is no such file; one that may not be looked at is not gone."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


@dataclass(frozen=True)
class OptimizeReport:
    """What `optimize` did: segments and bytes before and after, and removed photos dropped."""

    segments_before: int
    segments_after: int
    bytes_before: int
    bytes_after: int
    dropped: int


def optimize(store: Path, *, progress: Progress = silent) -> OptimizeReport:
    """Merge segments into as few as they fit, and drop removed photos for good.

    Photos keep their order and so their ranking. Each merge is a commit of its own.
    """
    read_manifest(store)
    with writer(store, "optimize"):
        snapshot = open_snapshot(store)
        before = manifest = snapshot.manifest
        groups = _groups(before.segments)
        merged: list[SegmentEntry] = []
        for done, group in enumerate(groups):
            progress("merging", done, len(groups))
            rest = [entry for later in groups[done + 1 :] for entry in later]
            if len(group) == 1 and not group[0].removed:
                merged.append(group[0])
                continue
            entry = _merge(snapshot, manifest, group)
            merged.extend([entry] if entry.photos else [])
            manifest = manifest.next(
                segments=(*merged, *rest), next_segment=max(manifest.next_segment, entry.number + 1)
            )
            write_manifest(store, manifest)
        progress("merging", len(groups), len(groups))
        return OptimizeReport(
            segments_before=len(before.segments),
            segments_after=len(manifest.segments),
            bytes_before=sum(entry.size for entry in before.files),
            bytes_after=sum(entry.size for entry in manifest.files),
            dropped=sum(len(entry.removed) for entry in before.segments),
        )


def _groups(entries: Sequence[SegmentEntry]) -> list[list[SegmentEntry]]:
    """Neighbours that fit one segment; those with kept features apart from those without."""
    groups: list[list[SegmentEntry]] = []
    for _, alike in groupby(entries, key=lambda entry: entry.features is None):
        photos = MAX_PHOTOS + 1  # of the last group; none of this kind is open yet
        for entry in alike:
            live = entry.photos - len(entry.removed)
            if photos + live > MAX_PHOTOS:
                groups.append([])
                photos = 0
            groups[-1].append(entry)
            photos += live
    return groups


def _merge(snapshot: Snapshot, manifest: Manifest, group: Sequence[SegmentEntry]) -> SegmentEntry:
    """Write one segment of the live photos of several."""
    store, number = snapshot.store, manifest.next_segment
    places = [snapshot.manifest.segments.index(entry) for entry in group]
    live = [snapshot.collection.live[place] for place in places]
    segment = merge_segments(
        [snapshot.collection.segments[place] for place in places],
        live,
        snapshot.vocabulary.words,
        signature_options(manifest),
    )
    merged = add_index(store, manifest, segment, number)
    if group[0].features is None:
        return merged
    sources = [read_features(segment_file(store, entry.features)) for entry in group if entry.features]
    path = features_path(store, number)
    copy_features(path, sources, live, manifest.fingerprint)
    return replace(merged, features=FileEntry.of(store, path))
