"""How long work tells its caller about itself."""

from __future__ import annotations

from collections.abc import Callable

# Called with the name of what is being done, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]


def silent(stage: str, done: int, total: int) -> None:
    """A Progress that tells nobody."""
