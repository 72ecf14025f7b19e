"""The features that a store keeps, for other programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from handcraft.engine.indexing import photo_name
from handcraft.engine.kept import KeptFeatures
from handcraft.engine.reporting import Progress, silent
from handcraft.engine.snapshot import Snapshot
from handcraft.errors import HandcraftError, StoreError
from handcraft.storage.exchange import ForeignFeatures, write_hloc


def export_features(
    snapshot: Snapshot, output: Path, *, root: Path | None = None, progress: Progress = silent
) -> int:
    """Write the kept features of a store's photos, whole or not at all, as hloc does; return of how many
    photos. root: the folder that names are relative to, the collection's without it. Raises StoreError, also
    where the store keeps none of some photo, and HandcraftError for a name that cannot be written."""
    kept, ids = KeptFeatures(snapshot), snapshot.collection.ids
    if kept.missing:
        raise StoreError(
            f"The store {snapshot.store} keeps no features of {kept.missing} of its photos; index them again "
            "into a new store, without --no-keep-features."
        )

    folder = root or snapshot.root
    names = {image_id: photo_name(snapshot.root / name, folder) for name, image_id in ids.items()}
    for name in names.values():
        if not _is_text(name):
            raise HandcraftError(
                f"The name of the photo {name!r} is no UTF-8, which a file of hloc needs; rename it and "
                "index it again."
            )

    def photos() -> Iterator[tuple[str, ForeignFeatures]]:
        for done, (image_id, name) in enumerate(names.items(), 1):
            features = kept.of(image_id)
            assert features is not None  # none is missing
            yield name, ForeignFeatures.of(features)
            progress("exporting", done, len(names))

    write_hloc(output, photos())
    return len(names)


def _is_text(name: str) -> bool:
    """Whether a name is more than bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
