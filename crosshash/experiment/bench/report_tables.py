"""The tables of a report: for the page, for papers, and every number as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crosshash.experiment.bench import report_lookups, report_sweeps
from crosshash.experiment.bench.record import WAYS, Record
from crosshash.experiment.bench.suite import Printed
from crosshash.experiment.bench.summary import DIRECTIONS, Entry, Summary, Table, mean_deviation
from crosshash.reports.latex import latex_table, latex_text
from crosshash.reports.tables import format_seconds, markdown_table

TIE = "="
_CURVES = {"by_rank": "rank", "by_radius": "radius"}


@dataclass(frozen=True)
class Grid:
    """A table whose rows are methods and whose columns are lengths and directions.

    Attributes:
        rows: One mapping per row.
        bold: Cells that are better than all others of their column, by row number and column.
        columns: Of figures, by their names, each with its bits and direction.
    """

    rows: list[dict[str, Any]]
    columns: Mapping[str, tuple[int, str]]
    bold: set[tuple[int, str]] = field(default_factory=set)


def map_grid(table: Table) -> Grid:
    """MAP over the whole retrieval set: means over seeds, ± deviation, and what is sure."""
    columns = {f"{bits} bits, {DIRECTIONS[way]}": (bits, way) for bits, way in _cells(table)}
    grid = Grid([], columns)
    several = _several_seeds(table)
    for number, entry in enumerate(table.entries):
        row: dict[str, Any] = {"method": entry.name, "labels": "yes" if entry.supervised else "no"}
        if several:
            row["seeds"] = entry.seeds
        for name, (bits, way) in columns.items():
            shown = _mean(entry.values(bits, way, "map"))
            row[name] = f"{shown} {TIE}" if table.is_tied(entry, bits, way) else shown
            if table.is_best(entry, bits, way):
                grid.bold.add((number, name))
        grid.rows.append(row)
    return grid


def map_at_grids(table: Table) -> dict[str, Grid]:
    """MAP@k at the first k that all have, by what it is.

    The denominators are the one that the record quotes, and ``min``, of which k relevant items make
    a perfect ranking; all four stand in the CSV file.
    """
    cut = _cut(table)
    if cut is None:
        return {}
    names = dict.fromkeys([str(table.record["denominator"]), "min"])
    return {f"MAP@{cut}, denominator {name}": _map_at(table, cut, name) for name in names}


def _map_at(table: Table, cut: str, denominator: str) -> Grid:
    columns = {f"{bits} bits, {DIRECTIONS[way]}": (bits, way) for bits, way in _cells(table)}
    rows = [
        {"method": entry.name}
        | {
            name: _mean(entry.values(bits, way, "map_at", cut, denominator))
            for name, (bits, way) in columns.items()
        }
        for entry in table.entries
    ]
    return Grid(rows, columns)


def cost_rows(table: Table) -> list[dict[str, Any]]:
    """Time, memory, weights and operations of each entry at its longest codes."""
    rows = []
    for entry in table.entries:
        bits = max(entry.runs)
        records = entry.runs[bits]
        time, deviation = mean_deviation([record.seconds["training"] for record in records])
        first = records[0]
        spread = "" if deviation is None else f" ± {format_seconds(deviation)}"
        rows.append(
            {
                "method": entry.name,
                "bits": bits,
                "training": f"{format_seconds(time)}{spread}",
                "peak memory, MB": round(max(r.memory["bytes"] for r in records) / 1e6),
                "of": first.memory["of"],
                "parameters": first.parameters["all"],
                "trained": first.parameters["trained"],
                "MFLOPs of an image": round(first.flops["image"] / 1e6, 2),
                "MFLOPs of a text": round(first.flops["text"] / 1e6, 2),
                "device": first.machine["device"],
                "runs at once": max(r.machine["jobs"] for r in records),
            }
        )
    return rows


def printed_rows(
    printed: Printed, tables: Sequence[Table], sweeps: Sequence[report_sweeps.Sweep] = ()
) -> list[dict[str, Any]]:
    """A paper's figures, its baselines' among them, and below what was measured here of them.

    Of sweeps those values are among it that the paper prints by the same name.
    """
    several = len(printed.data) > 1
    found: dict[str, dict[str, Any]] = {}
    for name, data, way, bits, value in printed.figures():
        found.setdefault(name, {"printed": name})[_column(data, bits, way, several)] = value
    for name, cost in printed.efficiency.items():
        row = found.setdefault(name, {"printed": name})
        row |= {
            "training, s": f"{cost.seconds:g}",
            "GFLOPs": f"{cost.gflops:g}",
            "GPU, GB": f"{cost.gigabytes:g}",
        }
    rows = list(found.values())
    swept = report_sweeps.swept_entries(sweeps)
    measured = [(table.dataset, entry) for table in tables for entry in table.entries]
    measured += [(dataset, entry) for dataset, name, entry in swept if name in found]
    for dataset, entry in measured:
        if dataset in printed.data:
            here = {
                _column(dataset, bits, way, several): _mean(values)
                for bits in printed.bits
                for way in DIRECTIONS
                if (values := entry.values(bits, way, "map"))
            }
            if here:
                rows.append({"printed": f"measured here: {entry.name}", **here})
    return rows


def markdown(summary: Summary, printed: Sequence[Printed]) -> str:
    """All tables of figures as Markdown."""
    parts = []
    for table in summary.tables:
        grid = map_grid(table)
        rows = [
            {k: f"**{v}**" if (number, k) in grid.bold else v for k, v in row.items()}
            for number, row in enumerate(grid.rows)
        ]
        parts.append(f"## {title(table)}\n\n{' '.join(notes(table))}\n\n{markdown_table(rows)}")
        for told, at in map_at_grids(table).items():
            parts.append(f"### {told}\n\n{markdown_table(at.rows)}")
        parts.append(f"### Cost\n\n{markdown_table(cost_rows(table))}")
    sweeps = report_sweeps.find_sweeps(summary.records)
    if sweeps:
        shown = markdown_table(report_sweeps.sweep_rows(sweeps))
        parts.append(f"## {report_sweeps.SENSITIVITY}\n\n{report_sweeps.NOTE}\n\n{shown}")
    for entry in printed:
        told = f"{entry.note}\n\n" if entry.note else ""
        if entry.looks_up:
            rows = report_lookups.lookup_rows(entry, summary.tables)
            shown = markdown_table(rows, digits=report_lookups.DIGITS)
            told += f"{report_lookups.NOTE}\n\n"
        else:
            rows = printed_rows(entry, summary.tables, sweeps)
            shown = markdown_table(rows, digits=printed_digits(entry))
        parts.append(f"## As printed: {entry.source}\n\n{told}{shown}")
    return "\n".join(parts)


def latex(summary: Summary) -> str:
    r"""The tables of MAP, for a paper with ``\usepackage{booktabs}``."""
    parts = []
    for table in summary.tables:
        grid = map_grid(table)
        heads = [
            ["", *(f"{bits} bits" for bits, _ in grid.columns.values())],
            ["Method", *(DIRECTIONS[way] for _, way in grid.columns.values())],
        ]
        rows = []
        for number, row in enumerate(grid.rows):
            cells = [latex_text(row["method"])]
            for name in grid.columns:
                text = latex_text(str(row[name])).replace(f" {TIE}", r"$^{=}$")
                cells.append(rf"\textbf{{{text}}}" if (number, name) in grid.bold else text)
            rows.append(cells)
        told = " ".join([f"{title(table)}.", *notes(table)])
        parts.append(latex_table(heads, rows, caption=told, label=f"tab:{table.name}"))
    return "\n".join(parts)


def title(table: Table) -> str:
    """The heading of a table."""
    counts = table.record["counts"]
    return (
        f"MAP on {table.name}: {counts['query']:,} queries, {counts['retrieval']:,} searched pairs"
    )


def notes(table: Table) -> list[str]:
    """What one must know to read it."""
    record = table.record
    chance = ", ".join(f"{value:.3f}" for value in dict.fromkeys(table.chance.values()))
    told = [
        f"Over the whole retrieval set; ties {record['ties']}; empty queries {record['empty']}; "
        f"codes of the database {record['database']}. Random codes: {chance}."
    ]
    if table.compared:
        resamples = max(found.resamples for found in table.compared.values())
        told.append(
            "Bold: significantly better than all others of its column (paired bootstrap over the "
            f"queries, {resamples:,} resamples, Holm's correction, p < 0.05). "
            f"{TIE}: a tie, not to be told from the best."
        )
    if _several_seeds(table):
        told.append("± is the standard deviation over seeds.")
    return told


def figures_csv(records: Sequence[Record]) -> str:
    """Every number of every run: one line each."""
    names = ("key", "method", "row", "dataset", "bits", "seed", "direction", "figure", "value")
    return _csv(names, (line for record in records for line in _numbers(record)))


def curves_csv(records: Sequence[Record]) -> str:
    """Every point of every curve."""
    names = ("key", "row", "dataset", "bits", "seed", "direction", "by", "at", "precision")
    return _csv((*names, "recall"), (line for record in records for line in _points(record)))


def significance_csv(tables: Sequence[Table]) -> str:
    """Every comparison: each entry against the best of its column."""
    names = ("table", "bits", "direction", "best", "entry", "difference", "p", "tie", "resamples")

    def lines() -> Iterable[Sequence[Any]]:
        for table in tables:
            for (bits, way), found in table.compared.items():
                for name, value in found.values.items():
                    gap = found.means[found.best] - found.means[name]
                    tie = "yes" if name in found.tied else "no"
                    yield (table.name, bits, way, found.best, name, gap, value, tie,
                           found.resamples)  # fmt: skip

    return _csv(names, lines())


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


def _csv(names: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(lines)
    return buffer.getvalue()


def _cells(table: Table) -> Iterable[tuple[int, str]]:
    return ((bits, way) for bits in table.bits for way in DIRECTIONS)


def _several_seeds(table: Table) -> bool:
    return any(len(records) > 1 for entry in table.entries for records in entry.runs.values())


def printed_digits(printed: Printed) -> int:
    """Decimals of a paper's figures."""
    return 3 if all(round(value, 3) == value for *_, value in printed.figures()) else 4


def _cut(table: Table) -> str | None:
    """The first k of MAP@k that all runs of a table have."""
    found: list[list[str]] = [
        list(record.figures["i2t"].get("map_at", {}))
        for entry in table.entries
        for records in entry.runs.values()
        for record in records
    ]
    common = [k for k in found[0] if all(k in keys for keys in found)]
    return common[0] if common else None


def _mean(values: Sequence[float]) -> str:
    if not values:
        return ""
    mean, deviation = mean_deviation(values)
    return f"{mean:.3f}" if deviation is None else f"{mean:.3f} ± {deviation:.3f}"


def _column(data: str, bits: int, way: str, several: bool) -> str:
    return f"{f'{data}, ' if several else ''}{bits} bits, {DIRECTIONS[way]}"


def entry_map(entry: Entry, bits: int) -> float | None:
    """Mean of MAP over both directions and all seeds; None where it has not these bits."""
    values = entry.values(bits, "map_mean")
    return sum(values) / len(values) if values else None
