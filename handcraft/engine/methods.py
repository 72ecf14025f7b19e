"""The methods by which a store votes, and what its segments keep for them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

from handcraft.errors import StoreError
from handcraft.index.signatures import Encoder
from handcraft.options import METHODS, IndexOptions, SignatureOptions
from handcraft.storage.hdf5 import Attribute
from handcraft.storage.manifest import Manifest
from handcraft.vocabulary.tree import VocabularyTree


def methods_of(options: IndexOptions, tree: VocabularyTree) -> dict[str, dict[str, Any]]:
    """The methods of a new store with their parameters: the one that is asked for, and bags of words,
    which need nothing but the postings. Raises HandcraftError for signatures that cannot be."""
    chosen = options.method or METHODS[0]
    if chosen == "bow":
        return {"bow": {}}
    bits = _encoder(options.signatures, tree).bits
    return {chosen: asdict(replace(options.signatures, bits=bits)), "bow": {}}


def changed_methods(
    manifest: Manifest, options: IndexOptions, tree: VocabularyTree
) -> dict[str, dict[str, Any]] | None:
    """The methods of a store that is to vote as the options say too, None where it does already.

    Raises StoreError where it votes by other signatures than these ask for.
    """
    if not options.method and options.signatures == SignatureOptions():
        return None
    asked, methods = methods_of(options, tree), manifest.methods
    if not manifest.segments:
        return asked if asked != methods else None
    name = next(iter(asked))
    if name not in methods:
        return {**methods, name: asked[name]}
    if options.signatures != SignatureOptions() and asked[name] != methods[name]:
        raise StoreError(
            f"The store votes by {name} with {_listed(methods[name])}, the options ask for "
            f"{_listed(asked[name])}; leave them out, or make another store with `handcraft index --store`."
        )
    return None


def _listed(parameters: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in parameters.items())


def signature_options(manifest: Manifest) -> SignatureOptions | None:
    """What a store's signatures are, None where it has none; raises StoreError."""
    parameters = manifest.methods.get("asmk")
    if parameters is None:
        return None
    try:
        return SignatureOptions(**parameters)
    except TypeError as error:
        raise StoreError(
            f"The store votes by asmk with {parameters}, which this handcraft does not know; "
            "install the handcraft that made the store."
        ) from error


def encoder_of(options: SignatureOptions | None, tree: VocabularyTree) -> Encoder | None:
    """What makes such signatures of the descriptors of a vocabulary; raises HandcraftError."""
    return None if options is None else _encoder(options, tree)


def _encoder(options: SignatureOptions, tree: VocabularyTree) -> Encoder:
    return Encoder(options, tree.fingerprint.dimension, lambda words: tree.centroids_of(tree.leaves[words]))


def index_attributes(manifest: Manifest) -> dict[str, Attribute]:
    """What the index files of a store say that they were made with."""
    return {"fingerprint": str(manifest.fingerprint), "vocabulary": manifest.vocabulary.sha256}


def signature_attributes(manifest: Manifest) -> dict[str, Attribute]:
    """What the signature files of a store say that they were made with."""
    return {"vocabulary": manifest.vocabulary.sha256, "parameters": json.dumps(manifest.methods["asmk"])}
