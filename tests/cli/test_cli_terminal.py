"""What a user sees on a terminal, and what a pipe is spared."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import run_process
from photographs import SCENES

pty = pytest.importorskip("pty", reason="there are no pseudo-terminals here")

PHOTOS = SCENES + 2
ESCAPE = "\x1b["


def run_on_terminal(folder: Path, *arguments: str, stdout_too: bool = False) -> tuple[str, str, int]:
    """Run a command with stderr on a terminal, of 100 columns; what it wrote there, its output and exit
    code."""
    master, slave = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "handcraft", *arguments],
        cwd=folder,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"},
        stdin=slave,
        stdout=slave if stdout_too else subprocess.PIPE,
        stderr=slave,
    ) as process:
        os.close(slave)
        written = bytearray()
        try:
            while chunk := os.read(master, 65536):
                written += chunk
        except OSError as error:
            if error.errno != errno.EIO:  # which is how Linux says that the last writer has gone
                raise
        finally:
            os.close(master)
        out = process.stdout.read().decode() if process.stdout else ""
    return written.decode(), out, process.returncode


@pytest.mark.parametrize(
    ("arguments", "stage"),
    [
        (("index", "photos", "--store", "fresh"), "indexing"),
        (("build-vocab", "photos", "--words", "300", "--store", "fresh"), "extracting"),
        (("check",), "checking"),
    ],
)
def test_something_moves_on_a_terminal(own: Path, arguments: tuple[str, ...], stage: str) -> None:
    shown, out, code = run_on_terminal(own, *arguments)
    assert code == 0
    assert ESCAPE in shown
    steps = re.findall(rf"{stage}[^/]*?(\d+)/(\d+)", shown)
    assert len(set(steps)) >= 2
    last = steps[-1]
    assert last[0] == last[1]
    assert ESCAPE not in out
    assert out.count("\n") == 1


def test_matching_moves_on_a_terminal(here: Path) -> None:
    shown, out, code = run_on_terminal(here, "match", "query.jpg", "photos/scene-3.jpg")
    assert code == 0
    assert re.search(r"extracting[^/]*?2/2", shown)
    assert ESCAPE not in out


def test_the_bar_leaves_nothing_behind(own: Path) -> None:
    """What follows it on the terminal is the result alone, on a line of its own."""
    shown, _, code = run_on_terminal(own, "index", "photos", "--store", "fresh", stdout_too=True)
    assert code == 0
    last = shown.rstrip("\r\n").split("\n")[-1]
    assert re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", last).startswith("10 photos added, ")
    assert "\x1b[?25h" in shown  # the cursor is visible again


def test_an_error_is_readable_on_a_terminal(own: Path) -> None:
    shown, out, code = run_on_terminal(own, "query", "absent.jpg")
    assert (code, out) == (1, "")
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", shown)
    assert plain.strip() == "Error: There is no photo at absent.jpg; check the name."


@pytest.mark.parametrize(
    "arguments",
    [
        ("index", "photos", "--store", "fresh"),
        ("query", "query.jpg", "--verify"),
        ("build-vocab", "photos", "--words", "300"),
        ("match", "query.jpg", "photos/scene-3.jpg"),
        ("features", "show", "query.jpg"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_pipes_are_spared(own: Path, arguments: tuple[str, ...]) -> None:
    outcome = run_process(*arguments, folder=own, environment={"TERM": "xterm-256color"})
    assert outcome.err == ""
    assert "\x1b" not in outcome.out
    assert "\r" not in outcome.out
    assert outcome.out.endswith(".\n")


def test_the_first_run_says_that_it_compiles(own: Path, tmp_path: Path) -> None:
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    first = run_process("remove", "photos/scene-0.jpg", folder=own, environment=cache)
    assert first.err == ""  # needs no kernel
    run = ("features", "show", "query.jpg", "--extractor", "mser")  # whose kernels are few
    first = run_process(*run, folder=own, environment=cache)
    assert first.err == "Compiling for this machine: the first run takes some seconds longer.\n"
    assert run_process(*run, folder=own, environment=cache).err == ""
