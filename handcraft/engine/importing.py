"""Features that other programs computed: photos are indexed by them, and asked for with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from handcraft.engine.indexing import (
    AddReport,
    add_described,
    no_photos,
    photo_name,
    require_same_vocabulary,
)
from handcraft.engine.reindexing import add_method
from handcraft.engine.reporting import Progress, silent
from handcraft.engine.snapshot import Snapshot, open_snapshot
from handcraft.engine.writing import create, require_same_features, stored_options, writer
from handcraft.errors import FeatureFileError, FingerprintError, PhotoError, VocabularyError
from handcraft.features.discovery import Discovery, find_photos
from handcraft.features.extraction import Extraction, Item, available_threads
from handcraft.features.images import read_facts
from handcraft.features.registry import are_points, fingerprint_of
from handcraft.options import IMPORTED, FeatureOptions, IndexOptions, VocabularyOptions
from handcraft.storage.exchange import ForeignFeatures, ForeignFile, find_name, open_foreign, require_space
from handcraft.storage.manifest import MANIFEST_FILE, read_manifest
from handcraft.types import Features, Fingerprint, Photo, scale_coordinates
from handcraft.vocabulary.files import read_vocabulary, shipped_vocabulary
from handcraft.vocabulary.sample import DescriptorSample
from handcraft.vocabulary.training import check_options, train
from handcraft.vocabulary.tree import VocabularyTree

POINT_RADIUS = 8.0  # pixels of the circle that is drawn about a point whose size is not known
_REMEDY = (
    "say what computed them with --name, or with --extractor where handcraft did, as the store says, or make "
    "another store with --store."
)
BEYOND = 2.0  # pixels beyond the outermost that a point may be
FEATURES_A_WORD = 10  # of a vocabulary that is trained on what is imported
ASPECT = 0.01  # by which the sides of a photo and of the one that the file speaks of may be out of proportion


@dataclass(frozen=True)
class ImportReport:
    """What `import_features` did. added: see AddReport; its unreadable photos are also those that the file
    does not have, or has other photos' features for. unused: photos of the file that are not in the folder.
    trained: words of the vocabulary that was trained on the features, 0 where there was one already. points:
    whether nothing but the features' places is known."""

    added: AddReport
    unused: int
    trained: int
    points: bool


@dataclass(frozen=True)
class _Source:
    """A file of features, which of its names means each photo, by path, and the photos that it lacks."""

    file: ForeignFile
    names: dict[Path, str]
    lacking: tuple[Path, ...]


def import_features(
    store: Path,
    file: Path,
    images: Path,
    *,
    kind: str = "",
    name: str = "",
    features: FeatureOptions | None = None,
    index: IndexOptions | None = None,
    vocabulary: Path | None = None,
    training: VocabularyOptions | None = None,
    threads: int = 0,
    progress: Progress = silent,
) -> ImportReport:
    """Index the photos below a folder with the features that a file has for them.

    images: the folder that the names of the file are relative to. kind: see open_foreign. name: what
    computed the features: descriptors of other names are never compared; without it the store's, or
    "imported". features: the options of an extractor of handcraft's own that computed them, in place of a
    name; queries are then described by it. vocabulary: of a new store; where there is none, and none ships
    for such features, one is trained on them as `training` says, where 0 words are a tenth of the features.
    All of the file is read before anything is added. Raises HandcraftError where nothing can be done at all.
    """
    source, errors = _matched(open_foreign(file, kind), images)
    options = _options(source, name, features, _stored(store))
    most = _read_all(source, fingerprint_of(options), progress)
    with writer(store, "import-features"):
        trained = 0
        if not (store / MANIFEST_FILE).exists():
            tree = _known_vocabulary(options, vocabulary)
            if tree is None:
                space = fingerprint_of(options)
                tree = _trained(source, space, _training(training, most), threads, progress)
                trained = tree.words
            create(store, options, tree, index)
        snapshot = open_snapshot(store)
        require_same_features(store, snapshot.manifest, options, _REMEDY)
        if vocabulary is not None:
            require_same_vocabulary(snapshot, vocabulary)
        index = index or IndexOptions()
        snapshot = add_method(snapshot, index, threads=threads, progress=progress)
        wanted = Discovery(tuple(source.names), (*errors, *_unknown(source, snapshot)))
        report = add_described(snapshot, wanted, _describing(source, options), index, threads, progress)
    used = len(set(source.names.values()))
    points = are_points(fingerprint_of(options))
    return ImportReport(report, len(source.file.names) - used, trained, points)


def _matched(file: ForeignFile, images: Path) -> tuple[_Source, tuple[PhotoError, ...]]:
    """The photos below a folder that a file has features for, and what cannot be looked into there; raises
    FeatureFileError where it has none for any."""
    found = find_photos([images])
    if images.is_file():
        raise PhotoError(
            f"{images} is no folder; name the folder that the names of {file.path} are relative to."
        )
    if not found.photos:
        raise found.errors[0] if found.errors else no_photos([images])
    known = set(file.names)
    names = {path: find_name(known, photo_name(path, images)) for path in found.photos}
    matched = {path: name for path, name in names.items() if name is not None}
    if not matched:
        raise FeatureFileError(
            f"None of the {len(file.names)} photos of {file.path}, such as {file.names[0]}, is below "
            f"{images}, which has {len(names)} such as {photo_name(found.photos[0], images)}; "
            "name the folder that the file's names are relative to."
        )
    lacking = tuple(path for path in names if path not in matched)
    return _Source(file, matched, lacking), found.errors


def _unknown(source: _Source, snapshot: Snapshot) -> list[PhotoError]:
    """An error for each photo that neither the file nor the store has features of."""
    known = snapshot.collection.ids
    return [
        PhotoError(f"{source.file.path} has no features for {path}.")
        for path in source.lacking
        if photo_name(path, snapshot.root) not in known
    ]


def _training(asked: VocabularyOptions | None, features: int) -> VocabularyOptions:
    """How a vocabulary is trained on so many features, of which it has a tenth as many words where none are
    asked for."""
    asked = asked or VocabularyOptions(words=0)
    words = asked.words or max(2, min(VocabularyOptions.words, features // FEATURES_A_WORD))
    return replace(asked, words=words, sample=min(asked.sample, features))


def _stored(store: Path) -> FeatureOptions | None:
    """What a store that exists says of features that were imported to it, None of any other."""
    if not (store / MANIFEST_FILE).exists():
        return None
    options = stored_options(read_manifest(store))
    return options if options.extractor == IMPORTED else None


def _options(
    source: _Source, name: str, features: FeatureOptions | None, stored: FeatureOptions | None
) -> FeatureOptions:
    """The options that say what the features of a file are; raises FingerprintError where they are not those
    of the extractor that is named. stored: what they are where nothing else is said."""
    first = _first(source)
    dimension, dtype = first.descriptors.shape[1], _dtype(first)
    if features is None or features.extractor == IMPORTED:
        name = name or str(stored.settings["name"] if stored else IMPORTED)
        settings = {"name": name, "dimension": dimension, "dtype": dtype, "shapes": first.shapes is not None}
        return replace(features or stored or FeatureOptions(), extractor=IMPORTED, settings=settings)
    if name:
        raise FingerprintError(
            f"The features are said to be those of {name} and of the extractor {features.extractor}; leave "
            "--name or --extractor out."
        )
    asked = fingerprint_of(features)
    if (asked.dimension, asked.dtype) != (dimension, dtype) or (
        first.shapes is None and not are_points(asked)
    ):
        kind = "points" if first.shapes is None else "features"
        raise FingerprintError(
            f"{source.file.path} has {kind} of {dimension} x {dtype}, the extractor gives {asked}; leave "
            "--extractor out, and say what computed them with --name."
        )
    return features


def _read_all(source: _Source, space: Fingerprint, progress: Progress) -> int:
    """How many features the photos have; raises FeatureFileError for what is wrong with those of any, before
    one is added to a store."""
    count = 0
    for done, name in enumerate(source.names.values(), 1):
        count += len(_of_space(source.file, name, space))
        progress("reading", done, len(source.names))
    return count


def _first(source: _Source) -> ForeignFeatures:
    """Those of the first photo that has any."""
    for name in source.names.values():
        features = source.file.read(name)
        if len(features):
            return features
    raise FeatureFileError(f"{source.file.path} has photos without features only; compute them again.")


def _dtype(features: ForeignFeatures) -> str:
    """What descriptors are kept as: bytes, or float32."""
    return "uint8" if features.descriptors.dtype == np.uint8 else "float32"


def _known_vocabulary(options: FeatureOptions, path: Path | None) -> VocabularyTree | None:
    """The vocabulary that is named for a new store, or the one that ships for such features, if any."""
    if path is not None:
        return read_vocabulary(path)
    try:
        return read_vocabulary(shipped_vocabulary(options.extractor, options.descriptor))
    except VocabularyError:
        return None


def _trained(
    source: _Source, space: Fingerprint, training: VocabularyOptions, threads: int, progress: Progress
) -> VocabularyTree:
    check_options(training)
    sample = DescriptorSample(training.sample, space.dimension, space.dtype, training.seed)
    for name in source.names.values():
        sample.add(_of_space(source.file, name, space).descriptors)
    return train(
        sample.descriptors(),
        space,
        training,
        source=source.file.path.name,
        photos=len(source.names),
        threads=threads or available_threads(),
        progress=lambda done, total: progress("training", done, total),
    )


def _describing(source: _Source, options: FeatureOptions) -> Callable[[Iterable[Item]], Iterator[Extraction]]:
    """What gives the features of photos by their paths and names."""
    space = fingerprint_of(options)

    def describe(items: Iterable[Item]) -> Iterator[Extraction]:
        for path, name in items:
            try:
                photo, own = read_facts(path, name), source.names[path]
                features = _features(source.file, own, photo, space, options.max_features)
                yield Extraction(path, photo, features)
            except PhotoError as error:
                yield Extraction(path, error=error)

    return describe


def query_features_of(path: Path, options: FeatureOptions, file: Path) -> tuple[Photo, Features]:
    """The features of a query that a file of another program has: of the photo at a path, by its name, with
    as many of its folders as it takes. Raises FeatureFileError, PhotoError or FingerprintError."""
    foreign = open_foreign(file)
    parts, known = PurePosixPath(path.absolute().as_posix()).parts, set(foreign.names)
    tails = (find_name(known, "/".join(parts[start:])) for start in range(1, len(parts)))
    name = next((tail for tail in tails if tail is not None), None)
    if name is None:
        raise FeatureFileError(
            f"{file} has no features for {path}; its {len(foreign.names)} photos have names such as "
            f"{foreign.names[0]}."
        )
    photo = read_facts(path)
    return photo, _features(foreign, name, photo, fingerprint_of(options), options.max_features)


def _features(file: ForeignFile, name: str, photo: Photo, space: Fingerprint, most: int) -> Features:
    """The strongest features of a photo, in its pixels; raises PhotoError for those of another photo."""
    found = _of_space(file, name, space).strongest_first()
    width, height = photo.width, photo.height
    frames = found.frames(POINT_RADIUS)
    if found.width and (found.width, found.height) != (width, height):
        factors = np.array([width / found.width, height / found.height], np.float32)
        if abs(factors[0] / factors[1] - 1) > ASPECT:
            raise PhotoError(
                f"{file.path} has features of {found.width} x {found.height} pixels for {name}, but "
                f"{photo.name} has {width} x {height}; they are of another photo, or of one that was not "
                "turned as its EXIF says."
            )
        frames[:, :, :2] *= factors[:, None]
        frames[:, :, 2] = scale_coordinates(frames[:, :, 2], factors)
    features = Features(frames, found.descriptors, width, height)
    across = np.array([width, height]) - 0.5 + BEYOND
    if ((features.centres < -0.5 - BEYOND) | (features.centres > across)).any():
        raise PhotoError(
            f"{file.path} has features for {name} that are outside the {width} x {height} pixels of "
            f"{photo.name}; they are of another photo or size, or of one that was not turned as its EXIF "
            "says."
        )
    return features.head(most)


def _of_space(file: ForeignFile, name: str, space: Fingerprint) -> ForeignFeatures:
    """The features of a photo, whose descriptors are those of a space; raises FeatureFileError."""
    found = file.read(name)
    if not len(found):
        return replace(found, shapes=None, descriptors=np.empty((0, space.dimension), space.dtype))
    with np.errstate(over="ignore"):
        descriptors = found.descriptors.astype(_dtype(found), copy=False)
    if not np.isfinite(descriptors).all():
        raise FeatureFileError(
            f"{file.path} has descriptors that float32 cannot hold for {name}; compute its features again."
        )
    found = replace(found, descriptors=descriptors)
    require_space(file.path, name, found, space.dimension, space.dtype)
    if found.shapes is None and not are_points(space):
        raise FeatureFileError(
            f"{file.path} has only points for {name}, and no shapes as of the other photos; compute "
            "all of them in the same way."
        )
    return found
