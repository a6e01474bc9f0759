"""The table of ablations: of each method the plain run, and below it its variants."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from crosshash.experiment.bench.ablations import MEAN, Ablation, Difference
from crosshash.experiment.bench.entries import DIRECTIONS, Entry
from crosshash.experiment.bench.report_grids import Grid
from crosshash.experiment.bench.summary import Table, mean_words, signed_words

ABOVE, BELOW = "↑", "↓"
_DIFFERENCE = "difference"


def ablation_grid(table: Table) -> Grid:
    """MAP of plain runs and variants in parts by method, and what the variants have more.

    Columns are the lengths that a variant has: both directions, and the difference of their mean.
    """
    lengths = sorted({bits for one in table.ablations for bits in one.bits})
    columns = {
        f"{bits} bits, {DIRECTIONS.get(way, way)}": (bits, way)
        for bits in lengths
        for way in (*DIRECTIONS, _DIFFERENCE)
    }
    grid = Grid([], columns, {})
    parts = {}
    for one in table.ablations:
        parts[len(grid.rows)] = one.plain.name
        for entry in one.entries:
            row: dict[str, Any] = {"method": entry.name}
            if _several_seeds(table):
                row["seeds"] = entry.seeds
            for name, (bits, way) in columns.items():
                row[name] = _cell(one, entry, bits, way)
                if way == _DIFFERENCE and _is_sure(one, entry, bits, MEAN):
                    grid.bold.add((len(grid.rows), name))
            grid.rows.append(row)
    return Grid(grid.rows, columns, parts, grid.bold)


def entries(table: Table) -> list[Entry]:
    """The rows: of each method the plain run, then its variants."""
    return [entry for one in table.ablations for entry in one.entries]


def title(table: Table) -> str:
    """The heading of the section."""
    return f"Ablations: {table.name}"


def notes(table: Table) -> list[str]:
    """What one must know to read it."""
    told = [
        "MAP of each method's plain run and below it of its variants, which stand in no other "
        "table. The difference to the plain run is of the mean of both directions, over the seeds "
        "that both have."
    ]
    if resamples := max((d.resamples for d in _differences(table)), default=0):
        told.append(
            f"{ABOVE}, {BELOW}: significantly above or below the plain run in that direction; a "
            "difference in bold: significant in the mean of both (paired bootstrap of the variant "
            f"and the plain run over the queries, {resamples:,} resamples, Holm's correction over "
            "the variants of a method, p < 0.05), which tells how sure that is with other queries, "
            "not with other seeds."
        )
    if _several_seeds(table):
        told.append("± is the standard deviation over seeds, of a difference over pairs of them.")
    return told


def _cell(one: Ablation, entry: Entry, bits: int, way: str) -> str:
    if way == _DIFFERENCE:
        found = one.differences.get((entry.name, bits, MEAN))
        return "" if found is None else signed_words(found.pairs)
    shown = mean_words(entry.values(bits, way, "map"))
    if not _is_sure(one, entry, bits, way):
        return shown
    above = one.differences[entry.name, bits, way].mean > 0
    return f"{shown} {ABOVE if above else BELOW}"


def _is_sure(one: Ablation, entry: Entry, bits: int, way: str) -> bool:
    found = one.differences.get((entry.name, bits, way))
    return found is not None and found.sure


def _several_seeds(table: Table) -> bool:
    return any(len(records) > 1 for entry in entries(table) for records in entry.runs.values())


def _differences(table: Table) -> Iterator[Difference]:
    for one in table.ablations:
        yield from one.differences.values()
