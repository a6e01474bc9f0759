"""Ablations: variants of a method, each against the method's plain run on the same queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

import numpy as np
import numpy.typing as npt

from crosshash.experiment.bench.cases import row_name
from crosshash.experiment.bench.entries import (
    DIRECTIONS,
    Entry,
    Family,
    entries_of,
    family,
    is_supervised,
    mean_precisions,
    rank,
    table_order,
)
from crosshash.experiment.bench.record import Record, Store
from crosshash.experiment.bench.suite import PLAIN
from crosshash.retrieval.significance import LEVEL, compare_with_best, holm

MEAN = "mean"  # of both directions
WAYS = (*DIRECTIONS, MEAN)
_FIGURES = {**{way: (way, "map") for way in DIRECTIONS}, MEAN: ("map_mean",)}


@dataclass(frozen=True)
class Difference:
    """A variant against the plain run, at one length, in one direction or the mean of both.

    Attributes:
        plain: MAP of each seed that both have.
        variant: MAP of the same seeds.
        alone: p of this one comparison; None where the queries' precisions are not known.
        p: The same, corrected for all variants of the method at this length and direction.
        resamples: That were drawn.
    """

    plain: Sequence[float]
    variant: Sequence[float]
    alone: float | None = None
    p: float | None = None
    resamples: int = 0

    @property
    def pairs(self) -> list[float]:
        """What the variant has more, of each seed."""
        return [b - a for a, b in zip(self.plain, self.variant, strict=True)]

    @property
    def mean(self) -> float:
        """What it has more, on average; below 0: less."""
        return fmean(self.pairs)

    @property
    def sure(self) -> bool:
        """Whether other queries would hardly give a difference of the other sign."""
        return self.p is not None and self.p < LEVEL


@dataclass(frozen=True)
class Ablation:
    """The variants of a method.

    Attributes:
        plain: The plain runs, of the lengths that a variant has.
        variants: The best at the longest codes first.
        differences: By the variant's name, bits, and direction or ``mean``; only where a seed is
            one of both.
    """

    plain: Entry
    variants: Sequence[Entry]
    differences: Mapping[tuple[str, int, str], Difference] = field(default_factory=dict)

    @property
    def bits(self) -> list[int]:
        """Lengths, ascending."""
        return sorted(self.plain.runs)

    @property
    def entries(self) -> list[Entry]:
        """The plain run, then the variants."""
        return [self.plain, *self.variants]


def set_apart(records: Sequence[Record]) -> tuple[list[Record], list[Record]]:
    """Records of one table as its rows, and as variants whose plain run of that length is there.

    A variant that labels train where they do not train the plain run, or the other way round, is no
    ablation but a row.
    """
    plain = {
        (family(record), record.bits): is_supervised(record)
        for record in records
        if record.variant == PLAIN
    }
    rows: list[Record] = []
    variants: list[Record] = []
    for record in records:
        kind = plain.get((_plain_family(record), record.bits))
        apart = record.variant != PLAIN and kind is is_supervised(record)
        (variants if apart else rows).append(record)
    return rows, variants


def find_ablations(
    rows: Mapping[Family, Entry],
    variants: Sequence[Record],
    store: Store,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> list[Ablation]:
    """The variants of each method, and how sure they differ from its plain run.

    Args:
        rows: Of the table, the plain runs among them.
        variants: From :func:`set_apart`.
        store: Has the precisions of the queries.
        resamples: Draws of the paired bootstrap, at least.
        seed: Of these.

    Returns:
        In the order of the plain runs in their table.
    """
    groups: dict[Family, list[Entry]] = defaultdict(list)
    for entry in entries_of(variants).values():
        groups[_plain_family(entry.first)].append(entry)
    found = []
    for plain in sorted(groups, key=lambda one: table_order(rows[one])):
        entries = sorted(groups[plain], key=rank)
        lengths = {bits for entry in entries for bits in entry.runs}
        runs = {bits: records for bits, records in rows[plain].runs.items() if bits in lengths}
        one = Ablation(Entry(rows[plain].name, runs), entries)
        # The smallest p can pass the correction for so many variants.
        enough = max(resamples, int(4 * len(entries) / LEVEL))
        found.append(replace(one, differences=_differences(one, store, enough, seed)))
    return found


def _plain_family(record: Record) -> Family:
    """The row of the plain runs that a run of a variant is measured against."""
    own = family(record)
    name = row_name(record.method, PLAIN, record.encoder, record.label)
    return Family(name, own.config.removesuffix(f"-{record.variant}"), own.settings)


def _differences(
    one: Ablation, store: Store, resamples: int, seed: int
) -> dict[tuple[str, int, str], Difference]:
    found: dict[tuple[str, int, str], Difference] = {}
    for bits in one.bits:
        measured = {entry.name: _measured(one, entry, bits, store) for entry in one.variants}
        for way in WAYS:
            known: dict[str, Difference] = {}
            for name, (plain, variant, precisions) in measured.items():
                if not plain.runs[bits]:
                    continue
                path = _FIGURES[way]
                known[name] = Difference(plain.values(bits, *path), variant.values(bits, *path))
                if way in precisions:
                    made = compare_with_best(precisions[way], resamples=resamples, seed=seed)
                    (alone,) = made.values.values()
                    known[name] = replace(known[name], alone=alone, resamples=made.resamples)
            sure = {name: d.alone for name, d in known.items() if d.alone is not None}
            corrected = dict(zip(sure, holm(list(sure.values())), strict=True))
            for name, difference in known.items():
                found[name, bits, way] = replace(difference, p=corrected.get(name))
    return found


_Precisions = dict[str, dict[str, npt.NDArray[np.float64]]]


def _measured(
    one: Ablation, variant: Entry, bits: int, store: Store
) -> tuple[Entry, Entry, _Precisions]:
    """Plain and variant at the seeds that both have, and their queries' precisions by direction."""
    both = [
        {(r.identity["data"], r.seed): r for r in entry.runs.get(bits, ())}
        for entry in (one.plain, variant)
    ]
    shared = [key for key in both[0] if key in both[1]]
    pair = [[runs[key] for key in shared] for runs in both]
    ways: _Precisions = {}
    for way in DIRECTIONS:
        means = [mean_precisions(records, way, store) for records in pair]
        if means[0] is not None and means[1] is not None:
            ways[way] = {"plain": means[0], "variant": means[1]}
    if len(ways) == len(DIRECTIONS):
        ways[MEAN] = {
            name: np.mean([ways[way][name] for way in DIRECTIONS], axis=0)
            for name in ("plain", "variant")
        }
    # A query with nothing relevant has no precision, with any codes.
    told = {
        way: {name: values[~np.isnan(values)] for name, values in found.items()}
        for way, found in ways.items()
    }
    entries = [Entry(e.name, {bits: r}) for e, r in zip((one.plain, variant), pair, strict=True)]
    return entries[0], entries[1], told
