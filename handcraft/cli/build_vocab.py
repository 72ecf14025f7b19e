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
from handcraft.options import FeatureOptions, VocabularyOptions

EPILOG = """\b
Example:
  handcraft build-vocab ./images --words 20000
  handcraft build-vocab ./other-photos --output vocabulary.h5
  handcraft index ./images --store other-store --vocabulary vocabulary.h5
"""
DEFAULTS = VocabularyOptions()


@click.command("build-vocab", epilog=EPILOG)
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@store_option
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the vocabulary to this file and leave the store alone.",
)
@click.option("--words", default=DEFAULTS.words, show_default=True, help="Visual words.")
@click.option("--depth", default=DEFAULTS.depth, show_default=True, help="Levels of the tree.")
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    default=DEFAULTS.sample,
    show_default=True,
    help="Descriptors to train on, drawn evenly from the photos.",
)
@click.option("--iterations", default=DEFAULTS.iterations, show_default=True, help="Passes of k-means.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=DEFAULTS.seed,
    show_default=True,
    help="Of the random start.",
)
@feature_options
@threads_option
@json_option
def build_vocab(
    images: tuple[Path, ...],
    store: Path | None,
    output: Path | None,
    words: int,
    depth: int,
    sample: int,
    iterations: int,
    seed: int,
    threads: int,
    as_json: bool,
    **features: object,
) -> None:
    """Train a vocabulary on IMAGES, files or folders, and make it the store's own.

    The vocabulary that ships with handcraft serves most photographs; train one on photos like
    yours, not on the very photos that you evaluate with. Photos that the store holds already are
    given their new words.
    """
    options = VocabularyOptions(words=words, depth=depth, sample=sample, iterations=iterations, seed=seed)
    start = time.perf_counter()
    with reporting() as progress:
        import handcraft
        from handcraft.engine.vocabularies import train_vocabulary
        from handcraft.vocabulary.files import write_vocabulary

        asked = chosen_features(**features)
        if output is not None:
            report = train_vocabulary(
                images, options, asked or FeatureOptions(), threads=threads, progress=progress
            )
            write_vocabulary(output, report.tree)
            place = output
        else:
            opened = handcraft.open(find_store(store), features=asked, threads=threads)
            report = opened.build_vocabulary(images, options, progress=progress)
            place = opened.path
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
