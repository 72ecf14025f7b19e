"""Descriptors of many photos → words."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from handcraft.features.extraction import available_threads
from handcraft.types import Features
from handcraft.vocabulary.assignment import assign
from handcraft.vocabulary.tree import VocabularyTree


def assign_all(
    features: Sequence[Features], vocabulary: VocabularyTree, threads: int
) -> list[NDArray[np.int32]]:
    """The nearest word of every feature of every photo, photos in parallel."""
    with ThreadPoolExecutor(threads or available_threads()) as pool:
        assignments = pool.map(lambda photo: assign(photo.descriptors, vocabulary), features)
        return [assignment.words[:, 0] for assignment in assignments]
