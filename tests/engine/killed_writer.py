"""Run as a program: write to stores, and be killed by SIGKILL at moments spread over the work.

python killed_writer.py JOB FOLDER MOMENTS

JOB is index, optimize, add_signatures, add_vectors or build_vocabulary. FOLDER holds photos/ and
template/, a store to begin with, which may be missing. For each moment the template is copied to
FOLDER/store-N, a child of this process does the job there, and is killed as it is about to make one of the
calls that change the disk; a write is cut in half. Prints JSON: {"calls": those of an uninterrupted run,
"kills": [{"store": path, "signal": 9, "committed": photos of the last commit}, ...]}.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import handcraft
from handcraft.options import IndexOptions, VocabularyOptions

CALLS = ("fsync", "replace", "unlink", "posix_fallocate")
PHOTOS_PER_COMMIT = 2
WORDS = 60


def do(job: str, store: handcraft.Store, photos: Path) -> None:
    """The work that is interrupted, and that is done again afterwards."""
    if job == "index":
        store.add(photos, options=IndexOptions(photos_per_commit=PHOTOS_PER_COMMIT))
    elif job == "optimize":
        store.optimize()
    elif job == "add_signatures":
        store.add(photos, options=IndexOptions(method="asmk"))
    elif job == "add_vectors":
        store.add(photos, options=IndexOptions(method="vlad"))
    elif job == "build_vocabulary":
        store.build_vocabulary(photos, VocabularyOptions(words=WORDS))
    else:
        raise ValueError(job)


def hook_calls(moment: int, report: TextIO) -> Counter[str]:
    """Kill this process at the given call that changes the disk, 0 for never; return the counts.

    After each commit the number of live photos is written to `report`.
    """
    calls: Counter[str] = Counter()

    def count(last_deed: Callable[[], object] = lambda: None) -> None:
        calls["all"] += 1
        if calls["all"] == moment:
            last_deed()
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(name: str) -> None:
        real = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            count()
            result = real(*arguments, **options)
            if name == "replace" and Path(arguments[1]).name == "manifest.json":
                segments = json.loads(Path(arguments[1]).read_text(encoding="utf-8"))["segments"]
                print(sum(s["photos"] - len(s["removed"]) for s in segments), file=report, flush=True)
            return result

        setattr(os, name, call)

    class HookedFile(io.FileIO):
        def write(self, data: Any) -> int:
            count(lambda: super(HookedFile, self).write(data[: len(data) // 2]))
            return super().write(data)

    real_open = io.open

    def hooked_open(file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **options: Any) -> Any:
        if mode not in ("wb", "xb", "wb+", "rb+"):
            return real_open(file, mode, buffering, *rest, **options)
        raw = HookedFile(file, mode.replace("b", ""))
        if buffering == 0:
            return raw
        return io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)

    for name in CALLS:
        hook(name)
    io.open = hooked_open  # which is what pathlib calls
    return calls


def run(job: str, store: Path, photos: Path, moment: int) -> tuple[int, int, list[int]]:
    """Do the job in a child that is killed at a moment.

    Returns its signal, 0 if it ended by itself; the calls it made then; the photos after each commit.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        with os.fdopen(writing, "w", encoding="utf-8") as report:
            try:
                calls = hook_calls(moment, report)
                do(job, handcraft.open(store, threads=2), photos)
                print("calls", calls["all"], file=report)
                status = 0
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
        os._exit(status)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as file:
        lines = file.read().split("\n")
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise SystemExit("the child failed")
    calls = next((int(line.split()[1]) for line in lines if line.startswith("calls")), 0)
    committed = [int(line) for line in lines if line.isdigit()]
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, calls, committed


def main() -> None:
    job, folder, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    photos, template = folder / "photos", folder / "template"

    def fresh(name: str) -> Path:
        store = folder / name
        if template.exists():
            shutil.copytree(template, store)
        return store

    do(job, handcraft.open(fresh("store-warm"), threads=2), photos)  # loads all that the children share
    _, calls, _ = run(job, fresh("store-counted"), photos, 0)
    kills = []
    for number in range(count):
        moment = 1 + number * (calls - 1) // (count - 1)
        store = fresh(f"store-{number}")
        killed_by, _, committed = run(job, store, photos, moment)
        kills.append({"store": str(store), "signal": killed_by, "committed": max(committed, default=0)})
    print(json.dumps({"calls": calls, "kills": kills}))


if __name__ == "__main__":
    main()
