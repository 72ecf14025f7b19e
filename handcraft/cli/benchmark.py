"""handcraft benchmark: from the photos of a data set to the table of a paper."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from handcraft.cli.common import json_option, print_json, reporting, shown, threads_option
from handcraft.errors import EvaluationError
from handcraft.evaluation.datasets import DATASETS, Dataset
from handcraft.options import FeatureOptions

EPILOG = """\b
Example:
  handcraft benchmark own --photos images --queries queries --ground-truth ground_truth.json --check
  handcraft benchmark own --photos images --queries queries --ground-truth ground_truth.json --methods asmk
"""
OWN = "own"


@click.command(epilog=EPILOG)
@click.argument("name")
@click.option(
    "--root", type=click.Path(path_type=Path), default=Path(), help="Folder of the data set.  [default: here]"
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for stores and results, kept between runs.  [default: benchmark-NAME]",
)
@click.option("--methods", help="Rows of the table, with commas between them.  [default: all]")
@click.option(
    "--extractors",
    "--detectors",
    default=FeatureOptions.extractor,
    show_default=True,
    help="Of those that `handcraft extractors` lists, with commas between them.",
)
@click.option(
    "--train",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Other photos to train the vocabularies on, such as Paris for Oxford.  [default: those shipped]",
)
@click.option(
    "--distractors",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Folder of photos that are searched too and answer nothing, such as the 100,000 of Flickr.",
)
@click.option(
    "--words", type=click.IntRange(min=2), default=1_000_000, show_default=True, help="Words of --train."
)
@click.option("--photos", default="jpg", show_default=True, help="Photos of your own set, below the root.")
@click.option("--queries", default="jpg", show_default=True, help="Queries of your own set, below the root.")
@click.option(
    "--ground-truth", default="gt", show_default=True, help="Ground truth of your own set, below the root."
)
@click.option("--check", is_flag=True, help="Say whether the data set is complete, and no more.")
@threads_option
@json_option
def benchmark(
    name: str,
    root: Path,
    output: Path | None,
    methods: str | None,
    extractors: str,
    train: tuple[Path, ...],
    distractors: tuple[Path, ...],
    words: int,
    photos: str,
    queries: str,
    ground_truth: str,
    check: bool,
    threads: int,
    as_json: bool,
) -> None:
    """Measure handcraft on the data set NAME: photos, index, queries, table.

    NAME is oxford5k, paris6k, roxford5k, rparis6k, holidays, holidays-upright, ukbench, or own for a set of
    your own. Where photos are missing, it is said which, and what to download. Everything is kept in
    --output: a run that was interrupted, or is asked for more rows, does only what is missing. Plots need
    matplotlib.
    """
    with reporting() as progress:
        from handcraft.cli.benchmark_report import size_of, table, write_report
        from handcraft.engine.benchmarking import BenchmarkOptions, open_material, run_benchmark

        dataset = _dataset(name, Dataset(root.resolve().name, photos, queries, ground_truth))
        options = BenchmarkOptions(extractors=tuple(extractors.split(",")), train=train, words=words)
        if methods is not None:
            options = replace(options, rankings=tuple(methods.split(",")))
        folder = output or Path(f"benchmark-{name}")
        material = open_material(dataset, root, distractors)
        if check:
            click.echo(f"{material.title}: {size_of(material)}: complete")
            return
        results = run_benchmark(material, folder, options, threads=threads, progress=progress)
        write_report(folder, results, dataset, material, progress)
    if as_json:
        print_json(results)
    else:
        click.echo(table(results, dataset))
    click.echo(f"Written: {shown(folder)}", err=True)


def _dataset(name: str, own: Dataset) -> Dataset:
    if name == OWN:
        return own
    if name not in DATASETS:
        raise EvaluationError(
            f"There is no data set {name!r}; there are {', '.join(DATASETS)}, and {OWN} for one of your own."
        )
    return DATASETS[name]
