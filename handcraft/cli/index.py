"""handcraft index: add photos to a store."""

from __future__ import annotations

import time
from pathlib import Path

import click

from handcraft.cli.common import (
    added_json,
    chosen_features,
    echo_added,
    either,
    end_with_unreadable,
    feature_options,
    find_store,
    json_option,
    print_json,
    reporting,
    store_option,
    threads_option,
)
from handcraft.options import METHODS, IndexOptions, SignatureOptions, VladOptions

EPILOG = """\b
Example:
  handcraft index ./images
  handcraft index ./more --threads 4
  handcraft index ./images --method bow --store bags
  handcraft index ./images --method vlad --dimension 128
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
@click.option(
    "--binary/--real",
    default=SignatureOptions.binary,
    show_default=True,
    help="Keep the signs of residuals, or the residuals themselves (asmk).",
)
@click.option(
    "--aggregated/--single",
    default=SignatureOptions.aggregated,
    show_default=True,
    help="Keep one signature for a word of a photo, or one for each feature (asmk).",
)
@click.option(
    "--bits",
    type=click.IntRange(min=0),
    default=SignatureOptions.bits,
    help="Bits of a signature (asmk).  [default: the descriptors' dimension]",
)
@click.option(
    "--medians/--centroids",
    default=SignatureOptions.medians,
    show_default=True,
    help="Take residuals to the medians of a word's descriptors, of build-vocab --medians, or to its "
    "centroid (asmk).",
)
@click.option(
    "--vlad-model",
    type=click.Path(path_type=Path, dir_okay=False),
    help="What makes vectors of photos, of build-vlad (vlad).  [default: the shipped one]",
)
@click.option(
    "--half/--bytes",
    default=VladOptions.half,
    show_default=True,
    help="Keep 2 bytes of each number of a vector, or 1 (vlad).",
)
@click.option(
    "--dimension",
    type=click.IntRange(min=0),
    default=VladOptions.dimension,
    help="Numbers of a vector (vlad).  [default: all that the model gives]",
)
@click.option(
    "--method",
    help=f"How photos are to be voted for, {either(METHODS)}; adds it to a store that does not have it.  "
    f"[default: the store's, {METHODS[0]} for a new one]",
)
@threads_option
@json_option
def index(
    paths: tuple[Path, ...],
    store: Path | None,
    vocabulary: Path | None,
    keep_features: bool,
    method: str | None,
    bits: int,
    aggregated: bool,
    binary: bool,
    medians: bool,
    dimension: int,
    half: bool,
    vlad_model: Path | None,
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
        options = IndexOptions(
            method=method or "",
            signatures=SignatureOptions(bits=bits, aggregated=aggregated, binary=binary, medians=medians),
            vlad=VladOptions(dimension=dimension, half=half),
            vlad_model=vlad_model,
            keep_features=keep_features,
        )
        report = opened.add(paths, options=options, progress=progress)
    seconds = time.perf_counter() - start
    if as_json:
        print_json(added_json(opened, report, seconds))
    else:
        echo_added(opened, report, seconds)
    end_with_unreadable(report.unreadable, listed=as_json)
