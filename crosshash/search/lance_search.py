"""Searches in a table of LanceDB: by a scan of its codes, or by lists of near ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from crosshash.codes import Packed
from crosshash.search.engine import Found, Integers
from crosshash.search.filters import Filter
from crosshash.search.lance_files import Held
from crosshash.search.lance_filters import as_where
from crosshash.search.lance_rows import (
    as_array,
    codes_at,
    having,
    places_of,
    streamed,
    take,
)
from crosshash.search.lance_table import twins_of
from crosshash.search.postings import Hits, Postings, first_of

_WIDER, _SPARE = 4, 64  # hits for each that is asked for, and more, in which ties mostly end


class Near(NamedTuple):
    """Hits, each of h numbers.

    Attributes:
        hits: Query, distance, and order as the row; sorted by these.
        place: Where they are in the table.
    """

    hits: Hits
    place: Integers


def nearest(held: Held, codes: Packed, topk: int, where: Filter | None, uri: str) -> Found:
    """The nearest of each code; without a filter and with lists, as an eighth of these has them."""
    if held.state.lists is None or where is not None:
        return _found(held, _scanned(held, codes, topk, None, where, uri), uri)
    parts = []
    for number, code in enumerate(codes):
        near = _listed(held, code, topk)
        if len(near.place) < topk:
            near = _scanned(held, code[None], topk, None, None, uri)
        parts.append(near._replace(hits=near.hits._replace(query=near.hits.query + number)))
    return _found(held, _with_twins(held, _joined(parts), topk), uri)


def within(held: Held, codes: Packed, radius: int, where: Filter | None, uri: str) -> Found:
    """All within a distance of each code, whatever lists there are."""
    return _found(held, _scanned(held, codes, None, radius, where, uri), uri)


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
    codes: Packed,
    topk: int | None,
    radius: int | None,
    where: Filter | None,
    uri: str,
) -> Near:
    """The nearest of each code, or all within a distance, of all codes, which are read once.

    It takes a few times less than LanceDB's own comparison of bytes, for one query as well.
    """
    best = _joined([])
    for batch in streamed(held, ["order", "code"], *as_where(where), uri):
        order, place = batch["order"].to_numpy(), places_of(batch)
        by = np.argsort(order)  # of equal distances the first of a run is kept
        some = Postings(as_array(batch["code"])[by])
        if radius is None:
            hits = some.nearest(codes, topk or 0, None, 0, None)
        else:
            hits = some.within(codes, radius, None, None)
        new = Near(hits._replace(row=order[by][hits.row]), place[by][hits.row])
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
