"""Collecting the descriptors that a vocabulary is trained on: from kept features, and from photos."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handcraft.engine.indexing import photo_name
from handcraft.engine.kept import KeptFeatures
from handcraft.engine.reporting import Progress
from handcraft.engine.snapshot import Snapshot
from handcraft.engine.writing import stored_options
from handcraft.errors import PhotoError, StoreError, VocabularyError
from handcraft.features.extraction import extract_photos
from handcraft.features.registry import fingerprint_of
from handcraft.options import FeatureOptions, VocabularyOptions
from handcraft.storage.hdf5 import read_arrays, write_arrays
from handcraft.vocabulary.sample import DescriptorSample

KIND = "sample"
SAMPLE_FILE = "sample.h5"


@dataclass(frozen=True)
class CollectedSample:
    """A sample of descriptors (n, d) and where it is from. photos: that gave descriptors; reused: those
    of them whose kept features were taken; unreadable: one error for each photo without."""

    descriptors: NDArray[np.generic]
    photos: int
    reused: int
    unreadable: tuple[PhotoError, ...]


def collect(
    paths: Sequence[Path],
    options: VocabularyOptions,
    features: FeatureOptions,
    *,
    kept: Snapshot | None,
    source: Snapshot | None,
    folder: Path,
    threads: int,
    progress: Progress,
) -> CollectedSample:
    """At most `options.sample` descriptors, drawn at random from all of these photos.

    paths: of photos. kept: a store that may hold the features of some of them. source: a store of which
    all photos count. folder: keeps the sample, so that an interrupted training finds it again.
    """
    key = _key(paths, options, features, source)
    before = _load(folder, key)
    if before is not None:
        return before
    space = fingerprint_of(features)
    most = len(paths) * features.max_features
    if source is not None:
        most += len(source.collection) * stored_options(source.manifest).max_features
    # The sample's memory is asked for in advance; that of ten million long descriptors is more than there is.
    sample = DescriptorSample(min(options.sample, most), space.dimension, space.dtype, options.seed)
    reused = 0
    if source is not None:
        reused = _add_all(source, sample, progress)
        paths = [p for p in paths if photo_name(p, source.root) not in source.collection.ids]
    missing: Sequence[Path] = paths
    if kept is not None and fingerprint_of(stored_options(kept.manifest)) == space:
        missing = _add_those_of(kept, paths, sample, progress)
        reused += len(paths) - len(missing)
    unreadable = []
    extractions = extract_photos(((path, path.name) for path in missing), features, threads)
    for done, extraction in enumerate(extractions, 1):
        if extraction.error is not None:
            unreadable.append(extraction.error)
        if extraction.features is not None:
            sample.add(extraction.features.descriptors)
        progress("extracting", done, len(missing))
    photos = reused + len(missing) - len(unreadable)
    if not photos:
        raise VocabularyError("None of the photos could be read, so there is nothing to train on.")
    collected = CollectedSample(sample.descriptors(), photos, reused, tuple(unreadable))
    _save(folder, key, collected)
    return collected


def _add_those_of(
    kept: Snapshot, paths: Sequence[Path], sample: DescriptorSample, progress: Progress
) -> list[Path]:
    """Add the kept descriptors of the photos at these paths to a sample; return the paths without any."""
    missing, features = [], KeptFeatures(kept)
    for done, path in enumerate(paths, 1):
        image_id = _unchanged(kept, path)
        found = None if image_id is None else features.of(image_id)
        if found is None:
            missing.append(path)
        else:
            sample.add(found.descriptors)
        progress("reading", done, len(paths))
    return missing


def _unchanged(snapshot: Snapshot, path: Path) -> int | None:
    """The image id of the photo at a path, if it is as it was indexed."""
    image_id = snapshot.collection.ids.get(photo_name(path, snapshot.root))
    if image_id is None:
        return None
    known = snapshot.photo(image_id)
    try:
        status = path.stat()
    except OSError:
        return None
    same = (status.st_size, status.st_mtime_ns) == (known.file_size, known.modified_ns)
    return image_id if same else None


def _add_all(source: Snapshot, sample: DescriptorSample, progress: Progress) -> int:
    """Add the descriptors of all live photos to a sample; return how many photos these are."""
    features, ids = KeptFeatures(source), source.collection.ids.values()
    for done, image_id in enumerate(ids, 1):
        found = features.of(image_id)
        assert found is not None  # the callers have made sure
        sample.add(found.descriptors)
        progress("reading", done, len(ids))
    return len(ids)


# --- the sample on disk ---


def _key(
    paths: Sequence[Path],
    options: VocabularyOptions,
    features: FeatureOptions,
    source: Snapshot | None,
) -> str:
    """What a sample depends on, as a digest."""
    facts: list[object] = [options.sample, options.seed, asdict(features)]
    facts.append(asdict(source.manifest) if source is not None else None)
    for path in paths:
        try:
            status = path.stat()
            facts.append([os.fspath(path), status.st_size, status.st_mtime_ns])
        except OSError:
            facts.append([os.fspath(path)])
    return hashlib.blake2b(json.dumps(facts).encode(), digest_size=16).hexdigest()


def _load(folder: Path, key: str) -> CollectedSample | None:
    """The sample of an interrupted training with this key."""
    try:
        file = read_arrays(folder / SAMPLE_FILE, KIND)
        facts = file.attributes
        if facts["key"] != key:
            return None
        unreadable = tuple(PhotoError(text) for text in json.loads(str(facts["unreadable"])))
        return CollectedSample(file["descriptors"], int(facts["photos"]), int(facts["reused"]), unreadable)
    except (StoreError, KeyError, ValueError):
        return None


def _save(folder: Path, key: str, collected: CollectedSample) -> None:
    write_arrays(
        folder / SAMPLE_FILE,
        KIND,
        {"descriptors": [collected.descriptors]},
        {
            "key": key,
            "photos": collected.photos,
            "reused": collected.reused,
            "unreadable": json.dumps([str(error) for error in collected.unreadable]),
        },
    )
