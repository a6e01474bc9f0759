"""Figures of trainings: how fast losses fall, and validation MAP rises."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from crosshash.experiment.bench.kept import Epoch
from crosshash.experiment.bench.record import Record
from crosshash.experiment.bench.report_figures import (
    Drawn,
    FigureSet,
    figure_sets,
    lines_of,
)
from crosshash.experiment.bench.summary import Table
from crosshash.reports.comparison_plots import marked_lines_plot

NOTE = (
    "Relative loss: an epoch's loss over that of the first, with the method's weights, the mean "
    "over seeds. Losses of two methods are not of one scale: compare when they are level, not how "
    "low. What is solved in closed form has none."
)
_Line = tuple[list[int], list[float]]


def epoch_figures(table: Table) -> Iterator[Drawn]:
    """Relative loss and validation MAP by epoch at each length, the longest for the page too."""
    for one in figure_sets(table):
        for bits in one.bits:
            for name, title, axis, of in (
                ("loss", "Relative loss", "loss over that of epoch 1", _relative_loss),
                ("validation", "Validation MAP", "MAP, mean of both directions", _validation),
            ):
                lines, only = _lines(one, bits, of)
                if lines:
                    yield Drawn(
                        f"{one.start}-{bits}-{name}",
                        f"{title} by epoch: {one.told}, {bits} bits{only}",
                        marked_lines_plot(
                            lines,
                            f"{title} by epoch",
                            labels=("epoch", axis),
                            unit=False,
                            whole=True,
                            among=one.names,
                        ),
                        bits == one.bits[-1],
                    )


def _lines(
    one: FigureSet, bits: int, of: Callable[[Record], dict[int, float]]
) -> tuple[dict[str, _Line], str]:
    """By name, of the best among those that have a line, and how the caption says so."""
    found = {e.name: _mean_line(e.runs.get(bits, ()), of) for e in one.entries}
    entries, only = lines_of([e for e in one.entries if found[e.name]], "epochs.csv")
    return {e.name: line for e in entries if (line := found[e.name]) is not None}, only


def _mean_line(records: Sequence[Record], of: Callable[[Record], dict[int, float]]) -> _Line | None:
    """The mean over seeds, at the epochs that all have; None: these are fewer than two."""
    found = [of(record) for record in records]
    shared = [epoch for epoch in found[0] if all(epoch in one for one in found)] if found else []
    if len(shared) < 2:  # a closed form has one epoch, and some are validated at their end alone
        return None
    return shared, [float(np.mean([one[epoch] for one in found])) for epoch in shared]


def _relative_loss(record: Record) -> dict[int, float]:
    """By epoch; nothing for a closed form, nor for a loss that begins at or below 0."""
    sums = {epoch.epoch: sum(epoch.totals.values()) for epoch in record.history if epoch.totals}
    first = sums.get(1, 0.0)
    return {epoch: value / first for epoch, value in sums.items()} if first > 0 else {}


def _validation(record: Record) -> dict[int, float]:
    """By epoch, of the training in which it was measured."""
    history: Sequence[Epoch] = record.selection or record.history
    measured = ((epoch.epoch, epoch.validation.get("map_mean")) for epoch in history)
    return {epoch: value for epoch, value in measured if value is not None}
