"""The tables of a report whose rows are methods, in parts by encoder and by use of labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from crosshash.experiment.bench.entries import DIRECTIONS, parts_of
from crosshash.experiment.bench.summary import Table, mean_curve, mean_words

TIE = "="
_RADII, _LOOKED_UP = (0, 1, 2), 32  # of look-ups, and the length at which papers print them


@dataclass(frozen=True)
class Grid:
    """A table whose rows are methods and whose columns are lengths and directions.

    Attributes:
        rows: One mapping per row.
        columns: Of figures, by their names, each with its bits or what else heads it, and its
            direction or what else it is of.
        parts: Headings of its parts, by the number of their first row.
        bold: Cells that are better than all others of their column and part, by row number and
            column.
    """

    rows: list[dict[str, Any]]
    columns: Mapping[str, tuple[int | str, str]]
    parts: Mapping[int, str] = field(default_factory=dict)
    bold: set[tuple[int, str]] = field(default_factory=set)


def map_grid(table: Table) -> Grid:
    """MAP over the whole retrieval set: means over seeds, ± deviation, and what is sure."""
    columns = {f"{bits} bits, {DIRECTIONS[way]}": (bits, way) for bits, way in _cells(table)}
    grid = Grid([], columns, parts_of(table.entries))
    several = table.several_seeds
    for number, entry in enumerate(table.entries):
        row: dict[str, Any] = {"method": entry.name}
        if several:
            row["seeds"] = entry.seeds
        for name, (bits, way) in columns.items():
            shown = mean_words(entry.values(bits, way, "map"))
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


def further_grids(table: Table) -> dict[str, Grid]:
    """The tables that stand below that of MAP, by what they are."""
    return {**map_at_grids(table), **ceiling_grids(table), **radius_grids(table)}


def ceiling_grids(table: Table) -> dict[str, Grid]:
    """MAP of the longest codes beside that of outputs before the sign, where that was kept."""
    bits = table.bits[-1]
    entries = [entry for entry in table.entries if entry.ceilings(bits, "i2t")]
    if not entries:
        return {}
    rows, columns = [], {}
    for entry in entries:
        row = {"method": entry.name}
        for way, shown in DIRECTIONS.items():
            for name, values in (
                ("codes", entry.values(bits, way, "map")),
                ("before the signs", entry.ceilings(bits, way)),
            ):
                row[f"{shown}, {name}"] = mean_words(values)
                columns[f"{shown}, {name}"] = (bits, way)
        rows.append(row)
    return {f"MAP before the signs, by cosine, {bits} bits": Grid(rows, columns, parts_of(entries))}


def radius_grids(table: Table) -> dict[str, Grid]:
    """Precision, recall and F1 of look-ups within small radii, by direction.

    They are of 32 bits, as in papers, or else of the longest codes.
    """
    bits = _LOOKED_UP if _LOOKED_UP in table.bits else table.bits[-1]
    entries = [entry for entry in table.entries if bits in entry.runs]
    average = table.record["f1_average"]
    found = {}
    for way, shown in DIRECTIONS.items():
        rows, columns = [], {}
        for entry in entries:
            row = {"method": entry.name}
            curve = mean_curve(entry.runs[bits], way, "by_radius")
            for radius in _RADII:
                f1 = entry.values(bits, way, "f1_at_radius", str(radius))
                for name, value in (
                    ("precision", curve["precision"][radius]),
                    ("recall", curve["recall"][radius]),
                    ("F1", fmean(f1) if f1 else None),
                ):
                    row[f"r = {radius}, {name}"] = "" if value is None else f"{value:.4f}"
                    columns[f"r = {radius}, {name}"] = (bits, way)
            rows.append(row)
        told = f"Within a Hamming radius r, {bits} bits, {shown}; F1 by {average}"
        found[told] = Grid(rows, columns, parts_of(entries))
    return found


def _map_at(table: Table, cut: str, denominator: str) -> Grid:
    columns = {f"{bits} bits, {DIRECTIONS[way]}": (bits, way) for bits, way in _cells(table)}
    rows = [
        {"method": entry.name}
        | {
            name: mean_words(entry.values(bits, way, "map_at", cut, denominator))
            for name, (bits, way) in columns.items()
        }
        for entry in table.entries
    ]
    return Grid(rows, columns, parts_of(table.entries))


def _cells(table: Table) -> Iterable[tuple[int, str]]:
    return ((bits, way) for bits in table.bits for way in DIRECTIONS)


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
