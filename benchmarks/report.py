"""What every benchmark's result file says besides its figures."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("handcraft", "numpy", "numba", "opencv-contrib-python", "h5py", "scipy", "pillow")


def data_folder() -> Path:
    """The folder of the development photographs, named by HANDCRAFT_DATA."""
    folder = os.environ.get("HANDCRAFT_DATA")
    if not folder:
        sys.exit("Set HANDCRAFT_DATA to the folder of the development photographs (data/README.md).")
    return Path(folder)


def photo_paths(*folders: str) -> list[Path]:
    """The photos of some of the development sets, in order."""
    return [path for folder in folders for path in sorted((data_folder() / folder).iterdir())]


def report(name: str, parameters: dict[str, Any], figures: dict[str, Any]) -> None:
    """Print the result and write it to benchmarks/results/NAME.json."""
    result = {
        "benchmark": name,
        "command": f"python -m benchmarks.{name}",
        "date": time.strftime("%Y-%m-%d"),
        "parameters": parameters,
        "figures": figures,
        "machine": {
            "processor": _processor(),
            "processors": os.cpu_count(),
            "system": platform.system(),
            "python": platform.python_version(),
        },
        "versions": {library: importlib.metadata.version(library) for library in LIBRARIES},
    }
    text = json.dumps(result, indent=2)
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def earlier_figures(name: str) -> dict[str, Any]:
    """Those of a benchmark's parts that ran before."""
    path = RESULTS / f"{name}.json"
    figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["figures"] if path.exists() else {}
    return figures


def seconds(run: Callable[[], object]) -> float:
    """How long one run takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def median_seconds(run: Callable[[], object], repeats: int) -> float:
    """The median of several runs."""
    return statistics.median(seconds(run) for _ in range(repeats))


def in_turns(
    one: Callable[[], object], other: Callable[[], object], repeats: int = 15, calls: int = 1
) -> tuple[float, float]:
    """The medians of two that take turns, after a turn of each that is not counted.

    calls: of a turn, whose mean counts; several, where the other's turn leaves nothing in the caches.
    """

    def turn(run: Callable[[], object]) -> float:
        return statistics.mean(seconds(run) for _ in range(calls))

    runs = [(turn(one), turn(other)) for _ in range(repeats + 1)][1:]
    return statistics.median(first for first, _ in runs), statistics.median(second for _, second in runs)


def repeats_argument(description: str | None, default: int) -> int:
    """The number of repeats that the user asks for."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--repeats", type=int, default=default)
    return int(parser.parse_args().repeats)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
