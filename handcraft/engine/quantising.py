"""Descriptors of many photos → words, and what methods of voting keep beside them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from handcraft.engine.methods import encoder_of, signature_options, vlad_options
from handcraft.features.extraction import available_threads
from handcraft.index.segment import Segment, with_signatures
from handcraft.index.vectors import Vectors
from handcraft.storage.manifest import Manifest
from handcraft.types import Features
from handcraft.vocabulary.assignment import assign
from handcraft.vocabulary.tree import VocabularyTree
from handcraft.vocabulary.vlad import VladModel


def assign_all(
    features: Sequence[Features], vocabulary: VocabularyTree, threads: int
) -> list[NDArray[np.int32]]:
    """The nearest word of every feature of every photo, photos in parallel."""
    with ThreadPoolExecutor(threads or available_threads()) as pool:
        assignments = pool.map(lambda photo: assign(photo.descriptors, vocabulary), features)
        return [assignment.words[:, 0] for assignment in assignments]


def complete_segment(
    segment: Segment,
    features: Sequence[Features],
    words: Sequence[NDArray[np.integer]],
    manifest: Manifest,
    tree: VocabularyTree,
    model: VladModel | None,
    threads: int,
) -> Segment:
    """The segment of photos with these features and words, with what the methods of a manifest keep.

    model: of a store that votes by vectors.
    """
    segment = with_signatures(segment, features, words, encoder_of(signature_options(manifest), tree))
    options = vlad_options(manifest)
    if options is None:
        return segment
    assert model is not None  # the manifest names it
    vectors = _vectors(features, model, options.dimension, threads)
    return replace(segment, vectors=Vectors.of(vectors, options.half))


def _vectors(
    features: Sequence[Features], model: VladModel, dimension: int, threads: int
) -> NDArray[np.float32]:
    """(n, dimension): the vector of every photo, photos in parallel."""
    with ThreadPoolExecutor(threads or available_threads()) as pool:
        vectors = pool.map(lambda photo: model.vector(photo.descriptors, dimension), features)
        return np.array(list(vectors), np.float32).reshape(-1, dimension)
