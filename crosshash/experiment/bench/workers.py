"""Processes that run the runs of a suite, several at once; nothing heavy is imported here.

A process that dies, whatever killed it, costs the run that it had, and no other.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crosshash.experiment.bench.record import Record
    from crosshash.experiment.bench.running import Job

_SPAWN = multiprocessing.get_context("spawn")  # CUDA and threads do not survive a fork
_PATIENCE = 10.0  # seconds in which a process that has nothing to do ends


class _Worker:
    """A process, and what it does.

    Args:
        folder: Of the store.
        environment: Variables that it has otherwise.
        threads: That its torch may use.
    """

    def __init__(self, folder: str, environment: dict[str, str], threads: int) -> None:
        self.settings = (folder, environment, threads)
        self.job: Job | None = None
        self.start()

    def start(self) -> None:
        self.pipe, other = _SPAWN.Pipe()
        folder, environment, threads = self.settings
        with _environment(environment):  # libraries read it when they are loaded
            self.process = _SPAWN.Process(target=_work, args=(other, folder, threads), daemon=True)
            self.process.start()
        other.close()

    def give(self, job: Job) -> None:
        self.job = job
        self.pipe.send(job)

    def take(self) -> Record | None:
        """The record of its run, None where the process died of it."""
        self.job = None
        try:
            record: Record = self.pipe.recv()
        except (EOFError, OSError):
            return None
        return record

    def end(self) -> None:
        with suppress(OSError):  # it is dead
            self.pipe.send(None)
        self.pipe.close()
        self.process.join(_PATIENCE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def run_jobs(
    folder: str,
    jobs: Sequence[Job],
    *,
    processes: int,
    threads: int,
    devices: Sequence[str],
    done: Callable[[Job, Record | None, str], None],
) -> None:
    """Run all, so many at once.

    Args:
        folder: Of the store.
        jobs: What.
        processes: At once.
        threads: Of each process.
        devices: GPUs of the processes, as ``CUDA_VISIBLE_DEVICES`` names them; empty: no GPU is
            shared out.
        done: Called after each with its record; or with None and how its process ended.
    """
    waiting = deque(jobs)
    workers = []
    try:
        for number in range(min(processes, len(jobs))):
            own = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
            if devices:
                own["CUDA_VISIBLE_DEVICES"] = devices[number % len(devices)]
            workers.append(_Worker(folder, own, threads))
            workers[-1].give(waiting.popleft())
        while busy := [worker for worker in workers if worker.job is not None]:
            ready = wait([worker.pipe for worker in busy])
            for worker in [worker for worker in busy if worker.pipe in ready]:
                job = worker.job
                record = worker.take()
                ended = ""
                if record is None:
                    worker.process.join()
                    ended = _ended(worker.process.exitcode)
                    if waiting:
                        worker.start()
                if job is not None:
                    done(job, record, ended)
                if waiting:
                    worker.give(waiting.popleft())
    finally:
        for worker in workers:
            if worker.job is not None:  # interrupted: its state is on disk
                worker.process.terminate()
            worker.end()


def _work(pipe: Connection, folder: str, threads: int) -> None:
    """What a process does until it gets None, or whoever started it is gone."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    from crosshash.experiment.bench.record import Store
    from crosshash.experiment.bench.running import run_job

    torch.set_num_threads(threads)
    store = Store(folder)
    try:
        while (job := pipe.recv()) is not None:
            pipe.send(run_job(store, job))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return  # whoever asked is gone


def _end_with_parent() -> None:
    """End as a killed process does, with its state on disk, so that the run can go on."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _ended(code: int | None) -> str:
    if code is not None and code < 0:
        return f"its process was ended by signal {-code} (9: often for want of memory)"
    return f"its process ended with exit code {code}"


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before: dict[str, Any] = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
