"""Learning a VLAD model on the photos of a store."""

from __future__ import annotations

from pathlib import Path

from handcraft.engine.snapshot import Snapshot, segment_file
from handcraft.errors import StoreError
from handcraft.features.extraction import available_threads
from handcraft.features.files import read_features
from handcraft.options import VladTraining
from handcraft.storage.atomic import make_folder
from handcraft.vocabulary.vlad import VladModel, learn_vlad, write_vlad


def build_vlad(snapshot: Snapshot, output: Path, options: VladTraining, *, threads: int = 0) -> VladModel:
    """Learn a model from the features that a store keeps and write it; raises HandcraftError."""
    make_folder(output.parent)  # it is said before the work, not after, that this cannot be
    descriptors = []
    for entry, alive in zip(snapshot.manifest.segments, snapshot.collection.live, strict=True):
        if entry.features is None:
            raise StoreError(
                f"The store {snapshot.store} keeps no features of {entry.photos} photos, so there is nothing "
                "of theirs to learn from; index other photos with --keep-features."
            )
        kept = read_features(segment_file(snapshot.store, entry.features))
        descriptors += [kept.features(local_id).descriptors for local_id in alive.nonzero()[0].tolist()]
    if not descriptors:
        raise StoreError(f"The store {snapshot.store} holds no photos; add some with `handcraft index`.")
    model = learn_vlad(
        descriptors,
        snapshot.manifest.fingerprint,
        options,
        source=snapshot.root.name,
        threads=threads or available_threads(),
    )
    write_vlad(output, model)
    return model
