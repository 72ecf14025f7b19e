"""Each photo of a store → its best verified partners, for those who reconstruct."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from handcraft.engine.kept import KeptFeatures
from handcraft.engine.reporting import Progress, silent
from handcraft.engine.searching import answerable, query_features
from handcraft.engine.snapshot import Snapshot
from handcraft.engine.writing import stored_options
from handcraft.errors import HandcraftError, PhotoError
from handcraft.features.extraction import available_threads, find_features, opencv_threads
from handcraft.options import PairsOptions, QueryOptions
from handcraft.storage.atomic import make_folder, write_atomically
from handcraft.storage.journal import Journal, key_of
from handcraft.storage.locks import writer_lock
from handcraft.types import Features

JOURNAL_FILE = "partners.jsonl"


@dataclass(frozen=True)
class PairsReport:
    """What `handcraft pairs` did.

    photos: of the store. pairs: written. alone: names of the photos without a partner. resumed: photos that
    an earlier run had searched with. unreadable: one error for each photo whose features are not kept and
    whose file cannot be read. seconds: of this run.
    """

    photos: int
    pairs: int
    alone: tuple[str, ...]
    resumed: int
    unreadable: tuple[PhotoError, ...]
    seconds: float


def write_pairs(
    snapshot: Snapshot,
    output: Path,
    options: PairsOptions,
    *,
    root: Path | None = None,
    threads: int = 0,
    progress: Progress = silent,
) -> PairsReport:
    """Search with each photo of the store and write which photos it is verified with, a pair a line.

    A photo is searched with as it is held. The names are relative to the folder `root`, the collection's
    without one; each pair is written once, under the photo that came first into the store. What was found
    before an interruption is kept beside the output, and not searched for again. Raises HandcraftError.
    """
    start = time.perf_counter()
    names = _written_names(snapshot, root)
    query = answerable(snapshot, _every_candidate(options))
    with _journal(output, key_of(asdict(snapshot.manifest), asdict(options))) as journal:
        partners: dict[int, list[int]] = dict(journal.read())
        unreadable: list[PhotoError] = []
        resumed, todo = len(partners), [i for i in names if i not in partners]
        progress("pairing", resumed, len(names))
        searcher = _Searcher(snapshot, query, options.partners)
        for done, (image_id, found) in enumerate(searcher.search(todo, threads), resumed + 1):
            if isinstance(found, PhotoError):
                unreadable.append(found)
            else:
                partners[image_id] = found
                journal.append([image_id, found])
            progress("pairing", done, len(names))
        pairs = sorted({(min(a, b), max(a, b)) for a, found in partners.items() for b in found})
        lines = [f"{names[a]} {names[b]}\n" for a, b in pairs]
        write_atomically(output, "".join(lines).encode("utf-8", "surrogateescape"))
    paired = {image_id for pair in pairs for image_id in pair}
    return PairsReport(
        photos=len(names),
        pairs=len(pairs),
        alone=tuple(name for image_id, name in names.items() if image_id not in paired),
        resumed=resumed,
        unreadable=tuple(unreadable),
        seconds=time.perf_counter() - start,
    )


def _written_names(snapshot: Snapshot, root: Path | None) -> dict[int, str]:
    """The name of each photo by image id, as it is written; raises HandcraftError for one that cannot be."""
    names = {image_id: name for name, image_id in snapshot.collection.ids.items()}
    if root is not None:
        folder = os.path.abspath(root)
        names = {
            image_id: Path(os.path.relpath(snapshot.root / name, folder)).as_posix()
            for image_id, name in names.items()
        }
    for name in names.values():
        if name.split() != [name]:
            raise HandcraftError(
                f"The name of the photo {name!r} has a space, which a list of pairs cannot hold; rename it "
                "and index it again."
            )
    return names


def _every_candidate(options: PairsOptions) -> QueryOptions:
    """A query that verifies enough photos, and shows them all: the photo itself is one of them."""
    verification = options.query.verification
    depth = max(verification.depth, options.partners + 1)
    return replace(options.query, verify=True, top=depth, verification=replace(verification, depth=depth))


class _Searcher:
    """Finds the partners of photos."""

    def __init__(self, snapshot: Snapshot, query: QueryOptions, count: int) -> None:
        self._snapshot, self._query, self._count = snapshot, query, count
        self._kept = KeptFeatures(snapshot)

    def search(self, ids: Sequence[int], threads: int) -> Iterator[tuple[int, list[int] | PhotoError]]:
        """The partners of each photo, or why there are none, in their order."""
        pool = ThreadPoolExecutor(threads or available_threads())
        try:
            with opencv_threads(1):
                yield from zip(ids, pool.map(self._partners, ids), strict=True)
        finally:
            pool.shutdown(cancel_futures=True)  # an interruption does not wait for all that was to come

    def _partners(self, image_id: int) -> list[int] | PhotoError:
        """The image ids of the best photos that a photo is verified with."""
        try:
            features = self._kept.of(image_id)
            if features is None:
                features = self._described(image_id)
        except PhotoError as error:
            return error
        if not len(features):
            return []
        hits = query_features(self._snapshot, features, self._query)
        found = [hit.image_id for hit in hits if hit.match is not None and hit.image_id != image_id]
        return found[: self._count]

    def _described(self, image_id: int) -> Features:
        options = stored_options(self._snapshot.manifest)
        path = self._snapshot.root / self._snapshot.photo(image_id).name
        _, found = find_features(path, options)
        return found.describe(0.0, options.max_features, None)


# --- what an interrupted run leaves ---


@contextmanager
def _journal(output: Path, key: str) -> Iterator[Journal]:
    """The journal of a run that writes this file; removed when it is done."""
    folder = output.with_name(f"{output.name}.partial")
    make_folder(folder)
    with writer_lock(folder, "pairs", what="The list in"):
        yield Journal(folder / JOURNAL_FILE, key)
        (folder / JOURNAL_FILE).unlink()
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
