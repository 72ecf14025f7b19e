"""handcraft demo: the whole road on photographs that are installed already."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from handcraft.cli.common import STORE_FOLDER, count, json_option, print_json, reporting, shown

if TYPE_CHECKING:
    from handcraft.demo import DemoQuery
    from handcraft.engine.searching import QueryResult

EPILOG = """\b
Example:
  pip install "handcraft[demo]"
  handcraft demo
"""
HITS = 8  # shown of each query
MARKER = ".made-by-handcraft-demo"  # what a later demo may remove


@click.command(epilog=EPILOG)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("handcraft-demo"),
    show_default=True,
    help="Where the photos, the store and the page go; a folder of an earlier demo is made anew.",
)
@json_option
@click.pass_context
def demo(ctx: click.Context, folder: Path, as_json: bool) -> None:
    """Index the photographs of scikit-image and scikit-learn, and find them again.

    The queries are crops of them, turned, warped, darkened and recompressed. Each is searched and
    verified; the results are printed and written to a page.
    """
    from handcraft.demo import make_demo_photos

    start = time.perf_counter()
    _clear(folder)
    with reporting() as progress:
        import handcraft
        from handcraft.cli.pictures import query_section, write_page
        from handcraft.cli.query import summary

        photos = make_demo_photos(folder)
        (folder / MARKER).touch()
        store = handcraft.open(folder / STORE_FOLDER)
        store.add(photos.collection, progress=progress)
        results, sections = [], []
        for done, query in enumerate(photos.queries):
            progress("querying", done, len(photos.queries))
            result = store.query(query.path, verify=True, top=HITS)
            results.append((query, result))
            section, _ = query_section(
                query.path, result, f"{query.description}: {summary(result)}.", None, lambda *_: None
            )
            sections.append(section)
        page = folder / "demo.html"
        write_page(page, "handcraft demo", sections)
    seconds = time.perf_counter() - start
    found = sum(_is_found(query, result) for query, result in results)
    if as_json:
        print_json(
            {
                "photos": len(store),
                "queries": [_query_json(query, result) for query, result in results],
                "found": found,
                "left_out": list(photos.left_out),
                "page": str(page),
                "seconds": seconds,
            }
        )
    else:
        for line in _table(results):
            click.echo(line)
        for sentence in photos.left_out:
            click.echo(sentence)
        click.echo(
            f"{found} of {len(results)} queries found their photo first, verified, among "
            f"{count(len(store), 'photo')} in {seconds:.0f} s.\nOpen {shown(page)} to see the proof."
        )
    if found < len(results):
        ctx.exit(1)


def _clear(folder: Path) -> None:
    """Make room; a folder that no demo made is left alone."""
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / MARKER).is_file():
        raise click.UsageError(f"{folder} is not the folder of an earlier demo; name another with --folder.")
    shutil.rmtree(folder)


def _is_found(query: DemoQuery, result: QueryResult) -> bool:
    first = result.hits[0] if result.hits else None
    return first is not None and first.match is not None and first.path.name == query.expected


def _table(results: list[tuple[DemoQuery, QueryResult]]) -> list[str]:
    width = max(len(query.path.name) for query, _ in results)
    lines = [f"{'query':<{width}}  {'first hit':<24} {'inliers':>7}  {'second':>6}  {'ms':>4}  what was done"]
    for query, result in results:
        first, second = (*result.hits, None, None)[:2]
        mark = "" if _is_found(query, result) else f"  (should be {query.expected})"
        lines.append(
            f"{query.path.name:<{width}}  {first.path.name if first else '-':<24} "
            f"{first.inliers if first else 0:>7}  {second.inliers if second else 0:>6}  "
            f"{1000 * result.seconds['total']:>4.0f}  {query.description}{mark}"
        )
    return lines


def _query_json(query: DemoQuery, result: QueryResult) -> dict[str, object]:
    return {
        "query": str(query.path),
        "description": query.description,
        "expected": query.expected,
        "found": _is_found(query, result),
        "hits": [{"name": hit.name, "score": hit.score, "inliers": hit.inliers} for hit in result.hits],
        "milliseconds": 1000 * result.seconds["total"],
    }
