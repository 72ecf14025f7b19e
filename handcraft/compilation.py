"""How every hot loop of handcraft is compiled, and how a caller learns that it is.

Besides the ``*_kernels.py`` files of the stages, which decorate their loops with :func:`kernel`,
this is the only module that imports numba.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numba
from numba import types
from numba.core import event
from numba.extending import intrinsic


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a plain loop on first use, keep it on disk, and release the GIL while it runs."""
    return _compiled(function)


def rough_kernel(function: Callable[..., Any]) -> Any:
    """As kernel; products and sums may be rounded as one, where the processor can, so that the last bits are
    not the same everywhere: for bounds, which are wider than that."""
    return _compiled(function, fastmath={"contract"})


def _compiled(function: Callable[..., Any], **options: Any) -> Any:
    try:
        return numba.njit(nogil=True, cache=True, **options)(function)
    except RuntimeError:  # there is no folder that the cache could be written to
        return numba.njit(nogil=True, **options)(function)


@intrinsic
def count_ones(typing_context: Any, value: Any) -> Any:
    """The number of ones of a uint64: the processor's instruction, for many at once where it has that."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


class _FirstCompilation(event.Listener):
    """Calls back once, at the first kernel that numba's disk cache did not have."""

    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._notified = False

    def on_start(self, event: event.Event) -> None:
        if not self._notified:
            self._notified = True
            self._notify()

    def on_end(self, event: event.Event) -> None:
        pass


@contextmanager
def notify_compilation(notify: Callable[[], None]) -> Iterator[None]:
    """Call `notify` once if a kernel has to be compiled inside the ``with`` block."""
    listener = _FirstCompilation(notify)
    event.register("numba:compile", listener)  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        event.unregister("numba:compile", listener)  # type: ignore[no-untyped-call]
