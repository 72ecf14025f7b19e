"""handcraft extractors: what can find and describe local features here."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from handcraft.cli.common import json_option, print_json

if TYPE_CHECKING:
    from handcraft.features.plugins import PlugInfo


@click.command(epilog="\b\nExample:\n  handcraft extractors\n  handcraft extractors --json")
@json_option
def extractors(as_json: bool) -> None:
    """List the extractors and the descriptors of patches, and what each needs to be installed.

    Name an extractor with --extractor, a descriptor with --descriptor, and their settings with --set. Those
    of other packages are listed too.
    """
    from handcraft.features.plugins import DESCRIPTORS, EXTRACTORS, describe_plugs

    listed = {"extractors": describe_plugs(EXTRACTORS), "descriptors": describe_plugs(DESCRIPTORS)}
    if as_json:
        print_json({kind: [asdict(one) for one in found] for kind, found in listed.items()})
        return
    for kind, found in listed.items():
        click.echo(f"{kind}:")
        width = max((len(one.name) for one in found), default=0)
        for one in found:
            click.echo(f"  {one.name:<{width}}  {_state(one)}")
            for name, value in one.settings.items():
                click.echo(f"  {'':<{width}}    --set {name}={value}")


def _state(one: PlugInfo) -> str:
    """What it is, and what is to be done before it can be used."""
    if one.error:
        return one.error
    what = one.summary if one.source == "handcraft" else f"{one.summary} ({one.source})"
    if one.missing:
        return f"{what} Needs {', '.join(one.missing)}: {one.install}"
    return what
