"""handcraft query: search a store with a photo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handcraft.cli.common import (
    count,
    find_store,
    json_option,
    match_json,
    print_json,
    query_features_option,
    query_options,
    reporting,
    search_options,
    shown,
    store_option,
    threads_option,
)
from handcraft.options import QueryOptions
from handcraft.types import RegionOfInterest

if TYPE_CHECKING:
    from handcraft.engine.reporting import Progress
    from handcraft.engine.searching import QueryResult
    from handcraft.types import Hit

EPILOG = """\b
Example:
  handcraft query photo.jpg --verify
  handcraft query photo.jpg --verify --html result.html
  handcraft query photo.jpg --roi 136,34,648,955 --top 50 --json
"""
DEFAULTS = QueryOptions()


class _Box(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic since click 8.4
    """Four numbers with commas between them."""

    name = "x1,y1,x2,y2"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> RegionOfInterest:
        if isinstance(value, RegionOfInterest):
            return value
        try:
            x1, y1, x2, y2 = (float(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not of the form x1,y1,x2,y2, four numbers in pixels.", param, ctx)
        return RegionOfInterest(x1, y1, x2, y2)


BOX = _Box()


@click.command(epilog=EPILOG)
@click.argument("photo", type=click.Path(path_type=Path))
@store_option
@click.option("--top", type=click.IntRange(min=1), default=DEFAULTS.top, show_default=True, help="Hits.")
@click.option("--roi", type=BOX, help="Search with the features inside this box, in pixels.")
@click.option("--verify", is_flag=True, help="Re-rank the best photos by their geometry.")
@click.option(
    "--verify-depth",
    type=click.IntRange(min=1),
    default=DEFAULTS.verification.depth,
    show_default=True,
    help="Photos that --verify looks at.",
)
@query_features_option
@search_options
@click.option(
    "--save-matches",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Draw the query beside each hit into DIR; implies --verify.",
)
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write one self-contained page with the hits.",
)
@threads_option
@json_option
def query(
    photo: Path,
    store: Path | None,
    top: int,
    roi: RegionOfInterest | None,
    verify: bool,
    verify_depth: int,
    save_matches: Path | None,
    html: Path | None,
    threads: int,
    as_json: bool,
    **search: Any,
) -> None:
    """Rank the photos of the store by how likely they show what PHOTO shows."""
    with reporting() as progress:
        options = query_options(
            top=top,
            verify=verify or save_matches is not None,
            verify_depth=verify_depth,
            **search,
        )
        import handcraft

        opened = handcraft.open(find_store(store), threads=threads)
        result = opened.query(photo, roi=roi, options=options)
        problems = _draw(photo, result, roi, save_matches, html, progress)
    if as_json:
        print_json(result_json(photo, opened.path, result))
    else:
        for line in result_lines(result):
            click.echo(line)
    for place in (save_matches, html):
        if place is not None:
            click.echo(f"Written: {shown(place)}", err=True)
    for problem in problems:
        click.echo(f"Not drawn: {problem}", err=True)


def _draw(
    photo: Path,
    result: QueryResult,
    roi: RegionOfInterest | None,
    save_matches: Path | None,
    html: Path | None,
    progress: Progress,
) -> list[str]:
    """Make the pictures and the page that were asked for; return what could not be drawn."""
    problems: list[str] = []
    if save_matches is None and html is None:
        return problems
    from handcraft.cli.pictures import query_section, save_match_pictures, write_page

    if save_matches is not None:
        problems += save_match_pictures(save_matches, photo, result, roi, progress)
    if html is not None:
        section, missing = query_section(photo, result, f"{summary(result)}.", roi, progress)
        write_page(html, f"Results for {photo.name}", [section])
        problems += [problem for problem in missing if problem not in problems]
    return problems


def result_lines(result: QueryResult) -> list[str]:
    """The ranking as text, a hit a line."""
    lines = [f"{'rank':>4}  {'score':>6}  {'inliers':>7}  photo"]
    lines += [
        f"{hit.rank:>4}  {hit.score:6.4f}  {hit.inliers or '-':>7}  {shown(hit.path)}" for hit in result.hits
    ]
    lines.append(f"{summary(result)}." if result.hits else "No photo is like it.")
    return lines


def summary(result: QueryResult) -> str:
    """What was searched, with what, how long it took, and how much of it is verified."""
    searched = (
        f"{count(result.photos, 'photo')} searched with {count(result.features, 'feature')} "
        f"in {result.seconds['total']:.2f} s"
    )
    if not result.compared:
        return searched
    how = " by pairs of points" if result.points else ""
    return f"{searched}; {result.verified:,} of the best {result.compared:,} verified{how}"


def result_json(photo: Path, store: Path, result: QueryResult) -> dict[str, object]:
    """The ranking with its evidence in plain types."""
    return {
        "query": str(photo),
        "store": str(store),
        "width": result.width,
        "height": result.height,
        "features": result.features,
        "photos": result.photos,
        "compared": result.compared,
        "points": result.points,
        "verified": result.verified,
        "seconds": result.seconds,
        "hits": [_hit_json(hit) for hit in result.hits],
    }


def _hit_json(hit: Hit) -> dict[str, object]:
    facts: dict[str, object] = {
        "rank": hit.rank,
        "name": hit.name,
        "path": str(hit.path),
        "score": hit.score,
        "inliers": hit.inliers,
    }
    if hit.match is not None:
        facts |= {
            "weight": hit.match.weight,
            "evidence": hit.match.evidence,
            "certainty": hit.match.certainty,
        }
    return facts | match_json(hit.match)
