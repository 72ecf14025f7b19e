"""Running the command line in the tests: in this process, where that will do, or in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from handcraft.cli import cli

NOTICE = "Compiling for this machine: the first run takes some seconds longer.\n"


@dataclass(frozen=True)
class Outcome:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """The JSON that was printed."""
        return json.loads(self.out)


def run(*arguments: str | os.PathLike[str], code: int = 0) -> Outcome:
    """Run a command in this process; anything but its exit code and a sentence is a failure."""
    result = CliRunner().invoke(cli, [os.fspath(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    # Whichever test comes first on a new machine compiles; test_cli_terminal reads the notice.
    outcome = Outcome(result.exit_code, result.stdout, result.stderr.replace(NOTICE, ""))
    assert outcome.code == code, outcome
    return outcome


def run_process(
    *arguments: str | os.PathLike[str],
    code: int = 0,
    folder: Path | None = None,
    program: tuple[str, ...] = (sys.executable, "-m", "handcraft"),
    environment: dict[str, str] | None = None,
) -> Outcome:
    """Run a command in a process of its own, its output in pipes."""
    done = subprocess.run(
        [*program, *arguments],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        check=False,
    )
    outcome = Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert outcome.code == code, outcome
    return outcome


def sentence(outcome: Outcome) -> str:
    """The one sentence with which a command failed."""
    lines = outcome.err.splitlines()
    assert len(lines) == 1, outcome
    assert lines[0].startswith("Error: "), outcome
    assert lines[0].endswith("."), outcome
    assert outcome.out == "", outcome
    return lines[0].removeprefix("Error: ")
