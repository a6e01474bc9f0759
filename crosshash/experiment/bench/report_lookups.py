"""Look-ups within a Hamming radius: what papers print of them, and what was measured here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from crosshash.experiment.bench.entries import DIRECTIONS, Entry
from crosshash.experiment.bench.suite import Lookup, Printed
from crosshash.experiment.bench.summary import Table, mean_curve

DIGITS = 4  # as papers print them
NOTE = (
    "Measured here: precision and recall are means over the queries, of which one that finds "
    "nothing has a precision of 0; F1 is that of both means. The mean over the radii is of "
    "precision and of recall."
)


def lookup_rows(printed: Printed, tables: Sequence[Table]) -> list[dict[str, Any]]:
    """A paper's precision, recall and F1, and below those that were measured here.

    Args:
        printed: Of a paper, with look-ups.
        tables: Of what was measured.
    """
    rows: dict[str, dict[str, Any]] = {}
    for way, found in (("i2t", printed.lookup_i2t), ("t2i", printed.lookup_t2i)):
        for name, one in found.items():
            row = rows.setdefault(name, {"printed": name, "radius": _radii(printed)})
            row |= _cells(way, one.precision, one.recall, one.f1)
    measured = [
        row
        for table in tables
        if table.dataset in printed.data
        for entry in table.measured
        if printed.bits[0] in entry.runs
        for row in _measured(entry, printed)
    ]
    return [*rows.values(), *measured]


def _measured(entry: Entry, printed: Printed) -> list[dict[str, Any]]:
    records = entry.runs[printed.bits[0]]
    curves = {way: mean_curve(records, way, "by_radius") for way in DIRECTIONS}
    parts = [(str(radius), [radius]) for radius in printed.radii]
    if len(parts) > 1:
        parts.append((_radii(printed), printed.radii))
    rows = []
    for shown, radii in parts:
        row: dict[str, Any] = {"printed": f"measured here: {entry.name}", "radius": shown}
        for way, curve in curves.items():
            precision, recall = (
                float(np.mean(curve[part][radii])) for part in ("precision", "recall")
            )
            both = precision + recall
            row |= _cells(way, precision, recall, 2 * precision * recall / both if both else 0.0)
        rows.append(row)
    return rows


def _radii(printed: Printed) -> str:
    listed = ", ".join(map(str, printed.radii))
    return f"mean of {listed}" if len(printed.radii) > 1 else listed


def _cells(way: str, precision: float, recall: float, f1: float) -> dict[str, float]:
    told = DIRECTIONS[way]
    names = (f"{told}, {part}" for part in Lookup.model_fields)
    return dict(zip(names, (precision, recall, f1), strict=True))
