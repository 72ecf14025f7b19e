"""handcraft extractors and export-network: what finds local features here, and networks as files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from handcraft.cli.common import json_option, print_json, shown
from handcraft.options import FeatureOptions

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


@click.command(
    "export-network",
    epilog="\b\nExample:\n"
    "  handcraft export-network xfeat xfeat.onnx\n"
    "  handcraft features show photo.jpg --extractor onnx --set model=xfeat.onnx --set name=xfeat",
)
@click.argument("name")
@click.argument("output", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--max-features",
    type=click.IntRange(min=1),
    default=FeatureOptions.max_features,
    show_default=True,
    help="Strongest features that the network gives of each photo.",
)
def export_network(name: str, output: Path, max_features: int) -> None:
    """Write the network NAME, xfeat or aliked, with its published weights to the ONNX file OUTPUT.

    It gives what the extractor of its name gives, without PyTorch and faster: see --extractor onnx.
    """
    from handcraft.features.learned.exporting import export_network as export

    export(name, output, max_features)
    click.echo(f"Written: {shown(output)}", err=True)


def _state(one: PlugInfo) -> str:
    """What it is, and what is to be done before it can be used."""
    if one.error:
        return one.error
    what = one.summary if one.source == "handcraft" else f"{one.summary} ({one.source})"
    if one.missing:
        return f"{what} Needs {', '.join(one.missing)}: {one.install}"
    return what
