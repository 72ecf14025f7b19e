"""A caller learns that kernels are compiled, and only when they are."""

from __future__ import annotations

import importlib.util
import itertools
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from handcraft.compilation import notify_compilation

KERNELS = """
from handcraft.compilation import kernel


@kernel
def double(array):
    for i in range(array.shape[0]):
        array[i] *= 2


@kernel
def add(array, number):
    for i in range(array.shape[0]):
        array[i] += number
"""

RUN = """
import sys
import numpy as np
from handcraft.compilation import notify_compilation
from kernels_of_a_test import add, double

with notify_compilation(lambda: print("compiling", flush=True)):
    for dtype in sys.argv[1:]:
        array = np.arange(3, dtype=dtype)
        double(array)
        add(array, 1)
        print(array.tolist(), flush=True)
"""

numbers = itertools.count()


@pytest.fixture
def kernels(tmp_path: Path) -> ModuleType:
    """Kernels that no cache has seen."""
    name = f"kernels_of_a_test_{next(numbers)}"
    path = tmp_path / f"{name}.py"
    path.write_text(KERNELS)
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def run(folder: Path, *dtypes: str) -> list[str]:
    """What a new process says that runs the kernels, with a disk cache in the folder."""
    source = folder / "kernels_of_a_test.py"
    if not source.exists():  # writing it again would make its cache stale
        source.write_text(KERNELS)
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", RUN, *dtypes],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": path, "NUMBA_CACHE_DIR": str(folder / "cache")},
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_each_process_says_once_what_the_disk_does_not_have(tmp_path: Path) -> None:
    assert run(tmp_path, "f4", "f8") == ["compiling", "[1.0, 3.0, 5.0]", "[1.0, 3.0, 5.0]"]
    assert run(tmp_path, "f4", "f8") == ["[1.0, 3.0, 5.0]", "[1.0, 3.0, 5.0]"]
    assert run(tmp_path, "f4", "i8") == ["[1.0, 3.0, 5.0]", "compiling", "[1, 3, 5]"]


def test_it_is_said_before_the_kernel_runs(kernels: ModuleType) -> None:
    array = np.ones(2)
    seen: list[list[float]] = []
    with notify_compilation(lambda: seen.append(array.tolist())):
        assert seen == []
        kernels.double(array)
        kernels.double(array)
    assert seen == [[1.0, 1.0]]
    assert array.tolist() == [4.0, 4.0]


def test_what_this_process_has_compiled_is_not_said(kernels: ModuleType) -> None:
    kernels.double(np.ones(2))
    calls: list[int] = []
    with notify_compilation(lambda: calls.append(1)):
        kernels.double(np.ones(3))
    assert calls == []


@pytest.mark.parametrize("error", [None, ValueError("mine"), KeyboardInterrupt()])
def test_after_the_block_nothing_is_said(kernels: ModuleType, error: BaseException | None) -> None:
    calls: list[int] = []

    def block() -> None:
        with notify_compilation(lambda: calls.append(1)):
            if error is not None:
                raise error

    if error is None:
        block()
    else:
        with pytest.raises(type(error)):
            block()
    kernels.double(np.ones(2))
    assert calls == []


def test_blocks_may_be_nested(kernels: ModuleType) -> None:
    calls: list[str] = []
    with notify_compilation(lambda: calls.append("outer")):
        with notify_compilation(lambda: calls.append("inner")):
            kernels.double(np.ones(2))
        kernels.add(np.ones(2), 1)
    assert sorted(calls) == ["inner", "outer"]


def test_a_thread_s_compilation_is_said(kernels: ModuleType) -> None:
    calls: list[int] = []
    with notify_compilation(lambda: calls.append(1)):
        threads = [
            threading.Thread(target=kernels.double, args=(np.ones(2, dtype),)) for dtype in ("f4", "f8")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert calls == [1]
