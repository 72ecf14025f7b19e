"""handcraft evaluate: measure a store against ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handcraft.cli.common import (
    count,
    either,
    find_store,
    json_option,
    print_json,
    query_features_option,
    query_options,
    reporting,
    search_options,
    store_option,
    threads_option,
)
from handcraft.evaluation.named_sets import NAMED_SETS
from handcraft.evaluation.protocols import UKBENCH

if TYPE_CHECKING:
    from handcraft.evaluation.protocols import EvaluationReport

EPILOG = """\b
Example:
  handcraft evaluate --queries oxford/jpg --ground-truth oxford/gt --verify
  handcraft evaluate --queries ./queries --ground-truth ground_truth.json --json
  handcraft evaluate --ranks ranks.json --ground-truth ground_truth.json
"""


@click.command(epilog=EPILOG)
@click.option("--queries", type=click.Path(path_type=Path), help="Folder with the query photos.")
@click.option(
    "--ground-truth",
    required=True,
    help="Folder of Oxford text files, or a JSON file; for --ranks also a gnd_*.pkl of Revisited Oxford or "
    f"Paris, {either(tuple(NAMED_SETS))}.",
)
@click.option(
    "--ranks",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Score the rankings in this .json, .csv or .npy file, in place of the store's.",
)
@click.option(
    "--names",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Names of the database's photos, one a line, where --ranks counts them.",
)
@store_option
@click.option("--verify", is_flag=True, help="Re-rank the best photos by their geometry.")
@query_features_option
@search_options
@threads_option
@json_option
def evaluate(
    queries: Path | None,
    ground_truth: str,
    ranks: Path | None,
    names: Path | None,
    store: Path | None,
    verify: bool,
    threads: int,
    as_json: bool,
    **search: Any,
) -> None:
    """Run the queries of a ground truth against the store and print the mean average precision.

    With --ranks, rankings that were made elsewhere are scored instead, and neither photos nor a store are
    needed.
    Average precision is Oxford's: the area under the precision-recall curve by trapezoids, junk
    left out. A query photo that is in the store counts unless the ground truth calls it junk.
    """
    if ranks is not None:
        _of_rankings(ranks, ground_truth, names, as_json)
        return
    if queries is None:
        raise click.UsageError(
            "Name the folder of the query photos with --queries, or rankings with --ranks."
        )
    with reporting() as progress:
        import handcraft

        opened = handcraft.open(find_store(store), threads=threads)
        options = query_options(verify=verify, **search)
        report = opened.evaluate(queries, ground_truth, options=options, progress=progress)
    if as_json:
        asked = {"verify": verify or bool(options.expand), "expand": options.expand}
        print_json({"store": str(opened.path), **asked, **report.as_json()})
        return
    click.echo(f"{_queries(report)}, {len(opened):,} photos")
    _print(report)


def _of_rankings(ranks: Path, ground_truth: str, names: Path | None, as_json: bool) -> None:
    import handcraft

    reports = handcraft.evaluate_rankings(ranks, ground_truth, names=names)
    if as_json:
        levels = {level: report.as_json() for level, report in reports.items()}
        print_json({"ranks": str(ranks), **levels.get("", {"levels": levels})})
        return
    for level, report in reports.items():
        click.echo(f"{level}: {_queries(report)}" if level else _queries(report))
        _print(report)


def _queries(report: EvaluationReport) -> str:
    return count(len(report.queries), "query")


def _print(report: EvaluationReport) -> None:
    """The figures, and on stderr what was odd about the rankings."""
    click.echo(f"mAP           {report.mean_average_precision:.4f}")
    if report.protocol == UKBENCH:
        click.echo(f"N-S score     {4 * report.mean_precision(4):.4f}")
    else:
        for rank in report.protocol.ranks:
            click.echo(f"precision@{rank:<3} {report.mean_precision(rank):.4f}")
    if report.milliseconds is not None:
        click.echo(f"ms a query    {report.milliseconds:.0f}")
    missing, repeated, empty = (
        sum(result.missing for result in report.queries),
        sum(result.repeated for result in report.queries),
        sum(not result.ranked for result in report.queries),
    )
    where = "in no ranking" if report.milliseconds is None else "not in the store"
    if missing:
        click.echo(f"{count(missing, 'relevant photo')} {where}, counted as not found.", err=True)
    if repeated:
        click.echo(f"{count(repeated, 'photo')} ranked again, counted where they come first.", err=True)
    if empty:
        click.echo(f"{count(empty, 'query')} found nothing.", err=True)
