"""The tables of a report: for the page and for papers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from crosshash.experiment.bench import report_ablations, report_sweeps
from crosshash.experiment.bench.entries import DIRECTIONS
from crosshash.experiment.bench.report_encoders import encoder_notes
from crosshash.experiment.bench.report_grids import TIE, Grid, further_grids, map_grid
from crosshash.experiment.bench.report_printed import PrintedTable, printed_grid, printed_notes
from crosshash.experiment.bench.report_versions import version_notes
from crosshash.experiment.bench.summary import Summary, Table, mean_deviation
from crosshash.reports.latex import latex_table, latex_text
from crosshash.reports.tables import format_seconds, markdown_table

FAILED = "They stand in no table above."  # of the runs that failed


def cost_rows(table: Table) -> list[dict[str, Any]]:
    """Time, memory, weights and operations of each entry at its longest codes."""
    rows = []
    for entry in table.entries:
        bits = max(entry.runs)
        records = entry.runs[bits]
        time, deviation = mean_deviation(entry.seconds(bits))
        first = records[0]
        spread = "" if deviation is None else f" ± {format_seconds(deviation)}"
        rows.append(
            {
                "method": entry.name,
                "bits": bits,
                "training": f"{format_seconds(time)}{spread}",
                "peak memory, MB": round(entry.memory(bits) / 1e6),
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


def markdown(summary: Summary, printed: Sequence[PrintedTable]) -> str:
    """All tables of figures as Markdown."""
    parts = []
    for table in summary.tables:
        told = " ".join([*notes(table), *version_notes(table.entries)])
        parts.append(f"## {title(table)}\n\n{told}\n\n{_in_parts(map_grid(table))}")
        for heading, grid in further_grids(table).items():
            parts.append(f"### {heading}\n\n{_in_parts(grid)}")
        parts.append(f"### Cost\n\n{markdown_table(cost_rows(table))}")
        if table.ablations:
            versions = version_notes(report_ablations.entries(table))
            told = " ".join([*report_ablations.notes(table), *versions])
            shown = _in_parts(report_ablations.ablation_grid(table))
            parts.append(f"## {report_ablations.title(table)}\n\n{told}\n\n{shown}")
    sweeps = report_sweeps.find_sweeps(summary.records)
    if sweeps:
        shown = markdown_table(report_sweeps.sweep_rows(sweeps))
        parts.append(f"## {report_sweeps.SENSITIVITY}\n\n{report_sweeps.NOTE}\n\n{shown}")
    for one in printed:
        told = " ".join(printed_notes(one))
        parts.append(f"## {one.title}\n\n{told}\n\n{_in_parts(printed_grid(one))}")
    if summary.failed:
        parts.append(f"## Failed\n\n{FAILED}\n\n{markdown_table(failed_rows(summary))}")
    return "\n".join(parts)


def failed_rows(summary: Summary) -> list[dict[str, Any]]:
    """The runs that failed, and why."""
    return [
        {
            "method": record.row,
            "data": record.dataset,
            "bits": record.bits,
            "seed": record.seed,
            "error": record.error,
        }
        for record in summary.failed
    ]


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


def latex(summary: Summary, printed: Sequence[PrintedTable]) -> str:
    r"""Tables of MAP, of ablations and of papers' figures, for ``\usepackage{booktabs}``."""
    parts = []
    for table in summary.tables:
        parts.append(_latex(map_grid(table), title(table), notes(table), table.name))
        if table.ablations:
            grid, told = report_ablations.ablation_grid(table), report_ablations.notes(table)
            label = f"{table.name}-ablations"
            parts.append(_latex(grid, report_ablations.title(table), told, label))
    for one in printed:
        label = f"printed-{re.sub(r'[^0-9a-z]+', '-', one.printed.source.lower())}"
        parts.append(_latex(printed_grid(one), one.title, printed_notes(one), label))
    return "\n".join(parts)


def _latex(grid: Grid, heading: str, told: Sequence[str], label: str) -> str:
    first = [name for name in grid.rows[0] if name not in grid.columns]  # method, seeds
    above = [f"{of} bits" if isinstance(of, int) else of for of, _ in grid.columns.values()]
    heads = [
        [*("" for _ in first), *above],
        [*map(str.capitalize, first), *(DIRECTIONS.get(w, w) for _, w in grid.columns.values())],
    ]
    rows = []
    for number, row in enumerate(grid.rows):
        cells = [latex_text(str(row[name])) for name in first]
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
