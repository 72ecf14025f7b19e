"""handcraft vocab: what a vocabulary is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from handcraft.cli.common import (
    count,
    find_store,
    json_option,
    print_json,
    reporting,
    shown,
    size,
    store_option,
)

if TYPE_CHECKING:
    from handcraft.engine.vocabularies import VocabularyInfo

PERCENTILES = (0, 1, 10, 50, 90, 99, 100)  # shown of the descriptors a word


@click.group()
def vocab() -> None:
    """Look at vocabularies."""


@vocab.command(
    epilog="\b\nExample:\n  handcraft vocab info\n  handcraft vocab info --extractor sift\n"
    "  handcraft vocab info vocabulary.h5 --save balance.png"
)
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@store_option
@click.option("--extractor", "--detector", help="Show the shipped vocabulary of this extractor instead.")
@click.option(
    "--save",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PICTURE",
    help="Draw how many descriptors of the training the words have, as PNG, SVG or PDF.",
)
@json_option
def info(
    file: Path | None, store: Path | None, extractor: str | None, save: Path | None, as_json: bool
) -> None:
    """Show what the vocabulary FILE is: the store's own, or without a store the shipped one."""
    if file is not None and extractor is not None:
        raise click.UsageError("Name a FILE or an --extractor, not both.")
    with reporting():
        from handcraft.engine.vocabularies import vocabulary_info
        from handcraft.storage.manifest import MANIFEST_FILE

        place = find_store(store)
        there = place if store or (place / MANIFEST_FILE).exists() else None
        facts = vocabulary_info(file, there, extractor)
        if save is not None:
            from handcraft.cli.plots import save_balance

            save_balance(save, facts)
    if as_json:
        print_json(facts.as_json())
    else:
        for label, value in _rows(facts).items():
            click.echo(f"{label:<11} {value}")
    if save is not None:
        click.echo(f"Written: {shown(save)}", err=True)


def _rows(facts: VocabularyInfo) -> dict[str, str]:
    training, balance = facts.training, facts.training.balance
    parameters = ", ".join(f"{name} {value:,}" for name, value in training.parameters.items())
    rows = {
        "vocabulary": f"{shown(facts.path)}, {size(facts.bytes)}",
        "words": f"{facts.words:,} for {facts.fingerprint}",
        "tree": f"{count(facts.depth, 'level')}, {count(facts.nodes, 'node')}",
        "trained on": f"{count(training.descriptors, 'descriptor')} of {count(training.photos, 'photo')}, "
        f"{training.source}",
        "asked for": parameters,
        "distortion": f"{training.distortion:,.1f}",
    }
    if balance is not None:
        numbers = ", ".join(f"{balance.percentiles[p]:,} ({p} %)" for p in PERCENTILES)
        rows |= {
            "imbalance": f"{balance.imbalance:.3f}; 1 is an equal share for every word",
            "empty words": f"{balance.empty:,}",
            "a word has": f"{numbers} descriptors",
        }
    return rows
