"""The record of a run: what is trained, since when, in which process, and what became of it."""

from __future__ import annotations

import os
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from crosshash.files import atomic_file
from crosshash.training.files import POSITION, RECORD, REFIT
from crosshash.untrusted import read_json

State = Literal["running", "finished", "interrupted", "failed"]
Stage = Literal["training", "refit", "evaluation"]
MAPS = ("map_i2t", "map_t2i", "map_mean")
_BYTES = 1 << 20


class RunRecord(BaseModel):
    """What ``run.json`` in the folder of a run says.

    Attributes:
        config: The config's name or file; None: an object in memory.
        overrides: Settings over it, ``key=value`` each.
        method: Name.
        dataset: Name.
        bits: Length of the codes.
        seed: Of weights, order and dropout.
        epochs: That the first training has at most.
        refit: Whether a second training follows, on all pairs.
        monitor: The figure by which the best network is kept; None without validation.
        figures: Names of what the validation measures, as far as they are known before.
        started: When, ISO 8601 in UTC; of the last attempt, where a run was resumed.
        host: Name of the machine.
        pid: Of the process.
        state: ``running``, also of a run whose process was killed; ``finished``; ``interrupted``
            by the user; ``failed``.
        stage: ``training``; ``refit``, the second one; ``evaluation``, which writes the checkpoint.
        best_epoch: After which the network is kept, once the first training is done.
        seconds: That the run took, with the attempts before.
        error: Why it failed.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)  # later versions may add

    method: str
    dataset: str
    bits: int
    seed: int
    epochs: int
    config: str | None = None
    overrides: list[str] = []
    refit: bool = False
    monitor: str | None = None
    figures: list[str] = []
    started: str = ""
    host: str = ""
    pid: int = 0
    state: State = "running"
    stage: Stage = "training"
    best_epoch: int | None = None
    seconds: float = 0.0
    error: str = ""


class Keeper:
    """Keeps the record of a run that goes on.

    Args:
        folder: Of the run; None, as in further processes of a training, keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.record: RunRecord | None = None
        self._began = self._before = 0.0

    def begin(self, record: RunRecord) -> None:
        """A training starts, or goes on: what an earlier attempt took is counted."""
        self._began = time.monotonic()
        if self.folder is not None:
            self._before = spent(self.folder)
        started = datetime.now(timezone.utc).isoformat(timespec="seconds")
        here = {"started": started, "host": socket.gethostname(), "pid": os.getpid()}
        self.record = record.model_copy(update=here)
        self.note()

    def note(self, **changed: Any) -> RunRecord:
        """Write what is new; where it cannot be written, a warning names the file."""
        if self.record is None:
            raise ValueError("the record of a run is begun before anything is noted in it")
        seconds = round(self._before + time.monotonic() - self._began, 1)
        self.record = self.record.model_copy(update={**changed, "seconds": seconds})
        if self.folder is not None:
            try:
                with atomic_file(self.folder / RECORD) as path:
                    path.write_text(self.record.model_dump_json() + "\n", encoding="utf-8")
            except OSError as error:  # it only tells of the training, which goes on
                warnings.warn(f"{self.folder / RECORD} is not written: {error}", stacklevel=2)
        return self.record


@contextmanager
def kept_record(folder: Path) -> Iterator[Keeper]:
    """Give the keeper of a run's record, in which stands how the block ends.

    Of several processes of one training the first keeps it.
    """
    keeper = Keeper(None if int(os.environ.get("RANK") or 0) else folder)
    try:
        yield keeper
    except BaseException as error:
        if keeper.record is not None:
            stopped = isinstance(error, (KeyboardInterrupt, SystemExit))
            told = "" if stopped else f"{type(error).__name__}: {error}"
            keeper.note(state="interrupted" if stopped else "failed", error=told)
        raise
    if keeper.record is not None:
        keeper.note(state="finished")


def read_record(folder: Path) -> RunRecord | None:
    """The record in the folder of a run; None where there is none, as in runs of old versions.

    Raises:
        ValueError: It is damaged; names the file.
    """
    path = folder / RECORD
    try:
        values = read_json(path, limit=_BYTES)
    except FileNotFoundError:
        return None
    try:
        return RunRecord.model_validate(values)
    except ValidationError as error:
        found = error.errors()[0]
        place = ".".join(map(str, found["loc"])) or "the whole"
        raise ValueError(
            f"{path}: this is no record of a run ({place}: {found['msg']}); it only tells of the "
            "run, and may be removed"
        ) from None


def is_measured(name: str, record: RunRecord | None) -> bool:
    """Whether a figure of a history was measured on held-out pairs, and is no loss.

    Args:
        name: Of the figure.
        record: Of the run, which knows what validates it; None: as most runs are validated.
    """
    known = () if record is None else (record.monitor, *record.figures)
    return name in known or name in MAPS


def spent(folder: Path) -> float:
    """Seconds of earlier attempts: as their record has them, or their positions, if killed."""
    try:
        record = read_record(folder)
        killed = 0.0
        for part in (folder, folder / REFIT):
            if (part / POSITION).is_file():
                place = read_json(part / POSITION, limit=_BYTES)
                killed += float(place["seconds"])
    except (OSError, ValueError, LookupError, TypeError):
        return 0.0  # a figure for people, which may not stop a training
    if record is None:
        return killed
    return record.seconds if record.state != "running" else record.seconds + killed
