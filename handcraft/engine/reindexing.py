"""Giving a store's photos other words, or another method to vote by, from the features that it keeps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from handcraft.engine.methods import asked_model, changed_methods
from handcraft.engine.quantising import assign_all, complete_segment
from handcraft.engine.reporting import Progress, silent
from handcraft.engine.snapshot import Snapshot, open_snapshot, segment_file
from handcraft.engine.writing import add_index, add_vlad
from handcraft.errors import StoreError
from handcraft.features.files import read_features
from handcraft.index.geometry import Geometry
from handcraft.index.postings import Postings
from handcraft.index.segment import Segment
from handcraft.options import IndexOptions
from handcraft.storage.manifest import MANIFEST_FILE, Manifest, SegmentEntry, read_manifest, write_manifest
from handcraft.vocabulary.tree import VocabularyTree


def require_kept_features(store: Path) -> None:
    """Raise StoreError if a store exists and does not keep the features of all its photos."""
    if not (store / MANIFEST_FILE).exists():
        return
    without = sum(entry.photos for entry in read_manifest(store).segments if entry.features is None)
    if without:
        raise StoreError(
            f"The store {store} keeps no features of {without} photos, so they cannot be given other "
            "words or signatures; index them again into a new store with `handcraft index --store`."
        )


def add_method(
    snapshot: Snapshot, options: IndexOptions, *, threads: int = 0, progress: Progress = silent
) -> Snapshot:
    """Let an opened store vote by the method that the options name, if it does not yet, and open it again.

    The photos are not read: raises StoreError where their features were not kept, or where the options
    ask for other signatures or vectors than the store has. The caller is the store's writer.
    """
    manifest = snapshot.manifest
    replaced = options.vlad_model is not None and not manifest.segments  # no vector is of the old one
    model = asked_model(options, manifest.fingerprint, None if replaced else snapshot.vlad)
    methods = changed_methods(manifest, options, snapshot.vocabulary, model)
    if methods is None and not (replaced and model is not None):
        return snapshot
    methods = methods or manifest.methods
    require_kept_features(snapshot.store)
    changed = manifest.next(methods=methods)
    if "vlad" not in methods:
        changed = replace(changed, vlad=None)
    elif model is not None and model is not snapshot.vlad:
        changed = replace(changed, vlad=add_vlad(snapshot.store, model, changed.generation))
    reindex(
        replace(snapshot, vlad=model or snapshot.vlad),
        changed,
        snapshot.vocabulary,
        threads=threads,
        progress=progress,
    )
    return open_snapshot(snapshot.store)


def reindex(
    snapshot: Snapshot,
    changed: Manifest,
    tree: VocabularyTree,
    *,
    threads: int = 0,
    progress: Progress = silent,
) -> None:
    """Write the segments anew with the words of a vocabulary and for the methods of a changed manifest,
    and commit that."""
    segments, number = [], changed.next_segment
    for place in range(len(changed.segments)):
        progress("re-indexing", place, len(changed.segments))
        segments.append(_reindex_segment(snapshot, changed, tree, place, number + place, threads))
    progress("re-indexing", len(segments), len(segments))
    changed = replace(changed, segments=tuple(segments), next_segment=number + len(segments))
    write_manifest(snapshot.store, changed)


def _reindex_segment(
    snapshot: Snapshot, changed: Manifest, tree: VocabularyTree, place: int, number: int, threads: int
) -> SegmentEntry:
    entry, segment = snapshot.manifest.segments[place], snapshot.collection.segments[place]
    assert entry.features is not None  # the callers have made sure
    kept = read_features(segment_file(snapshot.store, entry.features))
    features = [kept.features(local_id) for local_id in range(len(kept))]
    words = assign_all(features, tree, threads)
    geometry = Geometry.of(features, words)
    same_photos = Segment(segment.photos, Postings.of(geometry, tree.words), geometry)
    completed = complete_segment(same_photos, features, words, changed, tree, snapshot.vlad, threads)
    written = add_index(snapshot.store, changed, completed, number)
    return replace(written, features=entry.features, removed=entry.removed)
