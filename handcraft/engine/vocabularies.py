"""Training a vocabulary on photos, and giving a store another one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from handcraft.engine.collecting import SAMPLE_FILE, collect
from handcraft.engine.indexing import no_photos
from handcraft.engine.reindexing import reindex, require_kept_features
from handcraft.engine.reporting import Progress, silent
from handcraft.engine.snapshot import Snapshot, open_snapshot, segment_file
from handcraft.engine.writing import (
    add_vocabulary,
    create,
    require_same_features,
    require_same_space,
    stored_options,
    writer,
)
from handcraft.errors import FingerprintError, HandcraftError, PhotoError, StoreError, VocabularyError
from handcraft.features.discovery import find_photos
from handcraft.features.extraction import available_threads
from handcraft.features.registry import fingerprint_of
from handcraft.options import FeatureOptions, VocabularyOptions
from handcraft.storage.atomic import make_folder
from handcraft.storage.locks import writer_lock
from handcraft.storage.manifest import (
    MANIFEST_FILE,
    read_manifest,
)
from handcraft.types import Fingerprint
from handcraft.vocabulary.checkpoints import Checkpoints
from handcraft.vocabulary.files import read_vocabulary, shipped_vocabulary
from handcraft.vocabulary.training import check_options, train
from handcraft.vocabulary.tree import Training, VocabularyTree


@dataclass(frozen=True)
class VocabularyReport:
    """What `build-vocab` did. reused: photos whose kept features were taken in place of extracting
    them. reindexed: photos whose words were assigned anew."""

    tree: VocabularyTree
    reused: int
    reindexed: int
    unreadable: tuple[PhotoError, ...]


@dataclass(frozen=True)
class VocabularyRequest:
    """What to train on, found and checked before any work.

    photos: of `paths`. kept: a store that may hold the features of some of them. source: a store all of
    whose kept features are taken.
    """

    options: VocabularyOptions
    features: FeatureOptions
    paths: tuple[Path, ...]
    photos: tuple[Path, ...]
    errors: tuple[PhotoError, ...]
    kept: Snapshot | None
    source: Snapshot | None

    @property
    def space(self) -> Fingerprint:
        """What the descriptors will be."""
        return fingerprint_of(self.features)


def request_vocabulary(
    paths: Sequence[Path],
    options: VocabularyOptions,
    features: FeatureOptions,
    *,
    kept: Snapshot | None = None,
    source: Snapshot | None = None,
) -> VocabularyRequest:
    """Find the photos at these paths, and refuse what cannot be trained; raises HandcraftError."""
    check_options(options)
    if not paths and source is None:
        raise VocabularyError("There is nothing to train on; name photos, or a store of photos.")
    found = find_photos(paths)
    if paths and not found.photos:
        raise found.errors[0] if found.errors else no_photos(paths)
    request = VocabularyRequest(options, features, tuple(paths), found.photos, found.errors, kept, source)
    if source is not None:
        _check_source(source, request.space)
    return request


def _check_source(source: Snapshot, space: Fingerprint) -> None:
    if not space.same_space(source.manifest.fingerprint):
        raise FingerprintError(
            f"The store {source.store} holds {source.manifest.fingerprint}, the vocabulary would be for "
            f"{space}; train it on a store of such features."
        )
    if not len(source.collection):
        raise StoreError(f"The store {source.store} holds no photos; add some with `handcraft index`.")
    without = sum(entry.photos for entry in source.manifest.segments if entry.features is None)
    if without:
        raise StoreError(
            f"The store {source.store} keeps no features of {without} photos, so there is nothing of theirs "
            "to train on; name the photos in place of --from."
        )


def train_vocabulary(
    request: VocabularyRequest, folder: Path, *, threads: int = 0, progress: Progress = silent
) -> VocabularyReport:
    """Train a vocabulary; raises HandcraftError. folder: of training_folder."""
    sample = collect(
        request.photos,
        request.options,
        request.features,
        kept=request.kept,
        source=request.source,
        folder=folder,
        threads=threads,
        progress=progress,
    )
    names = [Path(os.path.abspath(path)).name for path in request.paths]
    if request.source is not None:
        names.insert(0, request.source.root.name)
    tree = train(
        sample.descriptors,
        request.space,
        request.options,
        source=", ".join(names),
        photos=sample.photos,
        threads=threads or available_threads(),
        checkpoints=Checkpoints(folder, sample.descriptors, request.options),
        progress=lambda done, total: progress("training", done, total),
    )
    return VocabularyReport(tree, sample.reused, 0, (*request.errors, *sample.unreadable))


@contextmanager
def training_folder(folder: Path) -> Iterator[Path]:
    """The folder where one training keeps what it needs to go on after an interruption. It is removed
    when the training is done, or can never be, unless it was an earlier training's."""
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    make_folder(folder)
    try:
        with writer_lock(folder, "build-vocab", what="The training in"):
            yield folder
    except HandcraftError as error:
        hopeless = isinstance(error, VocabularyError | FingerprintError | PhotoError)
        if missing and (hopeless or not (folder / SAMPLE_FILE).exists()):
            _remove(folder, missing)
        raise
    _remove(folder, missing)


def _remove(folder: Path, made: Sequence[Path]) -> None:
    """Remove a folder, and of the folders that were made for it those where nothing else is."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        for parent in made:
            if parent != folder:
                parent.rmdir()


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
        reindex(snapshot, manifest.next(vocabulary=entry), tree, progress=progress)
        return len(snapshot.collection)


def feature_options(store: Path, asked: FeatureOptions | None, otherwise: FeatureOptions) -> FeatureOptions:
    """What a store's photos are described with, or would be; raises FingerprintError. otherwise: those of a
    new store where none are asked for."""
    if not (store / MANIFEST_FILE).exists():
        return asked or otherwise
    manifest = read_manifest(store)
    if asked is not None:
        require_same_features(store, manifest, asked)
    return stored_options(manifest)


@dataclass(frozen=True)
class VocabularyInfo:
    """What a vocabulary file is. bytes: its size. nodes: of the tree, the root included."""

    path: Path
    bytes: int
    words: int
    depth: int
    nodes: int
    fingerprint: str
    training: Training

    def as_json(self) -> dict[str, object]:
        """The facts in plain types."""
        return {**asdict(self), "path": str(self.path)}


def vocabulary_info(path: Path | None, store: Path | None, extractor: str | None = None) -> VocabularyInfo:
    """Facts about a vocabulary file, without one about the shipped one of an extractor, without that about
    a store's own, without a store about the shipped one; raises HandcraftError."""
    if path is None and extractor is not None:
        fingerprint_of(FeatureOptions(extractor=extractor))  # an unknown extractor is said to be unknown
        path = shipped_vocabulary(extractor)
    if path is None and store is not None:
        path = segment_file(store, read_manifest(store).vocabulary)
    path = path or shipped_vocabulary()
    tree = read_vocabulary(path)
    return VocabularyInfo(
        path=path,
        bytes=path.stat().st_size,
        words=tree.words,
        depth=tree.depth,
        nodes=len(tree.child_counts),
        fingerprint=str(tree.fingerprint),
        training=tree.training,
    )
