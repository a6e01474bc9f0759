"""Which runs of suites are there, which are missing, and how long these will take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Literal

from crosshash.experiment.assembly import check_parts
from crosshash.experiment.bench.cases import Case
from crosshash.experiment.bench.identity import DataDigests, config_digest, run_key
from crosshash.experiment.bench.record import Record, Store
from crosshash.experiment.bench.running import device_of
from crosshash.experiment.run_folder import has_state
from crosshash.plugins import import_parts
from crosshash.reports.tables import format_seconds

State = Literal["finished", "failed", "half done", "missing", "no data"]


@dataclass(frozen=True)
class Planned:
    """A run of a suite, before it is run.

    Attributes:
        case: What.
        state: ``finished`` and ``failed``: there is a record; ``half done``: it was killed, and
            goes on; ``missing``; ``no data``: its data is not at hand, or cannot be read, so that
            it cannot run.
        key: Of its record; empty without data.
        data: Digest of its data.
        seconds: It will take, by records of like runs; None: unknown, or it is there.
        record: Where it is there.
        error: Why it failed, or what is not there.
        also: Rows whose run is this very one, and which so have none of their own.
    """

    case: Case
    state: State
    key: str = ""
    data: str = ""
    seconds: float | None = None
    record: Record | None = None
    error: str = ""
    also: tuple[str, ...] = ()

    @property
    def to_run(self) -> bool:
        """Whether it is to be run."""
        return self.state in ("missing", "half done")

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        config = self.case.config
        return {
            "suite": self.case.suite,
            "run": self.case.name,
            "row": self.case.row,
            "data": config.data.name,
            "bits": config.bits,
            "seed": config.seed,
            "state": self.state,
            "key": self.key,
            "seconds": self.seconds,
            "error": self.error,
            "also": list(self.also),
        }

    def table_row(self) -> dict[str, Any]:
        """A row of the table of a plan."""
        left = "" if not self.to_run else "unknown"
        if self.seconds is not None:
            left = format_seconds(self.seconds)
        values = self.as_dict()
        shown = {key: values[key] for key in ("row", "data", "bits", "seed", "state")}
        return {"suite": self.case.suite, **shown, "expected": left}


def plan_runs(
    store: Store,
    cases: Sequence[Case],
    digests: DataDigests | None = None,
    *,
    any_code: bool = False,
) -> list[Planned]:
    """The runs of some cases, each once, with what is there of them.

    Data is read, for its digests; nothing is trained.

    Args:
        store: Of records.
        cases: What.
        digests: Of data that was read already.
        any_code: A run of the same config and data is there whatever code it was of; the last one,
            where there are several.

    Raises:
        ConfigError, LookupError: A config names parts or settings that do not exist.
    """
    for case in cases:
        import_parts(case.config.imports)
        check_parts(case.config)
    digests, planned = digests or DataDigests(), list[Planned]()
    seen: dict[str, int] = {}
    try:
        records = [record for record in store.all() if record.state == "finished"]
    except FileNotFoundError:
        records = []
    earlier = {}
    if any_code:
        by_start = sorted(records, key=lambda record: record.started)
        earlier = {(r.identity["config"], r.identity["data"]): r for r in by_start}
    for case in cases:
        one = _planned(store, case, digests, earlier)
        if one.key in seen:
            first = planned[seen[one.key]]
            if case.row not in (first.case.row, *first.also):
                planned[seen[one.key]] = replace(first, also=(*first.also, case.row))
            continue
        if one.key:
            seen[one.key] = len(planned)
        if one.to_run:
            one = replace(one, seconds=expected_seconds(one.case, records))
        planned.append(one)
    return planned


def expected_seconds(case: Case, records: Sequence[Record]) -> float | None:
    """The median of what like runs took; None where there is none.

    Like is a run of the same method, data, encoders, epochs and device; where some are of the same
    length of codes too, these alone.
    """
    config = case.config.model_dump(mode="json")
    device = device_of(case.config)
    there = [record for record in records if record.machine["device"] == device]
    like = [record for record in there if _kind(record.config) == _kind(config)]
    same = [record for record in like if record.bits == case.config.bits]
    found = [record.seconds["whole"] for record in same or like]
    return median(found) if found else None


def left_words(planned: Sequence[Planned], jobs: int) -> str:
    """How long the missing runs will take, as a sentence."""
    runs = [one for one in planned if one.to_run]
    known = [one.seconds for one in runs if one.seconds is not None]
    if not runs:
        return "nothing is to be run"
    told = f"{len(runs)} runs to be run"
    if not known:
        return f"{told}; no like run is recorded, so that the time is unknown"
    time = format_seconds(max(sum(known) / jobs, max(known)))
    rest = len(runs) - len(known)
    return f"{told}, in about {time}" + (f" and {rest} of unknown time" if rest else "")


def _planned(
    store: Store, case: Case, digests: DataDigests, earlier: Mapping[tuple[str, str], Record]
) -> Planned:
    try:
        data = digests(case.config)
    except (OSError, ImportError, ValueError) as error:  # of one data set; others may be there
        lines = str(error).splitlines() or [type(error).__name__]
        return Planned(case, "no data", error=lines[0])
    key = run_key(case.config, data)
    record = store.read(key) or earlier.get((config_digest(case.config), data))
    if record is not None:
        return Planned(case, record.state, record.key, data, record=record, error=record.error)
    state: State = "half done" if has_state(store.work(key)) else "missing"
    return Planned(case, state, key, data)


def _kind(config: dict[str, Any]) -> list[Any]:
    data, training = dict(config["data"]), config["training"]
    data.pop("root")
    parts = [config[name] for name in ("method", "backbones", "text")]
    return [*parts, data, training["epochs"], training["batch_size"]]
