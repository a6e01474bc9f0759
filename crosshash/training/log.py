"""Where a training reports to: a progress bar, a JSON-lines file, TensorBoard."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from crosshash.files import atomic_file
from crosshash.training.files import HISTORY, POSITION, PRELIMINARY

_OFTEN = 1.0  # seconds between two positions


class TermMeans:
    """Means of the loss terms over the steps of a phase, kept on the device until they are read."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, list[Tensor]]] = {}

    def add(self, update: str, terms: Mapping[str, Tensor]) -> None:
        """Take the terms of a step of one update.

        Raises:
            ValueError: Another update has a term of that name: their mean would say nothing.
        """
        for name, value in terms.items():
            owner, values = self._seen.setdefault(name, (update, []))
            if owner != update:
                raise ValueError(
                    f"updates {owner!r} and {update!r} of one phase both have a loss term "
                    f"{name!r}; give each a name of its own"
                )
            values.append(value.detach().float())

    def read(self, accelerator: Any) -> dict[str, float]:
        """The mean of each term over steps and processes; waits for the device."""
        if not self._seen:
            return {}
        means = torch.stack([torch.stack(values).mean() for _, values in self._seen.values()])
        return dict(zip(self._seen, accelerator.reduce(means, "mean").tolist(), strict=True))


class TrainingLog:
    """Progress on the terminal and one line of figures per epoch on disk.

    While a training runs, ``position.json`` says for those who watch it where it is, written at
    most once a second: ``epoch``, how many are done, with a fraction; ``seconds`` since it began or
    was resumed; ``epoch_seconds`` and ``step_seconds``, medians of the last ones, where known.

    Args:
        folder: Where ``history.jsonl`` goes, and ``preliminary.jsonl`` where something is trained
            before the first epoch; None keeps both in memory only.
        epochs: All epochs of the training, for the bar.
        history: Epochs that were logged before a resume; grows.
        preliminary: Passes of preliminary phases that were logged before a resume; grows.
        progress: Show the bar (on standard error).
        tensorboard: Write TensorBoard events below ``folder`` too.

    Raises:
        ImportError: TensorBoard is asked for and not installed; names the extra.
    """

    def __init__(
        self,
        folder: Path | None,
        epochs: int,
        *,
        history: list[dict[str, float]],
        preliminary: list[dict[str, float]],
        progress: bool = True,
        tensorboard: bool = False,
    ) -> None:
        self.folder = folder
        self.history = history
        self.preliminary = preliminary
        self._writer: Any = None
        if tensorboard:
            if folder is None:
                raise ValueError("TensorBoard needs an output folder")
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise ImportError(
                    "TensorBoard is not installed: pip install 'crosshash[tensorboard]'"
                ) from error
            self._writer = SummaryWriter(str(folder / "tensorboard"))
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("epoch {task.completed:.0f}/{task.total:.0f}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=Console(stderr=True),
            disable=not progress,
        )
        self._task = self._bar.add_task(
            "training", total=epochs, completed=len(history), figures=""
        )
        self._began = self._told = self._epoch_began = self._stepped = time.monotonic()
        self._epochs: deque[float] = deque(maxlen=5)
        self._steps: deque[float] = deque(maxlen=100)

    def __enter__(self) -> TrainingLog:
        if self.folder is not None:  # of one that was killed
            (self.folder / POSITION).unlink(missing_ok=True)
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()
        if self.folder is not None and kind is None:  # what breaks off leaves where it was
            (self.folder / POSITION).unlink(missing_ok=True)
        if self._writer is not None:
            self._writer.close()

    def advance(self, epochs: float) -> None:
        """A step is done, which was so far (in epochs, with a fraction) into the training."""
        now = time.monotonic()
        self._steps.append(now - self._stepped)
        self._stepped = now
        self._move(epochs, now)

    def pass_done(self, figures: Mapping[str, float], *, left: int) -> None:
        """Store the figures of a pass before the first epoch; ``left`` are to come."""
        number = len(self.preliminary) + 1
        self.preliminary.append({"pass": number, **figures})
        phase = next(iter(figures), "").partition("/")[0]
        self._show(
            figures, list(figures)[:3], f"before training ({phase}, pass {number}/{number + left})"
        )
        self._scalars(figures, number)
        self._write(PRELIMINARY, self.preliminary)
        self._stepped = self._epoch_began = time.monotonic()

    def epoch(self, figures: Mapping[str, float]) -> None:
        """Store the figures of an epoch that is done."""
        self.history.append(dict(figures))
        # The bar has one line: validation figures where there are some, else the first losses.
        names = [name for name in figures if "map" in name] or list(figures)[1:4]
        self._show(figures, names, "training")
        self._scalars(figures, int(figures["epoch"]))
        self._write(HISTORY, self.history)
        now = time.monotonic()
        self._epochs.append(now - self._epoch_began)
        self._stepped = self._epoch_began = now
        self._move(figures["epoch"], now)

    def _move(self, epochs: float, now: float) -> None:
        """Move the bar, and tell those who watch, but not each step."""
        self._bar.update(self._task, completed=epochs)
        if self.folder is None or now - self._told < _OFTEN:
            return
        self._told = now
        place: dict[str, float] = {"epoch": epochs, "seconds": now - self._began}
        for name, last in (("epoch_seconds", self._epochs), ("step_seconds", self._steps)):
            if last:
                place[name] = median(last)
        with atomic_file(self.folder / POSITION) as path:
            path.write_text(json.dumps(place))

    def _show(self, figures: Mapping[str, float], names: list[str], what: str) -> None:
        text = "  ".join(f"{name} {figures[name]:.3f}" for name in names)
        self._bar.update(self._task, description=what, figures=text)

    def _scalars(self, figures: Mapping[str, float], step: int) -> None:
        if self._writer is not None:
            for name, value in figures.items():
                self._writer.add_scalar(name, value, step)

    def _write(self, name: str, lines: list[dict[str, float]]) -> None:
        """Write the lines anew; what a kill cut off is not in them."""
        if self.folder is not None:
            with atomic_file(self.folder / name) as path:
                path.write_text("".join(json.dumps(line) + "\n" for line in lines))
