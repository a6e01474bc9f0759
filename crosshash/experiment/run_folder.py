"""The folder of a run: whether it is free, half done or finished."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

from crosshash.hub.resolve import CHECKPOINT
from crosshash.training.log import FILE as HISTORY
from crosshash.training.log import PRELIMINARY_FILE as PRELIMINARY
from crosshash.training.state import FILE as STATE

REFIT = "refit"  # state and history of a second training, on all training pairs


def has_state(folder: Path) -> bool:
    """Whether a training has got through a pass or an epoch there."""
    return (folder / STATE).is_file()


def check_folder(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse to train into a folder that has a run already, unless it is said what to do with it.

    A folder with a ``checkpoint`` is finished, and stays as it is also where ``resume`` is asked
    for; one with a state but no checkpoint is half done.

    Raises:
        FileExistsError: The folder is finished and ``overwrite`` is False, or half done and both
            are False.
        ValueError: Both are True.
    """
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
    if resume and not begun:
        warnings.warn(f"{folder} has nothing to resume: training begins", stacklevel=3)


def clear_folder(folder: Path) -> None:
    """Take a run's files away, and nothing else of the folder."""
    shutil.rmtree(folder / CHECKPOINT, ignore_errors=True)
    for part in (folder, folder / REFIT):
        shutil.rmtree(part / "tensorboard", ignore_errors=True)
        for name in (STATE, HISTORY, PRELIMINARY):
            (part / name).unlink(missing_ok=True)


def drop_states(folder: Path) -> None:
    """Take away what a training resumes from, and leave its histories."""
    for part in (folder, folder / REFIT):
        (part / STATE).unlink(missing_ok=True)
