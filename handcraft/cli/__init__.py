"""The command line: commands parse, call the engine and print.

The commands import the engine when they run, so that `handcraft --help` is quick.
"""

from __future__ import annotations

import io
import sys
from typing import Any

import click

from handcraft import __version__
from handcraft.cli.benchmark import benchmark
from handcraft.cli.build_vlad import build_vlad
from handcraft.cli.build_vocab import build_vocab
from handcraft.cli.demo import demo
from handcraft.cli.evaluate import evaluate
from handcraft.cli.exchange import export_features, import_features
from handcraft.cli.extractors import export_network, extractors
from handcraft.cli.features import features
from handcraft.cli.index import index
from handcraft.cli.maintenance import check, info, optimize, remove
from handcraft.cli.match import match
from handcraft.cli.pairs import pairs
from handcraft.cli.query import query
from handcraft.cli.vocab import vocab
from handcraft.errors import HandcraftError

EPILOG = """\b
Example:
  handcraft index ./images
  handcraft query photo.jpg --verify

Exit codes: 0 done; 1 not done, broken (check) or not the same thing (match), the reason is printed;
2 wrong usage; 3 done, but for photos that could not be read; 130 interrupted.
"""


class _Commands(click.Group):
    """Turns the errors of handcraft into one sentence and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order of the pipeline

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HandcraftError as error:
            if ctx.params["debug"]:
                raise
            click.echo(f"Error: {error}", err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            click.echo("Interrupted; the store keeps all that was committed.", err=True)
            ctx.exit(130)


@click.group(cls=_Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="handcraft")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Find the same building, painting or product in a collection of photographs."""


for command in (
    *(index, query, match, pairs, build_vocab, vocab, build_vlad, features, extractors),
    *(export_network, import_features, export_features),
    *(remove, optimize, info, check, evaluate, benchmark, demo),
):
    cli.add_command(command)


def main() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A file name may hold bytes that are no text in this locale; it is printed all the same.
            stream.reconfigure(errors="backslashreplace")
    cli()
