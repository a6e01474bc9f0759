"""The folder of a run: whether it is free, half done or finished."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from crosshash.files import check_replaceable, recover
from crosshash.hub.checkpoint import folder_names
from crosshash.training.files import (
    CHECKPOINT,
    HISTORY,
    LOCK,
    PAGE,
    POSITION,
    PRELIMINARY,
    RECORD,
    REFIT,
    STATE,
)

_PATIENCE = 1.0  # seconds in which one who only looks whether the folder is held lets go of it


@contextmanager
def running_in(folder: Path) -> Iterator[None]:
    """Hold a run's folder, made where it is not there; a process that dies lets go of it.

    Of several processes of one training the first holds it.

    Raises:
        FileExistsError: Another training is running in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if int(os.environ.get("RANK") or 0):
        yield
        return
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=_PATIENCE)
    except Timeout:
        raise FileExistsError(
            f"another process is training in {folder} (it holds {folder / LOCK}): wait until it "
            "ends, or choose another folder (--output)"
        ) from None
    try:
        yield
    finally:
        lock.release()


def has_state(folder: Path) -> bool:
    """Whether a training has got through a pass or an epoch there."""
    return (folder / STATE).is_file()


def check_folder(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse to train into a folder that has a run already, unless it is said what to do with it.

    A folder with a ``checkpoint`` is finished, and stays as it is also where ``resume`` is asked
    for; one with a state but no checkpoint is half done.

    Raises:
        FileExistsError: The folder is finished and ``overwrite`` is False, or half done and both
            are False; or what stands at ``checkpoint`` is something else, which the checkpoint at
            the end would replace.
        ValueError: Both are True.
    """
    recover(folder / CHECKPOINT)
    check_replaceable(folder / CHECKPOINT, holds=folder_names(), what="a checkpoint")
    if resume and overwrite:
        raise ValueError("a run is resumed or overwritten, not both")
    if overwrite:
        return
    if (folder / CHECKPOINT).exists():
        raise FileExistsError(
            f"{folder} holds a finished training, whose model is {folder / CHECKPOINT}"
            f"{', so there is nothing to resume' if resume else ''}: choose another folder "
            "(--output), or train anew over it (--overwrite; overwrite=True in Python). "
            "Only a half-done training goes on with --resume (resume=True)"
        )
    begun = has_state(folder)
    if begun and not resume:
        raise FileExistsError(
            f"{folder} holds a half-done training: go on with it (--resume; resume=True in "
            "Python), train anew over it (--overwrite; overwrite=True), or choose another folder"
        )


def clear_folder(folder: Path) -> None:
    """Take a run's files away, and nothing else of the folder."""
    shutil.rmtree(folder / CHECKPOINT, ignore_errors=True)
    for part in (folder, folder / REFIT):
        shutil.rmtree(part / "tensorboard", ignore_errors=True)
        for name in (STATE, HISTORY, PRELIMINARY, POSITION, RECORD, PAGE):
            (part / name).unlink(missing_ok=True)


def drop_states(folder: Path) -> None:
    """Take away what a training resumes from, and leave its histories."""
    for part in (folder, folder / REFIT):
        (part / STATE).unlink(missing_ok=True)
