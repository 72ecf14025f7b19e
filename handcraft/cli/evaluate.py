"""handcraft evaluate: measure a store against ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from handcraft.cli.common import (
    count,
    find_store,
    json_option,
    print_json,
    query_options,
    reporting,
    search_options,
    store_option,
    threads_option,
)

EPILOG = """\b
Example:
  handcraft evaluate --queries oxford/jpg --ground-truth oxford/gt --verify
  handcraft evaluate --queries ./queries --ground-truth ground_truth.json --json
"""


@click.command(epilog=EPILOG)
@click.option(
    "--queries", required=True, type=click.Path(path_type=Path), help="Folder with the query photos."
)
@click.option(
    "--ground-truth",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of Oxford text files, or a JSON file.",
)
@store_option
@click.option("--verify", is_flag=True, help="Re-rank the best photos by their geometry.")
@search_options
@threads_option
@json_option
def evaluate(
    queries: Path,
    ground_truth: Path,
    store: Path | None,
    verify: bool,
    threads: int,
    as_json: bool,
    **search: Any,
) -> None:
    """Run the queries of a ground truth against the store and print the mean average precision.

    Average precision is Oxford's: the area under the precision-recall curve by trapezoids, junk
    left out. A query photo that is in the store counts unless the ground truth calls it junk.
    """
    with reporting() as progress:
        import handcraft

        opened = handcraft.open(find_store(store), threads=threads)
        options = query_options(verify=verify, **search)
        report = opened.evaluate(queries, ground_truth, options=options, progress=progress)
    if as_json:
        asked = {"verify": verify or bool(options.expand), "expand": options.expand}
        print_json({"store": str(opened.path), **asked, **report.as_json()})
        return
    click.echo(f"{count(len(report.queries), 'query').replace('querys', 'queries')}, {len(opened):,} photos")
    click.echo(f"mAP           {report.mean_average_precision:.4f}")
    for rank in (1, 5, 10):
        click.echo(f"precision@{rank:<3} {report.mean_precision(rank):.4f}")
    click.echo(f"ms a query    {report.milliseconds:.0f}")
    missing = sum(result.missing for result in report.queries)
    if missing:
        click.echo(f"{count(missing, 'relevant photo')} not in the store, counted as not found.", err=True)
