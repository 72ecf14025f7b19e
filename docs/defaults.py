"""Write docs/defaults.md, what each default is worth, from what benchmarks/ablations.py has measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from benchmarks.report import RESULTS

PAGE = Path(__file__).with_name("defaults.md")
SETS = ("kth", "oxford1k gt", "oxford1k gt_whole")
HEAD = """# What each default is worth

mAP of ASMK*, verified, with one option changed at a time; behind it, the difference from the defaults.
Queries are described as they are held. The sets are small: differences below 0.01 may be chance, and another
seed of the vocabulary alone moves oxford1k's boxed queries by 0.04. Times are of two threads.

From [benchmarks/results/ablations.json](../benchmarks/results/ablations.json); `python -m docs.defaults`
writes this page.
"""


def page() -> str:
    """The page as it should be."""
    text = (RESULTS / "ablations.json").read_text(encoding="utf-8")
    figures: dict[str, dict[str, float]] = json.loads(text)["figures"]
    defaults = figures["defaults"]
    lines = [
        HEAD,
        f"| | {' | '.join(SETS)} | ms a query |",
        f"|---|{'---|' * len(SETS)}---|",
        *(_row(name, measured, defaults) for name, measured in figures.items()),
    ]
    return "\n".join(lines) + "\n"


def _row(name: str, measured: Mapping[str, float], defaults: Mapping[str, float]) -> str:
    cells = [f"{measured[name_of_set]:.3f}" for name_of_set in SETS]
    if measured is not defaults:
        cells = [
            f"{cell} ({measured[name_of_set] - defaults[name_of_set]:+.3f})"
            for cell, name_of_set in zip(cells, SETS, strict=True)
        ]
    return f"| {name} | {' | '.join(cells)} | {measured['ms a query']:.0f} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
