"""The sockets that detectors, descriptors and networks fit: what turns a photo, or a patch, into features.

Both are made of options by a class or function that an entry point names: extractors in the group
``handcraft.extractors``, descriptors of patches in ``handcraft.descriptors``
(docs/writing-an-extractor.md).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from handcraft.errors import DependencyError, HandcraftError
from handcraft.features.images import DecodedPhoto
from handcraft.options import FeatureOptions, Setting
from handcraft.types import Features, RegionOfInterest


class Found(Protocol):
    """What an extractor found in a photo, to be described in whatever direction it is asked for."""

    def describe(self, direction: float, limit: int, roi: RegionOfInterest | None) -> Features:
        """The strongest features, at most `limit` of those that the options keep and whose centres lie in
        the region. direction: radians from x towards y by which the photo may be turned from upright; it
        changes nothing where features are not described upright."""
        ...


@dataclass(frozen=True)
class Described:
    """The features of a photo, found and described at once, whatever the direction: see Found."""

    features: Features

    def describe(self, direction: float, limit: int, roi: RegionOfInterest | None) -> Features:
        """See Found."""
        return (self.features if roi is None else self.features.inside(roi)).head(limit)


class Pluggable(Protocol):
    """What the classes of both sockets say before anything is made of them.

    needs: modules that must be installed, unless a setting has the value that needs_unless gives for it.
    install: the command that installs them. settings: the settings of its own with their defaults, which
    FeatureOptions.settings may change.
    """

    needs: ClassVar[Sequence[str]] = ()
    needs_unless: ClassVar[Mapping[str, Setting]] = {}
    install: ClassVar[str] = ""
    settings: ClassVar[Mapping[str, Setting]] = {}


class Extractor(Pluggable, Protocol):
    """Turns photos into features. Subclasses inherit the defaults; others may have all of this themselves.

    descriptor, dimension, dtype: name the space of the descriptors. parameters: what else shaped the
    features, such as options and the digest of weights; store and query must agree on them.
    points: frames say where features are and nothing of their size and direction. colour: photos are
    given as RGB, not as grey. directions: in how many a query is looked at, at the most; 1 where features
    bear any turn or cannot be turned. closer: the options of a closer look at a region of few
    features, where there is one. batch_size: photos that `find` is given at once, at the most.
    device: where networks run.
    """

    descriptor: str
    dimension: int
    dtype: str
    parameters: Mapping[str, Setting]
    points: bool = False
    colour: bool = False
    directions: int = 1
    closer: FeatureOptions | None = None
    batch_size: int = 1
    device: str = "cpu"

    def find(self, photos: Sequence[DecodedPhoto]) -> Sequence[Found]:
        """What there is in each of these photos; called from several threads at once."""
        ...


class PatchDescriptor(Pluggable, Protocol):
    """Describes patches, hand-crafted or learned.

    name: of the space of the descriptors, "" where that is what the options call it. side: pixels of the
    patches along each side. dimension, dtype: of the descriptors. parameters: as of an extractor.
    """

    name: str = ""
    side: int
    dimension: int
    dtype: str
    parameters: Mapping[str, Setting] = {}

    def describe(self, patches: NDArray[np.float32]) -> NDArray[np.generic]:
        """Patches (n, side, side) float32, grey levels up to 255, to descriptors (n, dimension)."""
        ...


def parameters_of(options: FeatureOptions) -> dict[str, Setting]:
    """The parameters of an extractor that heeds sizes, numbers and its own settings, and no other option."""
    return {
        "extractor": options.extractor,
        "max_size": options.max_size,
        "max_features": options.max_features,
        **options.settings,
    }


def missing(plug: type[Pluggable] | object) -> tuple[str, ...]:
    """The modules that something pluggable needs and that are not installed; none of them is loaded."""
    needs: Sequence[str] = getattr(plug, "needs", ())
    return tuple(name for name in needs if not _is_there(name))


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:  # not even the package that it would be in
        return False


def require_installed(kind: str, name: str, plug: type[Pluggable] | object) -> None:
    """Raise DependencyError unless all is installed that something pluggable of this name needs."""
    lacking = missing(plug)
    if lacking:
        raise DependencyError(
            f"The {kind} {name} needs {' and '.join(lacking)}; install what it needs with "
            f"`{getattr(plug, 'install', '') or 'pip install ' + ' '.join(lacking)}`."
        )


def settings_of(
    kind: str, name: str, known: Mapping[str, Setting], asked: Mapping[str, Setting]
) -> dict[str, Setting]:
    """The settings of something pluggable: its defaults, but for those that are asked for, in their types.

    Raises HandcraftError for one that it has not, and for a value of another type.
    """
    settings = dict(known)
    for key, value in asked.items():
        if key not in known:
            listed = f"its settings are {', '.join(known)}" if known else "it has no settings"
            raise HandcraftError(f"The {kind} {name} has no setting {key!r}; {listed}.")
        settings[key] = _of_type(kind, name, key, value, type(known[key]))
    return settings


def _of_type(kind: str, name: str, key: str, value: Setting, type_: type[Setting]) -> Setting:
    """A value, which may be a text, in a setting's type."""
    if isinstance(value, type_) and (type_ is bool or not isinstance(value, bool)):
        return value
    try:
        if type_ is bool:
            return {"true": True, "1": True, "false": False, "0": False}[str(value).lower()]
        if type_ is int and isinstance(value, float) and not value.is_integer():
            raise ValueError(value)
        return type_(value)
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
        raise HandcraftError(
            f"The setting {key} of the {kind} {name} is {kinds[type_]}, not {value!r}."
        ) from error
