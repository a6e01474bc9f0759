"""Sweeps in a report: MAP by the value of one setting, the others as configured."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

from crosshash.experiment.bench.entries import DIRECTIONS, Entry
from crosshash.experiment.bench.record import Record
from crosshash.experiment.bench.suite import ASIDE
from crosshash.experiment.bench.summary import comparable, mean_deviation, mean_words
from crosshash.experiment.bench.sweeps import Swept
from crosshash.overlays import leaves
from crosshash.reports.comparison_plots import values_plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Of a config, what two runs of one sweep need not have in common.
_APART = ("paper", "limits", "seed", "without_labels", "data.root")
SENSITIVITY = "Sensitivity"
NOTE = (
    "MAP by the value of one setting, the others as configured; means over seeds, ± the standard "
    "deviation. These runs stand in no table above, but for the configured value's."
)


@dataclass(frozen=True)
class Point:
    """One value of a sweep.

    Attributes:
        value: Of the setting.
        name: It is shown by.
        own: Whether the config has it; its run is the plain one.
        entry: Its runs.
    """

    value: Any
    name: str
    own: bool
    entry: Entry


@dataclass(frozen=True)
class Sweep:
    """A setting's values, of one method on one data set at one length.

    Attributes:
        row: Method, with variant, encoder and label.
        dataset: Name.
        bits: Length.
        key: Of the setting, dotted.
        points: Its values, numbers ascending, else in the order of their names.
    """

    row: str
    dataset: str
    bits: int
    key: str
    points: Sequence[Point]

    @property
    def told(self) -> str:
        """What it is, as a line."""
        return f"{self.row}, {self.dataset}, {self.bits} bits: {self.key}"


class Drawn(NamedTuple):
    """A figure: the name of its files without ending, what it shows, and itself."""

    name: str
    told: str
    figure: Figure


def find_sweeps(records: Sequence[Record]) -> list[Sweep]:
    """The sweeps among records, by the records alone.

    The plain run with the config's own value is part of each sweep that it differs from in the
    swept key alone.

    Args:
        records: That ended well, each run once.
    """
    groups: dict[tuple[str, str, str, int, str], list[tuple[Swept, Record]]] = defaultdict(list)
    for record in records:
        if (one := record.sweep) is not None:
            row = record.row.removesuffix(one.name).removesuffix(", ")
            place = (one.key, row, record.dataset, record.bits, _rest(record, one.key))
            groups[place].append((one, record))
    found = []
    for (key, row, dataset, bits, rest), runs in sorted(groups.items(), key=lambda item: item[0]):
        own = _own_runs(runs[0][0], rest, records)
        found.append(Sweep(row, dataset, bits, key, _points(row, bits, runs, own)))
    return found


def sweep_rows(sweeps: Sequence[Sweep]) -> list[dict[str, Any]]:
    """MAP of each value, for a table."""
    rows = []
    for sweep in sweeps:
        for point in sweep.points:
            counted = {
                DIRECTIONS[way]: mean_words(point.entry.values(sweep.bits, way, "map"))
                for way in DIRECTIONS
            }
            rows.append(
                {
                    "method": sweep.row,
                    "data": sweep.dataset,
                    "bits": sweep.bits,
                    "setting": sweep.key,
                    "value": f"{point.value}",
                    "name": point.name,
                    "configured": "yes" if point.own else "",
                    "seeds": point.entry.seeds,
                    **counted,
                }
            )
    return rows


def drawn_sweeps(sweeps: Sequence[Sweep]) -> Iterator[Drawn]:
    """A figure of each sweep that has two measured values or more."""
    names: Counter[str] = Counter()
    for sweep in sweeps:
        if len(sweep.points) < 2:
            continue
        plain = f"sweep-{sweep.dataset}-{sweep.bits}-{sweep.row}-{sweep.key}"
        name = re.sub(r"[^\w.-]+", "_", plain)  # it becomes the name of files
        names[name] += 1
        name = name if names[name] == 1 else f"{name}-{names[name]}"
        yield Drawn(name, f"MAP by {sweep.key}: {sweep.told}", _figure(sweep))


def swept_entries(sweeps: Sequence[Sweep]) -> Iterator[tuple[str, str, Entry]]:
    """Data set, shown name and runs of each value, for what papers print of it by that name."""
    for sweep in sweeps:
        for point in sweep.points:
            yield sweep.dataset, point.name, point.entry


def _figure(sweep: Sweep) -> Figure:
    values = [point.value for point in sweep.points]
    numbers = all(isinstance(v, Real) and not isinstance(v, bool) for v in values)
    x = [float(value) for value in values] if numbers else list(range(len(values)))
    curves = {}
    for way, shown in DIRECTIONS.items():
        found = [mean_deviation(p.entry.values(sweep.bits, way, "map")) for p in sweep.points]
        curves[shown] = (x, [mean for mean, _ in found], [spread or 0.0 for _, spread in found])
    return values_plot(
        curves,
        f"{sweep.row}, {sweep.dataset}, {sweep.bits} bits",
        labels=(sweep.key, "MAP"),
        names=None if numbers else [str(value) for value in values],
        marked=next((at for at, p in zip(x, sweep.points, strict=True) if p.own), None),
    )


def _points(
    row: str, bits: int, runs: Sequence[tuple[Swept, Record]], own: Sequence[Record]
) -> Sequence[Point]:
    by_name: dict[str, tuple[Any, list[Record]]] = {}
    for swept, record in runs:
        by_name.setdefault(swept.name, (swept.value, []))[1].append(record)
    points = [
        Point(value, name, False, Entry(f"{row}, {name}", {bits: found}))
        for name, (value, found) in by_name.items()
    ]
    if own:
        name = runs[0][0].own_name
        points.append(Point(runs[0][0].own, name, True, Entry(f"{row}, {name}", {bits: own})))
    return sorted(points, key=lambda point: _order(point.value))


def _order(value: Any) -> tuple[bool, float, str]:
    number = isinstance(value, Real) and not isinstance(value, bool)
    return not number, float(value) if number else 0.0, str(value)


def _own_runs(swept: Swept, rest: str, records: Sequence[Record]) -> list[Record]:
    """The plain runs with the config's own value, the latest of each seed."""
    latest: dict[int, Record] = {}
    for record in sorted(records, key=lambda record: record.started):
        if not swept.own_name or record.sweep is not None or _rest(record, swept.key) != rest:
            continue
        if _value(record.config, swept.key, swept.own) == swept.own:
            latest[record.seed] = record
    return [latest[seed] for seed in sorted(latest)]


def _rest(record: Record, key: str) -> str:
    """What the runs of a sweep share: what may be compared, and the config without its key."""
    apart = (*_APART, *(f"training.{name}" for name in ASIDE), key.removesuffix(".name"))
    named = {".".join(place): value for place, value in leaves(record.config) if value != {}}
    kept = {
        name: value
        for name, value in named.items()
        if not any(f"{name}.".startswith(f"{other}.") for other in apart)
    }
    return json.dumps([record.dataset, comparable(record), kept], sort_keys=True)


def _value(config: Mapping[str, Any], key: str, default: Any) -> Any:
    found: Any = config
    for part in key.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return default  # of the part, which the config need not say
        found = found[part]
    return found
