"""Records as tables: what may be compared, means over seeds, and which differences are sure."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

import numpy as np
import numpy.typing as npt

from crosshash.experiment.bench.identity import ASIDE
from crosshash.experiment.bench.record import Record, Store
from crosshash.retrieval.significance import Comparison, compare_with_best

DIRECTIONS = {"i2t": "image → text", "t2i": "text → image"}
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
        entries: Its rows.
        bits: Lengths, ascending.
        chance: MAP of random codes, by direction.
        compared: By bits and direction the best against the others, where there are others.
    """

    name: str
    dataset: str
    record: Mapping[str, Any]
    entries: Sequence[Entry]
    bits: Sequence[int]
    chance: Mapping[str, float]
    compared: Mapping[tuple[int, str], Comparison] = field(default_factory=dict)

    def is_best(self, entry: Entry, bits: int, way: str) -> bool:
        """Whether it is better than all others, surely."""
        found = self.compared.get((bits, way))
        return found is not None and found.best == entry.name and not found.tied

    def is_tied(self, entry: Entry, bits: int, way: str) -> bool:
        """Whether it is the best or cannot be told from it, and is not alone in that."""
        found = self.compared.get((bits, way))
        return found is not None and entry.name in (found.best, *found.tied) and bool(found.tied)


@dataclass(frozen=True)
class Summary:
    """All records of a store.

    Attributes:
        tables: Of what was measured.
        records: That the tables hold.
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
        groups[_group(record)].append(record)
    names: dict[str, int] = defaultdict(int)
    tables = []
    for key in sorted(groups, key=lambda key: (groups[key][0].dataset, key)):
        dataset = groups[key][0].dataset
        names[dataset] += 1
        name = dataset if names[dataset] == 1 else f"{dataset}-{names[dataset]}"
        tables.append(_table(name, groups[key], store, resamples, seed))
    failed = [record for record in records if record.state == "failed"]
    return Summary(tables, finished, failed, older)


def mean_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean, and the sample's standard deviation where there are two or more."""
    return fmean(values), stdev(values) if len(values) > 1 else None


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


def _family(record: Record) -> str:
    """Digest of a run's settings without seed, bits, and what leaves figures as they are."""
    aside = ("seed", "bits", "paper", "limits")
    values = {key: value for key, value in record.config.items() if key not in aside}
    training = values["training"]
    values["training"] = {key: value for key, value in training.items() if key not in ASIDE}
    text = json.dumps([record.row, values], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _newest(records: Sequence[Record]) -> tuple[list[Record], int]:
    """Of runs that differ only in the code, those of the latest."""
    latest: dict[tuple[Any, ...], Record] = {}
    for record in sorted(records, key=lambda record: (record.started, record.key)):
        latest[(_family(record), record.identity["data"], record.bits, record.seed)] = record
    kept = [record for record in records if record in latest.values()]
    return kept, len(records) - len(kept)


def _group(record: Record) -> str:
    conventions = {name: record.figures["record"].get(name) for name in _CONVENTIONS}
    return json.dumps([record.identity["compared"], conventions], sort_keys=True)


def _table(name: str, records: Sequence[Record], store: Store, resamples: int, seed: int) -> Table:
    entries = _entries(records)
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
            found = _precisions(entries, length, way, store)
            if len(found) > 1:
                compared[length, way] = compare_with_best(found, resamples=resamples, seed=seed)
    return Table(**{**vars(table), "compared": compared})


def _entries(records: Sequence[Record]) -> list[Entry]:
    families: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        families[_family(record)].append(record)
    rows: dict[str, list[str]] = defaultdict(list)
    for key, found in families.items():
        rows[found[0].row].append(key)
    entries = []
    for row in sorted(rows):
        # Several of a name differ in settings: their first distinct digits tell them apart.
        several = len(rows[row]) > 1
        for key in sorted(rows[row]):
            runs: dict[int, list[Record]] = defaultdict(list)
            for record in families[key]:
                runs[record.bits].append(record)
            entries.append(Entry(f"{row} ({key[:4]})" if several else row, dict(runs)))
    return entries


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
