"""Training a vocabulary on photos, and giving a store another one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handcraft.engine.indexing import assign_all, no_photos
from handcraft.engine.reporting import Progress, silent
from handcraft.engine.snapshot import Snapshot, open_snapshot, segment_file
from handcraft.engine.writing import (
    add_vocabulary,
    create,
    require_same_features,
    require_same_space,
    segment_attributes,
    stored_options,
    writer,
)
from handcraft.errors import PhotoError, StoreError, VocabularyError
from handcraft.features.discovery import find_photos
from handcraft.features.extraction import available_threads, extract_photos
from handcraft.features.files import read_features
from handcraft.features.registry import extractor
from handcraft.index.geometry import Geometry
from handcraft.index.segment import Postings, Segment, write_segment
from handcraft.options import FeatureOptions, VocabularyOptions
from handcraft.storage.manifest import (
    MANIFEST_FILE,
    SEGMENTS_FOLDER,
    FileEntry,
    Manifest,
    SegmentEntry,
    read_manifest,
    write_manifest,
)
from handcraft.vocabulary.training import train
from handcraft.vocabulary.tree import VocabularyTree


@dataclass(frozen=True)
class VocabularyReport:
    """What `build-vocab` did. reindexed: photos whose words were assigned anew."""

    tree: VocabularyTree
    reindexed: int
    unreadable: tuple[PhotoError, ...]


def train_vocabulary(
    paths: Sequence[Path],
    options: VocabularyOptions,
    features: FeatureOptions,
    *,
    threads: int = 0,
    progress: Progress = silent,
) -> VocabularyReport:
    """Train a vocabulary on the photos at these paths; raises HandcraftError."""
    found = find_photos(paths)
    if not found.photos:
        raise found.errors[0] if found.errors else no_photos(paths)
    unreadable = list(found.errors)
    descriptors = _sample(found.photos, options, features, threads, unreadable, progress)
    tree = train(
        descriptors,
        extractor(features.detector).fingerprint(features),
        options,
        source=", ".join(Path(os.path.abspath(path)).name for path in paths),
        photos=len(found.photos) + len(found.errors) - len(unreadable),
        threads=threads or available_threads(),
        progress=lambda done, total: progress("training", done, total),
    )
    return VocabularyReport(tree, 0, tuple(unreadable))


def _sample(
    photos: Sequence[Path],
    options: VocabularyOptions,
    features: FeatureOptions,
    threads: int,
    unreadable: list[PhotoError],
    progress: Progress,
) -> NDArray[np.generic]:
    """Descriptors of the photos, an even share of each if there are more than `options.sample`."""
    share = -(-options.sample // len(photos))
    parts = []
    extractions = extract_photos(((path, path.name) for path in photos), features, threads)
    for number, extraction in enumerate(extractions):
        if extraction.error is not None:
            unreadable.append(extraction.error)
        if extraction.features is not None:
            rows = np.arange(len(extraction.features))
            if len(rows) > share:
                generator = np.random.default_rng((options.seed, number))
                rows = np.sort(generator.choice(len(rows), share, replace=False))
            parts.append(extraction.features.descriptors[rows])
        progress("extracting", number + 1, len(photos))
    if not parts:
        raise VocabularyError("None of the photos could be read, so there is nothing to train on.")
    return np.concatenate(parts)


def give_vocabulary(
    store: Path, tree: VocabularyTree, features: FeatureOptions, *, progress: Progress = silent
) -> int:
    """Make a vocabulary a store's own and assign its photos anew; return how many.

    A store that does not exist yet is made. The photos are not read again: their kept features are.
    Raises StoreError where they were not kept, and FingerprintError for another extractor's.
    """
    with writer(store, "build-vocab"):
        if not (store / MANIFEST_FILE).exists():
            create(store, features, tree)
            return 0
        snapshot = open_snapshot(store)
        manifest = snapshot.manifest
        require_same_space(manifest.fingerprint, tree)
        require_kept_features(store)
        entry = add_vocabulary(store, tree, manifest.generation + 1)
        segments, number = [], manifest.next_segment
        changed = manifest.next(vocabulary=entry)
        for place in range(len(manifest.segments)):
            progress("re-indexing", place, len(manifest.segments))
            segments.append(_reindex(snapshot, changed, tree, place, number + place))
        progress("re-indexing", len(segments), len(segments))
        changed = manifest.next(
            vocabulary=entry, segments=tuple(segments), next_segment=number + len(segments)
        )
        write_manifest(store, changed)
        return len(snapshot.collection)


def require_kept_features(store: Path) -> None:
    """Raise StoreError if a store exists and does not keep the features of all its photos."""
    if not (store / MANIFEST_FILE).exists():
        return
    without = sum(entry.photos for entry in read_manifest(store).segments if entry.features is None)
    if without:
        raise StoreError(
            f"The store {store} keeps no features of {without} photos, so they cannot be given other "
            "words; index them again into a new store with `handcraft index --store`."
        )


def _reindex(
    snapshot: Snapshot, manifest: Manifest, tree: VocabularyTree, place: int, number: int
) -> SegmentEntry:
    """Write a segment of the same photos with the words of another vocabulary."""
    entry, segment = snapshot.manifest.segments[place], snapshot.collection.segments[place]
    assert entry.features is not None  # give_vocabulary has made sure
    kept = read_features(segment_file(snapshot.store, entry.features))
    features = [kept.features(local_id) for local_id in range(len(kept))]
    geometry = Geometry.of(features, assign_all(features, tree, 0))
    changed = Segment(segment.photos, Postings.of(geometry, tree.words), geometry)
    path = snapshot.store / SEGMENTS_FOLDER / f"{number:06d}.index.h5"
    write_segment(path, changed, segment_attributes(manifest))
    return SegmentEntry(
        number, entry.photos, FileEntry.of(snapshot.store, path), entry.features, entry.removed
    )


def feature_options(store: Path, asked: FeatureOptions | None) -> FeatureOptions:
    """What a store's photos are described with, or would be; raises FingerprintError."""
    if not (store / MANIFEST_FILE).exists():
        return asked or FeatureOptions()
    manifest = read_manifest(store)
    if asked is not None:
        require_same_features(store, manifest, asked)
    return stored_options(manifest)
