"""handcraft index: add photos to a store."""

from __future__ import annotations

import time
from pathlib import Path

import click

from handcraft.cli.common import (
    chosen_features,
    count,
    end_with_unreadable,
    feature_options,
    find_store,
    json_option,
    print_json,
    reporting,
    shown,
    store_option,
    threads_option,
)
from handcraft.options import IndexOptions

EPILOG = """\b
Example:
  handcraft index ./images
  handcraft index ./more --threads 4
"""


@click.command(epilog=EPILOG)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@store_option
@feature_options
@click.option(
    "--vocabulary",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Vocabulary of a new store.  [default: the shipped one]",
)
@click.option(
    "--keep-features/--no-keep-features",
    default=IndexOptions.keep_features,
    show_default=True,
    help="Keep descriptors, about 300 KB a photo, so that build-vocab can replace the vocabulary.",
)
@threads_option
@json_option
def index(
    paths: tuple[Path, ...],
    store: Path | None,
    vocabulary: Path | None,
    keep_features: bool,
    threads: int,
    as_json: bool,
    **features: object,
) -> None:
    """Add the photos in PATHS, files or folders, to the store.

    New photos are added and changed ones are indexed again; the others are left alone. An
    interrupted run is continued by the same command.
    """
    with reporting() as progress:
        import handcraft

        opened = handcraft.open(
            find_store(store), features=chosen_features(**features), vocabulary=vocabulary, threads=threads
        )
        start = time.perf_counter()
        report = opened.add(paths, options=IndexOptions(keep_features=keep_features), progress=progress)
    seconds = time.perf_counter() - start
    if as_json:
        print_json(
            {
                "store": str(opened.path),
                "photos": len(opened),
                "added": report.added,
                "updated": report.updated,
                "unchanged": report.unchanged,
                "featureless": list(report.featureless),
                "unreadable": [str(error) for error in report.unreadable],
                "seconds": seconds,
            }
        )
    else:
        click.echo(
            f"{count(report.added, 'photo')} added, {report.updated:,} updated, {report.unchanged:,} "
            f"unchanged in {seconds:.1f} s; {shown(opened.path)} holds {count(len(opened), 'photo')}."
        )
        if report.featureless:
            click.echo("Without features, so never found:", err=True)
        for name in report.featureless:
            click.echo(f"  {name}", err=True)
    end_with_unreadable(report.unreadable, listed=as_json)
