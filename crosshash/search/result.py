"""What a search gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crosshash.codes import Packed
from crosshash.search.engine import Found


@dataclass(frozen=True)
class Item:
    """An item of an index: its id, its packed code ``uint8`` (k/8,), and its metadata or None."""

    id: str
    code: Packed
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True)
class SearchResult:
    """The hits of q queries, nearest first.

    Queries may have unequal numbers of hits, where a filter or a radius leaves fewer. Arrays are as
    wide as what was asked for, w, with a filter or a radius as the most hits of one query, and
    filled up with -1, or NaN.

    Attributes:
        ids: q lists of ids, as long as each query has hits.
        distances: ``int32`` (q, w), Hamming distances in 0…k.
        positions: ``int64`` (q, w), numbers that grow in order of insertion; in a small index in
            memory an item's row in ``Index.codes()`` and ``Index.ids``. Removing and merging move
            later ones up.
        asymmetric: ``float32`` (q, w), asymmetric distances in units of the query's values, where
            these ranked; else None.
        probability: ``float64`` (q, w), of each hit to be relevant, where the queries' kind was
            given and the index knows it (docs/search.md); else None.
        metadata: q lists of the hits' metadata, None for an item without; where they were asked
            for, else None.
    """

    ids: list[list[str]]
    distances: npt.NDArray[np.int32]
    positions: npt.NDArray[np.int64]
    asymmetric: npt.NDArray[np.float32] | None = None
    probability: npt.NDArray[np.float64] | None = None
    metadata: list[list[dict[str, Any] | None]] | None = None

    def __len__(self) -> int:
        return len(self.ids)


def as_result(
    found: Found,
    queries: int,
    width: int,
    *,
    metadata: bool,
    probability: npt.NDArray[np.float64] | None = None,
) -> SearchResult:
    """Hits in one run as rows for each query, of at least ``width``; ids are looked up now."""
    counts = np.bincount(found.query, minlength=queries)
    ends = np.cumsum(counts)
    starts = (ends - counts).tolist()
    place = np.arange(len(found.query)) - np.repeat(ends - counts, counts)
    shape = (queries, int(counts.max(initial=width)))

    def rows(values: npt.NDArray[Any], empty: float) -> npt.NDArray[Any]:
        wide = np.full(shape, empty, dtype=values.dtype)
        wide[found.query, place] = values
        return wide

    def lists(values: Any) -> list[list[Any]]:
        return [list(values[a:b]) for a, b in zip(starts, ends.tolist(), strict=True)]

    return SearchResult(
        lists(found.ids),
        rows(found.distance, -1),
        rows(found.order, -1),
        None if found.asymmetric is None else rows(found.asymmetric, np.nan),
        None if probability is None else rows(probability, np.nan),
        lists(found.metadata) if metadata else None,
    )
