"""What a long run has found so far, so that an interrupted one goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from handcraft.errors import HandcraftError
from handcraft.storage.atomic import disk_error, write_atomically


class Journal:
    """JSON values, a line each, of which the last may be there in part; the first line says what they depend
    on.

    key: of key_of. One process writes a journal at a time; its caller holds the lock.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path, self._key = path, key

    def read(self) -> Iterator[Any]:
        """What was found under the same key; of another one nothing, and the journal is begun anew."""
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        except FileNotFoundError:
            lines = []
        except (OSError, UnicodeDecodeError) as error:
            raise HandcraftError(f"{self.path} cannot be read ({error}); remove it.") from error
        whole = [line for line in lines if line.endswith("\n")]
        if whole[:1] != [f"{self._key}\n"]:
            whole = [f"{self._key}\n"]
        write_atomically(self.path, "".join(whole).encode())
        for line in whole[1:]:
            yield json.loads(line)

    def append(self, value: Any) -> None:
        """Keep what was found; raises StoreError."""
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(value) + "\n")
        except OSError as error:
            raise disk_error(self.path, error) from error


def key_of(*facts: object) -> str:
    """A digest of what the values of a journal depend on."""
    text = json.dumps(facts, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
