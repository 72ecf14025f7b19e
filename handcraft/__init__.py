"""handcraft finds the same building, painting or product in a collection of photographs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from handcraft.engine import Store as Store
    from handcraft.engine import evaluate_rankings as evaluate_rankings
    from handcraft.engine import match as match
    from handcraft.engine import open as open
    from handcraft.errors import HandcraftError as HandcraftError
    from handcraft.features.extractor import Described as Described
    from handcraft.features.extractor import Extractor as Extractor
    from handcraft.options import AsmkOptions as AsmkOptions
    from handcraft.options import BowOptions as BowOptions
    from handcraft.options import FeatureOptions as FeatureOptions
    from handcraft.options import IndexOptions as IndexOptions
    from handcraft.options import MatchOptions as MatchOptions
    from handcraft.options import PairsOptions as PairsOptions
    from handcraft.options import QueryOptions as QueryOptions
    from handcraft.options import SignatureOptions as SignatureOptions
    from handcraft.options import VerificationOptions as VerificationOptions
    from handcraft.options import VladOptions as VladOptions
    from handcraft.options import VladTraining as VladTraining
    from handcraft.options import VocabularyOptions as VocabularyOptions
    from handcraft.types import Features as Features
    from handcraft.types import Hit as Hit
    from handcraft.types import Match as Match
    from handcraft.types import RegionOfInterest as RegionOfInterest

__version__ = "0.1.0"

# Where each public name lives; imported on first use, so that `handcraft --help` stays quick.
_HOMES = {
    "Store": "engine",
    "evaluate_rankings": "engine",
    "match": "engine",
    "open": "engine",
    "HandcraftError": "errors",
    "Described": "features.extractor",
    "Extractor": "features.extractor",
    "AsmkOptions": "options",
    "BowOptions": "options",
    "FeatureOptions": "options",
    "IndexOptions": "options",
    "MatchOptions": "options",
    "PairsOptions": "options",
    "QueryOptions": "options",
    "SignatureOptions": "options",
    "VerificationOptions": "options",
    "VladOptions": "options",
    "VladTraining": "options",
    "VocabularyOptions": "options",
    "Features": "types",
    "Hit": "types",
    "Match": "types",
    "RegionOfInterest": "types",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'handcraft' has no attribute {name!r}")
    return getattr(importlib.import_module(f"handcraft.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
