"""Ids of an index: strings, where an integer stands for its decimal digits."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np

Id = str | int


def as_id(value: object, row: int | None = None) -> str:
    """One id as a string; ``row`` is where it stood, for the TypeError of what can be none."""
    if isinstance(value, str):
        return str(value)  # NumPy's strings become plain ones
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return str(int(value))
    where = "" if row is None else f" at row {row}"
    raise TypeError(
        f"ids are strings or integers, got {type(value).__name__} {value!r}{where}; pass str(id)"
    )


def as_ids(ids: Iterable[Id]) -> list[str]:
    """Ids as strings; TypeError for what can be none, and for a single string."""
    if isinstance(ids, (str, bytes)):
        raise TypeError("ids is a list of strings or integers, got a single string; pass [id]")
    return [as_id(value, row) for row, value in enumerate(ids)]


def told_twice(new: Sequence[str], known: Collection[str]) -> str:
    """The sentence for the first id that is known or given twice."""
    seen: set[str] = set()
    for row, id_ in enumerate(new):
        if id_ in known:
            return f"id {id_!r} (row {row}) is in the index already; ids are unique"
        if id_ in seen:
            return f"id {id_!r} is given twice, again at row {row}; ids are unique"
        seen.add(id_)
    raise RuntimeError("no id is duplicate")


def told_missing(missing: Sequence[str]) -> str:
    """The sentence for ids that are not in the index."""
    first = sorted(missing)[:5]
    more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
    return (
        f"not in the index: {', '.join(map(repr, first))}{more}; nothing was changed "
        "(`id in index` tells what is there)"
    )
