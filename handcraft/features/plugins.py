"""Extractors and descriptors of patches by name: of entry points, and those that a program registers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from handcraft.errors import DependencyError, ExtractorError, HandcraftError
from handcraft.features.extractor import Extractor, PatchDescriptor, missing, require_installed, settings_of
from handcraft.options import FeatureOptions, Setting

EXTRACTORS = "handcraft.extractors"  # the groups of entry points
DESCRIPTORS = "handcraft.descriptors"
POINTS = "points"  # the parameter of fingerprints whose features are points
DETECTOR = "detector"  # and the extractor, as stores called it before extractors could be plugged in
TAKEN = {field.name for field in fields(FeatureOptions)} | {POINTS, DETECTOR}
_KINDS = {EXTRACTORS: "extractor", DESCRIPTORS: "descriptor"}

_registered: dict[str, dict[str, Callable[[FeatureOptions], Any]]] = {EXTRACTORS: {}, DESCRIPTORS: {}}


@dataclass(frozen=True)
class Plug:
    """Something pluggable: its group and name, where it comes from, and how to load it."""

    group: str
    name: str
    source: str
    load: Callable[[], Any]


def register_extractor(name: str, make: Callable[[FeatureOptions], Extractor]) -> None:
    """Offer an extractor under a name for FeatureOptions.extractor, in this process alone."""
    _registered[EXTRACTORS][name] = make


def register_descriptor(name: str, make: Callable[[FeatureOptions], PatchDescriptor]) -> None:
    """Offer a descriptor of patches under a name for FeatureOptions.descriptor, in this process alone."""
    _registered[DESCRIPTORS][name] = make


def plugs(group: str) -> dict[str, Plug]:
    """All of a group by name, in the order of the names; nothing is loaded."""
    found = {entry.name: _of_entry(group, entry) for entry in _entries(group)}
    for name, make in _registered[group].items():
        found[name] = Plug(group, name, "registered", lambda make=make: make)  # type: ignore[misc]
    return dict(sorted(found.items()))


def plug_of(group: str, name: str) -> Any:
    """The class or function of a name; raises HandcraftError for an unknown one, which lists the known,
    and for one that cannot be loaded."""
    known = plugs(group)
    kind = _KINDS[group]
    if name not in known:
        if not known:
            raise DependencyError("handcraft is not installed; run `pip install .` in its folder.")
        raise HandcraftError(f"There is no {kind} {name!r}; the {kind}s are {', '.join(known)}.")
    try:
        return known[name].load()
    except Exception as error:  # whatever an import of other people's code raises
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise DependencyError(
            f"The {kind} {name} of {known[name].source} cannot be loaded: {reason}; install that again."
        ) from error


@dataclass(frozen=True)
class PlugInfo:
    """What there is to know of something pluggable before it is used.

    source: the package that it comes with. summary: the first paragraph of its docstring. settings: its
    own, with their defaults. missing: modules that it needs and that are not installed; install: the command
    that installs them. error: why it cannot be loaded, "" where it can.
    """

    name: str
    source: str
    summary: str
    settings: Mapping[str, Setting]
    missing: tuple[str, ...]
    install: str
    error: str


def describe_plugs(group: str) -> list[PlugInfo]:
    """All of a group, in the order of their names."""
    return [_describe(plug) for plug in plugs(group).values()]


def _describe(plug: Plug) -> PlugInfo:
    try:
        loaded = plug_of(plug.group, plug.name)
    except DependencyError as error:
        return PlugInfo(plug.name, plug.source, "", {}, (), "", str(error))
    return PlugInfo(
        name=plug.name,
        source=plug.source,
        summary=(inspect.getdoc(loaded) or "").split("\n\n")[0].replace("\n", " "),
        settings=dict(getattr(loaded, "settings", {})),
        missing=missing(loaded),
        install=getattr(loaded, "install", ""),
        error="",
    )


def make(group: str, name: str, options: FeatureOptions) -> Any:
    """What the options ask for; raises HandcraftError where something that it needs is missing."""
    plug = plug_of(group, name)
    spared = getattr(plug, "needs_unless", {}).items()
    if not any(options.settings.get(setting) == value for setting, value in spared):
        require_installed(_KINDS[group], name, plug)
    return plug(options)


def with_all_settings(options: FeatureOptions) -> FeatureOptions:
    """The options with every setting that their extractor and descriptor have; raises HandcraftError for
    one that neither has, and for one that fingerprints could not tell from something else."""
    known: dict[str, Setting] = {}
    for group, name in ((DESCRIPTORS, options.descriptor), (EXTRACTORS, options.extractor)):
        own = getattr(plug_of(group, name), "settings", {})
        taken = sorted(TAKEN & set(own))
        if taken:
            raise ExtractorError(
                f"The {_KINDS[group]} {name} has a setting {taken[0]!r}, which is a name of handcraft's own; "
                "give it another name."
            )
        known |= own
    settings = settings_of("extractor", options.extractor, known, options.settings)
    return replace(options, settings=settings)


def _of_entry(group: str, entry: EntryPoint) -> Plug:
    return Plug(group, entry.name, entry.dist.name if entry.dist else entry.value, entry.load)


@cache
def _entries(group: str) -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=group))
