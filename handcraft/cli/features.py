"""handcraft features: what a photo's local features are."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from handcraft.cli.common import (
    chosen_features,
    count,
    feature_options,
    json_option,
    print_json,
    reporting,
    save_option,
    shown,
)
from handcraft.options import FeatureOptions

if TYPE_CHECKING:
    from handcraft.types import Features


@click.group()
def features() -> None:
    """Look at the features of photos."""


@features.command(
    epilog="\b\nExample:\n"
    "  handcraft features show photo.jpg --max-features 300 --save features.png\n"
    "  handcraft features show photo.jpg --extractor hessian-affine --json"
)
@click.argument("photo", type=click.Path(path_type=Path))
@feature_options
@save_option("Draw the measurement region of each feature over the photo, as PNG or JPEG.")
@json_option
def show(photo: Path, save: Path | None, as_json: bool, **asked: object) -> None:
    """Show the local features of PHOTO.

    The regions are those that are described, yellow where they are small and blue where they are large.
    Unless they are upright, a radius points in the direction of each.
    """
    options = chosen_features(**asked) or FeatureOptions()
    with reporting():
        from handcraft.cli.pictures import check_picture, save_picture
        from handcraft.engine.describing import describe
        from handcraft.engine.drawing import draw_features

        if save is not None:
            check_picture(save)
        start = time.perf_counter()
        found = describe(photo, options)
        seconds = time.perf_counter() - start
        if save is not None:
            save_picture(save, draw_features(photo, found, oriented=not options.upright))
    if as_json:
        print_json(_features_json(photo, found, options, seconds))
    else:
        click.echo(
            f"{count(len(found), f'{options.extractor} feature')} in {shown(photo)}, "
            f"{found.width} x {found.height} pixels, in {seconds:.2f} s."
        )
    if save is not None:
        click.echo(f"Written: {shown(save)}", err=True)


def _features_json(
    photo: Path, found: Features, options: FeatureOptions, seconds: float
) -> dict[str, object]:
    """The frames in plain types, strongest first."""
    return {
        "photo": str(photo),
        "extractor": options.extractor,
        "width": found.width,
        "height": found.height,
        "count": len(found),
        "seconds": seconds,
        "features": [
            {"x": x, "y": y, "matrix": [[a, b], [c, d]]} for (a, b, x), (c, d, y) in found.frames.tolist()
        ],
    }
