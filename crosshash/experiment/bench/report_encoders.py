"""What a table's encoders are, in words: the names that its runs' configs have for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from crosshash.experiment.bench.entries import Entry
from crosshash.experiment.bench.record import Record
from crosshash.experiment.bench.suite import PLAIN
from crosshash.experiment.bench.summary import Table

_GIVEN = {"features": "the data's own vectors"}
_APART = 2  # so many methods with other encoders than the rest are named; more are not


def encoder_notes(table: Table) -> list[str]:
    """Of each encoder that parts of a table are headed by, which images and texts go through."""
    told = []
    for encoder in dict.fromkeys(entry.part.encoder for entry in table.entries):
        found = _words([entry for entry in table.entries if entry.part.encoder == encoder])
        if found:
            told.append(found if encoder == PLAIN else f"{encoder}: {found}")
    return [f"Encoders of images and texts: {'; '.join(told)}."] if told else []


def _words(entries: Sequence[Entry]) -> str:
    """The encoders of most methods, and in brackets those of the few that have others."""
    methods: dict[str, dict[str, None]] = {}
    for entry in entries:
        for runs in entry.runs.values():
            methods.setdefault(entry.first.method, {}).update(dict.fromkeys(map(_names, runs)))
    counted = Counter(one for found in methods.values() for one in found)
    if not counted.keys() - {""}:
        return ""
    usual, _ = counted.most_common(1)[0]
    others = {name: found for name, found in methods.items() if list(found) != [usual]}
    if len(others) > min(_APART, (len(methods) - 1) // 2):
        return "each method's own"
    apart = "; ".join(f"{name}: {' or '.join(found)}" for name, found in others.items())
    return f"{usual} ({apart})" if apart else usual


def _names(record: Record) -> str:
    """``mobilenetv2_100 and bow``; empty where the record's config does not say."""
    slots, text = record.config.get("backbones"), record.config.get("text")
    images = [_name(slot) for slot in slots.values()] if isinstance(slots, Mapping) else []
    image = ", ".join(dict.fromkeys(filter(None, images)))
    return " and ".join(dict.fromkeys(filter(None, (image, _name(text)))))


def _name(part: Any) -> str:
    name = part.get("name") if isinstance(part, Mapping) else part
    return _GIVEN.get(name, name) if isinstance(name, str) else ""
