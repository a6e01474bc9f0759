"""Which rows of a table have seeds by several versions of torch, which no run's key tells apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from crosshash.experiment.bench.entries import Entry


def version_notes(entries: Sequence[Entry]) -> list[str]:
    """``Seeds by torch 2.14.1 and 2.15.0: amgfh; hfah, lite0.``; nothing where each row has one."""
    mixed: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        found = {
            version
            for runs in entry.runs.values()
            if len(known := {record.versions.get("torch", "unknown") for record in runs}) > 1
            for version in known
        }
        if found:
            mixed[" and ".join(sorted(found))].append(entry.name)
    return [
        f"Seeds by torch {told}: {'all rows' if len(names) == len(entries) else '; '.join(names)}."
        for told, names in mixed.items()
    ]
