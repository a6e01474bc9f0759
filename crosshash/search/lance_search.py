"""Searches in a table of LanceDB: by a scan of its codes, or by lists of near ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crosshash.codes import Packed
from crosshash.search.engine import Found, Integers
from crosshash.search.filters import Filter
from crosshash.search.lance_files import Held
from crosshash.search.lance_filters import as_where
from crosshash.search.lance_rows import (
    BLOCK,
    as_array,
    codes_at,
    having,
    places_of,
    streamed,
    take,
)
from crosshash.search.lance_table import twins_of
from crosshash.search.postings import Hits, Postings, first_of

if TYPE_CHECKING:
    from crosshash.retrieval.asymmetric import WeightedQueries

_WIDER, _SPARE = 4, 64  # hits for each that is asked for, and more, in which ties mostly end
_BYTES = 2 << 20  # of codes in a part of a scan; with fewer, parts are joined more often


class Near(NamedTuple):
    """Hits, each of h numbers.

    Attributes:
        hits: Query, key, and order as the row; sorted by these.
        place: Where they are in the table.
    """

    hits: Hits
    place: Integers


def nearest(held: Held, codes: Packed, topk: int, where: Filter | None, uri: str) -> Found:
    """The nearest of each code; without a filter and with lists, as an eighth of these has them."""

    def scanned(some: Packed) -> Near:
        return _scanned(
            held, lambda part: part.nearest(some, topk, None, 0, None), topk, where, uri
        )

    if held.state.lists is None or where is not None:
        return _found(held, scanned(codes), uri)
    parts = []
    for number, code in enumerate(codes):
        near = _listed(held, code, topk)
        if len(near.place) < topk:
            near = scanned(code[None])
        parts.append(near._replace(hits=near.hits._replace(query=near.hits.query + number)))
    return _found(held, _with_twins(held, _joined(parts), topk), uri)


def within(held: Held, codes: Packed, radius: int, where: Filter | None, uri: str) -> Found:
    """All within a distance of each code, whatever lists there are."""
    near = _scanned(held, lambda part: part.within(codes, radius, None, None), None, where, uri)
    return _found(held, near, uri)


def ranked(
    held: Held, queries: WeightedQueries, topk: int, where: Filter | None, uri: str
) -> Found:
    """The nearest of all items by asymmetric distance."""
    near = _scanned(held, lambda part: part.ranked(queries, topk, None, 0), topk, where, uri)
    asymmetric, hamming = queries.told(near.hits.query, near.hits.key)
    return replace(_found(held, near, uri), distance=hamming, asymmetric=asymmetric)


def _listed(held: Held, code: Packed, topk: int) -> Near:
    """The nearest of one code in the lists, and of what is in none of them.

    LanceDB promises no order among equal distances, of which the first are wanted.
    """
    limit = _WIDER * topk + _SPARE
    near = _asked(held, code, limit, None)
    distance = near.hits.key
    if len(distance) == limit and distance[-1] == distance[topk - 1]:
        near = _asked(held, code, held.table.count_rows(), int(distance[-1]))
    return Near(Hits(*(one[:topk] for one in near.hits)), near.place[:topk])


def _with_twins(held: Held, near: Near, topk: int) -> Near:
    """Hits with the other items of their codes, which are in lists that were not looked at.

    Only an item that is in no list yet is found without them.
    """
    new = near.hits.row >= held.state.listed
    if not new.any():
        return near
    places, at = np.unique(near.place[new], return_inverse=True)
    codes = codes_at(held, places)
    of: dict[bytes, list[int]] = {}  # the hits of each code
    for hit, row in zip(np.flatnonzero(new).tolist(), at.tolist(), strict=True):
        of.setdefault(codes[row].tobytes(), []).append(hit)
    query, key = near.hits.query.tolist(), near.hits.key.tolist()
    known = set(zip(query, near.hits.row.tolist(), strict=True))
    more: list[tuple[int, int, int, int]] = []
    for batch in having(held, "twin", np.unique(twins_of(codes)).tolist(), ["order", "code"]):
        rows = zip(batch["order"].to_pylist(), places_of(batch).tolist(), strict=True)
        for (order, place), code in zip(rows, as_array(batch["code"]), strict=True):
            for hit in of.get(code.tobytes(), ()):
                if (query[hit], order) not in known:
                    known.add((query[hit], order))
                    more.append((query[hit], key[hit], order, place))
    found = np.array(more, dtype=np.int64).reshape(-1, 4).T
    return _joined([near, Near(Hits(*found[:3]), found[3])], topk)


def _asked(held: Held, code: Packed, limit: int, radius: int | None) -> Near:
    """What LanceDB finds for one code, as the first query."""
    query = held.table.search(code, vector_column_name="code").distance_type("hamming")
    query = query.select(["order", "_distance"]).with_row_id(True).limit(limit)
    query = query.nprobes(max(1, (held.state.lists or 0) // 8))
    if radius is not None:
        query = query.distance_range(upper_bound=radius + 1)  # which is not reached
    rows = query.to_arrow()
    distance = rows["_distance"].to_numpy().astype(np.int64)
    order, place = rows["order"].to_numpy(), places_of(rows)
    by = np.lexsort((order, distance))
    return Near(Hits(np.zeros(len(by), dtype=np.int64), distance[by], order[by]), place[by])


def _scanned(
    held: Held,
    search: Callable[[Postings], Hits],
    topk: int | None,
    where: Filter | None,
    uri: str,
) -> Near:
    """What a search finds among all codes, which are read once, a part at a time.

    It takes less than LanceDB's own comparison of bytes, for one query as well.
    """
    best, (sql, rest) = _joined([]), as_where(where)
    size = BLOCK if rest else max(BLOCK, _BYTES // (held.state.bits // 8))
    for batch in streamed(held, ["order", "code"], sql, rest, uri, size):
        order, place, packed = batch["order"].to_numpy(), places_of(batch), as_array(batch["code"])
        if (order[1:] < order[:-1]).any():  # of equal distances the first of a run is kept
            by = np.argsort(order)
            order, place, packed = order[by], place[by], packed[by]
        hits = search(Postings(packed))
        new = Near(hits._replace(row=order[hits.row]), place[hits.row])
        best = _joined([best, new], topk)
    return best


def _joined(parts: list[Near], topk: int | None = None) -> Near:
    """Hits of all, sorted; the first ``topk`` of each query."""
    none = np.empty(0, dtype=np.int64)
    columns = [[none, *(part.hits[number] for part in parts)] for number in range(3)]
    query, distance, order = (np.concatenate(column) for column in columns)
    place = np.concatenate([none, *(part.place for part in parts)])
    hits = first_of(Hits(query, distance, order), topk)
    orders, first = np.unique(order, return_index=True)
    return Near(hits, place[first[np.searchsorted(orders, hits.row)]])


def _found(held: Held, near: Near, uri: str) -> Found:
    places, at = np.unique(near.place, return_inverse=True)
    items = take(held, places, uri)
    rows = at.tolist()
    return Found(
        query=near.hits.query,
        distance=near.hits.key.astype(np.int32),
        order=near.hits.row,
        codes=items.codes[at],
        ids=[items.ids[row] for row in rows],
        metadata=[items.metadata[row] for row in rows],
    )
