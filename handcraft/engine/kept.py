"""The features that a store keeps beside its index."""

from __future__ import annotations

from handcraft.engine.snapshot import Snapshot, segment_file
from handcraft.features.files import read_features
from handcraft.types import Features


class KeptFeatures:
    """The features of the photos of a snapshot, which keeps each file open once it was asked for."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot, self._files = snapshot, snapshot.features

    @property
    def missing(self) -> int:
        """Photos whose features are not kept."""
        return sum(entry.photos for entry in self._snapshot.manifest.segments if entry.features is None)

    def of(self, image_id: int) -> Features | None:
        """Those of a photo, None where they are not kept; raises StoreError."""
        place, local_id = self._snapshot.collection.place(image_id)
        if place not in self._files:
            entry = self._snapshot.manifest.segments[place].features
            if entry is None:
                return None
            self._files[place] = read_features(segment_file(self._snapshot.store, entry))
        return self._files[place].features(local_id)
