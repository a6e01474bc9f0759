"""Every number of a report as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from crosshash.experiment.bench.record import WAYS, Record
from crosshash.experiment.bench.report_printed import PrintedTable
from crosshash.experiment.bench.summary import Table, mean_deviation
from crosshash.scoring.leaderboard import figures_row, leaderboard_csv

_CURVES = {"by_rank": "rank", "by_radius": "radius"}


def figures_csv(records: Sequence[Record]) -> str:
    """Every number of every run: one line each."""
    names = ("key", "method", "row", "dataset", "bits", "seed", "direction", "figure", "value")
    return _csv(names, (line for record in records for line in _numbers(record)))


def curves_csv(records: Sequence[Record]) -> str:
    """Every point of every curve."""
    names = ("key", "row", "dataset", "bits", "seed", "direction", "by", "at", "precision")
    return _csv((*names, "recall"), (line for record in records for line in _points(record)))


def epochs_csv(records: Sequence[Record]) -> str:
    """Every number of every epoch of the trainings that gave the models, and of those before."""
    names = ("key", "row", "dataset", "bits", "seed", "training", "epoch", "figure", "value")
    return _csv(names, (line for record in records for line in _epochs(record)))


def significance_csv(tables: Sequence[Table]) -> str:
    """Every comparison: each entry against the best of its column and part."""
    names = ("table", "bits", "direction", "labels", "encoder", "best", "entry", "difference")

    def lines() -> Iterable[Sequence[Any]]:
        for table in tables:
            for (bits, way, part), found in table.compared.items():
                labels = "yes" if part.supervised else "no"
                start = (table.name, bits, way, labels, part.encoder, found.best)
                for name, value in found.values.items():
                    gap = found.means[found.best] - found.means[name]
                    tie = "yes" if name in found.tied else "no"
                    yield (*start, name, gap, value, tie, found.resamples)

    return _csv((*names, "p", "tie", "resamples"), lines())


def ablations_csv(tables: Sequence[Table]) -> str:
    """Every variant against the plain run of its method, at the seeds that both have.

    ``p`` is corrected for all variants of the method, ``p_alone`` is not; both are empty where
    the queries' precisions are not known.
    """
    names = ("table", "bits", "direction", "plain", "variant", "seeds", "map_plain", "map_variant")

    def lines() -> Iterable[Sequence[Any]]:
        for table in tables:
            for one in table.ablations:
                for (name, bits, way), found in one.differences.items():
                    _, deviation = mean_deviation(found.pairs)
                    yield (table.name, bits, way, one.plain.name, name, len(found.pairs),
                           fmean(found.plain), fmean(found.variant), found.mean, deviation,
                           found.alone, found.p, "yes" if found.sure else "no",
                           found.resamples)  # fmt: skip

    return _csv((*names, "difference", "deviation", "p_alone", "p", "sure", "resamples"), lines())


def runs_csv(tables: Sequence[Table]) -> str:
    """Every run of the tables as a row of a leaderboard, to which codes from outside can be added.

    A row is called as in the tables. ``split`` is the digest that the run's own evaluation wrote:
    that of the data set's split, as ``crosshash score`` computes it, but for a run that holds pairs
    of it back (``data.holdout``, ``data.calibration``), which has a split of its own.
    """
    return leaderboard_csv(
        figures_row(record.figures, name=entry.name, method=record.method, seed=record.seed)
        for table in tables
        for entry in table.measured
        for bits in sorted(entry.runs)
        for record in entry.runs[bits]
    )


def printed_csv(printed: Sequence[PrintedTable]) -> str:
    """Every figure that papers print, with those that were measured of it here.

    Seconds, operations and memory have no difference: they are of other hardware.
    """
    names = ("suite", "table", "dataset", "bits", "method", "own", "direction", "figure", "printed")

    def lines() -> Iterable[Sequence[Any]]:
        for one in printed:
            for pair in one.pairs:
                method, dataset, bits, way, name, value = pair.figure
                own = "yes" if one.is_own(method) else "no"
                measured = fmean(pair.measured) if pair.measured else None
                yield (one.suite, one.printed.source, dataset, bits, method, own, way, name, value,
                       pair.row, measured, pair.difference)  # fmt: skip

    return _csv((*names, "row", "measured", "difference"), lines())


def _numbers(record: Record) -> Iterable[Sequence[Any]]:
    start = (record.key, record.method, record.row, record.dataset, record.bits, record.seed)
    for name, value in (
        *((f"seconds.{k}", v) for k, v in record.seconds.items()),
        ("memory.bytes", record.memory["bytes"]),
        *((f"parameters.{k}", v) for k, v in record.parameters.items()),
        *((f"flops.{k}", v) for k, v in record.flops.items()),
        ("map_mean", record.figures["map_mean"]),
    ):
        yield (*start, "", name, value)
    for way, value in record.ceiling.items():
        yield (*start, way, "map_before_signs", value)
    for way in WAYS:
        for name, value in _leaves(record.figures.get(way, {})):
            yield (*start, way, name, value)


def _leaves(values: Mapping[str, Any], place: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in values.items():
        if key in _CURVES:
            continue
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{place}{key}.")
        else:
            yield f"{place}{key}", value


def _points(record: Record) -> Iterable[Sequence[Any]]:
    start = (record.key, record.row, record.dataset, record.bits, record.seed)
    for way in WAYS:
        for curve, by in _CURVES.items():
            found = record.figures.get(way, {}).get(curve)
            if found:
                for line in zip(found["at"], found["precision"], found["recall"], strict=True):
                    yield (*start, way, by, *line)


def _epochs(record: Record) -> Iterable[Sequence[Any]]:
    start = (record.key, record.row, record.dataset, record.bits, record.seed)
    for training, history in (("final", record.history), ("selection", record.selection)):
        for epoch in history:
            totals = {f"total.{phase}": value for phase, value in epoch.totals.items()}
            for name, value in {**epoch.terms, **totals, **epoch.validation}.items():
                yield (*start, training, epoch.epoch, name, value)


def _csv(names: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(lines)
    return buffer.getvalue()
