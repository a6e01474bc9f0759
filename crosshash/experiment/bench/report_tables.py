"""The tables of a report: for the page and for papers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crosshash.experiment.bench import report_ablations, report_lookups, report_sweeps
from crosshash.experiment.bench.entries import DIRECTIONS
from crosshash.experiment.bench.report_encoders import encoder_notes
from crosshash.experiment.bench.report_grids import TIE, Grid, further_grids, map_grid
from crosshash.experiment.bench.suite import Printed
from crosshash.experiment.bench.summary import (
    Summary,
    Table,
    mean_deviation,
    mean_words,
)
from crosshash.reports.latex import latex_table, latex_text
from crosshash.reports.tables import format_seconds, markdown_table


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
    measured = [(table.dataset, entry) for table in tables for entry in table.measured]
    measured += [(dataset, entry) for dataset, name, entry in swept if name in found]
    for dataset, entry in measured:
        if dataset in printed.data:
            here = {
                _column(dataset, bits, way, several): mean_words(values)
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
        parts.append(
            f"## {title(table)}\n\n{' '.join(notes(table))}\n\n{_in_parts(map_grid(table))}"
        )
        for told, grid in further_grids(table).items():
            parts.append(f"### {told}\n\n{_in_parts(grid)}")
        parts.append(f"### Cost\n\n{markdown_table(cost_rows(table))}")
        if table.ablations:
            told = " ".join(report_ablations.notes(table))
            shown = _in_parts(report_ablations.ablation_grid(table))
            parts.append(f"## {report_ablations.title(table)}\n\n{told}\n\n{shown}")
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


def _in_parts(grid: Grid) -> str:
    """A Markdown table for each part of a grid, below its heading."""
    rows = [
        {k: f"**{v}**" if (number, k) in grid.bold else v for k, v in row.items()}
        for number, row in enumerate(grid.rows)
    ]
    ends = [*list(grid.parts)[1:], len(rows)]
    return "\n".join(
        f"{told}:\n\n{markdown_table(rows[start:end])}"
        for (start, told), end in zip(grid.parts.items(), ends, strict=True)
    )


def latex(summary: Summary) -> str:
    r"""The tables of MAP and of ablations, for a paper with ``\usepackage{booktabs}``."""
    parts = []
    for table in summary.tables:
        parts.append(_latex(map_grid(table), title(table), notes(table), table.name))
        if table.ablations:
            grid, told = report_ablations.ablation_grid(table), report_ablations.notes(table)
            label = f"{table.name}-ablations"
            parts.append(_latex(grid, report_ablations.title(table), told, label))
    return "\n".join(parts)


def _latex(grid: Grid, heading: str, told: Sequence[str], label: str) -> str:
    heads = [
        ["", *(f"{bits} bits" for bits, _ in grid.columns.values())],
        ["Method", *(DIRECTIONS.get(way, way) for _, way in grid.columns.values())],
    ]
    rows = []
    for number, row in enumerate(grid.rows):
        cells = [latex_text(row["method"])]
        for name in grid.columns:
            text = latex_text(str(row[name])).replace(f" {TIE}", r"$^{=}$")
            cells.append(rf"\textbf{{{text}}}" if (number, name) in grid.bold else text)
        rows.append(cells)
    caption = " ".join([f"{heading}.", *told])
    return latex_table(heads, rows, caption=caption, label=f"tab:{label}", parts=grid.parts)


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
            "Bold: significantly better than all others of its column and part (paired bootstrap "
            f"over the queries, {resamples:,} resamples, Holm's correction, p < 0.05). {TIE}: a "
            "tie, not to be told from the best."
        )
    if table.several_seeds:
        told.append("± is the standard deviation over seeds.")
    return [*told, *encoder_notes(table)]


def printed_digits(printed: Printed) -> int:
    """Decimals of a paper's figures."""
    return 3 if all(round(value, 3) == value for *_, value in printed.figures()) else 4


def _column(data: str, bits: int, way: str, several: bool) -> str:
    return f"{f'{data}, ' if several else ''}{bits} bits, {DIRECTIONS[way]}"
