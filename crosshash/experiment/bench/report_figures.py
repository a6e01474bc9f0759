"""The figures of a report, each with its file's name and what it shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crosshash.experiment.bench.summary import DIRECTIONS, Entry, Table, mean_curve, parts_of
from crosshash.reports.comparison_plots import marked_lines_plot, scatter_plot, spans_plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Drawn:
    """A figure of a report.

    Attributes:
        name: Of its files, without ending.
        told: What it shows.
        figure: It.
        on_page: Whether the page has it too, and not the files alone.
    """

    name: str
    told: str
    figure: Figure
    on_page: bool


def drawn_figures(table: Table) -> Iterator[Drawn]:
    """Curves of each length and direction, those of the longest for the page too; and costs.

    MAP over bytes is drawn where there are several lengths, MAP before the signs where it is known.
    """
    for bits in table.bits:
        entries = [entry for entry in table.entries if bits in entry.runs]
        for way, shown in DIRECTIONS.items():
            yield from _curves(table, entries, bits, way, shown, bits == table.bits[-1])
    yield from _costs(table)
    yield from _ceilings(table)


def _curves(
    table: Table, entries: list[Entry], bits: int, way: str, shown: str, on_page: bool
) -> Iterator[Drawn]:
    chance = _precision_of_chance(entries[0], bits, way)
    ranked = {e.name: mean_curve(e.runs[bits], way, "by_rank") for e in entries}
    within = {e.name: mean_curve(e.runs[bits], way, "by_radius") for e in entries}
    start, told = f"{table.name}-{bits}", f"{table.name}, {bits} bits, {shown}"
    recall = ("recall", "precision")
    yield Drawn(
        f"{start}-pr-rank-{way}",
        f"Precision and recall by rank: {told}",
        marked_lines_plot(_pairs(ranked, "recall"), f"By rank, {shown}", labels=recall,
                          chance=chance, among=_names(table)),
        on_page,
    )  # fmt: skip
    yield Drawn(
        f"{start}-pr-radius-{way}",
        f"Precision and recall within each Hamming radius: {told}",
        marked_lines_plot(_pairs(within, "recall"), f"By radius, {shown}", labels=recall,
                          chance=chance, among=_names(table)),
        on_page,
    )  # fmt: skip
    labels = ("results shown (N)", "precision")
    yield Drawn(
        f"{start}-precision-at-{way}",
        f"Precision among the first N: {told}",
        marked_lines_plot(_pairs(ranked, "at"), f"Precision@N, {shown}", labels=labels,
                          chance=chance, among=_names(table)),
        on_page,
    )  # fmt: skip


def _costs(table: Table) -> Iterator[Drawn]:
    points: dict[str, dict[str, tuple[float, float]]] = {"time": {}, "memory": {}}
    for entry in table.entries:
        bits = max(entry.runs)
        found, records = entry.mean_map(bits), entry.runs[bits]
        if found is not None:
            seconds = float(np.mean([record.seconds["training"] for record in records]))
            memory = max(record.memory["bytes"] for record in records) / 1e6
            points["time"][entry.name] = (seconds, found)
            points["memory"][entry.name] = (memory, found)
    for kind, axis in (("time", "seconds of training"), ("memory", "peak memory, MB")):
        yield Drawn(
            f"{table.name}-{kind}",
            f"MAP, mean of both directions, over {axis}: {table.name}, longest codes",
            scatter_plot(
                points[kind], f"MAP and {kind}", labels=(axis, "MAP"), among=_names(table)
            ),
            True,
        )
    if len(table.bits) < 2:
        return
    lines: dict[str, tuple[Any, Any]] = {}
    for entry in table.entries:
        lengths = sorted(entry.runs)
        maps = [entry.mean_map(bits) for bits in lengths]
        lines[entry.name] = ([bits / 8 for bits in lengths], maps)
    yield Drawn(
        f"{table.name}-bytes",
        f"MAP, mean of both directions, over the bytes of a code: {table.name}",
        marked_lines_plot(
            lines,
            "MAP and bytes",
            labels=("bytes of a code", "MAP"),
            every_point=True,
            unit=False,
            among=_names(table),
        ),
        True,
    )


def _ceilings(table: Table) -> Iterator[Drawn]:
    bits = table.bits[-1]
    known = {}
    for entry in table.entries:
        ways = [entry.ceilings(bits, way) for way in DIRECTIONS]
        found = entry.mean_map(bits)
        if all(ways) and found is not None:
            known[entry.name] = (entry, (found, float(np.mean([np.mean(way) for way in ways]))))
    if not known:
        return
    yield Drawn(
        f"{table.name}-signs",
        f"MAP, mean of both directions, of codes and before the signs: {table.name}, {bits} bits",
        spans_plot(
            {name: span for name, (_, span) in known.items()},
            f"What the signs cost, {bits} bits",
            label="MAP",
            ends=("codes", "before the signs"),
            parts=parts_of([entry for entry, _ in known.values()]),
        ),
        True,
    )


def _names(table: Table) -> list[str]:
    return [entry.name for entry in table.entries]


def _pairs(curves: Mapping[str, Mapping[str, Any]], over: str) -> dict[str, tuple[Any, Any]]:
    return {name: (found[over], found["precision"]) for name, found in curves.items()}


def _precision_of_chance(entry: Entry, bits: int, way: str) -> float:
    """Precision of any order of the whole retrieval set: its last, where all is found."""
    return float(mean_curve(entry.runs[bits], way, "by_rank")["precision"][-1])
