"""handcraft build-vlad: learn what makes one vector of a photo."""

from __future__ import annotations

import time
from pathlib import Path

import click

from handcraft.cli.common import count, json_option, print_json, reporting, shown, threads_option
from handcraft.options import VladTraining

EPILOG = """\b
Example:
  handcraft index ./other-photos --store others
  handcraft build-vlad others --output model.h5 --dimension 512
  handcraft index ./images --method vlad --vlad-model model.h5 --store vectors
"""
DEFAULTS = VladTraining()


@click.command("build-vlad", epilog=EPILOG)
@click.argument("store", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Write the model to this file.",
)
@click.option(
    "--dimension",
    type=click.IntRange(min=1),
    default=DEFAULTS.dimension,
    show_default=True,
    help="Most numbers of a vector; fewer than there are photos.",
)
@click.option(
    "--words",
    type=click.IntRange(min=1),
    default=DEFAULTS.words,
    show_default=True,
    help="Words whose residuals are summed.",
)
@click.option(
    "--power",
    type=float,
    default=DEFAULTS.power,
    show_default=True,
    help="Raise sums to this power; 1 leaves them.",
)
@click.option(
    "--intra/--no-intra",
    default=DEFAULTS.intra,
    show_default=True,
    help="Norm the sums of each word.",
)
@click.option(
    "--residual-norm/--no-residual-norm",
    default=DEFAULTS.residual_norm,
    show_default=True,
    help="Norm residuals before they are summed.",
)
@click.option(
    "--photos",
    type=click.IntRange(min=2),
    default=DEFAULTS.photos,
    show_default=True,
    help="Photos to learn the whitening from, evenly out of more.",
)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    default=DEFAULTS.sample,
    show_default=True,
    help="Descriptors to train the words on, drawn at random where there are more.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=DEFAULTS.seed,
    show_default=True,
    help="Of the random start.",
)
@threads_option
@json_option
def build_vlad(store: Path, output: Path, threads: int, as_json: bool, **options: object) -> None:
    """Learn from the photos of STORE what makes one vector of a photo, for `index --method vlad`.

    The photos should be like those that are to be indexed, but not the very same. The store must keep
    their features.
    """
    training = VladTraining(**options)  # type: ignore[arg-type]  # click has made them
    start = time.perf_counter()
    with reporting():
        import handcraft

        model = handcraft.open(store, threads=threads).build_vlad(output, training)
    seconds = time.perf_counter() - start
    learned = model.codebook.training
    if as_json:
        print_json(
            {
                "written": str(output),
                "words": model.codebook.words,
                "dimension": model.dimension,
                "photos": learned.photos,
                "descriptors": learned.descriptors,
                "bytes": output.stat().st_size,
                "seconds": seconds,
            }
        )
    else:
        click.echo(
            f"Vectors of {model.dimension} numbers, from {count(model.codebook.words, 'word')}, learned on "
            f"{count(learned.photos, 'photo')} in {seconds:.1f} s, written to {shown(output)}."
        )
