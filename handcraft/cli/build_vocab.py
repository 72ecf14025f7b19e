"""handcraft build-vocab: train a vocabulary."""

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
from handcraft.options import MAX_BRANCHING, VocabularyOptions

EPILOG = """\b
Example:
  handcraft build-vocab ./images --words 20000
  handcraft build-vocab --from .handcraft --words 1000000 --sample 10000000
  handcraft build-vocab ./other-photos --output vocabulary.h5
  handcraft index ./images --store other-store --vocabulary vocabulary.h5
"""
DEFAULTS = VocabularyOptions()


@click.command("build-vocab", epilog=EPILOG)
@click.argument("images", nargs=-1, type=click.Path(path_type=Path))
@store_option
@click.option(
    "--from",
    "from_store",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="STORE",
    help="Train on the features that this store keeps, beside those of IMAGES.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the vocabulary to this file and leave the store alone.",
)
@click.option("--words", default=DEFAULTS.words, show_default=True, help="Visual words.")
@click.option(
    "--depth",
    type=click.IntRange(min=0),
    default=DEFAULTS.depth,
    show_default=True,
    help=f"Levels of the tree; 1: flat; 0: so many that a node has {MAX_BRANCHING} children or fewer.",
)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    default=DEFAULTS.sample,
    show_default=True,
    help="Descriptors to train on, drawn at random where there are more.",
)
@click.option("--iterations", default=DEFAULTS.iterations, show_default=True, help="Passes of k-means.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=DEFAULTS.seed,
    show_default=True,
    help="Of the random start.",
)
@click.option(
    "--shifted/--as-described",
    default=DEFAULTS.shifted,
    show_default=True,
    help="Take the mean descriptor from all and norm them again, or leave them as they are.",
)
@click.option(
    "--medians/--no-medians",
    default=DEFAULTS.medians,
    show_default=True,
    help="Keep the medians of each word's descriptors too, for `index --medians`; doubles the file.",
)
@feature_options
@threads_option
@json_option
def build_vocab(
    images: tuple[Path, ...],
    store: Path | None,
    from_store: Path | None,
    output: Path | None,
    words: int,
    depth: int,
    sample: int,
    iterations: int,
    seed: int,
    shifted: bool,
    medians: bool,
    threads: int,
    as_json: bool,
    **features: object,
) -> None:
    """Train a vocabulary on IMAGES, files or folders, and make it the store's own.

    The vocabulary that ships with handcraft serves most photographs; train one on photos like
    yours, not on the very photos that you evaluate with. Photos that the store holds already are
    not described again, and are given their new words. An interrupted training goes on with the same
    command.
    """
    if not images and from_store is None:
        raise click.UsageError("Name the photos to train on, or a store with --from.")
    options = VocabularyOptions(
        words=words,
        depth=depth,
        sample=sample,
        iterations=iterations,
        seed=seed,
        shifted=shifted,
        medians=medians,
    )
    start = time.perf_counter()
    with reporting() as progress:
        import handcraft

        opened = handcraft.open(find_store(store), features=chosen_features(**features), threads=threads)
        report = opened.build_vocabulary(
            images, options, from_store=from_store, output=output, progress=progress
        )
        place = opened.path if output is None else output
    seconds = time.perf_counter() - start
    training = report.tree.training
    if as_json:
        print_json(
            {
                "written": str(place),
                "words": report.tree.words,
                "depth": report.tree.depth,
                "descriptors": training.descriptors,
                "photos": training.photos,
                "reused": report.reused,
                "distortion": training.distortion,
                "reindexed": report.reindexed,
                "unreadable": [str(error) for error in report.unreadable],
                "seconds": seconds,
            }
        )
    else:
        if report.tree.words < words:
            click.echo(f"Warning: only {report.tree.words:,} words; many descriptors are equal.", err=True)
        again = f"; {count(report.reindexed, 'photo')} indexed again" if report.reindexed else ""
        click.echo(
            f"{count(report.tree.words, 'word')} trained on {count(training.descriptors, 'descriptor')} of "
            f"{count(training.photos, 'photo')} in {seconds:.1f} s, written to {shown(place)}{again}."
        )
    end_with_unreadable(report.unreadable, listed=as_json)
