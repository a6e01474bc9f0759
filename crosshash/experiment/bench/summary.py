"""Records as tables: what may be compared, means over seeds, and which differences are sure."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

import numpy as np
import numpy.typing as npt

from crosshash.experiment.bench.ablations import Ablation, find_ablations, set_apart
from crosshash.experiment.bench.entries import (
    DIRECTIONS,
    Entry,
    Part,
    entries_of,
    family,
    mean_precisions,
    table_order,
)
from crosshash.experiment.bench.record import Record, Store
from crosshash.retrieval.significance import Comparison, compare_with_best

# What a figure means: two of other conventions stand in two tables.
_CONVENTIONS = ("ties", "denominator", "empty", "captions", "database")


@dataclass(frozen=True)
class Table:
    """Entries that may be compared: the same queries, searched pairs and conventions.

    Attributes:
        name: For files and labels.
        dataset: Name.
        record: Conventions and counts.
        entries: Its rows, by encoder and in it those trained with labels first; in each part the
            best at the longest codes first.
        bits: Lengths, ascending.
        chance: MAP of random codes, by direction.
        compared: By bits, direction and part the best of the part against its others, where there
            are others.
        ablations: Variants beside the plain runs of their methods; they are no rows.
    """

    name: str
    dataset: str
    record: Mapping[str, Any]
    entries: Sequence[Entry]
    bits: Sequence[int]
    chance: Mapping[str, float]
    compared: Mapping[tuple[int, str, Part], Comparison] = field(default_factory=dict)
    ablations: Sequence[Ablation] = ()

    @property
    def several_seeds(self) -> bool:
        """Whether any of its figures is a mean."""
        return any(len(records) > 1 for entry in self.entries for records in entry.runs.values())

    @property
    def measured(self) -> list[Entry]:
        """All that was measured: the rows, and the variants of the ablations."""
        return [*self.entries, *(entry for one in self.ablations for entry in one.variants)]

    def is_best(self, entry: Entry, bits: int, way: str) -> bool:
        """Whether it is better than all others of its part, surely."""
        found = self.compared.get((bits, way, entry.part))
        return found is not None and found.best == entry.name and not found.tied

    def is_tied(self, entry: Entry, bits: int, way: str) -> bool:
        """Whether it is its part's best or not to be told from it, and not alone in that."""
        found = self.compared.get((bits, way, entry.part))
        return found is not None and entry.name in (found.best, *found.tied) and bool(found.tied)


@dataclass(frozen=True)
class Summary:
    """All records of a store.

    Attributes:
        tables: Of what was measured.
        records: That the tables hold, and those of sweeps.
        failed: Records of runs that failed.
        older: Number of records that later ones of other code stand in place of.
    """

    tables: Sequence[Table]
    records: Sequence[Record]
    failed: Sequence[Record]
    older: int


def summarize(store: Store, *, resamples: int = 1000, seed: int = 0) -> Summary:
    """The records of a store as tables.

    Args:
        store: Of records.
        resamples: Draws of the paired bootstrap, at least.
        seed: Of these.

    Raises:
        FileNotFoundError: There are no records.
        ValueError: One is damaged.
    """
    records = store.all()
    finished, older = _newest([record for record in records if record.state == "finished"])
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in finished:
        if record.sweep is None:  # those stand in the section Sensitivity, not among the methods
            groups[comparable(record)].append(record)
    names: dict[str, int] = defaultdict(int)
    tables = []
    for key in sorted(groups, key=lambda key: (groups[key][0].dataset, key)):
        dataset = groups[key][0].dataset
        names[dataset] += 1
        plain = re.sub(r"[^\w.-]+", "_", dataset)  # it becomes the name of files
        name = plain if names[dataset] == 1 else f"{plain}-{names[dataset]}"
        tables.append(_table(name, groups[key], store, resamples, seed))
    failed = [record for record in records if record.state == "failed"]
    return Summary(tables, finished, failed, older)


def mean_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean, and the sample's standard deviation where there are two or more."""
    return fmean(values), stdev(values) if len(values) > 1 else None


def mean_words(values: Sequence[float], digits: int = 3) -> str:
    """``0.512 ± 0.003``, or the mean alone of a single value; nothing of none."""
    if not values:
        return ""
    mean, deviation = mean_deviation(values)
    spread = "" if deviation is None else f" ± {deviation:.{digits}f}"
    return f"{mean:.{digits}f}{spread}"


def signed_words(values: Sequence[float], digits: int = 3) -> str:
    """``−0.011 ± 0.002`` of differences; 0 has no sign."""
    shown, nothing = mean_words(values, digits).replace("-", "−"), f"{0:.{digits}f}"
    shown = shown.removeprefix("−") if shown.startswith(f"−{nothing}") else shown
    return shown if shown.startswith(("−", nothing)) else f"+{shown}"


def mean_curve(
    records: Sequence[Record], way: str, curve: str
) -> dict[str, npt.NDArray[np.float64]]:
    """The mean curve ``by_rank`` or ``by_radius`` of some seeds: ``at``, ``precision``, ``recall``.

    NaN where no query of a seed finds anything.
    """
    found = [record.figures[way][curve] for record in records]
    at = np.array(found[0]["at"], dtype=np.float64)
    means = {
        part: np.mean([np.array(one[part], dtype=np.float64) for one in found], axis=0)
        for part in ("precision", "recall")
    }
    return {"at": at, **means}


def _newest(records: Sequence[Record]) -> tuple[list[Record], int]:
    """Of runs of one row, length, seed and data the latest, as of newer code."""
    latest: dict[tuple[Any, ...], Record] = {}
    for record in sorted(records, key=lambda record: (record.started, record.key)):
        latest[(family(record), record.identity["data"], record.bits, record.seed)] = record
    keys = {record.key for record in latest.values()}
    kept = [record for record in records if record.key in keys]
    return kept, len(records) - len(kept)


def comparable(record: Record) -> str:
    """What records have in common whose figures may be compared."""
    conventions = {name: record.figures["record"].get(name) for name in _CONVENTIONS}
    if conventions["captions"] == "each":  # is what training draws; the first one is measured
        conventions["captions"] = "first"
    return json.dumps([record.identity["compared"], conventions], sort_keys=True)


def _table(name: str, records: Sequence[Record], store: Store, resamples: int, seed: int) -> Table:
    kept, variants = set_apart(records)
    rows = entries_of(kept)
    entries = sorted(rows.values(), key=table_order)
    bits = sorted({record.bits for record in kept})
    first = records[0].figures
    compared = {}
    for length in bits:
        for way in DIRECTIONS:
            for part in dict.fromkeys(entry.part for entry in entries):
                own = [entry for entry in entries if entry.part == part]
                found = _precisions(own, length, way, store)
                if len(found) > 1:
                    best = compare_with_best(found, resamples=resamples, seed=seed)
                    compared[length, way, part] = best
    return Table(
        name,
        records[0].dataset,
        first["record"],
        entries,
        bits,
        {way: float(first[way]["chance"]) for way in DIRECTIONS},
        compared,
        find_ablations(rows, variants, store, resamples=resamples, seed=seed),
    )


def _precisions(
    entries: Sequence[Entry], bits: int, way: str, store: Store
) -> dict[str, npt.NDArray[np.float64]]:
    """Name → average precision of each query that has something relevant, mean over seeds.

    Nothing where a run has none: what it was not compared with, nothing is better than.
    """
    found = {}
    for entry in entries:
        if records := entry.runs.get(bits):
            mean = mean_precisions(records, way, store)
            if mean is None:
                return {}
            found[entry.name] = mean[~np.isnan(mean)]
    return found
