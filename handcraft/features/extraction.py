"""Features of one photo, and of many on several threads."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2

from handcraft.errors import PhotoError
from handcraft.features.description import Found
from handcraft.features.images import read_grey
from handcraft.features.registry import extract, find
from handcraft.options import FeatureOptions
from handcraft.types import Features, Photo


@dataclass(frozen=True)
class Extraction:
    """One photo's features, or the error that kept them from being extracted."""

    path: Path
    photo: Photo | None = None
    features: Features | None = None
    error: PhotoError | None = None


def extract_photo(path: Path, options: FeatureOptions, name: str = "") -> tuple[Photo, Features]:
    """Read a photo and extract its features; raises PhotoError."""
    decoded = read_grey(path, options.max_size, name)
    return decoded.photo, extract(decoded, options)


def find_features(path: Path, options: FeatureOptions) -> tuple[Photo, Found]:
    """Read a photo and detect its features, not yet described; raises PhotoError."""
    decoded = read_grey(path, options.max_size)
    return decoded.photo, find(decoded, options)


def extract_photos(
    photos: Iterable[tuple[Path, str]], options: FeatureOptions, threads: int = 0
) -> Iterator[Extraction]:
    """The features of (path, name) pairs, in their order, whatever the number of threads.

    threads: photos extracted at once; 0 takes one per processor. Each photo is one thread's work,
    and at most twice as many photos as threads are held in memory.
    """

    def extract_one(path: Path, name: str) -> Extraction:
        try:
            photo, features = extract_photo(path, options, name)
            return Extraction(path, photo, features)
        except PhotoError as error:
            return Extraction(path, error=error)
        except (MemoryError, cv2.error) as error:
            reason = "there is too little memory for it" if isinstance(error, MemoryError) else str(error)
            return Extraction(path, error=PhotoError(f"{path} cannot be described: {reason.strip()}."))

    workers = threads or available_threads()
    with opencv_threads(1), ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Extraction]] = deque()
        try:
            for path, name in photos:
                waiting.append(pool.submit(extract_one, path, name))
                if len(waiting) >= 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


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
