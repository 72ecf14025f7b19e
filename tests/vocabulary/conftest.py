"""What the tests of the second stage share: descriptors, and trees grown by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from handcraft.types import Fingerprint
from handcraft.vocabulary.tree import Training, VocabularyTree

MakeTree = Callable[..., VocabularyTree]
MakeDescriptors = Callable[..., NDArray[np.generic]]


@pytest.fixture(scope="session")
def make_tree() -> MakeTree:
    """A function from child counts and (m, d) centroids, at random unless given, to a tree."""

    def make(
        child_counts: Sequence[int],
        centroids: NDArray[np.generic] | None = None,
        *,
        dimension: int = 4,
        dtype: str = "uint8",
        seed: int = 0,
    ) -> VocabularyTree:
        if centroids is None:
            generator = np.random.default_rng(seed)
            centroids = generator.integers(0, 256, (len(child_counts), dimension)).astype(dtype)
        space = Fingerprint("test", centroids.shape[1], str(centroids.dtype))
        training = Training("made by hand", 3, 1000, 12.5, {"words": 7, "tolerance": 0.25})
        return VocabularyTree.of(centroids, np.array(child_counts, np.uint32), space, training)

    return make


@pytest.fixture(scope="session")
def distinct() -> MakeDescriptors:
    """A function that makes (n, d) descriptors of which no two are equal."""

    def make(count: int, dimension: int = 8, *, dtype: str = "uint8", seed: int = 0) -> NDArray[np.generic]:
        generator = np.random.default_rng(seed)
        several = np.unique(generator.integers(0, 256, (2 * count, dimension)), axis=0)
        return generator.permutation(several)[:count].astype(dtype)

    return make
