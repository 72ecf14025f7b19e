"""One writer at a time, and a sentence that says who."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from handcraft.errors import StoreLockedError
from handcraft.storage.atomic import disk_error

LOCK_FILE = "writer.lock"
HOLDER_FILE = "writer.json"


@contextmanager
def writer_lock(store: Path, purpose: str, what: str = "The store") -> Iterator[None]:
    """Be the store's only writer inside the ``with`` block; raises StoreLockedError at once if there
    is one. The operating system frees the lock of a killed process. what: names it in the error."""
    lock = FileLock(store / LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise StoreLockedError(
            f"{what} {store} is being written by {_holder(store)}; wait until it has ended."
        ) from error
    except OSError as error:
        raise disk_error(store / LOCK_FILE, error) from error
    holder = store / HOLDER_FILE
    try:
        facts = {
            "process": os.getpid(),
            "host": platform.node(),
            "purpose": purpose,
            "since": datetime.now().astimezone().isoformat(timespec="seconds"),
        }
        try:
            holder.write_text(json.dumps(facts), encoding="utf-8")
        except OSError as error:
            raise disk_error(holder, error) from error
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _holder(store: Path) -> str:
    try:
        facts = json.loads((store / HOLDER_FILE).read_text(encoding="utf-8"))
        return f"process {facts['process']} on {facts['host']} ({facts['purpose']}, since {facts['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
