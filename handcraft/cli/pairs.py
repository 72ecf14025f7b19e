"""handcraft pairs: which photos of a store show the same, for reconstruction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from handcraft.cli.common import (
    count,
    end_with_unreadable,
    find_store,
    json_option,
    print_json,
    query_options,
    reporting,
    search_options,
    shown,
    store_option,
    threads_option,
)
from handcraft.options import PairsOptions, VerificationOptions

EPILOG = """\b
Example:
  handcraft pairs pairs.txt
  handcraft pairs pairs.txt --partners 50 --root ./images --verify-with descriptors
  colmap matches_importer --database_path db.db --match_list_path pairs.txt
"""


@click.command(epilog=EPILOG)
@click.argument("output", type=click.Path(path_type=Path, dir_okay=False))
@store_option
@click.option(
    "--partners",
    type=click.IntRange(min=1),
    default=PairsOptions.partners,
    show_default=True,
    help="Verified photos that each photo is paired with at the most.",
)
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder that names are relative to.  [default: the collection's]",
)
@click.option(
    "--verify-depth",
    type=click.IntRange(min=1),
    default=VerificationOptions.depth,
    show_default=True,
    help="Photos that each photo is compared with.",
)
@search_options
@threads_option
@json_option
def pairs(
    output: Path,
    store: Path | None,
    partners: int,
    root: Path | None,
    threads: int,
    as_json: bool,
    **search: Any,
) -> None:
    """Search with every photo of the store, and write its best verified partners to OUTPUT.

    A line has two names, as COLMAP and hloc read them; each pair is written once. Photos are searched with
    as they are held. An interrupted run is continued by the same command.
    """
    with reporting() as progress:
        import handcraft

        opened = handcraft.open(find_store(store), threads=threads)
        options = PairsOptions(partners=partners, query=query_options(verify=True, **search))
        report = opened.pairs(output, root=root, options=options, progress=progress)
    if as_json:
        print_json(
            {
                "output": str(output),
                "photos": report.photos,
                "pairs": report.pairs,
                "alone": list(report.alone),
                "resumed": report.resumed,
                "unreadable": [str(error) for error in report.unreadable],
                "seconds": report.seconds,
            }
        )
    else:
        click.echo(
            f"{count(report.pairs, 'pair')} of {count(report.photos, 'photo')} in {report.seconds:.1f} s; "
            f"{len(report.alone):,} without a partner."
        )
        if report.resumed:
            click.echo(f"{count(report.resumed, 'photo')} taken over from an interrupted run.", err=True)
        click.echo(f"Written: {shown(output)}", err=True)
    end_with_unreadable(report.unreadable, listed=as_json)
