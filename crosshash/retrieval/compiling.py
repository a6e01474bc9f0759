"""Loops over NumPy arrays, compiled by the extra ``fast`` (numba), and spread over threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def compile_loops(function: Callable[..., None], *parts: Callable[..., Any]) -> Callable[..., None]:
    """A function that is compiled when first called, from numba's cache on disk where there is one.

    It releases the interpreter's lock.

    Args:
        function: Plain Python over NumPy arrays.
        parts: The functions that it calls.

    Raises:
        ImportError: numba is missing; the message names the extra.
    """
    try:
        import numba
        from numba.extending import register_jitable
    except ImportError as error:
        raise ImportError(
            "engine='numba' needs numba: pip install crosshash[fast] (or use engine='numpy', "
            "which gives the same numbers)"
        ) from error
    for part in parts:
        register_jitable(part)
    try:
        kernel: Any = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # numba found no folder that it may write its cache to
        kernel = numba.njit(nogil=True)(function)
    return kernel  # type: ignore[no-any-return]


def usable_threads() -> int:
    """Threads to count with: ``OMP_NUM_THREADS`` where it is set, else the usable cores."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if wanted.isdigit() and int(wanted):
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def spread(task: Callable[[int], None], numbers: range, workers: int) -> None:
    """Do a task for each number, on so many threads."""
    if workers == 1 or len(numbers) <= 1:
        for number in numbers:
            task(number)
        return
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(task, numbers):
            pass
