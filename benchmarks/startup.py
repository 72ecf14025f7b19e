"""How long the command line takes: its help, a verified query, and the first run ever."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.report import data_folder, median_seconds, repeats_argument, report, seconds

HANDCRAFT = [sys.executable, "-m", "handcraft"]


def main() -> None:
    repeats = repeats_argument(__doc__, 9)
    kth = data_folder() / "kth"
    photo = str(sorted((kth / "queries").iterdir())[0])
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "store")
        query = [*HANDCRAFT, "query", photo, "--store", store, "--verify"]
        index = [*HANDCRAFT, "index", str(kth / "database"), "--store", store]
        one_photo = [*HANDCRAFT, "index", photo, "--store", str(Path(folder) / "first")]
        fresh = {**os.environ, "NUMBA_CACHE_DIR": str(Path(folder) / "numba")}

        def run(command: list[str], environment: dict[str, str] | None = None) -> str:
            done = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
            return done.stderr

        run(index)
        run(query)
        cached_index = median_seconds(lambda: run(one_photo), 1)
        notices: list[str] = []
        first_index = seconds(lambda: notices.append(run(index, fresh)))
        first_query = seconds(lambda: notices.append(run(query, fresh)))
        cached_query = median_seconds(lambda: run(query), repeats)
        figures = {
            "s, handcraft --help": median_seconds(lambda: run([*HANDCRAFT, "--help"]), repeats),
            "s, query --verify, kernels cached": cached_query,
            "s, index of one photo, kernels cached": cached_index,
            "s, first query ever over a cached one": first_query - cached_query,
            "s, unchanged index with nothing compiled": first_index,
            "first run says that it compiles": all("Compiling" in notice for notice in notices[1:]),
        }
    report("startup", {"store": "kth/database", "query": Path(photo).name, "repeats": repeats}, figures)


if __name__ == "__main__":
    main()
