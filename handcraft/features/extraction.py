"""Features of one photo, and of many on several threads."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2

from handcraft.errors import PhotoError
from handcraft.features.extractor import Found
from handcraft.features.images import read_photo
from handcraft.features.registry import extractor_of, find
from handcraft.options import FeatureOptions
from handcraft.types import Features, Photo

Item = tuple[Path, str]  # where a photo is, and its name


@dataclass(frozen=True)
class Extraction:
    """One photo's features, or the error that kept them from being extracted."""

    path: Path
    photo: Photo | None = None
    features: Features | None = None
    error: PhotoError | None = None


def extract_photo(path: Path, options: FeatureOptions, name: str = "") -> tuple[Photo, Features]:
    """Read a photo and extract its features; raises PhotoError."""
    photo, found = find_features(path, options, name)
    return photo, found.describe(0.0, options.max_features, None)


def find_features(path: Path, options: FeatureOptions, name: str = "") -> tuple[Photo, Found]:
    """Read a photo and detect its features, not yet described; raises PhotoError."""
    decoded = read_photo(path, options.max_size, name, extractor_of(options).colour)
    return decoded.photo, find([decoded], options)[0]


def extract_photos(photos: Iterable[Item], options: FeatureOptions, threads: int = 0) -> Iterator[Extraction]:
    """The features of (path, name) pairs, in their order, whatever the number of threads.

    threads: batches of photos extracted at once; 0 takes one per processor. Each batch, of as many photos
    as the extractor asks for, is one thread's work, and at most twice as many batches as threads are held
    in memory. Raises ExtractorError where the extractor does not keep its word.
    """
    workers = threads or available_threads()
    extractor = extractor_of(options)
    with opencv_threads(1), ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[list[Extraction]]] = deque()
        try:
            for batch in _batches(photos, extractor.batch_size):
                waiting.append(pool.submit(_extract_batch, batch, options))
                if len(waiting) >= 2 * workers:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _batches(photos: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items in lists of so many."""
    rest = iter(photos)
    while batch := list(islice(rest, size)):
        yield batch


def _extract_batch(batch: Sequence[Item], options: FeatureOptions) -> list[Extraction]:
    """The features of a few photos that are found together, in their order."""
    try:
        colour = extractor_of(options).colour
        decoded = [read_photo(path, options.max_size, name, colour) for path, name in batch]
        described = [one.describe(0.0, options.max_features, None) for one in find(decoded, options)]
    except (PhotoError, MemoryError, cv2.error) as error:
        if len(batch) > 1:  # which of them it is of shows when each is alone
            return [extraction for item in batch for extraction in _extract_batch([item], options)]
        path = batch[0][0]
        return [Extraction(path, error=_photo_error(path, error))]
    return [
        Extraction(path, photo.photo, features)
        for (path, _), photo, features in zip(batch, decoded, described, strict=True)
    ]


def _photo_error(path: Path, error: PhotoError | MemoryError | cv2.error) -> PhotoError:
    if isinstance(error, PhotoError):
        return error
    reason = "there is too little memory for it" if isinstance(error, MemoryError) else str(error).strip()
    return PhotoError(f"{path} cannot be described: {reason}.")


def available_threads() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def opencv_threads(count: int) -> Iterator[None]:
    """Let OpenCV use `count` threads inside the ``with`` block."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(count)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
