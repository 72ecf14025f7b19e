"""The features that a store keeps, for other programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from handcraft.engine.indexing import photo_name
from handcraft.engine.kept import KeptFeatures
from handcraft.engine.reporting import Progress, silent
from handcraft.engine.snapshot import Snapshot
from handcraft.errors import StoreError
from handcraft.storage.exchange import ForeignFeatures, write_hloc


def export_features(
    snapshot: Snapshot, output: Path, *, root: Path | None = None, progress: Progress = silent
) -> int:
    """Write the kept features of a store's photos, whole or not at all, as hloc does; return of how many
    photos. root: the folder that names are relative to, the collection's without it. Raises StoreError, also
    where the store keeps none of some photo."""
    kept, ids = KeptFeatures(snapshot), snapshot.collection.ids
    if kept.missing:
        raise StoreError(
            f"The store {snapshot.store} keeps no features of {kept.missing} of its photos; index them again "
            "into a new store, without --no-keep-features."
        )

    def photos() -> Iterator[tuple[str, ForeignFeatures]]:
        for done, (name, image_id) in enumerate(ids.items(), 1):
            features = kept.of(image_id)
            assert features is not None  # none is missing
            yield photo_name(snapshot.root / name, root or snapshot.root), ForeignFeatures.of(features)
            progress("exporting", done, len(ids))

    write_hloc(output, photos())
    return len(ids)
