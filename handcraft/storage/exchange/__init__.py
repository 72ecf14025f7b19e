"""Features of other programs, in their file formats: read them, or write them for hloc."""

from __future__ import annotations

from handcraft.storage.exchange.hloc import write_hloc
from handcraft.storage.exchange.opening import KINDS, open_foreign
from handcraft.storage.exchange.types import (
    RADIUS_PER_SCALE,
    ForeignFeatures,
    ForeignFile,
    find_name,
    require_space,
)

__all__ = [
    "KINDS",
    "RADIUS_PER_SCALE",
    "ForeignFeatures",
    "ForeignFile",
    "find_name",
    "open_foreign",
    "require_space",
    "write_hloc",
]
