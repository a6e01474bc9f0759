"""Whether a report says one epoch for both directions, and which codes are searched."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crosshash.auditing.finding import Finding, fault, note
from crosshash.hub.checkpoint import FILES
from crosshash.hub.resolve import checkpoint_folder
from crosshash.training.files import HISTORY
from crosshash.untrusted import parse_json, read_bytes, read_json

_BYTES = 32 << 20
_WAY = {
    "i2t": re.compile(r"i2t|i->t|image_to_text|img2txt", re.IGNORECASE),
    "t2i": re.compile(r"t2i|t->i|text_to_image|txt2img", re.IGNORECASE),
}
_DEEP = 8
_SAME = 5e-4  # figures are printed with three or four digits


def read_report(path: str | Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The record of a result, and the figures of its epochs.

    Args:
        path: The folder of a run or a checkpoint; or a JSON object, such as what
            ``crosshash evaluate --json=full`` prints, which may have ``history``, a list of an
            object for each epoch.

    Raises:
        FileNotFoundError: It is not there.
        ValueError: It is no such file.
    """
    place = Path(path)
    if place.is_dir():
        info = _object(read_json(checkpoint_folder(place) / FILES[1]), place)
        report, history = _object(info.get("figures") or {}, place), place / HISTORY
        lines = read_bytes(history, _BYTES).splitlines() if history.is_file() else []
        return report, [_object(parse_json(line, history), history) for line in lines]
    report = _object(read_json(place), place)
    epochs = report.pop("history", [])
    if not isinstance(epochs, list):
        raise ValueError(f"{place}: history is a list of one object for each epoch")
    return report, [_object(epoch, place) for epoch in epochs]


def check_epochs(
    report: Mapping[str, Any], history: Sequence[Mapping[str, Any]] = ()
) -> list[Finding]:
    """A fault where image→text and text→image are of different epochs.

    Args:
        report: A result. An epoch of a direction is any number whose key, or a key above it, names
            the direction and which has ``epoch`` in its key: ``{"i2t": {"epoch": 3}}``,
            ``{"best_epoch_i2t": 3}``.
        history: Figures of each epoch. The report's are of different ones where each direction's is
            the best of the history, and no epoch has both.
    """
    told = {way: _epochs(report, pattern) for way, pattern in _WAY.items()}
    mend = "choose one epoch by the mean of both directions on held-out pairs, never on the queries"
    if all(told.values()) and told["i2t"] != told["t2i"]:
        said = " and ".join(f"{way} of epoch {_listed(told[way])}" for way in told)
        return [fault("epochs", f"the report has {said}", mend)]
    values = {way: _figure(report, pattern) for way, pattern in _WAY.items()}
    where = {way: _best(history, _WAY[way], value) for way, value in values.items()}
    if all(where.values()) and not where["i2t"] & where["t2i"]:
        said = " and ".join(f"{way} of epoch {_listed(where[way])}" for way in where)
        return [fault("epochs", f"by the history the report's figures are {said}", mend)]
    return []


def check_database(report: Mapping[str, Any]) -> list[Finding]:
    """A fault where the record does not say which codes are searched, a note where learned ones."""
    record = report.get("record", report)
    said = record.get("database") if isinstance(record, Mapping) else None
    if said == "learned":
        told = "searched pairs that were trained on have the codes that were learned from labels"
        return [note("database", told, "set such figures beside others of their kind only")]
    if said == "encoded":
        return []
    return [
        fault(
            "database",
            "the record says nothing of it" if said is None else f"the record says {said!r}",
            "say database: encoded (by the hash functions) or learned (rows that were trained on "
            "keep their label-learned codes, 0.05 to 0.10 higher)",
        )
    ]


def _object(value: Any, place: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{place}: expected a JSON object, got {type(value).__name__}")
    return value


def _epochs(values: Any, way: re.Pattern[str], inside: bool = False, depth: int = 0) -> set[int]:
    found: set[int] = set()
    if not isinstance(values, Mapping) or depth > _DEEP:
        return found
    for key, value in values.items():
        here = inside or way.search(str(key)) is not None
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if here and number and "epoch" in str(key).lower():
            found.add(int(value))
        found |= _epochs(value, way, here, depth + 1)
    return found


def _figure(report: Mapping[str, Any], way: re.Pattern[str]) -> float | None:
    """MAP of a direction: ``map_i2t``, or ``i2t`` with or without ``map`` below it."""
    for key, value in report.items():
        if way.search(key) is None or "epoch" in key.lower():
            continue
        found = value.get("map") if isinstance(value, Mapping) else value
        if isinstance(found, (int, float)) and not isinstance(found, bool):
            return float(found)
    return None


def _best(
    history: Sequence[Mapping[str, Any]], way: re.Pattern[str], value: float | None
) -> set[int]:
    """The epochs that have the best figure of a direction, if it is the reported one."""
    figures = {
        int(epoch.get("epoch", number)): figure
        for number, epoch in enumerate(history, 1)
        if (figure := _figure(epoch, way)) is not None
    }
    if value is None or not figures or abs(max(figures.values()) - value) > _SAME:
        return set()
    return {epoch for epoch, figure in figures.items() if abs(figure - value) <= _SAME}


def _listed(numbers: set[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))
