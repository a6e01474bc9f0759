"""What a table's encoders are, in words: by the names and options of its runs' configs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from crosshash.experiment.bench.entries import Entry
from crosshash.experiment.bench.record import Record
from crosshash.experiment.bench.suite import PLAIN
from crosshash.experiment.bench.summary import Table
from crosshash.overlays import leaves

_GIVEN = {"features": "the data's own vectors"}
_APART = 2  # so many methods with other encoders than the rest are named; more are not
_Part = Mapping[str, Any]  # of a config: an encoder's ``name``, ``frozen`` and ``options``
# By side (0: images) and name of an encoder some of its options.
_Varied = Mapping[tuple[int, str], set[str]]


def encoder_notes(table: Table) -> list[str]:
    """Of each encoder that parts of a table are headed by, which images and texts go through."""
    told = []
    for encoder in dict.fromkeys(entry.part.encoder for entry in table.entries):
        found = _words([entry for entry in table.entries if entry.part.encoder == encoder])
        if found:
            told.append(found if encoder == PLAIN else f"{encoder}: {found}")
    return [f"Encoders of images and texts: {'; '.join(told)}."] if told else []


def _words(entries: Sequence[Entry]) -> str:
    """The encoders of most methods, and in brackets those of the few that have others.

    Options are told where an encoder of one name has others in another place.
    """
    runs = [record for entry in entries for found in entry.runs.values() for record in found]
    for varied, more in ((_varied(runs), ""), ({}, ", options of each method's own")):
        found = _agreed(runs, varied)
        if found is not None:
            return found and f"{found}{more}"
    return "each method's own"


def _agreed(runs: Sequence[Record], varied: _Varied) -> str | None:
    """What most methods have and what few others do; None where too many do."""
    methods: dict[str, dict[str, None]] = {}
    for record in runs:
        methods.setdefault(record.method, {})[_names(record, varied)] = None
    counted = Counter(one for found in methods.values() for one in found)
    if not counted.keys() - {""}:
        return ""
    usual, _ = counted.most_common(1)[0]
    others = {name: found for name, found in methods.items() if list(found) != [usual]}
    if len(others) > min(_APART, (len(methods) - 1) // 2):
        return None
    apart = "; ".join(f"{name}: {' or '.join(found)}" for name, found in others.items())
    return f"{usual} ({apart})" if apart else usual


def _varied(runs: Iterable[Record]) -> _Varied:
    """By side and name of an encoder the options that it has not alike everywhere."""
    found: dict[tuple[int, str], list[dict[str, str]]] = defaultdict(list)
    for record in runs:
        for side, parts in enumerate(_sides(record)):
            for part in parts:
                found[side, part["name"]].append(_options(part))
    return {
        place: {key for one in some for key in one if len({o.get(key) for o in some}) > 1}
        for place, some in found.items()
    }


def _names(record: Record, varied: _Varied) -> str:
    """``mobilenetv2_100 and bow``; empty where the record's config does not say."""
    told = [
        ", ".join(
            dict.fromkeys(_name(part, varied.get((side, part["name"]), ())) for part in parts)
        )
        for side, parts in enumerate(_sides(record))
    ]
    return " and ".join(dict.fromkeys(filter(None, told)))


def _name(part: _Part, shown: Collection[str]) -> str:
    """``mobilenetv2_100``, or with those of its options ``mobilenetv2_100 (image_size=288)``."""
    name: str = part["name"]
    options = [
        f"{key.rpartition('.')[2]}={value}" for key, value in _options(part).items() if key in shown
    ]
    known = _GIVEN.get(name, name)
    return f"{known} ({', '.join(options)})" if options else known


def _options(part: _Part) -> dict[str, str]:
    """By dotted keys; whether its weights stay as they are is one of them."""
    values = {"frozen": part.get("frozen"), **(part.get("options") or {})}
    return {".".join(place): str(value) for place, value in leaves(values)}


def _sides(record: Record) -> tuple[list[_Part], list[_Part]]:
    """The encoders of images and of texts; none where the record's config does not say."""
    config = record.config
    return list(config.get("backbones", {}).values()), [config["text"]] if "text" in config else []
