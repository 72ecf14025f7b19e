"""handcraft remove, optimize, info and check: looking after a store."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    from handcraft.engine.checking import StoreInfo


@click.command(epilog="\b\nExample:\n  handcraft remove ./images/old\n  handcraft remove --missing")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@store_option
@click.option("--missing", is_flag=True, help="Remove the photos whose file is gone.")
def remove(paths: tuple[Path, ...], store: Path | None, missing: bool) -> None:
    """Remove the photos at PATHS, or below them, from the store; the files stay where they are."""
    if not paths and not missing:
        raise click.UsageError("Name the photos to remove, or say --missing.")
    with reporting():
        import handcraft

        opened = handcraft.open(find_store(store))
        removed = opened.remove(paths, missing=missing)
    click.echo(
        f"{count(removed, 'photo')} removed; {shown(opened.path)} holds {count(len(opened), 'photo')}."
    )


@click.command(epilog="\b\nExample:\n  handcraft optimize")
@store_option
def optimize(store: Path | None) -> None:
    """Merge the store's segments and free the space of removed photos."""
    with reporting() as progress:
        import handcraft

        report = handcraft.open(find_store(store)).optimize(progress=progress)
    click.echo(
        f"{count(report.segments_before, 'segment')} became {report.segments_after:,}, "
        f"{count(report.dropped, 'removed photo')} dropped, "
        f"{size(report.bytes_before)} became {size(report.bytes_after)}."
    )


@click.command(epilog="\b\nExample:\n  handcraft info\n  handcraft info --photos")
@store_option
@click.option("--photos", is_flag=True, help="List the names of the photos, one a line.")
@json_option
def info(store: Path | None, photos: bool, as_json: bool) -> None:
    """Show what the store holds."""
    with reporting():
        import handcraft

        opened = handcraft.open(find_store(store))
        names = opened.names if photos else ()
        facts = opened.info()
    if as_json:
        listed = {"names": list(names)} if photos else {}
        print_json({**asdict(facts), "store": str(facts.store), "root": str(facts.root), **listed})
        return
    if photos:
        for name in names:
            click.echo(name)
        return
    training = facts.training
    features = sum(segment.features for segment in facts.segments)
    entries = sum(segment.entries for segment in facts.segments)
    rows = {
        "store": shown(facts.store),
        "photos of": shown(facts.root),
        "photos": f"{facts.photos:,}",
        "features": f"{features:,} of {facts.fingerprint}",
        "votes by": ", ".join(_method(*method) for method in facts.methods.items()),
        "words": f"{facts.words:,}, of which {facts.words_used:,} occur",
        "trained on": f"{count(training.descriptors, 'descriptor')} of {count(training.photos, 'photo')}, "
        f"{training.source}",
        "generation": f"{facts.generation:,}",
        "entries": f"{entries:,}, imbalance {facts.imbalance:.2f}",
        "size": f"{size(facts.bytes)}, {_bytes_a_photo(facts)}",
    }
    for label, value in rows.items():
        click.echo(f"{label:<11} {value}")
    click.echo(
        f"\n{'segment':>7} {'photos':>8} {'removed':>8} {'entries':>12} {'index':>10} "
        f"{'signatures':>10} {'vectors':>10} {'features':>10}"
    )
    for segment in facts.segments:
        click.echo(
            f"{segment.number:>7} {segment.photos:>8,} {segment.removed:>8,} {segment.entries:>12,} "
            f"{size(segment.index_bytes):>10} {size(segment.signatures_bytes):>10} "
            f"{size(segment.vectors_bytes):>10} {size(segment.features_bytes):>10}"
        )


def _bytes_a_photo(facts: StoreInfo) -> str:
    """What a photo takes: "24 KB a photo for the index, 18 KB for signatures, 290 KB for features"."""
    photos = max(1, sum(segment.photos + segment.removed for segment in facts.segments))
    index, *parts = (
        (part, sum(getattr(segment, f"{part}_bytes") for segment in facts.segments) // photos)
        for part in ("index", "signatures", "vectors", "features")
    )
    others = "".join(f", {size(taken)} for {part}" for part, taken in parts if taken or part == "features")
    return f"{size(index[1])} a photo for the index{others}"


def _method(name: str, parameters: dict[str, Any]) -> str:
    """A method and what it keeps: "asmk (128 bits)"."""
    if not parameters:
        return name
    if name == "vlad":
        return f"{name} ({parameters['dimension']} numbers of {2 if parameters['half'] else 1} B)"
    kind = f"{parameters['bits']} {'bits' if parameters['binary'] else 'numbers'}"
    return f"{name} ({kind}{'' if parameters['aggregated'] else ' a feature'})"


@click.command(epilog="\b\nExample:\n  handcraft check && echo the store is whole")
@store_option
@json_option
@click.pass_context
def check(ctx: click.Context, store: Path | None, as_json: bool) -> None:
    """Read every file of the store and prove it whole, or say what is broken."""
    with reporting() as progress:
        import handcraft

        opened = handcraft.open(find_store(store))
        report = opened.check(progress=progress)
    if as_json:
        print_json({"store": str(opened.path), "whole": not report.problems, **asdict(report)})
    elif report.problems:
        for problem in report.problems:
            click.echo(problem, err=True)
        click.echo(
            f"{shown(opened.path)} is broken; index the photos again into a new store "
            "with `handcraft index --store`.",
            err=True,
        )
    else:
        click.echo(
            f"{shown(opened.path)} is whole: {count(report.photos, 'photo')}, "
            f"{count(report.files, 'file')}, {size(report.bytes)} read."
        )
    if report.problems:
        ctx.exit(1)
