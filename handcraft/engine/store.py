"""The facade: what Python users and the command line call."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from handcraft.engine import (
    checking,
    evaluating,
    exporting,
    importing,
    indexing,
    pairing,
    reindexing,
    searching,
    vlad,
    vocabularies,
)
from handcraft.engine.checking import CheckReport, StoreInfo
from handcraft.engine.importing import ImportReport
from handcraft.engine.indexing import AddReport, OptimizeReport
from handcraft.engine.pairing import PairsReport
from handcraft.engine.reporting import Progress, silent
from handcraft.engine.searching import QueryResult
from handcraft.engine.snapshot import Snapshot, open_snapshot
from handcraft.engine.vocabularies import VocabularyReport
from handcraft.engine.writing import stored_options
from handcraft.errors import HandcraftError
from handcraft.evaluation.protocols import EvaluationReport
from handcraft.options import (
    FeatureOptions,
    IndexOptions,
    PairsOptions,
    QueryOptions,
    VladTraining,
    VocabularyOptions,
)
from handcraft.storage.manifest import MANIFEST_FILE
from handcraft.types import RegionOfInterest
from handcraft.vocabulary.files import write_vocabulary
from handcraft.vocabulary.vlad import VladModel

AnyPath = str | os.PathLike[str]
Paths = AnyPath | Iterable[AnyPath]
Box = RegionOfInterest | Sequence[float]


class Store:
    """A collection of indexed photos in a folder.

    Reading methods see the generation of the store that was newest when the first of them was
    called, or when :meth:`refresh` was; this object's own writing methods refresh it.

    Every method raises a :class:`~handcraft.errors.HandcraftError` whose text says what is wrong,
    where, and how to mend it.
    """

    def __init__(
        self, path: Path, features: FeatureOptions | None, vocabulary: Path | None, threads: int
    ) -> None:
        self.path = path
        self._features = features
        self._vocabulary = vocabulary
        self._threads = threads
        self._snapshot: Snapshot | None = None

    @property
    def exists(self) -> bool:
        """Whether anything was ever added."""
        return (self.path / MANIFEST_FILE).exists()

    @property
    def snapshot(self) -> Snapshot:
        """The opened generation; raises StoreError for a store that does not exist."""
        if self._snapshot is None:
            self._snapshot = open_snapshot(self.path)
        return self._snapshot

    def refresh(self) -> None:
        """See what other processes have committed since the store was opened."""
        self._snapshot = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the photos, relative to the collection's root, in the order of indexing."""
        return tuple(self.snapshot.collection.ids)

    def __len__(self) -> int:
        return len(self.snapshot.collection) if self.exists else 0

    def add(
        self, paths: Paths, *, options: IndexOptions | None = None, progress: Progress = silent
    ) -> AddReport:
        """Index the photos at these paths, and below those that are folders.

        New photos are added, changed ones (size, modification time, then content) are indexed
        again, the others are left alone. Unreadable photos are in the report, not raised. The
        first call makes the store.
        """
        report = indexing.add_photos(
            self.path,
            _path_list(paths),
            features=self._features,
            index=options,
            vocabulary=self._vocabulary,
            threads=self._threads,
            progress=progress,
        )
        self.refresh()
        return report

    def import_features(
        self,
        file: AnyPath,
        images: AnyPath,
        *,
        kind: str = "",
        name: str = "",
        options: IndexOptions | None = None,
        training: VocabularyOptions | None = None,
        progress: Progress = silent,
    ) -> ImportReport:
        """Index the photos below the folder `images` with features that another program computed.

        file: of hloc, COLMAP, DELF or NumPy, whose names are relative to that folder; kind: "hloc",
        "colmap", "delf" or "npz", found out without it. name: what computed the features; without it what
        the store says, or "imported". A store that was opened with the options of an extractor takes them
        for that one's. training: of the vocabulary, where a new store is given none and none ships for such
        features.
        """
        report = importing.import_features(
            self.path,
            Path(file),
            Path(images),
            kind=kind,
            name=name,
            features=self._features,
            index=options,
            vocabulary=self._vocabulary,
            training=training,
            threads=self._threads,
            progress=progress,
        )
        self.refresh()
        return report

    def export_features(
        self, output: AnyPath, *, root: AnyPath | None = None, progress: Progress = silent
    ) -> int:
        """Write the features that the store keeps to a file of hloc's format; return of how many photos.

        root: the folder that names in the file are relative to, the collection's without it.
        """
        folder = Path(root) if root is not None else None
        return exporting.export_features(self.snapshot, Path(output), root=folder, progress=progress)

    def remove(self, paths: Paths = (), *, missing: bool = False) -> int:
        """Remove photos, and all those below folders, from the collection; return how many.

        paths: where they are or were on disk. missing: also all photos whose file is gone.
        """
        count = indexing.remove_photos(self.path, _path_list(paths), missing=missing)
        self.refresh()
        return count

    def query(
        self,
        photo: AnyPath,
        *,
        roi: Box | None = None,
        verify: bool | None = None,
        top: int | None = None,
        options: QueryOptions | None = None,
    ) -> QueryResult:
        """Rank the photos by how likely they show what this photo shows.

        roi: a box (x1, y1, x2, y2) in pixels of the upright photo; only features whose centre lies
        in it are searched with. verify, top: override those of `options`.
        """
        options = options or QueryOptions()
        if verify is not None:
            options = replace(options, verify=verify)
        if top is not None:
            options = replace(options, top=top)
        return searching.query_photo(self.snapshot, Path(photo), options, _region(roi), self._threads)

    def build_vocabulary(
        self,
        paths: Paths = (),
        options: VocabularyOptions | None = None,
        *,
        from_store: AnyPath | None = None,
        output: AnyPath | None = None,
        progress: Progress = silent,
    ) -> VocabularyReport:
        """Train a vocabulary on the photos at these paths and make it the store's own.

        from_store: train on the kept features of this store's photos, beside those of `paths`, which are
        described as its photos are where nothing else is said. output: write the vocabulary to this file
        and leave the store alone. The photos of the store are given their new words from their kept
        features. Photos that the store holds unchanged are not described again. A training that was
        interrupted goes on when it is asked for again.
        """
        kept = self.snapshot if self.exists else None
        source = open_snapshot(Path(from_store)) if from_store is not None else None
        otherwise = FeatureOptions() if source is None else stored_options(source.manifest)
        if output is None:
            features = vocabularies.feature_options(self.path, self._features, otherwise)
            reindexing.require_kept_features(self.path)  # said before the work, not after
            target = self.path / "vocabulary"
        else:
            features = self._features or otherwise
            target = Path(os.path.abspath(output))
        request = vocabularies.request_vocabulary(
            _path_list(paths),
            options or VocabularyOptions(),
            features,
            kept=kept,
            source=source,
        )
        with vocabularies.training_folder(target.with_name(f"{target.name}.training")) as folder:
            report = vocabularies.train_vocabulary(request, folder, threads=self._threads, progress=progress)
            if output is not None:
                write_vocabulary(target, report.tree)
                return report
            reindexed = vocabularies.give_vocabulary(self.path, report.tree, features, progress=progress)
        self.refresh()
        return replace(report, reindexed=reindexed)

    def build_vlad(self, output: AnyPath, options: VladTraining | None = None) -> VladModel:
        """Learn from this store's photos what makes one vector of a photo's features, and write that file.

        The store must keep its features. Vectors of other photos are made with the file: name it in
        :class:`~handcraft.options.IndexOptions`.
        """
        return vlad.build_vlad(self.snapshot, Path(output), options or VladTraining(), threads=self._threads)

    def evaluate(
        self,
        queries: AnyPath,
        ground_truth: AnyPath,
        *,
        options: QueryOptions | None = None,
        progress: Progress = silent,
    ) -> EvaluationReport:
        """Run the queries of a ground truth and measure the rankings.

        queries: the folder of the query photos. ground_truth: a folder of Oxford text files, or a
        JSON file {query: [relevant photos]}.
        """
        return evaluating.evaluate_store(
            self.snapshot,
            Path(queries),
            Path(ground_truth),
            options or QueryOptions(),
            self._threads,
            progress,
        )

    def pairs(
        self,
        output: AnyPath,
        *,
        root: AnyPath | None = None,
        options: PairsOptions | None = None,
        progress: Progress = silent,
    ) -> PairsReport:
        """Search with each photo of the store, and write which photos it is verified with to a text file.

        The file has two names a line, as COLMAP and hloc read them, relative to the folder `root`, the
        collection's without it; each pair is written once. A run that was interrupted goes on when it is
        asked for again.
        """
        return pairing.write_pairs(
            self.snapshot,
            Path(os.path.abspath(output)),
            options or PairsOptions(),
            root=Path(root) if root is not None else None,
            threads=self._threads,
            progress=progress,
        )

    def optimize(self, *, progress: Progress = silent) -> OptimizeReport:
        """Merge segments into as few as they fit, and drop removed photos for good."""
        report = indexing.optimize(self.path, progress=progress)
        self.refresh()
        return report

    def check(self, *, progress: Progress = silent) -> CheckReport:
        """Read every byte and prove the store whole, or say what is broken."""
        return checking.check(self.path, progress=progress)

    def info(self) -> StoreInfo:
        """What the store holds."""
        return checking.info(self.snapshot)


def open(
    store: AnyPath = ".handcraft",
    *,
    features: FeatureOptions | None = None,
    vocabulary: AnyPath | None = None,
    threads: int = 0,
) -> Store:
    """Open a store, or name the folder in which the first `add` will make one.

    features: how photos are described; a store that exists must have been made in the same way.
    vocabulary: a vocabulary file for a new store, the shipped one without it. threads: photos
    handled at once, 0 takes one per processor.
    """
    path = Path(os.path.abspath(store))
    return Store(path, features, Path(vocabulary) if vocabulary is not None else None, threads)


def _region(roi: Box | None) -> RegionOfInterest | None:
    if roi is None or isinstance(roi, RegionOfInterest):
        return roi
    try:
        x1, y1, x2, y2 = (float(side) for side in roi)
    except (TypeError, ValueError) as error:
        raise HandcraftError(f"The region {roi!r} is not x1, y1, x2, y2, four numbers in pixels.") from error
    return RegionOfInterest(x1, y1, x2, y2)


def _path_list(paths: Paths) -> Sequence[Path]:
    if isinstance(paths, (str, os.PathLike)):
        return [Path(paths)]
    return [Path(path) for path in paths]
