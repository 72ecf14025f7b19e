"""handcraft match: whether two photos show the same thing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from handcraft.cli.common import (
    chosen_features,
    count,
    feature_options,
    json_option,
    match_json,
    print_json,
    reporting,
    save_option,
    shown,
)
from handcraft.options import MatchOptions

if TYPE_CHECKING:
    from handcraft.engine.matching import MatchResult
    from handcraft.types import Match

EPILOG = """\b
Example:
  handcraft match photo.jpg images/scene-2.jpg --save match.png
  handcraft match photo.jpg images/scene-2.jpg --json && echo they show the same
"""
EXIT_NO_MATCH = 1


@click.command(epilog=EPILOG)
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@feature_options
@click.option(
    "--ratio",
    type=click.FloatRange(min=0, max=1, min_open=True),
    default=MatchOptions.ratio,
    show_default=True,
    help="Largest ratio of a match's distance to that of the next best place in B (Lowe's test).",
)
@save_option("Draw the photos side by side, their inliers joined, as PNG or JPEG.")
@json_option
def match(a: Path, b: Path, ratio: float, save: Path | None, as_json: bool, **features: object) -> None:
    """Tell whether the photos A and B show the same thing.

    Their features are matched by their descriptors, and the matches verified by their geometry, as a
    query's are; no store and no vocabulary is needed. Where features are upright, A is tried in
    several directions.
    The exit code is 1 where nothing is verified.
    """
    with reporting() as progress:
        import handcraft
        from handcraft.cli.pictures import check_picture, save_picture
        from handcraft.engine.drawing import draw_pair

        if save is not None:
            check_picture(save)
        options = MatchOptions(ratio=ratio)
        result = handcraft.match(
            a, b, features=chosen_features(**features), options=options, progress=progress
        )
        if save is not None:
            save_picture(save, draw_pair(a, b, result))
    if as_json:
        print_json(_result_json(a, b, result))
    else:
        click.echo(
            f"{count(result.features[0], 'feature')} in {shown(a)}, {result.features[1]:,} in {shown(b)}: "
            f"{count(result.tentative, 'tentative match').replace('matchs', 'matches')}, "
            f"{count(result.inliers, 'inlier')} in {result.seconds:.2f} s."
        )
        click.echo(_verdict(b, result.match))
    if save is not None:
        click.echo(f"Written: {shown(save)}", err=True)
    if result.match is None:
        click.get_current_context().exit(EXIT_NO_MATCH)


def _verdict(b: Path, found: Match | None) -> str:
    """What the evidence says, for a person."""
    if found is None:
        return "They do not show the same thing, or too little of it to tell."
    degrees, sense = abs(round(found.rotation)), "clockwise" if found.rotation > 0 else "anticlockwise"
    turned = f"turned by {count(degrees, 'degree')} {sense}" if degrees else "not turned"
    return f"They show the same thing: in {shown(b)} it is {found.scale:.2f} times as large, and {turned}."


def _result_json(a: Path, b: Path, result: MatchResult) -> dict[str, object]:
    """The evidence in plain types; A is the query."""
    facts: dict[str, object] = {
        name: {"path": str(path), "width": size[0], "height": size[1], "features": features}
        for name, path, size, features in zip(
            ("query", "photo"), (a, b), result.sizes, result.features, strict=True
        )
    }
    facts |= {"tentative": result.tentative, "inliers": result.inliers, "seconds": result.seconds}
    if result.match is not None:
        facts |= {"scale": result.match.scale, "rotation": result.match.rotation}
    return facts | match_json(result.match)
