"""Vocabulary files, and the vocabulary that ships with the package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from handcraft.errors import StoreError, VocabularyError
from handcraft.options import FeatureOptions
from handcraft.storage.hdf5 import Attribute, read_arrays, write_arrays
from handcraft.types import Fingerprint
from handcraft.vocabulary.panels import Costs, Panels
from handcraft.vocabulary.tree import Balance, Training, VocabularyTree

KIND = "vocabulary"


SHIPPED_FOR = "rootsift"  # what the shipped files' descriptors are, whatever detects regions


def shipped_vocabulary(
    extractor: str = FeatureOptions.extractor, descriptor: str = FeatureOptions.descriptor
) -> Path:
    """The vocabulary in the package for what an extractor finds, so described; raises VocabularyError."""
    path = Path(str(resources.files("handcraft.vocabulary") / f"{extractor}.h5"))
    if descriptor != SHIPPED_FOR or not path.exists():
        what, how = extractor, f"--extractor {extractor}"
        if descriptor != SHIPPED_FOR:
            what, how = f"{extractor} with {descriptor}", f"{how} --descriptor {descriptor}"
        raise VocabularyError(
            f"No vocabulary for {what} comes with handcraft; train one for your photos with "
            f"`handcraft build-vocab PHOTOS {how}`."
        )
    return path


def shipped_vlad(space: Fingerprint) -> Path:
    """The VLAD model in the package for such descriptors; raises VocabularyError."""
    extractor = space.descriptor.removesuffix(f"-{SHIPPED_FOR}")
    path = Path(str(resources.files("handcraft.vocabulary") / f"{extractor}.vlad.h5"))
    if not path.exists():
        raise VocabularyError(
            f"No VLAD model for {extractor} comes with handcraft; learn one on other photos with "
            "`handcraft build-vlad`."
        )
    return path


def origin_attributes(tree: VocabularyTree) -> dict[str, Attribute]:
    """What a file says of the space of its centroids and of what they were learned on."""
    space, training = tree.fingerprint, tree.training
    return {
        "descriptor": space.descriptor,
        "dimension": space.dimension,
        "dtype": space.dtype,
        "source": training.source,
        "photos": training.photos,
        "descriptors": training.descriptors,
        "distortion": training.distortion,
    }


def origin_of(facts: Mapping[str, Attribute]) -> tuple[Fingerprint, Training]:
    """What origin_attributes wrote; raises KeyError, TypeError or ValueError for what it did not."""
    dtype = np.dtype(str(facts["dtype"])).name
    space = Fingerprint(str(facts["descriptor"]), int(facts["dimension"]), dtype)
    training = Training(
        source=str(facts["source"]),
        photos=int(facts["photos"]),
        descriptors=int(facts["descriptors"]),
        distortion=float(facts["distortion"]),
    )
    return space, training


def write_vocabulary(path: Path, tree: VocabularyTree) -> None:
    """Write a vocabulary whole or not at all; raises StoreError."""
    training = tree.training
    arrays = {"panels": tree.panels.values, "norms": tree.panels.norms, "child_counts": tree.child_counts}
    extras = {"mean": tree.mean, "medians": tree.medians}
    arrays |= {name: rows for name, rows in extras.items() if rows is not None}
    write_arrays(
        path,
        KIND,
        {name: [array] for name, array in arrays.items()},
        {
            **origin_attributes(tree),
            "parameters": json.dumps(training.parameters),
            "balance": json.dumps(asdict(training.balance) if training.balance else None),
        },
    )


def read_vocabulary(path: Path) -> VocabularyTree:
    """Map a vocabulary from disk; raises StoreError or VocabularyError."""
    file = read_arrays(path, KIND)
    facts = file.attributes
    try:
        space, training = origin_of(facts)
        training = replace(
            training,
            parameters=json.loads(str(facts["parameters"])),
            balance=_parse_balance(json.loads(str(facts["balance"]))),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise StoreError(f"{path} is damaged: it does not say how it was made; train it again.") from error
    child_counts = file["child_counts"].astype(np.uint32, copy=False)
    norms: Costs = file["norms"]  # type: ignore[assignment]  # VocabularyTree checks it
    extras = {name: file.arrays.get(name) for name in ("mean", "medians")}
    return VocabularyTree(Panels(file["panels"], norms), child_counts, space, training, **extras)


def _parse_balance(facts: dict[str, Any] | None) -> Balance | None:
    """Raises KeyError, TypeError or ValueError for what is not a balance."""
    if facts is None:
        return None
    percentiles = tuple(int(number) for number in facts["percentiles"])
    return Balance(float(facts["imbalance"]), int(facts["empty"]), percentiles)
