"""The methods by which a store votes, and what its segments keep for them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from handcraft.errors import FingerprintError, StoreError, VocabularyError
from handcraft.index.signatures import Encoder
from handcraft.options import METHODS, IndexOptions, SignatureOptions, VladOptions
from handcraft.storage.hdf5 import Attribute
from handcraft.storage.manifest import Manifest
from handcraft.types import Fingerprint
from handcraft.vocabulary.files import shipped_vlad
from handcraft.vocabulary.tree import VocabularyTree
from handcraft.vocabulary.vlad import VladModel, read_vlad

Options = TypeVar("Options", SignatureOptions, VladOptions)


def asked_method(options: IndexOptions) -> str:
    """The method that options name, or that they say something about; "" for none."""
    if options.method:
        return options.method
    if options.signatures != SignatureOptions():
        return "asmk"
    return "vlad" if options.vlad != VladOptions() or options.vlad_model else ""


def asked_model(options: IndexOptions, space: Fingerprint, own: VladModel | None) -> VladModel | None:
    """The model of the vectors that options ask for, None where they ask for none; raises HandcraftError.

    space: of the descriptors. own: the model that the store has already.
    """
    if asked_method(options) != "vlad":
        return None
    if options.vlad_model is None:
        model = own or read_vlad(shipped_vlad(space))
    else:
        model = read_vlad(Path(options.vlad_model))
    if not model.codebook.fingerprint.same_space(space):
        raise FingerprintError(
            f"The VLAD model is for {model.codebook.fingerprint}, the photos give {space}; learn one for "
            "them with `handcraft build-vlad`."
        )
    if own is not None and not model.equals(own):
        raise StoreError(
            f"The store votes by vlad with a model of its own, not with that of {options.vlad_model}; leave "
            "--vlad-model out, or make another store with `handcraft index --store`."
        )
    return model


def methods_of(
    options: IndexOptions, tree: VocabularyTree, model: VladModel | None
) -> dict[str, dict[str, Any]]:
    """The methods of a new store with their parameters: the one that is asked for, and bags of words,
    which need nothing but the postings. model: of asked_model. Raises HandcraftError for what cannot be."""
    name = asked_method(options) or METHODS[0]
    return {name: _parameters(name, options, tree, model), "bow": {}}


def _parameters(
    name: str, options: IndexOptions, tree: VocabularyTree, model: VladModel | None
) -> dict[str, Any]:
    """What a method keeps, as the options say."""
    if name == "asmk":
        return asdict(replace(options.signatures, bits=_encoder(options.signatures, tree).bits))
    if name == "bow":
        return {}
    assert model is not None  # of asked_model
    if options.vlad.dimension > model.dimension:
        raise VocabularyError(
            f"The VLAD model has {model.dimension} dimensions, fewer than {options.vlad.dimension}; give "
            f"--dimension {model.dimension} or less, or learn another with `handcraft build-vlad`."
        )
    return asdict(replace(options.vlad, dimension=options.vlad.dimension or model.dimension))


def changed_methods(
    manifest: Manifest, options: IndexOptions, tree: VocabularyTree, model: VladModel | None
) -> dict[str, dict[str, Any]] | None:
    """The methods of a store that is to vote as the options say too, None where it does already.

    model: of asked_model. Raises StoreError where it votes by other signatures or vectors than these ask for.
    """
    name, methods = asked_method(options), manifest.methods
    if not name:
        return None
    if not manifest.segments:
        asked = methods_of(options, tree, model)
        return asked if asked != methods else None
    parameters = _parameters(name, options, tree, model)
    if name not in methods:
        return {**methods, name: parameters}
    said = options.signatures != SignatureOptions() if name == "asmk" else options.vlad != VladOptions()
    kept = signature_options(manifest) if name == "asmk" else vlad_options(manifest)
    if said and kept is not None and parameters != asdict(kept):
        raise StoreError(
            f"The store votes by {name} with {_listed(methods[name])}, the options ask for "
            f"{_listed(parameters)}; leave them out, or make another store with `handcraft index --store`."
        )
    return None


def _listed(parameters: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in parameters.items())


def signature_options(manifest: Manifest) -> SignatureOptions | None:
    """What a store's signatures are, None where it has none; raises StoreError."""
    return _stored("asmk", SignatureOptions, manifest)


def vlad_options(manifest: Manifest) -> VladOptions | None:
    """What a store's vectors are, None where it has none; raises StoreError."""
    options = _stored("vlad", VladOptions, manifest)
    if options is not None and manifest.vlad is None:
        raise StoreError(
            "The store votes by vlad, but its manifest names no VLAD model; index the photos again into a "
            "new store with `handcraft index --store`."
        )
    return options


def _stored(name: str, kind: type[Options], manifest: Manifest) -> Options | None:
    parameters = manifest.methods.get(name)
    if parameters is None:
        return None
    try:
        return kind(**parameters)
    except TypeError as error:
        raise StoreError(
            f"The store votes by {name} with {parameters}, which this handcraft does not know; "
            "install the handcraft that made the store."
        ) from error


def encoder_of(options: SignatureOptions | None, tree: VocabularyTree) -> Encoder | None:
    """What makes such signatures of the descriptors of a vocabulary; raises HandcraftError."""
    return None if options is None else _encoder(options, tree)


def _encoder(options: SignatureOptions, tree: VocabularyTree) -> Encoder:
    dimension, medians = tree.fingerprint.dimension, tree.medians
    if not options.medians:
        return Encoder(options, dimension, lambda words: tree.centroids_of(tree.leaves[words]), tree.shifted)
    if medians is None:
        raise VocabularyError(
            "The vocabulary keeps no medians of its words' descriptors; train one with "
            "`handcraft build-vocab --medians`, or leave --medians out."
        )
    return Encoder(options, dimension, lambda words: medians[words], tree.shifted)


def index_attributes(manifest: Manifest) -> dict[str, Attribute]:
    """What the index files of a store say that they were made with."""
    return {"fingerprint": str(manifest.fingerprint), "vocabulary": manifest.vocabulary.sha256}


def signature_attributes(manifest: Manifest) -> dict[str, Attribute]:
    """What the signature files of a store say that they were made with."""
    return {"vocabulary": manifest.vocabulary.sha256, "parameters": json.dumps(manifest.methods["asmk"])}


def vector_attributes(manifest: Manifest) -> dict[str, Attribute]:
    """What the vector files of a store say that they were made with."""
    assert manifest.vlad is not None  # of a store that has vectors
    return {"model": manifest.vlad.sha256, "parameters": json.dumps(manifest.methods["vlad"])}
