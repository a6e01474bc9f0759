"""Codes, each once, with the items that have it; and how they are searched, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crosshash.codes import Packed, as_words

if TYPE_CHECKING:
    from crosshash.retrieval.asymmetric import WeightedQueries

Integers = npt.NDArray[np.int64]
Rows = npt.NDArray[np.integer[Any]]
Mask = npt.NDArray[np.bool_]


class Hits(NamedTuple):
    """Hits of q queries in one run, by query, then key, then row; each of h numbers.

    Attributes:
        query: Which query.
        key: What ranks: Hamming distance, or a key of ``retrieval.asymmetric``.
        row: The item.
    """

    query: Integers
    key: Integers
    row: Integers


@dataclass(frozen=True)
class Postings:
    """u codes, in order of the first item that has each, and the rows of the items that have it.

    Attributes:
        codes: (u, k/8) packed, each once, or more often where ``starts`` is None.
        starts: (u + 1,), where each code's run in ``rows`` begins; None: one row for each code.
        rows: (n,), within a run ascending; None: 0…u-1.
    """

    codes: Packed
    starts: Rows | None = None
    rows: Rows | None = None

    def nearest(
        self, queries: Packed, topk: int, removed: Mask | None, suspects: int, structure: Any
    ) -> Hits:
        """The nearest rows by Hamming distance.

        A code of which items were removed may have none left, or stand before its time among
        equally far ones. Of u codes with b such, the first ``topk + b`` have all of the answer:
        at least ``topk`` of them are as they were, and each has an item that goes before those of
        any code that is not among them.

        Args:
            queries: (q, k/8) packed.
            topk: At most so many rows for each.
            removed: (n,), rows that are gone, or None.
            suspects: How many codes lost an item.
            structure: What finds codes, ``search(queries, count)``; None: a scan.
        """
        import faiss

        count = min(topk + suspects, len(self.codes))
        if not count or not len(queries):
            return _none()
        if structure is not None:
            distances, places = structure.search(queries, count)
        else:
            # A heap lets an equal distance in only if nothing earlier has it.
            distances, places = faiss.knn_hamming(queries, self.codes, count)
        return self.expand(places, distances, topk, removed)

    def ranked(
        self, queries: WeightedQueries, topk: int, removed: Mask | None, suspects: int
    ) -> Hits:
        """The nearest rows by asymmetric distance, then Hamming distance; keys hold both."""
        from crosshash.retrieval.asymmetric import nearest

        count = min(topk + suspects, len(self.codes))
        if not count or not len(queries):
            return _none()
        places, keys = nearest(queries, self.codes, count)
        return self.expand(places, keys, topk, removed)

    def within(self, queries: Packed, radius: int, removed: Mask | None, structure: Any) -> Hits:
        """All rows within a Hamming distance."""
        if not len(self.codes) or not len(queries):
            return _none()
        if structure is not None:
            query, distance, place = structure.within(queries, radius)
        else:
            query, distance, place = scan_within(self.codes, queries, radius)
        return self._rows_of(query, place, distance, None, removed)

    def expand(
        self, places: Rows, keys: Rows, topk: int | None, removed: Mask | None = None
    ) -> Hits:
        """Rows of the codes found for each query, (q, m) by key and place, -1 for none."""
        flat = places.ravel()
        query = np.repeat(np.arange(len(places)), places.shape[1])
        if (flat < 0).any():
            there = flat >= 0
            query, flat, keys = query[there], flat[there], keys.ravel()[there]
        return self._rows_of(query, flat, keys.ravel(), topk, removed)

    def _rows_of(
        self, query: Rows, place: Rows, key: Rows, topk: int | None, removed: Mask | None
    ) -> Hits:
        if self.starts is None:
            row = np.asarray(place if self.rows is None else self.rows[place])
        else:
            first = self.starts[place].astype(np.int64)
            count = self.starts[place + 1] - first
            if topk is not None and removed is None:
                count = np.minimum(count, topk)  # no more of one code can be wanted
            query, key = np.repeat(query, count), np.repeat(key, count)
            inside = np.arange(len(query)) - np.repeat(np.cumsum(count) - count, count)
            run = np.repeat(first, count) + inside
            row = run if self.rows is None else self.rows[run]
        if removed is not None:
            left = ~removed[row]
            query, key, row = query[left], key[left], row[left]
        whole = (one.astype(np.int64) for one in (query, key, row))
        return first_of(Hits(*whole), topk)

    def only(self, wanted: Mask, code_of: Rows | None) -> Postings:
        """Those of a mask of rows (n,), in their order.

        Args:
            wanted: Which rows.
            code_of: (n,), the code of each row; None: its own number.
        """
        rows = np.flatnonzero(wanted)
        if code_of is None:
            return Postings(self.codes[rows], None, rows)
        codes, starts, order, _ = grouped(code_of[rows])
        return Postings(self.codes[codes], starts, rows[order])


def grouped(keys: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], Integers, Integers, Integers]:
    """Equal keys gathered, groups in order of their first, places within a group ascending.

    Args:
        keys: (n,) of any type that sorts.

    Returns:
        The key of each of u groups, where each begins (u + 1,), the n places by group, and the
        group of each place.
    """
    _, first, inverse, counts = np.unique(
        keys, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.argsort(first)
    group_of = np.empty(len(first), dtype=np.int64)
    group_of[order] = np.arange(len(first))
    groups = group_of[inverse]
    starts = np.zeros(len(first) + 1, dtype=np.int64)
    np.cumsum(counts[order], out=starts[1:])
    return keys[first[order]], starts, np.argsort(groups, kind="stable"), groups


def as_keys(codes: Packed) -> npt.NDArray[Any]:
    """Packed codes (n, k/8) as n values that sort, in no order of meaning."""
    words = as_words(codes)
    if words.shape[1] == 1:
        return words[:, 0]
    flat = np.ascontiguousarray(codes)
    return flat.view(np.dtype((np.void, codes.shape[1])))[:, 0]


def scan_within(codes: Packed, queries: Packed, radius: int) -> tuple[Rows, Rows, Rows]:
    """Query, distance and place of all codes (u, k/8) within a Hamming distance."""
    import faiss

    library: Any = faiss  # whose stubs do not know all of it
    result = library.RangeSearchResult(len(queries))
    library.hamming_range_search(
        faiss.swig_ptr(np.ascontiguousarray(queries)),
        faiss.swig_ptr(codes),
        len(queries),
        len(codes),
        radius + 1,  # FAISS's radius is not reached
        codes.shape[1],
        result,
    )
    ends = faiss.rev_swig_ptr(result.lims, len(queries) + 1).astype(np.int64)
    total = int(ends[-1])
    query = np.repeat(np.arange(len(queries)), np.diff(ends))
    if not total:
        return query, query.copy(), query.copy()
    distance = faiss.rev_swig_ptr(result.distances, total).astype(np.int64)
    return query, distance, faiss.rev_swig_ptr(result.labels, total).copy()


def first_of(hits: Hits, topk: int | None) -> Hits:
    """Hits sorted by query, key and row, the first ``topk`` of each query."""
    order = np.lexsort((hits.row, hits.key, hits.query))
    query = hits.query[order]
    if topk is not None:
        before = np.searchsorted(query, query, side="left")
        kept = np.arange(len(query)) - before < topk
        order, query = order[kept], query[kept]
    return Hits(query, hits.key[order], hits.row[order])


def _none() -> Hits:
    empty = np.empty(0, dtype=np.int64)
    return Hits(empty, empty.copy(), empty.copy())
