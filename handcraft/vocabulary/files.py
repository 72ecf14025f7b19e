"""Vocabulary files, and the vocabulary that ships with the package."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import numpy as np

from handcraft.errors import StoreError
from handcraft.storage.hdf5 import read_arrays, write_arrays
from handcraft.types import Fingerprint
from handcraft.vocabulary.tree import Training, VocabularyTree

KIND = "vocabulary"


def shipped_vocabulary() -> Path:
    """The vocabulary in the package, trained for SIFT's RootSIFT descriptors."""
    return Path(str(resources.files("handcraft.vocabulary") / "sift.h5"))


def write_vocabulary(path: Path, tree: VocabularyTree) -> None:
    """Write a vocabulary whole or not at all; raises StoreError."""
    training = tree.training
    write_arrays(
        path,
        KIND,
        {"centroids": [tree.centroids], "child_counts": [tree.child_counts]},
        {
            "descriptor": tree.fingerprint.descriptor,
            "dimension": tree.fingerprint.dimension,
            "dtype": tree.fingerprint.dtype,
            "source": training.source,
            "photos": training.photos,
            "descriptors": training.descriptors,
            "distortion": training.distortion,
            "parameters": json.dumps(training.parameters),
        },
    )


def read_vocabulary(path: Path) -> VocabularyTree:
    """Map a vocabulary from disk; raises StoreError or VocabularyError."""
    file = read_arrays(path, KIND)
    facts = file.attributes
    try:
        space = Fingerprint(str(facts["descriptor"]), int(facts["dimension"]), str(facts["dtype"]))
        training = Training(
            source=str(facts["source"]),
            photos=int(facts["photos"]),
            descriptors=int(facts["descriptors"]),
            distortion=float(facts["distortion"]),
            parameters=json.loads(str(facts["parameters"])),
        )
    except (KeyError, ValueError) as error:
        raise StoreError(f"{path} is damaged: it does not say how it was made; train it again.") from error
    child_counts = file["child_counts"].astype(np.uint32, copy=False)
    return VocabularyTree(file["centroids"], child_counts, space, training)
