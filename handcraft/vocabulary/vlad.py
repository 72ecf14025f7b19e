"""VLAD: all descriptors of a photo as one vector (Jégou, Douze, Schmid & Pérez 2010).

The residuals of the descriptors to the nearest word of a small codebook are summed for each word; the
sums, one after the other, are projected on the axes in which the vectors of other photos vary most, and
whitened (Jégou & Chum 2012).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handcraft.errors import HandcraftError, StoreError, VocabularyError
from handcraft.options import VladTraining, VocabularyOptions
from handcraft.storage.hdf5 import read_arrays, write_arrays
from handcraft.types import Fingerprint
from handcraft.vocabulary.assignment import assign
from handcraft.vocabulary.files import origin_attributes, origin_of
from handcraft.vocabulary.training import train
from handcraft.vocabulary.tree import VocabularyTree

KIND = "vlad"
STEPS = 127  # largest int8
LEAST_VARIANCE = 1e-6  # of an axis, in that of the first


@dataclass(frozen=True)
class VladModel:
    """What makes vectors of descriptors, learned on other photos.

    codebook: of one level, k words. mean: (k·d,) float32, of the aggregates of the other photos.
    axes: (D, k·d) int8, those of the greatest variance first; steps: (D,) float32, what an axis is
    multiplied by to whiten.
    """

    codebook: VocabularyTree
    mean: NDArray[np.float32]
    axes: NDArray[np.int8]
    steps: NDArray[np.float32]
    training: VladTraining

    def __post_init__(self) -> None:
        numbers = self.codebook.words * self.codebook.fingerprint.dimension
        shapes = self.mean.shape, self.axes.shape, self.steps.shape
        kinds = [array.dtype.name for array in (self.mean, self.axes, self.steps)]
        if shapes != ((numbers,), (len(self.axes), numbers), (len(self.axes),)) or not len(self.axes):
            raise VocabularyError("The VLAD model is damaged: its axes do not fit its codebook.")
        finite = np.isfinite(self.mean).all() and np.isfinite(self.steps).all()
        if kinds != ["float32", "int8", "float32"] or not finite:
            raise VocabularyError("The VLAD model is damaged: its numbers are of another kind.")

    @property
    def dimension(self) -> int:
        """The most numbers that a vector can have."""
        return len(self.steps)

    def equals(self, other: VladModel) -> bool:
        """Whether both make the same vectors."""
        return (
            self.training.same_vectors(other.training)
            and self.codebook.fingerprint.same_space(other.codebook.fingerprint)
            and np.array_equal(self.codebook.centroids, other.codebook.centroids)
            and np.array_equal(self.axes, other.axes)
            and np.array_equal(self.steps, other.steps)
            and np.array_equal(self.mean, other.mean)
        )

    def vector(self, descriptors: NDArray[np.generic], dimension: int) -> NDArray[np.float32]:
        """(dimension,) float32 of unit length for the descriptors (n, d) of a photo; zeros without any."""
        aggregate = aggregate_residuals(descriptors, self.codebook, self.training)
        if not aggregate.any():
            return np.zeros(dimension, np.float32)
        whitened = (self.axes[:dimension] @ (aggregate - self.mean)) * self.steps[:dimension]
        return _unit(whitened)


def aggregate_residuals(
    descriptors: NDArray[np.generic], codebook: VocabularyTree, options: VladTraining
) -> NDArray[np.float32]:
    """(k·d,) float32 of unit length: the sums of the residuals of descriptors (n, d) to their words; zeros
    without any."""
    centroids = codebook.centroids_of(codebook.leaves).astype(np.float32)
    sums = np.zeros_like(centroids)
    words = assign(descriptors, codebook).words[:, 0]
    order = np.argsort(words, kind="stable")
    ordered = words[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    if len(starts):
        residuals = descriptors[order].astype(np.float32) - centroids[ordered]
        if options.residual_norm:
            residuals = _unit(residuals)
        sums[ordered[starts]] = np.add.reduceat(residuals, starts)
    sums = np.sign(sums) * np.abs(sums) ** np.float32(options.power)
    if options.intra:
        sums = _unit(sums)
    return _unit(sums.reshape(-1))


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each of the vectors (…, d) divided by its length; zeros stay."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)


def learn_vlad(
    photos: Sequence[NDArray[np.generic]],
    fingerprint: Fingerprint,
    options: VladTraining,
    *,
    source: str,
    threads: int,
) -> VladModel:
    """Learn a model from the descriptors (n, d) of photos; raises VocabularyError.

    The same photos give the same codebook; the axes are those of scikit-learn's PCA.
    """
    chosen = [photos[i] for i in np.linspace(0, len(photos) - 1, min(len(photos), options.photos), dtype=int)]
    if len(chosen) <= options.dimension:
        raise VocabularyError(
            f"{len(chosen):,} photos are too few to learn {options.dimension} dimensions from; give more "
            "photos or a smaller --dimension."
        )
    codebook = _codebook(photos, fingerprint, options, source, threads)
    numbers = codebook.words * fingerprint.dimension
    if numbers < options.dimension:
        raise VocabularyError(
            f"Aggregates of {codebook.words} words have {numbers} numbers, fewer than the "
            f"{options.dimension} dimensions; give a smaller --dimension or more --words."
        )
    aggregates = np.stack([aggregate_residuals(photo, codebook, options) for photo in chosen])
    from sklearn.decomposition import PCA  # here, because it takes a second and few need it

    analysis = PCA(options.dimension, random_state=options.seed).fit(aggregates)
    variances = analysis.explained_variance_
    varying = int((variances > LEAST_VARIANCE * variances.max()).sum())
    if varying < options.dimension:  # whitening would make noise of rounding as large as all else
        raise VocabularyError(
            f"The photos differ in {varying} dimensions alone, fewer than {options.dimension}; give more "
            "photos or a smaller --dimension."
        )
    whitening = analysis.components_ / np.sqrt(variances)[:, None]
    steps = np.abs(whitening).max(axis=1) / STEPS
    return VladModel(
        codebook,
        analysis.mean_.astype(np.float32),
        np.rint(whitening / steps[:, None]).astype(np.int8),
        steps.astype(np.float32),
        options,
    )


def _codebook(
    photos: Sequence[NDArray[np.generic]],
    fingerprint: Fingerprint,
    options: VladTraining,
    source: str,
    threads: int,
) -> VocabularyTree:
    descriptors = _draw(photos, options)
    vocabulary = VocabularyOptions(words=options.words, depth=1, sample=options.sample, seed=options.seed)
    return train(descriptors, fingerprint, vocabulary, source=source, photos=len(photos), threads=threads)


def _draw(photos: Sequence[NDArray[np.generic]], options: VladTraining) -> NDArray[np.generic]:
    """(sample, d) or fewer: descriptors of the photos at random, in no particular order, as training wants
    them. The others are not read."""
    starts = np.concatenate([[0], np.cumsum([len(photo) for photo in photos])])
    chosen = np.random.default_rng(options.seed).permutation(int(starts[-1]))[: options.sample]
    drawn = np.empty((len(chosen), photos[0].shape[1]), photos[0].dtype)
    order = np.argsort(chosen)
    bounds = np.searchsorted(chosen, starts, sorter=order)
    for photo, start, first, last in zip(photos, starts, bounds, bounds[1:], strict=False):
        drawn[order[first:last]] = photo[chosen[order[first:last]] - start]
    return drawn


def write_vlad(path: Path, model: VladModel) -> None:
    """Write a model whole or not at all; raises StoreError."""
    codebook = model.codebook
    arrays: dict[str, Sequence[NDArray[np.generic]]] = {
        "centroids": [codebook.centroids],
        "mean": [model.mean],
        "axes": [model.axes],
        "steps": [model.steps],
    }
    training = json.dumps(asdict(model.training))
    write_arrays(path, KIND, arrays, {**origin_attributes(codebook), "training": training})


def read_vlad(path: Path) -> VladModel:
    """Map a model from disk; raises StoreError or VocabularyError."""
    file = read_arrays(path, KIND)
    try:
        space, training = origin_of(file.attributes)
        options = VladTraining(**json.loads(str(file.attributes["training"])))
    except (KeyError, ValueError, TypeError, HandcraftError) as error:
        raise StoreError(f"{path} is damaged: it does not say how it was made; learn it again.") from error
    centroids = file["centroids"]
    counts = np.zeros(len(centroids), np.uint32)
    counts[:1] = max(0, len(centroids) - 1)
    codebook = VocabularyTree.of(centroids, counts, space, training)
    mean, axes, steps = file["mean"], file["axes"], file["steps"]
    return VladModel(codebook, mean, axes, steps, options)  # type: ignore[arg-type]  # the model checks them
