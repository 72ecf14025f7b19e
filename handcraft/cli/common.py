"""What the commands share: options, progress, notices and numbers for people."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from handcraft.errors import PhotoError
from handcraft.options import (
    EXPANSIONS,
    LEAST_SIZE,
    METHODS,
    PAIRINGS,
    AsmkOptions,
    BowOptions,
    FeatureOptions,
    QueryOptions,
    VerificationOptions,
)

if TYPE_CHECKING:
    from handcraft.engine.indexing import AddReport
    from handcraft.engine.reporting import Progress
    from handcraft.engine.store import Store
    from handcraft.types import Match

STORE_FOLDER = ".handcraft"
STORE_VARIABLE = "HANDCRAFT_STORE"
EXIT_UNREADABLE = 3

Command = TypeVar("Command", bound=Callable[..., Any])

store_option = click.option(
    "--store",
    type=click.Path(path_type=Path, file_okay=False),
    envvar=STORE_VARIABLE,
    help=f"Folder of the store.  [default: {STORE_FOLDER} here or in the nearest folder above]",
)
threads_option = click.option(
    "--threads", type=click.IntRange(min=0), default=0, help="Photos handled at once; 0: one per processor."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


def save_option(help_text: str) -> Callable[[Command], Command]:
    """--save, a picture to write; commands check its suffix before they work."""
    return click.option(
        "--save", type=click.Path(path_type=Path, dir_okay=False), metavar="PICTURE", help=help_text
    )


def _together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """One decorator for several options, the last of them the first in the help."""

    def decorate(command: Command) -> Command:
        for option in options:
            command = option(command)
        return command

    return decorate


def either(names: Sequence[str]) -> str:
    """Names for a person: one, two or three."""
    if len(names) == 1:
        return names[0]
    return f"{', '.join(names[:-1])} or {names[-1]}"


COUNT = click.IntRange(min=1)


def _number_option(
    name: str, default: float, help_text: str, kind: click.IntRange | type[float] = COUNT
) -> Callable[[Command], Command]:
    """A number of a kind, its default in the help."""
    return click.option(name, type=kind, default=default, show_default=True, help=help_text)


FEATURES, QUERY = FeatureOptions(), QueryOptions()

# How photos are described.
feature_options = _together(
    click.option(
        "--double",
        "doubled",
        is_flag=True,
        default=None,
        help="Look in the photo at twice its size too (hessian-affine).",
    ),
    click.option("--spread", is_flag=True, default=None, help="Spread the features evenly over the photo."),
    click.option(
        "--upright/--oriented",
        default=None,
        help="Describe features as the photo is held, or turned to their gradients.  [default: "
        f"{'upright' if FEATURES.upright else 'oriented'}]",
    ),
    click.option(
        "--max-features",
        type=click.IntRange(min=1),
        help=f"Strongest features kept of each photo.  [default: {FEATURES.max_features}]",
    ),
    click.option(
        "--max-size",
        type=click.IntRange(min=LEAST_SIZE),
        help=f"Long side in pixels that photos are reduced to.  [default: {FEATURES.max_size}]",
    ),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="NAME=VALUE",
        help="A setting of the extractor's or descriptor's own, such as a network's file; several times for "
        "several. `handcraft extractors` lists them.",
    ),
    click.option(
        "--descriptor",
        help=f"What describes the patches of the regions.  [default: {FEATURES.descriptor}]",
    ),
    click.option(
        "--extractor",
        "--detector",
        help="What finds local features in a photo: `handcraft extractors` lists them.  "
        f"[default: {FEATURES.extractor}]",
    ),
)

query_features_option = click.option(
    "--features",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Features that another program computed, the query's by its name among them: for stores of "
    "import-features.",
)

# How a store is searched.
search_options = _together(
    _number_option(
        "--directions",
        QUERY.directions,
        "Directions in which the query is described, for it may be turned; for upright stores.",
    ),
    _number_option(
        "--stop-words",
        QUERY.bow.stop_words,
        "Share of the words that is left out, the most frequent (bow).",
        float,
    ),
    _number_option(
        "--norm",
        QUERY.bow.norm,
        "2 compares by the cosine, 1 by what the ℓ1-normed vectors share (bow).",
        click.IntRange(1, 2),
    ),
    click.option(
        "--burstiness/--no-burstiness",
        default=None,
        help="Let what repeats in a photo count by the root of its number: words (bow), or the matches of a "
        "query feature (asmk of --single signatures).  [default: for bow alone]",
    ),
    click.option(
        "--idf/--no-idf",
        default=QUERY.asmk.idf,
        show_default=True,
        help="Let similarities count by the square of their word's idf (asmk).",
    ),
    _number_option(
        "--deviation",
        QUERY.asmk.deviation,
        "Weigh Hamming distances by a Gaussian of this deviation, a share of the bits, such as 0.25, in "
        "place of --alpha (asmk).",
        float,
    ),
    _number_option(
        "--tau",
        QUERY.asmk.tau,
        "Similarity, -1 to 1, up to which signatures count nothing (asmk).",
        float,
    ),
    _number_option(
        "--alpha",
        QUERY.asmk.alpha,
        "Exponent of the similarity of signatures (asmk).",
        float,
    ),
    _number_option(
        "--neighbours",
        QUERY.bow.neighbours,
        "Words near each of these that count too, as if the photos were softly assigned (bow).",
    ),
    click.option(
        "--assignments",
        type=click.IntRange(min=1),
        help="Nearest words that a feature of the query votes for.  "
        f"[default: {QUERY.asmk.assignments} for asmk, {QUERY.bow.assignments} for bow]",
    ),
    click.option(
        "--verify-with",
        help=f"What photos are verified with, {either(PAIRINGS)}: features of the same word, or, more "
        "slowly, those whose descriptors match; implies --verify.  "
        f"[default: {QUERY.verification.pairing}]",
    ),
    click.option("--method", help=f"How photos are voted for, {either(METHODS)}.  [default: the store's]"),
    click.option(
        "--expand",
        help=f"Verify, and ask again with what the verified photos show, by {either(EXPANSIONS)}: the mean "
        "of their tf-idf vectors (bow), what tells them from others (bow), or what most of their signatures "
        "have (asmk).",
    ),
)


def query_options(
    *,
    method: str | None,
    assignments: int | None,
    neighbours: int,
    alpha: float,
    tau: float,
    deviation: float,
    idf: bool,
    norm: int,
    stop_words: float,
    burstiness: bool | None,
    directions: int,
    expand: str | None,
    verify: bool,
    verify_with: str | None,
    verify_depth: int = QUERY.verification.depth,
    **rest: Any,
) -> QueryOptions:
    """The options of a query from the values of search_options; rest: other fields of QueryOptions."""
    both = {"assignments": assignments, "burstiness": burstiness}
    named: dict[str, Any] = {name: value for name, value in both.items() if value is not None}
    return QueryOptions(
        method=method or "",
        bow=BowOptions(neighbours=neighbours, norm=norm, stop_words=stop_words, **named),
        asmk=AsmkOptions(alpha=alpha, tau=tau, deviation=deviation, idf=idf, **named),
        directions=directions,
        expand=expand or "",
        verify=verify or verify_with is not None,
        verification=VerificationOptions(
            depth=verify_depth, pairing=verify_with or QUERY.verification.pairing
        ),
        **rest,
    )


def chosen_features(**asked: Any) -> FeatureOptions | None:
    """The feature options that the user named, the rest by default; None where none was named."""
    named = {name: value for name, value in asked.items() if value is not None and value != ()}
    if "settings" in named:
        named["settings"] = dict(_setting(text) for text in named["settings"])
    return FeatureOptions(**named) if named else None


def _setting(text: str) -> tuple[str, str]:
    """The name and the value of a setting."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise click.UsageError(f"--set {text} is not NAME=VALUE.")
    return name, value


def match_json(match: Match | None) -> dict[str, object]:
    """The evidence in plain types, points row by row; nothing without any."""
    if match is None:
        return {}
    return {
        "affine": match.affine.tolist(),
        "homography": None if match.homography is None else match.homography.tolist(),
        "region": match.region.tolist(),
        "query_points": match.query_points.tolist(),
        "photo_points": match.photo_points.tolist(),
    }


def find_store(store: Path | None) -> Path:
    """The store that a command means: the one named, else the nearest above, else one here."""
    if store is not None:
        return store
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / STORE_FOLDER / "manifest.json").exists():
            return folder / STORE_FOLDER
    return here / STORE_FOLDER


@contextmanager
def reporting() -> Iterator[Progress]:
    """A progress bar on a terminal, silence in a pipe; and a notice when kernels are compiled."""
    from handcraft.compilation import notify_compilation
    from handcraft.engine.reporting import silent

    def notice() -> None:
        click.echo("Compiling for this machine: the first run takes some seconds longer.", err=True)

    with notify_compilation(notice):
        if not sys.stderr.isatty():
            yield silent
            return
        with _bars() as show:
            yield show


@contextmanager
def _bars() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield show


def print_json(value: object) -> None:
    """Print JSON; names that are no text keep their bytes as lone surrogates."""
    click.echo(json.dumps(value, indent=2))


def end_with_unreadable(errors: Sequence[PhotoError], *, listed: bool) -> None:
    """If photos could not be read, end the command with the exit code for that.

    listed: they stand in the command's JSON already; otherwise they are listed here.
    """
    if not errors:
        return
    if not listed:
        click.echo(f"{count(len(errors), 'photo')} could not be read:", err=True)
        for error in errors:
            click.echo(f"  {error}", err=True)
    click.get_current_context().exit(EXIT_UNREADABLE)


def added_json(store: Store, report: AddReport, seconds: float) -> dict[str, object]:
    """What was added to a store, in plain types."""
    return {
        "store": str(store.path),
        "photos": len(store),
        "added": report.added,
        "updated": report.updated,
        "unchanged": report.unchanged,
        "featureless": list(report.featureless),
        "unreadable": [str(error) for error in report.unreadable],
        "seconds": seconds,
    }


def echo_added(store: Store, report: AddReport, seconds: float) -> None:
    """Say what was added to a store, and on stderr which photos will never be found."""
    click.echo(
        f"{count(report.added, 'photo')} added, {report.updated:,} updated, {report.unchanged:,} unchanged "
        f"in {seconds:.1f} s; {shown(store.path)} holds {count(len(store), 'photo')}."
    )
    if report.featureless:
        click.echo("Without features, so never found:", err=True)
    for name in report.featureless:
        click.echo(f"  {name}", err=True)


def count(number: int, noun: str) -> str:
    """A number and its noun: 1 photo, 2,000 photos, 3 queries."""
    if number != 1:
        noun = noun.removesuffix("y") + "ies" if noun.endswith("y") else noun + "s"
    return f"{number:,} {noun}"


def size(number: float) -> str:
    """Bytes for a person: 1.4 MB."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def shown(path: Path) -> str:
    """A path as short as it can be said from here."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)
