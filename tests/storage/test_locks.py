"""One writer at a time, told who the other one is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from permissions import a_common_user

from handcraft.errors import StoreError, StoreLockedError
from handcraft.storage.locks import HOLDER_FILE, LOCK_FILE, writer_lock

HOLD = """
import sys
from pathlib import Path
from handcraft.storage.locks import writer_lock

with writer_lock(Path(sys.argv[1]), sys.argv[2]):
    print("holding", flush=True)
    sys.stdin.read()
"""

TRY = """
import sys
from pathlib import Path
from handcraft.errors import StoreLockedError
from handcraft.storage.locks import writer_lock

try:
    with writer_lock(Path(sys.argv[1]), "second"):
        print("free")
except StoreLockedError as error:
    print(error)
"""


@contextmanager
def holder(store: Path, purpose: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that writes until its input ends."""
    command = [sys.executable, "-c", HOLD, str(store), purpose]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holding\n"
        yield process


def try_from_another_process(store: Path) -> str:
    command = [sys.executable, "-c", TRY, str(store)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def take(store: Path, purpose: str = "test") -> None:
    with writer_lock(store, purpose):
        pass


def test_a_second_process_is_told_of_the_first(tmp_path: Path) -> None:
    with holder(tmp_path, "indexing holidays") as process:
        for _ in range(2):  # the refused writer does not harm the first one's claim
            with pytest.raises(StoreLockedError) as error:
                take(tmp_path)
            message = str(error.value)
            assert str(tmp_path) in message
            assert f"process {process.pid} " in message
            assert "indexing holidays" in message
    take(tmp_path)  # and it is free when the process has ended


def test_the_first_may_be_this_process(tmp_path: Path) -> None:
    with writer_lock(tmp_path, "removing"):
        message = try_from_another_process(tmp_path)
        assert f"process {os.getpid()} " in message
        assert "removing" in message
    assert try_from_another_process(tmp_path) == "free\n"


def test_another_thread_is_another_writer(tmp_path: Path) -> None:
    seen: list[BaseException] = []

    def write() -> None:
        try:
            take(tmp_path)
        except StoreLockedError as error:
            seen.append(error)

    with writer_lock(tmp_path, "first"):
        thread = threading.Thread(target=write)
        thread.start()
        thread.join(30)
    assert [type(error) for error in seen] == [StoreLockedError]


def test_the_same_thread_does_not_wait_for_itself(tmp_path: Path) -> None:
    with writer_lock(tmp_path, "first"):
        with pytest.raises(StoreLockedError):
            take(tmp_path)
        assert f"process {os.getpid()} " in try_from_another_process(tmp_path)  # still locked
    take(tmp_path)


def test_two_stores_are_independent(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with writer_lock(tmp_path / "a", "first"):
        take(tmp_path / "b")


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_a_killed_holder_frees_the_lock(tmp_path: Path) -> None:
    with holder(tmp_path, "killed") as process:
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    take(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_the_writer_after_a_killed_one_is_named(tmp_path: Path) -> None:
    with holder(tmp_path, "the dead one") as process:
        process.send_signal(signal.SIGKILL)
    with writer_lock(tmp_path, "the next one"):
        message = try_from_another_process(tmp_path)
    assert "the next one" in message
    assert "the dead one" not in message
    assert f"process {process.pid} " not in message


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), StoreError("disk")])
def test_an_exception_frees_the_lock(tmp_path: Path, error: BaseException) -> None:
    def fail() -> None:
        with writer_lock(tmp_path, "failing"):
            raise error

    with pytest.raises(type(error)) as raised:
        fail()
    assert raised.value is error
    assert try_from_another_process(tmp_path) == "free\n"


def test_nothing_is_left_that_names_a_writer(tmp_path: Path) -> None:
    take(tmp_path)
    assert not (tmp_path / HOLDER_FILE).exists()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"process": 1}', "\ufffd", "null"])
def test_a_holder_that_cannot_be_read_is_another_process(tmp_path: Path, content: str) -> None:
    """It is read while the other one writes it."""
    with writer_lock(tmp_path, "first"):
        (tmp_path / HOLDER_FILE).write_text(content, encoding="utf-8")
        with pytest.raises(StoreLockedError, match="another process"):
            take(tmp_path)


def test_a_holder_that_is_not_text_is_another_process(tmp_path: Path) -> None:
    with writer_lock(tmp_path, "first"):
        (tmp_path / HOLDER_FILE).write_bytes(b"\xff\xfe")
        with pytest.raises(StoreLockedError, match="another process"):
            take(tmp_path)


def test_the_holder_file_is_for_people_and_programs(tmp_path: Path) -> None:
    with writer_lock(tmp_path, "indexing Köln"):
        facts = json.loads((tmp_path / HOLDER_FILE).read_text(encoding="utf-8"))
    assert facts["process"] == os.getpid()
    assert facts["purpose"] == "indexing Köln"


def test_a_store_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError) as error:
        take(tmp_path / "file")
    assert not isinstance(error.value, StoreLockedError)
    assert str(tmp_path / "file") in str(error.value)


def test_a_store_that_may_not_be_written(closed_folder: Path) -> None:
    with a_common_user(), pytest.raises(StoreError) as error:
        take(closed_folder)
    assert not isinstance(error.value, StoreLockedError)
    assert str(error.value) == (
        f"No permission to write {closed_folder / LOCK_FILE}; change its mode, or choose another place."
    )


def test_a_store_on_a_read_only_file_system(tiny_disk: Path) -> None:
    take(tiny_disk)
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    with pytest.raises(StoreError) as error:
        take(tiny_disk)
    assert str(error.value).startswith("No permission to write ")


def test_a_store_on_a_full_disk(tiny_disk: Path) -> None:
    filler = tiny_disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(1 << 12)):
            pass
    with pytest.raises(StoreError) as error:
        take(tiny_disk)
    assert str(error.value).startswith("No space is left to write ")
    filler.unlink()
    assert try_from_another_process(tiny_disk) == "free\n"
