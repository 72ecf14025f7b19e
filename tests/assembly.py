"""The instructions that kernels are compiled to."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import llvmlite.binding
import numba
import pytest

X86 = platform.machine().lower() in ("x86_64", "amd64")
only_x86 = pytest.mark.skipif(
    not X86, reason=f"the instructions of {platform.machine()} are not known to this test"
)


def host_has(feature: str) -> bool:
    return bool(llvmlite.binding.get_host_cpu_features().get(feature))


def fresh_assembly(function: Callable[..., None], call: Callable[[], object], module: str) -> str:
    """The assembly of a kernel for the arguments that a call gives it; a kernel from numba's disk
    cache cannot show its own."""
    compiled = numba.njit(nogil=True)(function)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, compiled)
        call()
    (assembly,) = compiled.inspect_asm().values()
    return str(assembly)


def run_on_a_plain_processor(program: str, cache: Path) -> list[str]:
    """The words that a program prints whose kernels are compiled for any processor of this kind."""
    tests = Path(__file__).parent
    environment = {
        **os.environ,
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": "",
        "NUMBA_CACHE_DIR": str(cache),
        "PYTHONPATH": os.pathsep.join([str(tests.parent), str(tests)]),
    }
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.split()
