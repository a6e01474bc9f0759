"""How far runs are, read from their folders by another process; imports nothing heavy."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from crosshash.experiment.run_record import RunRecord, is_measured, read_record
from crosshash.training.files import (
    CHECKPOINT,
    HISTORY,
    LOCK,
    POSITION,
    PRELIMINARY,
    RECORD,
    REFIT,
    STATE,
)
from crosshash.untrusted import parse_json, read_bytes, read_json

Told = Literal["running", "finished", "interrupted", "failed", "unreadable"]
Lines = list[dict[str, float]]
_FILES = (RECORD, HISTORY, PRELIMINARY, POSITION, STATE)
_LINES = TypeAdapter(dict[str, float], config=ConfigDict(strict=True))
_BYTES = 256 << 20
_SHARE = 0.05  # of an epoch, after which it is known how long one takes


class Position(BaseModel):
    """What ``position.json`` says, as :class:`crosshash.training.log.TrainingLog` writes it.

    Attributes:
        epoch: Epochs that are done, with a fraction.
        seconds: Since the training began, or was resumed.
        epoch_seconds: That an epoch takes, where one is done.
        step_seconds: That a step takes.
        age: Seconds since this was written.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    epoch: float
    seconds: float
    epoch_seconds: float | None = None
    step_seconds: float | None = None
    age: float = 0.0


@dataclass(frozen=True)
class RunView:
    """A run as it is now.

    Attributes:
        folder: Of the run.
        state: ``running``: a process holds the folder. Else ``finished``; ``failed``;
            ``interrupted``, by the user or a kill; ``unreadable``, where its files are damaged.
        record: What it is; None in runs of versions that kept none.
        history: Figures of each epoch that is done.
        refit: The same of a second training.
        passes: Before the first epoch, that are done.
        position: Within the training that runs; None where it does not, or only just began.
        error: Why it failed, or cannot be read.
    """

    folder: Path
    state: Told
    record: RunRecord | None = None
    history: Lines = field(default_factory=list)
    refit: Lines = field(default_factory=list)
    passes: int = 0
    position: Position | None = None
    error: str = ""

    @property
    def again(self) -> bool:
        """Whether this is the second training, on all pairs."""
        return bool(self.refit) or (self.record is not None and self.record.stage == "refit")

    @property
    def lines(self) -> Lines:
        """The history of the training that runs, or that was the last."""
        return self.refit if self.again else self.history

    @property
    def epochs(self) -> int | None:
        """How many this training has at most."""
        if self.record is None:
            return None
        return self.record.best_epoch if self.again else self.record.epochs

    @property
    def epoch(self) -> float:
        """How many of them are done, with a fraction while it runs."""
        return max(float(len(self.lines)), self.position.epoch if self.position else 0.0)

    @property
    def monitor(self) -> str:
        """The figure by which the best network is kept."""
        return (self.record and self.record.monitor) or "map_mean"

    @property
    def best(self) -> tuple[int, float] | None:
        """The epoch with the highest figure so far, and the figure."""
        found = [line for line in self.history if self.monitor in line]
        if not found:
            return None
        line = max(found, key=lambda line: line[self.monitor])
        return int(line["epoch"]), line[self.monitor]

    @property
    def epoch_seconds(self) -> float | None:
        """That an epoch takes, as far as it is known."""
        if self.position is None:
            return None
        if self.position.epoch_seconds is not None:
            return self.position.epoch_seconds
        share = self.position.epoch % 1
        return self.position.seconds / share if share > _SHARE else None

    @property
    def seconds_left(self) -> float | None:
        """Until this training ends, unless it stops early; None where that is not known."""
        each = self.epoch_seconds
        if self.position is None or each is None or self.epochs is None:
            return None
        return max(0.0, (self.epochs - self.epoch) * each - self.position.age)

    @property
    def seconds(self) -> float | None:
        """That the run has taken so far."""
        if self.record is None:
            return None
        return self.record.seconds + (self.position.seconds if self.position else 0.0)

    def losses(self) -> dict[str, float]:
        """Of the last epoch."""
        return self._last(measured=False)

    def measured(self) -> dict[str, float]:
        """Figures of the last epoch's validation."""
        return self._last(measured=True)

    def _last(self, *, measured: bool) -> dict[str, float]:
        last = self.lines[-1] if self.lines else {}
        return {
            name: value
            for name, value in last.items()
            if name != "epoch" and is_measured(name, self.record) is measured
        }

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        record, best = self.record, self.best
        return {
            "folder": str(self.folder),
            "state": self.state,
            **({} if record is None else record.model_dump(exclude={"state", "error", "seconds"})),
            "error": self.error,
            "epoch": self.epoch,
            "of_epochs": self.epochs,
            "losses": self.losses(),
            "validation": self.measured(),
            "best": None if best is None else {"epoch": best[0], self.monitor: best[1]},
            "seconds": self.seconds,
            "epoch_seconds": self.epoch_seconds,
            "step_seconds": self.position and self.position.step_seconds,
            "seconds_left": self.seconds_left,
        }


def is_run(folder: Path) -> bool:
    """Whether a training has written there."""
    return any((folder / name).is_file() for name in _FILES) or (
        (folder / CHECKPOINT / "config.json").is_file()
    )


def find_runs(folder: Path) -> list[Path]:
    """The folder itself if it is a run's, or all runs below it, by name.

    Raises:
        FileNotFoundError: There is no such folder, or no run in it.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is no folder: expected that of a run, or one with runs below it. A training "
            "makes its folder when it has read its data"
        )
    found = []
    for place, below, _ in os.walk(folder):
        if is_run(Path(place)):
            found.append(Path(place))
            below.clear()  # what a run has in its folder belongs to it
        below[:] = sorted(name for name in below if not name.startswith("."))
    if not found:
        raise FileNotFoundError(
            f"{folder} has no run, in it or below: looked for {', '.join(_FILES)}. A training "
            "writes them once it has read its data; `crosshash train … -o FOLDER` says where"
        )
    return found


def is_held(folder: Path) -> bool | None:
    """Whether a training runs in a folder; None where the lock is another user's."""
    if not (folder / LOCK).is_file():
        return False
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        return None
    lock.release()
    return False


def read_run(folder: Path) -> RunView:
    """A run as it is now.

    Raises:
        ValueError: A file of it is damaged; names the file.
    """
    held = is_held(
        folder
    )  # first, so that a run which ends meanwhile is not taken for a killed one
    record = read_record(folder)
    state: Told
    if held or (held is None and record is not None and record.state == "running"):
        state = "running"
    elif record is not None and record.state != "running":
        state = record.state
    else:
        state = "finished" if (folder / CHECKPOINT).is_dir() else "interrupted"
    again = record is not None and record.stage == "refit"
    return RunView(
        folder,
        state,
        record,
        _lines(folder / HISTORY),
        _lines(folder / REFIT / HISTORY),
        len(_lines((folder / REFIT if again else folder) / PRELIMINARY)),
        _position(folder / REFIT if again else folder) if state == "running" else None,
        "" if record is None else record.error,
    )


def read_runs(folders: list[Path]) -> list[RunView]:
    """Several runs; one whose files are damaged is ``unreadable`` and says why."""
    views = []
    for folder in folders:
        try:
            views.append(read_run(folder))
        except (OSError, ValueError) as error:
            views.append(RunView(folder, "unreadable", error=str(error)))
    return views


def _lines(path: Path) -> Lines:
    try:
        content = read_bytes(path, _BYTES)
    except FileNotFoundError:
        return []
    found = []
    for number, line in enumerate(content.splitlines(), start=1):
        where = f"{path}, line {number}"
        try:
            found.append(_LINES.validate_python(_numbers(parse_json(line, where))))
        except ValidationError as error:
            problem = error.errors()[0]
            raise ValueError(
                f"{where}: expected figures by name ({'.'.join(map(str, problem['loc']))}: "
                f"{problem['msg']})"
            ) from None
    return found


def _numbers(line: Any) -> Any:
    """Whole numbers are figures as well."""
    if not isinstance(line, Mapping):
        return line
    return {key: float(v) if type(v) is int else v for key, v in line.items()}


def _position(folder: Path) -> Position | None:
    path = folder / POSITION
    try:
        values, written = read_json(path), path.stat().st_mtime
    except FileNotFoundError:
        return None
    try:
        found = Position.model_validate(values)
    except ValidationError as error:
        raise ValueError(f"{path}: {error.errors()[0]['msg']}") from None
    return found.model_copy(update={"age": max(0.0, time.time() - written)})
