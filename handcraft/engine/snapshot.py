"""One generation of a store, opened for reading."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from handcraft.engine.methods import (
    index_attributes,
    signature_attributes,
    signature_options,
    vector_attributes,
    vlad_options,
)
from handcraft.errors import StoreError
from handcraft.features.files import FeaturesFile
from handcraft.index.asmk import AsmkScorer
from handcraft.index.bow import BowScorer
from handcraft.index.collection import Collection, make_collection
from handcraft.index.segment import Segment, read_segment
from handcraft.index.signatures import read_signatures
from handcraft.index.vectors import read_vectors
from handcraft.options import AsmkOptions, BowOptions
from handcraft.storage.manifest import FileEntry, Manifest, SegmentEntry, read_manifest
from handcraft.types import Photo
from handcraft.vocabulary.files import read_vocabulary
from handcraft.vocabulary.tree import VocabularyTree
from handcraft.vocabulary.vlad import VladModel, read_vlad


@dataclass(frozen=True)
class Snapshot:
    """What a store held when it was opened; later commits of other processes do not change it.

    scorers, features: of the options and of the segments that were asked for.
    """

    store: Path
    manifest: Manifest
    vocabulary: VocabularyTree
    collection: Collection
    vlad: VladModel | None
    scorers: dict[BowOptions | AsmkOptions, BowScorer | AsmkScorer] = field(default_factory=dict)
    features: dict[int, FeaturesFile] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        """The folder that photo names are relative to."""
        return collection_root(self.store, self.manifest)

    def photo(self, image_id: int) -> Photo:
        """What the store remembers of a photo."""
        segment, local_id = self.collection.locate(image_id)
        return segment.photos.photo(local_id)


def open_snapshot(store: Path) -> Snapshot:
    """Open the newest generation of a store; raises StoreError."""
    manifest = read_manifest(store)
    while True:
        try:
            return _open(store, manifest)
        except StoreError:
            # A writer may have merged the segments away between the manifest and its files.
            newer = read_manifest(store)
            if newer.generation == manifest.generation:
                raise
            manifest = newer


def collection_root(store: Path, manifest: Manifest) -> Path:
    """The folder that photo names are relative to, absolute."""
    return Path(os.path.normpath(store / manifest.root))


def segment_file(store: Path, entry: FileEntry) -> Path:
    """The path of one of the store's files, of the size that the manifest says, or StoreError."""
    path = store / entry.name
    try:
        size = path.stat().st_size
    except OSError as error:
        raise StoreError(f"{path} is missing; run `handcraft check`.") from error
    if size != entry.size:
        raise StoreError(f"{path} has {size} bytes instead of {entry.size}; run `handcraft check`.")
    return path


def _open(store: Path, manifest: Manifest) -> Snapshot:
    vocabulary = read_vocabulary(segment_file(store, manifest.vocabulary))
    collection = make_collection(
        [open_segment(store, manifest, entry, vocabulary.words) for entry in manifest.segments],
        [segment.removed for segment in manifest.segments],
        vocabulary.words,
    )
    return Snapshot(store, manifest, vocabulary, collection, open_vlad(store, manifest))


def open_vlad(store: Path, manifest: Manifest) -> VladModel | None:
    """The model of a store that votes by vectors; raises StoreError or VocabularyError."""
    return None if manifest.vlad is None else read_vlad(segment_file(store, manifest.vlad))


def open_segment(store: Path, manifest: Manifest, entry: SegmentEntry, words: int) -> Segment:
    """Map a segment with its signatures and vectors, if any; raises StoreError."""
    path = segment_file(store, entry.index)
    segment = read_segment(path, words, index_attributes(manifest))
    signed, vlad = signature_options(manifest), vlad_options(manifest)
    if signed is not None:
        if entry.signatures is None:
            raise StoreError(f"{path} has no signatures, but the store votes by them; run `handcraft check`.")
        file, attributes = segment_file(store, entry.signatures), signature_attributes(manifest)
        signatures = read_signatures(file, segment.postings, len(segment), attributes, signed)
        segment = replace(segment, signatures=signatures)
    if vlad is not None:
        if entry.vectors is None:
            raise StoreError(f"{path} has no vectors, but the store votes by them; run `handcraft check`.")
        file, attributes = segment_file(store, entry.vectors), vector_attributes(manifest)
        segment = replace(segment, vectors=read_vectors(file, len(segment), attributes, vlad))
    return segment
