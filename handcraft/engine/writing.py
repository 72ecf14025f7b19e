"""What every writer of a store does: take the lock, sweep what a killed writer left, commit."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from handcraft.engine.methods import (
    asked_model,
    index_attributes,
    methods_of,
    signature_attributes,
    vector_attributes,
)
from handcraft.errors import FingerprintError, HandcraftError, StoreError
from handcraft.features.files import write_features
from handcraft.features.registry import fingerprint_of, options_of, same_features
from handcraft.index.segment import Segment, write_segment
from handcraft.index.signatures import write_signatures
from handcraft.index.vectors import write_vectors
from handcraft.options import FeatureOptions, IndexOptions
from handcraft.storage.atomic import TEMPORARY_PREFIX, make_folder
from handcraft.storage.locks import writer_lock
from handcraft.storage.manifest import (
    MANIFEST_FILE,
    SEGMENTS_FOLDER,
    FileEntry,
    Manifest,
    SegmentEntry,
    read_manifest,
    write_manifest,
)
from handcraft.types import Features, Fingerprint
from handcraft.vocabulary.files import write_vocabulary
from handcraft.vocabulary.tree import VocabularyTree
from handcraft.vocabulary.vlad import VladModel, write_vlad

# What a writer may leave behind; other files in the folder are not ours to remove.
_OURS = re.compile(
    rf"{re.escape(TEMPORARY_PREFIX)}.*|(vocabulary|vlad)-\d+\.h5"
    r"|\d{6,}\.(index|signatures|vectors|features)\.h5"
)


@contextmanager
def writer(store: Path, purpose: str) -> Iterator[None]:
    """Be the only writer of a store; raises StoreError or StoreLockedError."""
    make_folder(store / SEGMENTS_FOLDER)
    with writer_lock(store, purpose):
        if (store / MANIFEST_FILE).exists():
            _sweep(store)
        try:
            yield
        finally:
            with suppress(HandcraftError, OSError):  # another error may be on its way
                _sweep(store)


def _sweep(store: Path) -> None:
    """Remove the files that the manifest does not name: a killed writer's, or replaced ones."""
    named = {store / entry.name for entry in read_manifest(store).files}
    for path in [*store.iterdir(), *(store / SEGMENTS_FOLDER).iterdir()]:
        if _OURS.fullmatch(path.name) and path not in named and path.is_file():
            path.unlink(missing_ok=True)


def create(
    store: Path, features: FeatureOptions, tree: VocabularyTree, index: IndexOptions | None = None
) -> Manifest:
    """Commit an empty store with its own copy of a vocabulary."""
    fingerprint = fingerprint_of(features)
    require_same_space(fingerprint, tree)
    options = index or IndexOptions()
    model = asked_model(options, fingerprint, None)
    methods = methods_of(options, tree, model)
    manifest = Manifest(
        root=os.path.relpath(store.parent, store),
        fingerprint=fingerprint,
        vocabulary=add_vocabulary(store, tree, generation=1),
        methods=methods,
        vlad=None if model is None else add_vlad(store, model, generation=1),
        generation=1,
    )
    write_manifest(store, manifest)
    return manifest


def require_same_space(fingerprint: Fingerprint, tree: VocabularyTree) -> None:
    """Raise FingerprintError unless the vocabulary quantises such descriptors."""
    if not fingerprint.same_space(tree.fingerprint):
        raise FingerprintError(
            f"The vocabulary is for {tree.fingerprint}, the photos give {fingerprint}; "
            "train one for them with `handcraft build-vocab`."
        )


def require_same_features(
    store: Path,
    manifest: Manifest,
    features: FeatureOptions,
    remedy: str = "leave the options out, or make another store with `handcraft index --store`.",
) -> None:
    """Raise FingerprintError unless the options give what the store holds."""
    asked = fingerprint_of(features)
    if not same_features(asked, fingerprint_of(stored_options(manifest))):
        raise FingerprintError(
            f"The store {store} holds {manifest.fingerprint}, the options ask for {asked}; {remedy}"
        )


def stored_options(manifest: Manifest) -> FeatureOptions:
    """The feature options that a store was made with; raises StoreError."""
    try:
        return options_of(manifest.fingerprint)
    except HandcraftError as error:
        raise StoreError(
            f"The store holds {manifest.fingerprint}, which this handcraft cannot make: {error} "
            "Install the handcraft and the extractor that made the store."
        ) from error


def add_vocabulary(store: Path, tree: VocabularyTree, generation: int) -> FileEntry:
    """Write a vocabulary into the store under a name of its own generation, so that a manifest never
    points to another one's centroids, whenever the writer is killed."""
    path = store / f"vocabulary-{generation:06d}.h5"
    write_vocabulary(path, tree)
    return FileEntry.of(store, path)


def add_vlad(store: Path, model: VladModel, generation: int) -> FileEntry:
    """Write a VLAD model into the store, as add_vocabulary does."""
    path = store / f"vlad-{generation:06d}.h5"
    write_vlad(path, model)
    return FileEntry.of(store, path)


def add_segment(
    store: Path,
    manifest: Manifest,
    segment: Segment,
    features: Sequence[Features] | None,
) -> SegmentEntry:
    """Write a segment's files; it is not part of the store before a manifest names it."""
    entry = add_index(store, manifest, segment, manifest.next_segment)
    if features is None:
        return entry
    path = features_path(store, entry.number)
    write_features(path, features, manifest.fingerprint)
    return replace(entry, features=FileEntry.of(store, path))


def add_index(store: Path, manifest: Manifest, segment: Segment, number: int) -> SegmentEntry:
    """Write a segment's files but the features, which say what they were made with."""
    path = _segment_path(store, number, "index")
    write_segment(path, segment, index_attributes(manifest))
    entry = SegmentEntry(number, len(segment), FileEntry.of(store, path), None, None, None)
    if segment.signatures is not None:
        path = _segment_path(store, number, "signatures")
        write_signatures(path, segment.signatures, signature_attributes(manifest))
        entry = replace(entry, signatures=FileEntry.of(store, path))
    if segment.vectors is not None:
        path = _segment_path(store, number, "vectors")
        write_vectors(path, segment.vectors, vector_attributes(manifest))
        entry = replace(entry, vectors=FileEntry.of(store, path))
    return entry


def features_path(store: Path, number: int) -> Path:
    """Where the kept features of a segment go."""
    return _segment_path(store, number, "features")


def _segment_path(store: Path, number: int, kind: str) -> Path:
    return store / SEGMENTS_FOLDER / f"{number:06d}.{kind}.h5"


def with_removed(
    segments: Sequence[SegmentEntry], removed: Sequence[tuple[int, int]]
) -> tuple[SegmentEntry, ...]:
    """The entries with more photos removed, each given as place of its segment and local id."""
    by_place: dict[int, set[int]] = {}
    for place, local_id in removed:
        by_place.setdefault(place, set()).add(local_id)
    return tuple(
        replace(entry, removed=tuple(sorted({*entry.removed, *by_place[place]})))
        if place in by_place
        else entry
        for place, entry in enumerate(segments)
    )
