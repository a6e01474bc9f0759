"""What papers print, beside what was measured here of the same methods on the same data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from crosshash.experiment.bench.cases import row_name
from crosshash.experiment.bench.entries import DIRECTIONS, Entry
from crosshash.experiment.bench.report_grids import Grid
from crosshash.experiment.bench.report_sweeps import Sweep, swept_entries
from crosshash.experiment.bench.suite import PLAIN, Figure, Printed
from crosshash.experiment.bench.summary import Table, mean_curve, mean_words, signed_words

_COSTS = {"seconds": "training, s", "gflops": "GFLOPs", "gigabytes": "memory, GB"}
_PAIRED = (
    "Measured here: the same method on the data set of that name, by this report's conventions; "
)
_DIFFERENCE = "difference: measured here less printed."
_RATIO = (
    "ratio: measured here over printed. Ours are seconds of training with validation, operations "
    "of encoding one image and one text, and peak memory, on the hardware that each row names."
)
_LOOKUPS = (
    "Precision and recall measured here are means over the queries, of which one that finds "
    "nothing has a precision of 0; F1 is that of both means."
)


@dataclass(frozen=True)
class Pair:
    """A printed figure, and what was measured here of it.

    Attributes:
        figure: The paper's.
        row: What was measured, by its name in the tables; empty: nothing.
        measured: The figure of each seed, or one of all.
        hardware: Of the measured runs.
    """

    figure: Figure
    row: str = ""
    measured: Sequence[float] = ()
    hardware: str = ""

    @property
    def difference(self) -> float | None:
        """Measured less printed; None of costs, which are of other hardware, and of nothing."""
        if not self.row or self.figure.name in _COSTS:
            return None
        return fmean(self.measured) - self.figure.value


@dataclass(frozen=True)
class PrintedTable:
    """A paper's table with its pairs.

    Attributes:
        suite: That has it.
        printed: The paper's figures.
        pairs: Each figure at least once, and once for each run row that is of it.
        elsewhere: Other data sets, on which its methods were measured.
    """

    suite: str
    printed: Printed
    pairs: Sequence[Pair]
    elsewhere: Sequence[str]

    @property
    def title(self) -> str:
        """The heading."""
        return f"As printed: {self.printed.source}"

    @property
    def has_costs(self) -> bool:
        """Whether seconds, operations or memory are among its figures."""
        return any(pair.figure.name in _COSTS for pair in self.pairs)

    @property
    def is_measured(self) -> bool:
        """Whether any of it was measured here."""
        return any(pair.row for pair in self.pairs)

    def is_own(self, method: str) -> bool:
        """Whether a method is what the paper proposes, and no baseline."""
        return _plain(method) == _plain(self.printed.own)


class _Measured(NamedTuple):
    names: set[str]  # that a paper may have for it
    dataset: str
    row: str
    entry: Entry


def printed_tables(
    known: Iterable[tuple[str, Printed]], tables: Sequence[Table], sweeps: Sequence[Sweep] = ()
) -> list[PrintedTable]:
    """The tables of papers, each figure beside those that were measured of it.

    Args:
        known: Figures of papers, each with its suite.
        tables: Of what was measured; a method or variant is found by its name.
        sweeps: Of which those values are found that the paper calls by the same name.
    """
    measured = [*_of_tables(tables), *_of_sweeps(sweeps)]
    found = []
    for suite, printed in known:
        figures = list(printed.figures())
        named = {_plain(figure.method) for figure in figures}
        others = {one.dataset for one in measured if one.names & named} - {*printed.data}
        paired = [pair for figure in figures for pair in _pairs(figure, printed, measured)]
        found.append(PrintedTable(suite, printed, paired, sorted(others)))
    return found


def printed_grid(one: PrintedTable) -> Grid:
    """Printed, measured, and the difference or ratio, in parts by data set and length."""
    digits = 3 if all(round(value, 3) == value for value in _shares(one)) else 4
    parts: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
    columns: dict[str, tuple[int | str, str]] = {}
    for pair in one.pairs:
        method = pair.figure.method
        part, head = _place(pair.figure, one.printed)
        own = " (the paper's own)" if one.is_own(method) else ""
        start = {"method": f"{method}{own}", "measured as": pair.row, "measured on": pair.hardware}
        row = parts.setdefault(part, {}).setdefault((method, pair.row), start)
        for told, cell in _cells(pair, digits).items():
            if told == "printed" or one.is_measured:
                columns[f"{head}, {told}"] = (head, told)
                row[f"{head}, {told}"] = cell
    here = ["measured as", *(["measured on"] if one.has_costs else [])] if one.is_measured else []
    rows: list[dict[str, Any]] = []
    starts = {}
    for part, found in parts.items():
        starts[len(rows)] = part
        rows += [
            {name: row.get(name, "") for name in ("method", *here, *columns)}
            for row in found.values()
        ]
    return Grid(rows, columns, starts)


def printed_notes(one: PrintedTable) -> list[str]:
    """What one must know to read it."""
    told = [
        "Printed: figures as the paper prints them, its baselines' among them, whose split and "
        "conventions are often not stated.",
        one.printed.note,
    ]
    data = ", ".join(one.printed.data)
    if one.is_measured:
        told.append(f"{_PAIRED}{_RATIO if one.has_costs else _DIFFERENCE}")
        told.append(_LOOKUPS if one.printed.looks_up else "")
    elif one.elsewhere:
        told.append(
            f"Nothing of it was measured here on {data}. What was measured of its rows is of other "
            f"data ({', '.join(one.elsewhere)}) and stands in the tables above: there is no "
            "difference to show between two data sets."
        )
    else:
        told.append(f"Nothing of it was measured here on {data}.")
    return [line for line in told if line]


def _of_tables(tables: Sequence[Table]) -> Iterator[_Measured]:
    counts = Counter(table.dataset for table in tables)
    for table in tables:
        for entry in table.measured:
            first = entry.first
            names = {_plain(row_name(first.method, first.variant, PLAIN, ""))}
            if first.variant != PLAIN:
                names.add(_plain(first.variant))  # JDSH is djsrh-jdsh
            several = counts[table.dataset] > 1
            row = f"{table.name}: {entry.name}" if several else entry.name
            yield _Measured(names, table.dataset, row, entry)


def _of_sweeps(sweeps: Sequence[Sweep]) -> Iterator[_Measured]:
    for dataset, name, entry in swept_entries(sweeps):
        yield _Measured({_plain(name)}, dataset, entry.name, entry)


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def _pairs(figure: Figure, printed: Printed, measured: Sequence[_Measured]) -> list[Pair]:
    found = [
        Pair(figure, one.row, values, _hardware(one.entry, figure.bits))
        for one in measured
        if one.dataset == figure.dataset and _plain(figure.method) in one.names
        if (values := _values(one.entry, figure, printed.radii))
    ]
    return found or [Pair(figure)]


def _values(entry: Entry, figure: Figure, radii: Sequence[int]) -> list[float]:
    """What a paper's figure is here: of each seed, or one of all."""
    if figure.bits not in entry.runs:
        return []
    records = entry.runs[figure.bits]
    if figure.name == "map":
        return entry.values(figure.bits, figure.direction, "map")
    if figure.name in _COSTS:
        flops = records[0].flops
        return {
            "seconds": entry.seconds(figure.bits),
            "gflops": [(flops["image"] + flops["text"]) / 1e9],
            "gigabytes": [entry.memory(figure.bits) / 1e9],
        }[figure.name]
    curve = mean_curve(records, figure.direction, "by_radius")
    found = {part: float(np.mean(curve[part][list(radii)])) for part in ("precision", "recall")}
    both = sum(found.values())
    found["f1"] = 2 * found["precision"] * found["recall"] / both if both else 0.0
    return [found[figure.name]]


def _hardware(entry: Entry, bits: int) -> str:
    records = entry.runs[bits]
    machine, of = records[0].machine, records[0].memory["of"]
    jobs = max(record.machine["jobs"] for record in records)
    return f"{machine['device']}, threads: {machine['threads']}, runs at once: {jobs}, memory: {of}"


def _place(figure: Figure, printed: Printed) -> tuple[str, str]:
    """The heading of its part, and that of its columns."""
    part = f"{figure.dataset}, {figure.bits} bits"
    if figure.name in _COSTS:
        return part, _COSTS[figure.name]
    way = DIRECTIONS[figure.direction]
    if figure.name == "map":
        return part, way
    radii = ", ".join(map(str, printed.radii))
    within = f"mean of the radii {radii}" if len(printed.radii) > 1 else f"radius {radii}"
    return f"{part}, {way}, {within}", "F1" if figure.name == "f1" else figure.name


def _cells(pair: Pair, digits: int) -> dict[str, str]:
    value, measured = pair.figure.value, pair.measured
    if pair.figure.name in _COSTS:
        ratio = f"{fmean(measured) / value:.3g}" if measured and value else ""
        operations = pair.figure.name == "gflops" and measured  # tiny over given features
        here = f"{measured[0]:.3g}" if operations else mean_words(measured, 2)
        return {"printed": f"{value:.10g}", "measured here": here, "ratio": ratio}
    gap = pair.difference
    return {
        "printed": f"{value:.{digits}f}",
        "measured here": mean_words(measured, digits),
        "difference": "" if gap is None else signed_words([gap], digits),
    }


def _shares(one: PrintedTable) -> list[float]:
    return [pair.figure.value for pair in one.pairs if pair.figure.name not in _COSTS]
