"""Processes that die at a chosen system call, by ptrace (Linux on x86-64)."""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import platform
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

# Of these calls one that is not made leaves the disk as it is; in between nothing on it changes.
CALLS = {
    1: "write", 2: "open", 18: "pwrite64", 20: "writev", 76: "truncate", 77: "ftruncate",
    82: "rename", 83: "mkdir", 84: "rmdir", 86: "link", 87: "unlink", 88: "symlink", 90: "chmod",
    91: "fchmod", 257: "openat", 258: "mkdirat", 263: "unlinkat", 264: "renameat",
    265: "linkat", 268: "fchmodat", 285: "fallocate", 316: "renameat2", 452: "fchmodat2",
}  # fmt: skip
_SEIZE, _INTERRUPT, _SYSCALL, _PEEKUSER = 0x4206, 0x4207, 24, 3
_OPTIONS = 0x00000001 | 0x00100000  # a stop at a system call is told; who traces takes it along
_ORIG_RAX = 15 * 8
_WALL = 0x40000000
_AT_CALL = signal.SIGTRAP | 0x80


def available() -> bool:
    """Whether processes can be traced here."""
    return sys.platform == "linux" and platform.machine() == "x86_64"


def server(modules: list[str]) -> Any:
    """Where processes start from, with modules imported: ``multiprocessing``'s forkserver."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(modules)
    return context


def killed_at_each_call(
    context: Any,
    work: Callable[..., None],
    arguments: Callable[[], tuple[Any, ...]],
    step: int = 1,
) -> Iterator[str]:
    """Run ``work`` in processes that are killed before their first, second, … changing call.

    Args:
        context: Of :func:`server`.
        work: A function that a new process finds by its name.
        arguments: Makes everything ready, and gives what ``work`` takes.
        step: Of so many calls one is killed at, and at each that renames.

    Yields:
        After each death the call that was not made. The last ``work`` ends by itself.
    """
    before, number = 0, 1
    while True:
        calls = _calls_until(context, work, arguments(), number)
        ended = len(calls) < number
        if not ended:
            yield _told(calls, number)
        between = range(before + 1, len(calls) + 1 if ended else number)
        renames = [place for place in between if CALLS[calls[place - 1]].startswith("rename")]
        for place in renames:
            yield _told(_calls_until(context, work, arguments(), place), place)
        if ended:
            if renames:
                _calls_until(context, work, arguments(), number)
            return
        before, number = number, number + step


def _told(calls: list[int], number: int) -> str:
    return f"{CALLS[calls[number - 1]]}, the {number}th"


def _calls_until(
    context: Any, work: Callable[..., None], arguments: tuple[Any, ...], number: int
) -> list[int]:
    """The changing calls of a process that is killed before the last of so many, if it has them."""
    ready, theirs = context.Pipe()
    process = context.Process(target=_begin, args=(theirs, work, arguments))
    process.start()
    theirs.close()
    assert ready.recv() == "ready"
    pid = process.pid
    _ptrace(_SEIZE, pid, 0, _OPTIONS)
    _ptrace(_INTERRUPT, pid, 0, 0)
    os.waitpid(pid, _WALL)
    ready.send("go")
    seen: list[int] = []
    inside, sent = False, 0
    try:
        while True:
            _ptrace(_SYSCALL, pid, 0, sent)
            sent = 0
            _, status = os.waitpid(pid, _WALL)
            if os.WIFEXITED(status) or os.WIFSIGNALED(status):
                assert os.WIFEXITED(status), f"died by itself: {status}"
                assert os.WEXITSTATUS(status) == 0, "the work failed"
                return seen
            if os.WSTOPSIG(status) != _AT_CALL:
                event = status >> 16
                sent = 0 if event else os.WSTOPSIG(status)
                continue
            inside = not inside
            call = _ptrace(_PEEKUSER, pid, _ORIG_RAX, 0)
            if inside and call in CALLS:
                seen.append(call)
                if len(seen) == number:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, _WALL)
                    return seen
    finally:
        ready.close()
        process.join(10)


def _begin(pipe: Any, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    import torch

    torch.set_num_threads(1)
    pipe.send("ready")
    assert pipe.recv() == "go"
    work(*arguments)
    os._exit(0)  # what Python does at its end is no part of the work


def _ptrace(request: int, pid: int | None, address: int, data: int) -> int:
    library = ctypes.CDLL(None, use_errno=True)
    library.ptrace.restype = ctypes.c_long
    library.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if request == _PEEKUSER:
        ctypes.set_errno(0)
    found = int(library.ptrace(request, pid, address, data))
    if found == -1 and ctypes.get_errno():
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return found


# What the processes do


def saved(made: Any, folder: Any) -> None:
    """Save an index."""
    made.save(folder)


def change(index: Any, step: int) -> None:
    """A change of an index: what one acknowledged call does."""
    import numpy as np

    def codes(count: int) -> Any:
        return np.full((count, 2), step, dtype=np.uint8)

    if step == 0:
        index.add(codes(3), ["a", "b", "c"], [{"n": 1}, None, None])
    elif step == 1:
        index.add(codes(3), ["d", "e", "f"])  # more than the log takes
    elif step == 2:
        index.remove(["a", "d"])
    elif step == 3:
        index.upsert(codes(2), ["b", "g"], [{"n": 2}, None])
    elif step == 4:
        index.upsert(codes(6), ["b", "e", "h", "i", "j", "k"])  # a segment of its own
    elif step == 5:
        index.compact("mih")
    else:
        index.remove(["c", "k"])
        index.metadata["step"] = step
        index.save()


LAST = 6


def changed(folder: Any, step: int) -> None:
    """Make a change of an index that is kept, say that it was acknowledged, and make the next."""
    from pathlib import Path

    from crosshash.search import folder as module
    from crosshash.search.index import Index

    module.RECENT, module.SMALLEST = 4, 4
    with Index.open(folder) as index:
        change(index, step)
        Path(f"{folder}.done").touch()
        if step < LAST:
            change(index, step + 1)


def put_aside(*arguments: Any, work: Callable[..., None]) -> None:
    """The work, where two names cannot be exchanged."""
    from crosshash import files

    files._exchanged = lambda one, other: False  # type: ignore[assignment]
    work(*arguments)


def trained(config: str, folder: Any) -> None:
    """Train by a config on pairs of features and words; a half-done training goes on."""
    import numpy as np

    from crosshash.config import parse_config
    from crosshash.data.dataset import PairedDataset
    from crosshash.data.protocol import Protocol
    from crosshash.experiment.run import train

    rng = np.random.default_rng(0)
    labels = np.eye(3, dtype=np.uint8)[np.arange(40) % 3]
    pairs = PairedDataset(
        name="toy",
        ids=[str(row) for row in range(40)],
        images=(labels @ rng.normal(size=(3, 5)) + rng.normal(size=(40, 5))).astype(np.float32),
        texts=[f"{['red', 'green', 'blue'][int(row.argmax())]} thing" for row in labels],
        labels=labels,
    )
    rows = np.arange(40)
    split = Protocol("toy", query=rows[:10], retrieval=rows[10:], train=rows[10:])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        settings = parse_config(json.loads(config))
        train(settings, folder, data=(pairs, split), resume=True, progress=False)


def start(context: Any, work: Callable[..., None], *arguments: Any) -> Any:
    """A process that does the work."""
    process = context.Process(target=_alone, args=(work, arguments))
    process.start()
    return process


def run(context: Any, work: Callable[..., None], *arguments: Any) -> None:
    """Do the work in a process, to its end."""
    process = start(context, work, *arguments)
    process.join()
    assert process.exitcode == 0


def _alone(work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    import torch

    torch.set_num_threads(1)
    work(*arguments)
