"""A data set of the literature, from its photos to figures: every stage is kept, and taken up again."""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from PIL import Image

from handcraft.engine.reporting import Progress, silent
from handcraft.engine.searching import query_photo
from handcraft.engine.snapshot import Snapshot
from handcraft.engine.store import Store
from handcraft.engine.store import open as open_store
from handcraft.errors import EvaluationError, HandcraftError
from handcraft.evaluation.datasets import Dataset, Material, open_dataset
from handcraft.evaluation.ground_truth import GroundTruthQuery, require_box_of
from handcraft.evaluation.protocols import EvaluationReport, precision_recall, score
from handcraft.features.discovery import find_photos
from handcraft.features.images import read_colour
from handcraft.features.plugins import EXTRACTORS, plugs
from handcraft.options import (
    FeatureOptions,
    IndexOptions,
    QueryOptions,
    VerificationOptions,
    VladOptions,
    VocabularyOptions,
)
from handcraft.storage.atomic import make_folder, write_atomically
from handcraft.storage.journal import Journal, key_of
from handcraft.storage.locks import writer_lock

LIBRARIES = ("handcraft", "numpy", "numba", "opencv-contrib-python", "h5py", "scikit-learn", "pillow")
WHOLE = 1 << 20  # pixels: no photo is so large
VLAD_DIMENSION = 128  # as published (Jégou & Chum 2012)


@dataclass(frozen=True)
class Ranking:
    """A way to rank. title: in tables."""

    title: str
    query: QueryOptions


DESCRIPTORS = VerificationOptions(pairing="descriptors")
RANKINGS = {
    "bow": Ranking("BoW", QueryOptions(method="bow")),
    "bow+sp": Ranking("BoW + SP", QueryOptions(method="bow", verify=True)),
    "vlad": Ranking(f"VLAD {VLAD_DIMENSION}-D", QueryOptions(method="vlad")),
    "asmk": Ranking("ASMK*", QueryOptions(method="asmk")),
    "asmk+sp": Ranking("ASMK* + SP", QueryOptions(method="asmk", verify=True)),
    "asmk+sp+hqe": Ranking("ASMK* + SP + HQE", QueryOptions(method="asmk", expand="hqe")),
    "exhaustive": Ranking(
        "exhaustive matching", QueryOptions(method="asmk", verify=True, verification=DESCRIPTORS)
    ),
}


@dataclass(frozen=True)
class BenchmarkOptions:
    """What is measured.

    rankings: of RANKINGS. extractors: by their names. train: folders of other photos to train each
    extractor's vocabulary on; the shipped one without any. words: of such a vocabulary.
    """

    rankings: tuple[str, ...] = tuple(RANKINGS)
    extractors: tuple[str, ...] = ("hessian-affine",)
    train: tuple[Path, ...] = ()
    words: int = 1_000_000

    def __post_init__(self) -> None:
        _require_known("method", self.rankings, tuple(RANKINGS))
        _require_known("extractor", self.extractors, tuple(plugs(EXTRACTORS)))


def _require_known(kind: str, names: tuple[str, ...], known: tuple[str, ...]) -> None:
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise HandcraftError(
            f"There is no {kind} {unknown[0]!r}; the {kind}s are {', '.join(known)}."
            if unknown
            else f"No {kind} is named; the {kind}s are {', '.join(known)}."
        )


def run_benchmark(
    material: Material,
    folder: Path,
    options: BenchmarkOptions,
    *,
    threads: int = 0,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Index the photos, ask all queries in all ways, and return the figures, as plain JSON types.

    They are written to results.json in the folder, where the stores and the figures of each ranking are kept
    too: a run that was interrupted, or is asked for more, does only what is missing. Raises HandcraftError.
    """
    make_folder(folder)
    with writer_lock(folder, "benchmark", what="The benchmark in"):
        photos = _query_photos(material, folder / "queries")
        figures: dict[str, Any] = {}
        for extractor in options.extractors:
            run = _Run(material, photos, folder / extractor, options, extractor, threads, progress)
            figures[extractor] = {"store": run.prepared(), "rankings": run.measured()}
        results = {
            "data set": material.title,
            "photos": len(material.photos),
            "distractors": len(material.distractors),
            "queries": len(material.queries),
            "extractors": figures,
            "machine": {
                "processors": os.cpu_count(),
                "threads": threads or os.cpu_count(),
                "system": platform.system(),
                "python": platform.python_version(),
            },
            "versions": {library: importlib.metadata.version(library) for library in LIBRARIES},
        }
        write_atomically(folder / "results.json", (json.dumps(results, indent=1) + "\n").encode())
    return results


def open_material(dataset: Dataset, root: Path, distractors: tuple[Path, ...] = ()) -> Material:
    """The photos and queries of a data set below a folder, and those of other folders that only distract;
    raises EvaluationError for what is missing."""
    root = Path(os.path.abspath(root))
    found, asked = (
        find_photos([folder]).photos if folder.is_dir() else ()
        for folder in (root / dataset.photos, root / dataset.queries)
    )
    material = open_dataset(dataset, root, found, asked)
    if not distractors:
        return material
    found = find_photos([Path(os.path.abspath(folder)) for folder in distractors]).photos
    if not found:
        raise EvaluationError(f"There are no photos in {', '.join(map(str, distractors))} to distract with.")
    known = set(material.photos)
    return replace(material, distractors=tuple(photo for photo in found if photo not in known))


def _query_photos(material: Material, folder: Path) -> dict[str, Path]:
    """The photo of each query: itself, or what is in its region where that is cut out beforehand."""
    if not material.held_out:
        return material.queries
    make_folder(folder)
    cropped = {}
    for query in material.asked:
        cropped[query.name] = folder / f"{query.name}.png"
        write_atomically(cropped[query.name], _as_png(crop(material.queries[query.name], query)))
    return cropped


def crop(path: Path, query: GroundTruthQuery) -> Image.Image:
    """What the photo of a query shows in its region, upright, pixel by pixel; raises HandcraftError."""
    photo = Image.fromarray(read_colour(path, WHOLE))
    require_box_of(query, *photo.size)
    roi = query.roi
    if roi is None:
        return photo
    return photo.crop((round(roi.x1), round(roi.y1), round(roi.x2), round(roi.y2)))


def _as_png(picture: Image.Image) -> bytes:
    written = io.BytesIO()
    picture.save(written, "PNG")
    return written.getvalue()


class _Run:
    """One extractor's part of a benchmark, in a folder of its own."""

    def __init__(
        self,
        material: Material,
        photos: dict[str, Path],
        folder: Path,
        options: BenchmarkOptions,
        extractor: str,
        threads: int,
        progress: Progress,
    ) -> None:
        self._material, self._photos, self._folder = material, photos, folder
        self._options, self._threads, self._progress = options, threads, progress
        self._features = FeatureOptions(extractor=extractor)
        make_folder(folder)
        self._require_same_words()

    def _require_same_words(self) -> None:
        """Raise HandcraftError where the folder has a store of other words than are asked for."""
        train = [os.path.abspath(folder) for folder in self._options.train]
        key, path = key_of(train, self._options.words if train else 0), self._folder / "words"
        if not path.exists():
            write_atomically(path, key.encode())
        elif path.read_bytes() != key.encode():
            raise HandcraftError(
                f"The benchmark in {self._folder} was made with another vocabulary; give the same --train "
                "and --words, or another --output."
            )

    @property
    def _stages(self) -> Path:
        return self._folder / "stages.json"

    def _seconds(self) -> dict[str, float]:
        try:
            found: dict[str, float] = json.loads(self._stages.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        """Add what a stage takes to what it took before it was interrupted."""
        start = time.perf_counter()
        try:
            yield
        finally:
            seconds = self._seconds()
            seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - start
            write_atomically(self._stages, json.dumps(seconds).encode())

    def _vocabulary(self) -> Path | None:
        """The vocabulary of other photos, trained if it is not there; None for the shipped one."""
        if not self._options.train:
            return None
        path = self._folder / "vocabulary.h5"
        if not path.exists():
            nothing = open_store(self._folder / "none", features=self._features, threads=self._threads)
            words = VocabularyOptions(words=self._options.words)
            with self._timed("training"):
                nothing.build_vocabulary(self._options.train, words, output=path, progress=self._progress)
        return path

    def _store(self) -> Store:
        return open_store(
            self._folder / "store",
            features=self._features,
            vocabulary=self._vocabulary(),
            threads=self._threads,
        )

    def prepared(self) -> dict[str, Any]:
        """Index what is not indexed yet; return what that took, and the size of what came out."""
        store, vlad = self._store(), IndexOptions(method="vlad", vlad=VladOptions(dimension=VLAD_DIMENSION))
        everything = (*self._material.photos, *self._material.distractors)
        if len(store) != len(everything):
            with self._timed("indexing"):
                report = store.add(self._material.photos, progress=self._progress)
                if report.unreadable:
                    raise report.unreadable[0]
                if self._material.distractors:
                    store.add(self._material.distractors, progress=self._progress)
        if "vlad" in self._options.rankings and "vlad" not in store.snapshot.manifest.methods:
            with self._timed("vectors"):
                store.add(everything, options=vlad, progress=self._progress)
        info = store.info()
        return {
            "features": asdict(self._features),
            "words": info.words,
            "vocabulary": info.training.source if info.training else "",
            "seconds": self._seconds(),
            "bytes": {
                "index": sum(segment.index_bytes for segment in info.segments),
                "signatures": sum(segment.signatures_bytes for segment in info.segments),
                "vectors": sum(segment.vectors_bytes for segment in info.segments),
                "features": sum(segment.features_bytes for segment in info.segments),
            },
        }

    def measured(self) -> dict[str, Any]:
        """The figures of each ranking, those that are kept as they are."""
        snapshot = self._store().snapshot
        return {
            RANKINGS[name].title: self._kept_or_measured(name, RANKINGS[name].query, snapshot)
            for name in self._options.rankings
        }

    def _kept_or_measured(self, name: str, options: QueryOptions, snapshot: Snapshot) -> dict[str, Any]:
        """The figures of a ranking, from what an earlier run has found and what is asked for now."""
        options = replace(options, top=max(1, len(snapshot.collection)))
        if name == "exhaustive":
            everything = replace(options.verification, depth=len(snapshot.collection))
            options = replace(options, verification=everything)
        queries = self._material.asked
        asked = [(query.name, str(self._photos[query.name]), query.roi) for query in queries]
        key = key_of(asdict(snapshot.manifest), asdict(options), asked)
        journal = Journal(self._folder / f"{name}.jsonl", key)
        found = {query: (seconds, ids) for query, seconds, ids in journal.read()}
        for query in queries:
            if query.name not in found:
                roi = None if self._material.held_out else query.roi
                result = query_photo(snapshot, self._photos[query.name], options, roi, self._threads)
                if roi is not None:
                    require_box_of(query, result.width, result.height)
                found[query.name] = result.seconds["total"], [hit.image_id for hit in result.hits]
                journal.append([query.name, *found[query.name]])
            self._progress(f"{self._features.extractor}, {name}", len(found), len(queries))
        names = self._names(snapshot)
        rankings = {query: [names[image_id] for image_id in ids] for query, (_, ids) in found.items()}
        reports = {
            level: score(of_level, rankings, self._material.protocol, tuple(names.values()))
            for level, of_level in self._material.levels.items()
        }
        return {
            "query": asdict(options),
            "milliseconds": 1000 * fmean(seconds for seconds, _ in found.values()),
            "levels": {level: _plain(report) for level, report in reports.items()},
        }

    def _names(self, snapshot: Snapshot) -> dict[int, str]:
        """The photos by image id, as they are called from the folder of the data set."""
        return {
            image_id: Path(os.path.relpath(snapshot.root / name, self._material.root)).as_posix()
            for name, image_id in snapshot.collection.ids.items()
        }


def _plain(report: EvaluationReport) -> dict[str, Any]:
    return {
        "mAP": report.mean_average_precision,
        "mean precision": {str(k): report.mean_precision(k) for k in report.protocol.ranks},
        "precision at recall": precision_recall(report),
        "queries": {
            query.name: {
                "average precision": query.average_precision,
                "ranks": list(query.ranks),
                "positives": query.positives,
                "first": [list(photo) for photo in query.first],
            }
            for query in report.queries
        },
    }
