"""Rows of a report: runs that differ in their seed and their bits alone, and a table's parts."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crosshash.experiment.bench.cases import LONGEST
from crosshash.experiment.bench.record import Record, Store
from crosshash.experiment.bench.suite import PLAIN

DIRECTIONS = {"i2t": "image → text", "t2i": "text → image"}
# What labels are for is to tell what is similar: methods without are no match for those with.
LABELS = {True: "with labels", False: "without labels"}


class Part(NamedTuple):
    """What the rows of a part of a table share, within which they are compared.

    Attributes:
        encoder: As in the config's name; ``plain`` for the config's own.
        supervised: Whether labels trained them.
    """

    encoder: str
    supervised: bool

    @property
    def heading(self) -> str:
        """``Trained with labels, lite0``; of ``plain`` no word."""
        told = f"Trained {LABELS[self.supervised]}"
        return told if self.encoder == PLAIN else f"{told}, {self.encoder}"


class Family(NamedTuple):
    """What the runs of a row share: its name, the config's without its bits, the settings over it.

    Configs of a name have settings for each length, so that these are no part of it.
    """

    row: str
    config: str
    settings: str


@dataclass(frozen=True)
class Entry:
    """One row of a table.

    Attributes:
        name: Method with variant, encoder and label.
        runs: By bits the records, one for each seed.
    """

    name: str
    runs: Mapping[int, Sequence[Record]]

    @property
    def first(self) -> Record:
        """One of its runs, for what they share."""
        return next(iter(self.runs.values()))[0]

    @property
    def part(self) -> Part:
        """Where in a table it stands."""
        return Part(self.first.encoder, is_supervised(self.first))

    @property
    def seeds(self) -> str:
        """How many seeds, such as ``3``, or ``1–3`` where not all lengths have as many."""
        counts = sorted({len(records) for records in self.runs.values()})
        return "–".join(map(str, counts[:: max(1, len(counts) - 1)]))

    def mean_map(self, bits: int) -> float | None:
        """Mean of MAP over both directions and all seeds; None where it has not these bits."""
        values = self.values(bits, "map_mean")
        return fmean(values) if values else None

    def ceilings(self, bits: int, way: str) -> list[float]:
        """MAP before the sign of each seed; none where a record is from before it was kept."""
        found = [record.ceiling.get(way) for record in self.runs.get(bits, ())]
        known = [value for value in found if value is not None]
        return known if len(known) == len(found) else []

    def mean_ceiling(self, bits: int) -> float | None:
        """Mean of MAP before the sign over both directions and all seeds; None where not kept."""
        ways = [self.ceilings(bits, way) for way in DIRECTIONS]
        return fmean(map(fmean, ways)) if all(ways) else None

    def seconds(self, bits: int) -> list[float]:
        """Of the training of each seed."""
        return [record.seconds["training"] for record in self.runs[bits]]

    def memory(self, bits: int) -> int:
        """Peak bytes of all seeds."""
        return max(int(record.memory["bytes"]) for record in self.runs[bits])

    def values(self, bits: int, *path: str) -> list[float]:
        """A figure of each seed, by the keys that lead to it in ``figures``."""
        found = []
        for record in self.runs.get(bits, ()):
            value: Any = record.figures
            for key in path:
                value = value.get(key) if isinstance(value, Mapping) else None
            if value is not None:
                found.append(float(value))
        return found


def is_supervised(record: Record) -> bool:
    """Whether labels trained it."""
    return bool(record.figures["record"]["training"].get("supervised"))


def family(record: Record) -> Family:
    """The row of a run: a length has a config of its own, or that of the longest."""
    length = rf"-(?:{record.bits}|{LONGEST})(?=-|$)"
    config = re.sub(length, "", record.name.removesuffix(".yaml"), count=1)
    return Family(record.row, config, json.dumps(record.settings, sort_keys=True))


def entries_of(records: Sequence[Record]) -> dict[Family, Entry]:
    """Runs as rows, each with a name of its own."""
    families: dict[Family, dict[int, list[Record]]] = {}
    for record in records:
        runs = families.setdefault(family(record), {})
        runs.setdefault(record.bits, []).append(record)
    rows: dict[str, list[Family]] = defaultdict(list)
    for one in sorted(families):
        rows[one.row].append(one)
    return {
        one: Entry(name, families[one])
        for row, found in sorted(rows.items())
        for one, name in zip(found, _told_apart(row, found), strict=True)
    }


def table_order(entry: Entry) -> tuple[Any, ...]:
    """To sort rows by: the encoder, the config's own first; then the labels; then the rank."""
    part = entry.part
    return part.encoder != PLAIN, part.encoder, not part.supervised, *rank(entry)


def rank(entry: Entry) -> tuple[int, float, str]:
    """To sort rows by: the best at the longest codes first."""
    longest = max(entry.runs)
    return -longest, -(entry.mean_map(longest) or 0.0), entry.name


def parts_of(entries: Sequence[Entry]) -> dict[int, str]:
    """The headings of the parts of a table of these, by the number of their first row."""
    parts = [entry.part for entry in entries]
    return {parts.index(part): part.heading for part in dict.fromkeys(parts)}


def best_of(entries: Sequence[Entry], most: Mapping[bool, int]) -> list[Entry]:
    """So many of the entries with labels and of those without, the best of each.

    Where there are fewer of one kind, more of the other take their places.

    Args:
        entries: In any order.
        most: Numbers with labels (True) and without (False).

    Returns:
        Those with labels first, in each kind the best at the longest codes first.
    """
    ranked = sorted(entries, key=rank)
    kinds = {kind: [e for e in ranked if e.part.supervised is kind] for kind in LABELS}
    free = sum(max(0, most[kind] - len(found)) for kind, found in kinds.items())
    return [entry for kind, found in kinds.items() for entry in found[: most[kind] + free]]


def mean_precisions(
    records: Sequence[Record], way: str, store: Store
) -> npt.NDArray[np.float64] | None:
    """Average precision of each query (q,), mean over seeds; None where a run has none.

    NaN where a query has nothing relevant.
    """
    stored = [store.precisions(record).get(way) for record in records]
    kept = [values for values in stored if values is not None]
    return np.mean(kept, axis=0) if kept and len(kept) == len(stored) else None


def _told_apart(row: str, families: Sequence[Family]) -> list[str]:
    """A name for each of the families of a row: by the settings in which they differ."""
    if len(families) == 1:
        return [row]
    settings = [json.loads(text) for _, _, text in families]
    keys = sorted({key for one in settings for key in one})
    varied = [key for key in keys if len({json.dumps(one.get(key)) for one in settings}) > 1]
    configs = {config for _, config, _ in families}
    names = []
    for (_, config, _), own in zip(families, settings, strict=True):
        told = [config] if len(configs) > 1 else []
        told += [f"{key.rpartition('.')[2]}={own[key]}" for key in varied if key in own]
        names.append(f"{row} ({', '.join(told) or 'as configured'})")
    # Two may still share a name, as where only a mapping's place differs.
    return [
        name if names.count(name) == 1 else f"{name[:-1]}; {place})"
        for place, name in enumerate(names, 1)
    ]
