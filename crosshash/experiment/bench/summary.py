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

from crosshash.experiment.bench.record import Record, Store
from crosshash.retrieval.significance import Comparison, compare_with_best

DIRECTIONS = {"i2t": "image → text", "t2i": "text → image"}
# What labels are for is to tell what is similar: methods without are no match for those with.
PARTS = {True: "Trained with labels", False: "Trained without labels"}
# What a figure means: two of other conventions stand in two tables.
_CONVENTIONS = ("ties", "denominator", "empty", "captions", "database")


@dataclass(frozen=True)
class Entry:
    """One row of a table: runs that differ in their seed and their bits alone.

    Attributes:
        name: Method with variant, encoder and label.
        runs: By bits the records, one for each seed.
    """

    name: str
    runs: Mapping[int, Sequence[Record]]

    @property
    def supervised(self) -> bool:
        """Whether labels trained it."""
        first = next(iter(self.runs.values()))[0]
        return bool(first.figures["record"]["training"].get("supervised"))

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


@dataclass(frozen=True)
class Table:
    """Entries that may be compared: the same queries, searched pairs and conventions.

    Attributes:
        name: For files and labels.
        dataset: Name.
        record: Conventions and counts.
        entries: Its rows, those trained with labels first; in each part the best at the longest
            codes first.
        bits: Lengths, ascending.
        chance: MAP of random codes, by direction.
        compared: By bits, direction, and whether labels trained them the best of a part against
            its others, where there are others.
    """

    name: str
    dataset: str
    record: Mapping[str, Any]
    entries: Sequence[Entry]
    bits: Sequence[int]
    chance: Mapping[str, float]
    compared: Mapping[tuple[int, str, bool], Comparison] = field(default_factory=dict)

    @property
    def several_seeds(self) -> bool:
        """Whether any of its figures is a mean."""
        return any(len(records) > 1 for entry in self.entries for records in entry.runs.values())

    def is_best(self, entry: Entry, bits: int, way: str) -> bool:
        """Whether it is better than all others of its part, surely."""
        found = self.compared.get((bits, way, entry.supervised))
        return found is not None and found.best == entry.name and not found.tied

    def is_tied(self, entry: Entry, bits: int, way: str) -> bool:
        """Whether it is its part's best or not to be told from it, and not alone in that."""
        found = self.compared.get((bits, way, entry.supervised))
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


def parts_of(entries: Sequence[Entry]) -> dict[int, str]:
    """The headings of the parts of a table of these, by the number of their first row."""
    kinds = [entry.supervised for entry in entries]
    return {kinds.index(kind): told for kind, told in PARTS.items() if kind in kinds}


def mean_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean, and the sample's standard deviation where there are two or more."""
    return fmean(values), stdev(values) if len(values) > 1 else None


def mean_words(values: Sequence[float]) -> str:
    """``0.512 ± 0.003``, or the mean alone of a single value; nothing of none."""
    if not values:
        return ""
    mean, deviation = mean_deviation(values)
    return f"{mean:.3f}" if deviation is None else f"{mean:.3f} ± {deviation:.3f}"


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


def _family(record: Record) -> tuple[str, str, str]:
    """What runs of a row share: its name, the config's without its bits, the settings over it.

    Configs of a name have settings for each length, so that these are no part of it.
    """
    config = re.sub(rf"-{record.bits}(?=-|$)", "", record.name.removesuffix(".yaml"))
    return record.row, config, json.dumps(record.settings, sort_keys=True)


def _newest(records: Sequence[Record]) -> tuple[list[Record], int]:
    """Of runs of one row, length, seed and data the latest, as of newer code."""
    latest: dict[tuple[Any, ...], Record] = {}
    for record in sorted(records, key=lambda record: (record.started, record.key)):
        latest[(_family(record), record.identity["data"], record.bits, record.seed)] = record
    keys = {record.key for record in latest.values()}
    kept = [record for record in records if record.key in keys]
    return kept, len(records) - len(kept)


def comparable(record: Record) -> str:
    """What records have in common whose figures may be compared."""
    conventions = {name: record.figures["record"].get(name) for name in _CONVENTIONS}
    return json.dumps([record.identity["compared"], conventions], sort_keys=True)


def _table(name: str, records: Sequence[Record], store: Store, resamples: int, seed: int) -> Table:
    entries = sorted(_entries(records), key=_rank)
    bits = sorted({record.bits for record in records})
    first = records[0].figures
    table = Table(
        name,
        records[0].dataset,
        first["record"],
        entries,
        bits,
        {way: float(first[way]["chance"]) for way in DIRECTIONS},
    )
    compared = {}
    for length in bits:
        for way in DIRECTIONS:
            for kind in PARTS:
                part = [entry for entry in entries if entry.supervised is kind]
                found = _precisions(part, length, way, store)
                if len(found) > 1:
                    best = compare_with_best(found, resamples=resamples, seed=seed)
                    compared[length, way, kind] = best
    return Table(**{**vars(table), "compared": compared})


def _rank(entry: Entry) -> tuple[bool, int, float, str]:
    longest = max(entry.runs)
    return not entry.supervised, -longest, -(entry.mean_map(longest) or 0.0), entry.name


def _entries(records: Sequence[Record]) -> list[Entry]:
    families: dict[tuple[str, str, str], dict[int, list[Record]]] = {}
    for record in records:
        runs = families.setdefault(_family(record), {})
        runs.setdefault(record.bits, []).append(record)
    rows: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for family in sorted(families):
        rows[family[0]].append(family)
    return [
        Entry(name, families[family])
        for row, found in sorted(rows.items())
        for family, name in zip(found, _told_apart(row, found), strict=True)
    ]


def _told_apart(row: str, families: Sequence[tuple[str, str, str]]) -> list[str]:
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


def _precisions(
    entries: Sequence[Entry], bits: int, way: str, store: Store
) -> dict[str, npt.NDArray[np.float64]]:
    """Name → average precision of each query that has something relevant, mean over seeds.

    Nothing where a run has none: what it was not compared with, nothing is better than.
    """
    found = {}
    for entry in entries:
        stored = [store.precisions(record).get(way) for record in entry.runs.get(bits, ())]
        kept = [values for values in stored if values is not None]
        if len(kept) < len(stored):
            return {}
        if kept:
            mean = np.mean(kept, axis=0)
            found[entry.name] = mean[~np.isnan(mean)]
    return found
