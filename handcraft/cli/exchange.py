"""handcraft import-features and export-features: features of other programs, and for them."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import click

from handcraft.cli.common import (
    added_json,
    chosen_features,
    count,
    echo_added,
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
from handcraft.options import IMPORTED, VocabularyOptions

TRAINING = VocabularyOptions()


@click.command(
    "import-features",
    epilog="\b\nExample:\n"
    "  handcraft export-features features.h5 --root ./images\n"
    "  handcraft import-features features.h5 ./images --name mine --words 1000 --store mine\n"
    "  handcraft query images/scene-2.jpg --features features.h5 --store mine",
)
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(path_type=Path))
@store_option
@click.option(
    "--kind",
    default="",
    metavar="KIND",
    help="Whose file it is: hloc, colmap, npz or delf.  [default: found out]",
)
@click.option(
    "--name",
    default="",
    metavar="NAME",
    help="What computed the features; those of other names are never compared with them.  [default: the "
    f"store's, or {IMPORTED}]",
)
@feature_options
@click.option(
    "--vocabulary",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Vocabulary of a new store.  [default: the shipped one, or one trained on the features]",
)
@click.option(
    "--words",
    type=int,
    help="Words of a vocabulary trained on the features.  [default: a tenth of the features, at most "
    f"{TRAINING.words}]",
)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    default=TRAINING.sample,
    show_default=True,
    help="Features to train it on, drawn at random where there are more.",
)
@threads_option
@json_option
def import_features(
    file: Path,
    images: Path,
    store: Path | None,
    kind: str,
    name: str,
    vocabulary: Path | None,
    words: int | None,
    sample: int,
    threads: int,
    as_json: bool,
    **features: object,
) -> None:
    """Index the photos below IMAGES with features that another program computed, which FILE has.

    FILE is hloc's HDF5, COLMAP's database, or a folder of DELF's or NumPy's files, whose names are relative
    to IMAGES. Queries need such features too: see query --features. With --extractor the features are taken
    for those of handcraft's own, such as export-features writes, and queries are described as ever.
    """
    asked = chosen_features(**features)
    if asked is not None and features["extractor"] is None:
        asked = replace(asked, extractor=IMPORTED)
    with reporting() as progress:
        import handcraft

        opened = handcraft.open(find_store(store), features=asked, vocabulary=vocabulary, threads=threads)
        start = time.perf_counter()
        report = opened.import_features(
            file,
            images,
            kind=kind,
            name=name,
            training=replace(TRAINING, words=words or 0, sample=sample),
            progress=progress,
        )
    added, seconds = report.added, time.perf_counter() - start
    if as_json:
        print_json(
            {
                **added_json(opened, added, seconds),
                "unused": report.unused,
                "words_trained": report.trained,
                "points": report.points,
            }
        )
    else:
        echo_added(opened, added, seconds)
        if report.trained:
            click.echo(f"Its {count(report.trained, 'word')} were trained on these very features.")
        if report.points:
            click.echo("The features are points: photos are verified by maps of pairs of them.")
        if report.unused:
            click.echo(
                f"Not below {shown(images)}: {count(report.unused, 'photo')} of {shown(file)}.", err=True
            )
    end_with_unreadable(added.unreadable, listed=as_json)


@click.command(
    "export-features",
    epilog="\b\nExample:\n  handcraft export-features features.h5 --root ./images\n"
    "  handcraft import-features features.h5 ./images --extractor hessian-affine --store again",
)
@click.argument("output", type=click.Path(path_type=Path, dir_okay=False))
@store_option
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder that names are relative to.  [default: the collection's]",
)
@json_option
def export_features(output: Path, store: Path | None, root: Path | None, as_json: bool) -> None:
    """Write the features that the store keeps to OUTPUT, in the format of hloc.

    Beside the keypoints, scales and orientations that hloc knows, the whole shapes are written, so that
    nothing is lost when they are imported again.
    """
    with reporting() as progress:
        import handcraft

        opened = handcraft.open(find_store(store))
        photos = opened.export_features(output, root=root, progress=progress)
    if as_json:
        print_json({"written": str(output), "photos": photos})
    else:
        click.echo(f"Features of {count(photos, 'photo')} written to {shown(output)}.")
