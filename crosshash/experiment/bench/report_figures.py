"""The figures of a report, each with its file's name and what it shows, a set for each encoder."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from crosshash.experiment.bench.entries import DIRECTIONS, LABELS, Entry, best_of, parts_of
from crosshash.experiment.bench.suite import PLAIN
from crosshash.experiment.bench.summary import Table, mean_curve
from crosshash.reports.comparison_plots import marked_lines_plot, scatter_plot, spans_plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# More lines than these are hard to tell apart; then so many with labels and without are drawn.
_MANY, _LINES = 10, {True: 5, False: 3}


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


@dataclass(frozen=True)
class FigureSet:
    """The rows of a table that share their encoder, and so their figures.

    Attributes:
        start: Of the names of files.
        told: The data set, and the encoder if it is not the config's own.
        entries: The rows.
    """

    start: str
    told: str
    entries: Sequence[Entry]

    @property
    def names(self) -> list[str]:
        """Of all rows, so that each looks the same in every figure.

        Those that lines are drawn of come first: the first looks differ most.
        """
        chosen, _ = lines_of(self.entries, "")
        return list(dict.fromkeys(entry.name for entry in (*chosen, *self.entries)))

    @property
    def bits(self) -> list[int]:
        """Lengths, ascending."""
        return sorted({bits for entry in self.entries for bits in entry.runs})


def figure_sets(table: Table) -> Iterator[FigureSet]:
    """The sets of a table, in the order of its parts."""
    for encoder in dict.fromkeys(entry.part.encoder for entry in table.entries):
        entries = [entry for entry in table.entries if entry.part.encoder == encoder]
        own = encoder == PLAIN
        named = re.sub(r"[^\w.-]+", "_", encoder)  # it becomes a part of files' names
        start = table.name if own else f"{table.name}-{named}"
        yield FigureSet(start, table.name if own else f"{table.name}, {encoder}", entries)


def lines_of(entries: Sequence[Entry], file: str) -> tuple[list[Entry], str]:
    """The entries that a figure of lines shows, and how its caption says so.

    Args:
        entries: That could be shown.
        file: Of the report, which has them all.
    """
    if len(entries) <= _MANY:
        return list(entries), ""
    chosen = best_of(entries, _LINES)
    counts = []
    for kind, words in LABELS.items():
        of, shown = (sum(e.part.supervised is kind for e in some) for some in (entries, chosen))
        if of:
            counts.append(f"the best {shown} of {of} {words}")
    return chosen, f"; {' and '.join(counts)} ({file} has all)"


def drawn_figures(table: Table) -> Iterator[Drawn]:
    """Curves of each length and direction, those of the longest for the page too; and costs.

    Costs are those at the longest length that all have. MAP over bytes is drawn where there are
    several lengths, MAP before the signs where it is known.
    """
    for one in figure_sets(table):
        for bits in one.bits:
            for way in DIRECTIONS:
                yield from _curves(one, bits, way)
        yield from _costs(one)
    yield from _ceilings(table)


def _curves(one: FigureSet, bits: int, way: str) -> Iterator[Drawn]:
    entries, only = lines_of([e for e in one.entries if bits in e.runs], "curves.csv")
    shown, on_page = DIRECTIONS[way], bits == one.bits[-1]
    chance = _precision_of_chance(entries[0], bits, way)
    ranked = {e.name: mean_curve(e.runs[bits], way, "by_rank") for e in entries}
    within = {e.name: mean_curve(e.runs[bits], way, "by_radius") for e in entries}
    told = f"{one.told}, {bits} bits, {shown}{only}"
    for name, title, words, curves, over, axis in (
        ("pr-rank", "By rank", "Precision and recall by rank", ranked, "recall", "recall"),
        ("pr-radius", "By radius", "Precision and recall within each Hamming radius", within,
         "recall", "recall"),
        ("precision-at", "Precision@N", "Precision among the first N", ranked, "at",
         "results shown (N)"),
    ):  # fmt: skip
        figure = marked_lines_plot(
            _pairs(curves, over),
            f"{title}, {shown}",
            labels=(axis, "precision"),
            chance=chance,
            among=one.names,
        )
        yield Drawn(f"{one.start}-{bits}-{name}-{way}", f"{words}: {told}", figure, on_page)


def _costs(one: FigureSet) -> Iterator[Drawn]:
    bits = shared_bits(one.entries)
    points: dict[str, dict[str, tuple[float, float]]] = {"time": {}, "memory": {}}
    for entry in one.entries:
        found = entry.mean_map(bits)
        if found is not None:
            points["time"][entry.name] = (fmean(entry.seconds(bits)), found)
            points["memory"][entry.name] = (entry.memory(bits) / 1e6, found)
    missing = len(one.entries) - len(points["time"])
    apart = f", which {missing} of {len(one.entries)} do not have" if missing else ""
    for kind, axis in (("time", "seconds of training"), ("memory", "peak memory, MB")):
        title = f"MAP and {kind}, {one.told}, {bits} bits"
        yield Drawn(
            f"{one.start}-{kind}",
            f"MAP, mean of both directions, over {axis}: {one.told}, {bits} bits{apart}",
            scatter_plot(points[kind], title, labels=(axis, "MAP"), among=one.names),
            True,
        )
    if len(one.bits) < 2:
        return
    entries, only = lines_of(one.entries, "figures.csv")
    lines: dict[str, tuple[Any, Any]] = {}
    ceilings = {}
    for entry in entries:
        lengths = sorted(entry.runs)
        maps = [entry.mean_map(bits) for bits in lengths]
        lines[entry.name] = ([bits / 8 for bits in lengths], maps)
        if (ceiling := entry.mean_ceiling(lengths[-1])) is not None:
            ceilings[entry.name] = (lengths[-1] / 8, ceiling)
    hollow = "; hollow: before the signs, at the longest codes" if ceilings else ""
    yield Drawn(
        f"{one.start}-bytes",
        f"MAP, mean of both directions, over the bytes of a code: {one.told}{only}{hollow}",
        marked_lines_plot(
            lines,
            f"MAP and bytes, {one.told}",
            labels=("bytes of a code", "MAP"),
            every_point=True,
            unit=False,
            among=one.names,
            hollow=ceilings,
            hollow_label="before the signs",
        ),
        True,
    )


def shared_bits(entries: Sequence[Entry]) -> int:
    """The longest length that all entries have, or else that most of them have."""
    counts = Counter(bits for entry in entries for bits in entry.runs)
    return max(counts, key=lambda bits: (counts[bits], bits))


def _ceilings(table: Table) -> Iterator[Drawn]:
    bits = table.bits[-1]
    known = {}
    for entry in table.entries:
        found, ceiling = entry.mean_map(bits), entry.mean_ceiling(bits)
        if found is not None and ceiling is not None:
            known[entry.name] = (entry, (found, ceiling))
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


def _pairs(curves: Mapping[str, Mapping[str, Any]], over: str) -> dict[str, tuple[Any, Any]]:
    return {name: (found[over], found["precision"]) for name, found in curves.items()}


def _precision_of_chance(entry: Entry, bits: int, way: str) -> float:
    """Precision of any order of the whole retrieval set: its last, where all is found."""
    return float(mean_curve(entry.runs[bits], way, "by_rank")["precision"][-1])
