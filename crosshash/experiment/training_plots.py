"""Curves of a training: its validation, its losses, its ranking and its bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from crosshash.experiment.run_record import RunRecord, is_measured
from crosshash.reports.plots import epochs_plot, loss_plot, ones_plot, precision_recall_plot
from crosshash.retrieval.health import CodeHealth
from crosshash.retrieval.report import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from crosshash.experiment.run import Result

I2T, T2I = "image → text", "text → image"


def training_plots(
    result: Result, record: RunRecord, health: Mapping[str, CodeHealth]
) -> list[tuple[str, Figure]]:
    """Curves of a training, each with its caption.

    Args:
        result: Of the training: validation and losses after each epoch, the ranking at the end.
        record: Of the run, which tells validation from losses.
        health: Of the codes of each modality, by name.
    """
    plots = _validation_plots(result, record)
    report = result.report
    if report is not None:
        curves = {
            name: (found.by_rank.recall, found.by_rank.precision)
            for name, found in ((I2T, report.i2t), (T2I, report.t2i))
        }
        told = (
            "How many of the nearest are relevant, from the first hit (left) to all items (right)"
        )
        drawn = precision_recall_plot(
            curves, "Precision and recall by rank", chance=_chance(report)
        )
        plots.append((told, drawn))
    for history, which in ((result.history, ""), (result.refit, " of the second training")):
        plots += _loss_plots(history, record, which)
    if health:
        told = "How often each bit is +1: at one half it tells most, at 0 or 1 nothing"
        plots.append((told, ones_plot({name: found.ones for name, found in health.items()})))
    return plots


def _validation_plots(result: Result, record: RunRecord) -> list[tuple[str, Figure]]:
    names = list(dict.fromkeys(n for line in result.history for n in line))
    names = [name for name in names if is_measured(name, record)]
    if {"map_i2t", "map_t2i"} <= set(names):  # their mean lies between them
        names.remove("map_mean")
    if not names:
        return []
    rows = [{k: v for k, v in line.items() if k in ("epoch", *names)} for line in result.history]
    values = [value for row in rows for key, value in row.items() if key != "epoch"]
    if not all(0 <= value <= 1 for value in values):
        told = "What was measured on pairs that were held out, after each epoch"
        return [(told, loss_plot(rows, "Validation by epoch"))]
    lines = {name: {"map_i2t": I2T, "map_t2i": T2I}.get(name, name) for name in names}
    maps = all(name.startswith("map_") for name in names)
    told = (
        "Mean average precision of pairs that were held out, after each epoch"
        if maps
        else "What was measured on pairs that were held out, after each epoch"
    )
    chance = None if result.report is None or not maps else _chance(result.report)
    title = "MAP by epoch" if maps else "Validation by epoch"
    return [(told, epochs_plot(rows, lines, title, chance=chance))]


def _loss_plots(
    history: Sequence[Mapping[str, float]], record: RunRecord, which: str
) -> list[tuple[str, Figure]]:
    """A plot for each phase of an epoch, as the losses of different phases have nothing in common.

    The name of a phase stands before its losses, as in ``image/likelihood``.
    """
    names = dict.fromkeys(n for line in history for n in line if n != "epoch")
    phases: dict[str, list[str]] = {}
    for name in names:
        if not is_measured(name, record):
            phases.setdefault(name.rpartition("/")[0], []).append(name)
    plots = []
    for phase, terms in phases.items():
        rows = [
            {"epoch": line["epoch"]}
            | {name.rpartition("/")[2]: line[name] for name in terms if name in line}
            for line in history
        ]
        told = f"What the training minimizes: {terms[0].rpartition('/')[2]}"
        if len(terms) > 1:
            of = "What the parts of the training minimize"
            if phase:  # one that is solved has figures that it does not minimize
                of = f"Losses and figures of the phase {phase}"
            told = f"{of}, after each epoch; they are not on one scale"
        title = f"Losses by epoch{which}{f': {phase}' if phase else ''}"
        plots.append((told, loss_plot(rows, title)))
    return plots


def _chance(report: Report) -> float:
    return (report.i2t.chance + report.t2i.chance) / 2
