"""A file is written whole or not at all, whatever stops its writer."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from permissions import a_common_user

from handcraft.errors import StoreError
from handcraft.storage.atomic import atomic_path, disk_error, make_folder, sha256, write_atomically
from handcraft.storage.hdf5 import read_arrays, write_arrays

NO_SPACE = (
    "No space is left to write {path}; free some and run the same command again: "
    "what was committed before is whole."
)
NO_PERMISSION = "No permission to write {path}; change its mode, or choose another place."


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- written whole ---


def test_the_file_takes_its_name_after_the_block(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with atomic_path(path) as temporary:
        assert temporary.parent == tmp_path  # a rename must not cross file systems
        temporary.write_bytes(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["file"]


def test_the_old_file_stays_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"new, and longer")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new, and longer"


def test_a_reader_keeps_the_file_that_it_opened(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with path.open("rb") as reader:
        write_atomically(path, b"new")
        assert reader.read() == b"old"


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 1000])
def test_bytes_come_back(tmp_path: Path, data: bytes) -> None:
    write_atomically(tmp_path / "file", data)
    assert (tmp_path / "file").read_bytes() == data


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a folder cannot be synced")
def test_the_file_is_on_disk_before_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    synced = []
    sync = os.fsync

    def record(descriptor: int) -> None:
        status = os.fstat(descriptor)
        synced.append(("folder" if stat.S_ISDIR(status.st_mode) else status.st_size, path.exists()))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    write_atomically(path, b"12345")
    assert synced == [(5, False), ("folder", True)]


# --- or not at all ---


def fail_half_way(path: Path, error: BaseException) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"half")
        raise error


@pytest.mark.parametrize("before", [None, b"old"])
@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), SystemExit(3), MemoryError()])
def test_an_error_in_the_block_leaves_what_was(
    tmp_path: Path, before: bytes | None, error: BaseException
) -> None:
    path = tmp_path / "file"
    if before is not None:
        path.write_bytes(before)
    with pytest.raises(type(error)) as raised:
        fail_half_way(path, error)
    assert raised.value is error
    assert names(tmp_path) == ([] if before is None else ["file"])
    assert before is None or path.read_bytes() == before


def test_an_error_before_anything_was_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mine"), atomic_path(tmp_path / "file"):
        raise ValueError("mine")
    assert names(tmp_path) == []


def test_an_error_of_the_disk_is_a_store_error(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(StoreError) as raised:
        fail_half_way(path, OSError(errno.EIO, "Input/output error"))
    assert str(raised.value) == f"{path} cannot be written: Input/output error."
    assert isinstance(raised.value.__cause__, OSError)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_name_that_is_taken_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file" / "inside").mkdir(parents=True)
    with pytest.raises(StoreError, match="cannot be written"):
        write_atomically(tmp_path / "file", b"data")
    assert names(tmp_path) == ["file"]
    assert names(tmp_path / "file") == ["inside"]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "file"
    with pytest.raises(StoreError) as raised:
        write_atomically(path, b"data")
    assert str(raised.value) == f"{path} cannot be written: No such file or directory."


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    program = (
        "import sys, time; from pathlib import Path; from handcraft.storage.atomic import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_bytes(b'half'); print('writing', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        writer.send_signal(signal.SIGKILL)
    assert path.read_bytes() == b"old"
    write_atomically(path, b"new")  # what the killed writer left is in nobody's way
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["file"]


# --- a full disk ---

WITHIN_A_LIMIT = """
import resource, sys
from pathlib import Path
import numpy as np
from handcraft.errors import StoreError
from handcraft.storage.atomic import write_atomically
from handcraft.storage.hdf5 import write_arrays

path, limit, what = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    if what == "bytes":
        write_atomically(path, bytes(100_000))
    else:
        write_arrays(path, "thing", {"a": [np.zeros(100_000, np.uint8)]}, {"x": "y"})
except StoreError as error:
    print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX's limit of a file's size")
@pytest.mark.parametrize(
    ("what", "limit"),
    [("bytes", 0), ("bytes", 1), ("bytes", 99_999)]
    # before, inside and after the part that h5py writes itself
    + [("arrays", limit) for limit in (0, 1, 100, 1000, 3000, 5000, 20_000, 100_000)],
)
def test_no_space_is_one_sentence_and_the_old_file(tmp_path: Path, what: str, limit: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    command = [sys.executable, "-c", WITHIN_A_LIMIT, str(path), str(limit), what]
    writer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (writer.stdout, writer.stderr) == (NO_SPACE.format(path=path) + "\n", "")
    assert writer.returncode == 0
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_full_file_system(tiny_disk: Path) -> None:
    path = tiny_disk / "file"
    write_atomically(path, b"old")
    with pytest.raises(StoreError) as raised:
        write_atomically(path, bytes(1 << 20))
    assert str(raised.value) == NO_SPACE.format(path=path)
    assert path.read_bytes() == b"old"
    assert names(tiny_disk) == ["file"]
    write_atomically(path, bytes(1 << 14))  # the room of the failed file is free again
    assert path.read_bytes() == bytes(1 << 14)


def test_arrays_on_a_full_file_system(tiny_disk: Path) -> None:
    path = tiny_disk / "file"
    write_arrays(path, "thing", {"a": [np.arange(100)]}, {})
    for size in (1 << 20, 64_000):  # hopeless, and short of a block
        with pytest.raises(StoreError) as raised:
            write_arrays(path, "thing", {"a": [np.zeros(size, np.uint8)]}, {})
        assert str(raised.value) == NO_SPACE.format(path=path)
        assert read_arrays(path, "thing")["a"].tolist() == list(range(100))
        assert names(tiny_disk) == ["file"]
    with (tiny_disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while filler.write(bytes(1 << 12)):
            pass
    with pytest.raises(StoreError) as raised:  # not a byte is left, even for the header
        write_arrays(path, "thing", {"a": [np.zeros(1, np.uint8)]}, {})
    assert str(raised.value) == NO_SPACE.format(path=path)
    assert read_arrays(path, "thing")["a"].tolist() == list(range(100))


def test_a_read_only_file_system(tiny_disk: Path) -> None:
    path = tiny_disk / "file"
    write_atomically(path, b"old")
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    with pytest.raises(StoreError) as raised:
        write_atomically(path, b"new")
    assert str(raised.value) == NO_PERMISSION.format(path=path)
    with pytest.raises(StoreError) as raised:
        make_folder(tiny_disk / "folder")
    assert str(raised.value) == NO_PERMISSION.format(path=tiny_disk / "folder")
    assert path.read_bytes() == b"old"


# --- permissions and sentences ---


def test_a_folder_without_permission(closed_folder: Path) -> None:
    path = closed_folder / "file"
    with a_common_user(), pytest.raises(StoreError) as raised:
        write_atomically(path, b"data")
    assert str(raised.value) == NO_PERMISSION.format(path=path)
    assert names(closed_folder) == []


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, NO_SPACE),
        (errno.EDQUOT, NO_SPACE),
        (errno.EFBIG, NO_SPACE),
        (errno.EACCES, NO_PERMISSION),
        (errno.EPERM, NO_PERMISSION),
        (errno.EROFS, NO_PERMISSION),
        (errno.EIO, "{path} cannot be written: Input/output error."),
    ],
)
def test_the_sentence_of_each_error(number: int, sentence: str) -> None:
    path = Path("store") / "file"
    assert str(disk_error(path, OSError(number, os.strerror(number)))) == sentence.format(path=path)


def test_an_error_without_a_number_is_told_as_it_is() -> None:
    assert str(disk_error(Path("file"), OSError("odd"))) == "file cannot be written: odd."


# --- folders and checksums ---


def test_folders_are_made_with_their_parents(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    make_folder(folder)
    (folder / "file").touch()
    make_folder(folder)  # one that exists is left alone
    assert names(folder) == ["file"]


def test_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "inside"):
        with pytest.raises(StoreError) as raised:
            make_folder(folder)
        assert str(raised.value).startswith(f"{folder} cannot be written: ")


def test_a_folder_that_may_not_be_made(closed_folder: Path) -> None:
    folder = closed_folder / "a" / "b"
    with a_common_user(), pytest.raises(StoreError) as raised:
        make_folder(folder)
    assert str(raised.value) == NO_PERMISSION.format(path=folder)


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_the_checksum_is_that_of_the_bytes(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "file").write_bytes(data)
    assert sha256(tmp_path / "file") == hashlib.sha256(data).hexdigest()
