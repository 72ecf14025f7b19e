"""How long a newcomer's first command takes: virtual environment, install and demo."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from pathlib import Path

from benchmarks.report import report, seconds

PROJECT = Path(__file__).parents[1]


def main() -> None:
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^python3 -m venv .* demo$", readme, re.MULTILINE)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "clone", "--quiet", str(PROJECT), folder], check=True)
        outputs: list[str] = []

        def run() -> None:
            done = subprocess.run(
                f"{command} --json", shell=True, cwd=folder, check=True, capture_output=True, text=True
            )
            outputs.append(done.stdout)

        took = seconds(run)
    shown = json.loads(outputs[0])
    report(
        "demo",
        {"command": command},
        {
            "s, install included": round(took, 1),
            "s, demo alone": round(shown["seconds"], 1),
            "queries": len(shown["queries"]),
            "queries that find their photo first, verified": shown["found"],
        },
    )


if __name__ == "__main__":
    main()
