"""Segments and the last items as one: what is asked of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from crosshash.codes import Packed, check_bits
from crosshash.retrieval.asymmetric import WeightedQueries
from crosshash.search.engine import Engine, Found, Integers, Items, Lookup
from crosshash.search.filters import Filter
from crosshash.search.ids import told_missing
from crosshash.search.postings import Hits, Rows, first_of
from crosshash.search.recent import Recent
from crosshash.search.segment import Segment

_BLOCK = 65_536  # items of a scan at a time
_QUERIES = 256  # at a time, so that lists of hits stay small
E = TypeVar("E")


class Parts(Engine):
    """The questions of an engine whose items are in segments, and the last ones in memory.

    Args:
        bits: Code length.
    """

    def __init__(self, bits: int) -> None:
        self.bits = check_bits(bits)
        self._segments: list[Segment] = []
        self._recent = Recent(bits // 8)

    @property
    def exact(self) -> bool:  # type: ignore[override]
        """Whether no segment is searched approximately."""
        return all(one.structure is None or one.structure.exact for one in self._segments)

    def __len__(self) -> int:
        return sum(part.left for part in self._parts)

    @property
    def _parts(self) -> list[Segment | Recent]:
        return [*self._segments, self._recent]

    def known(self, ids: Sequence[str]) -> list[bool]:
        """Whether each id is there."""
        there = np.zeros(len(ids), dtype=np.bool_)
        for part in self._parts:
            there |= part.rows_of(ids) >= 0
        found: list[bool] = there.tolist()
        return found

    def fetch(self, ids: Sequence[str]) -> Items:
        """Items by their ids, in the order asked."""
        numbers = np.full(len(ids), -1, dtype=np.int64)
        for part, start in self._starts():
            rows = part.rows_of(ids)
            numbers = np.where(rows >= 0, rows + start, numbers)
        if (missing := np.flatnonzero(numbers < 0)).size:
            raise LookupError(told_missing([ids[row] for row in missing.tolist()]))
        return self._items(numbers, list(ids))

    def nearest(self, codes: Packed, topk: int, where: Filter | None = None) -> Found:
        """The ``topk`` nearest items of each code."""
        return self._search(codes, topk, lambda part, some: part.nearest(some, topk, where))

    def within(self, codes: Packed, radius: int, where: Filter | None = None) -> Found:
        """All items within a Hamming distance of each code."""
        return self._search(codes, None, lambda part, some: part.within(some, radius, where))

    def ranked(self, queries: WeightedQueries, topk: int, where: Filter | None = None) -> Found:
        """The ``topk`` nearest of all items by asymmetric distance."""
        hits = self._gather(topk, lambda part, some: part.ranked(some, topk, where), queries)
        found = self._found(hits)
        asymmetric, hamming = queries.told(hits.query, hits.key)
        return replace(found, distance=hamming, asymmetric=asymmetric)

    def scan(self, where: Filter | None = None) -> Iterator[Items]:
        """All items as they are now, in order of insertion."""
        blocks: list[tuple[Segment | Recent, int, Rows]] = []
        for part, start in self._starts():
            held: Segment | Recent = part
            if isinstance(part, Recent):  # which changes in place
                held = Recent(self.bits // 8)
                rows = part.rows_left()
                held.add(part.codes(rows), part.ids(rows), part.metadata_texts(rows))
            blocks.append((held, start, held.rows_left(where)))
        return self._blocks(blocks)

    @staticmethod
    def _blocks(blocks: Sequence[tuple[Segment | Recent, int, Rows]]) -> Iterator[Items]:
        for part, start, rows in blocks:
            for first in range(0, len(rows), _BLOCK):
                some = rows[first : first + _BLOCK].astype(np.int64)
                ids, metadata = Lookup(some, part.ids), Lookup(some, part.metadata)
                yield Items(ids, part.codes(some), metadata, some + start)

    def _starts(self) -> Iterator[tuple[Segment | Recent, int]]:
        """Parts, and the number of each one's first item."""
        start = 0
        for part in self._parts:
            yield part, start
            start += len(part)

    def _search(
        self, codes: Packed, topk: int | None, search: Callable[[Any, Packed], Hits]
    ) -> Found:
        found: list[Hits] = []
        for first in range(0, len(codes), _QUERIES):
            some = np.ascontiguousarray(codes[first : first + _QUERIES])
            hits = self._gather(topk, search, some)
            found.append(Hits(hits.query + first, hits.key, hits.row))
        return self._found(_joined(found))

    def _gather(self, topk: int | None, search: Callable[[Any, Any], Hits], queries: Any) -> Hits:
        """Hits of all parts, their rows as numbers in order of insertion."""
        found = []
        for part, start in self._starts():
            if part.left:
                hits = search(part, queries)
                found.append(Hits(hits.query, hits.key, hits.row + start))
        return found[0] if len(found) == 1 else first_of(_joined(found), topk)

    def _found(self, hits: Hits) -> Found:
        items = self._items(hits.row)
        return Found(
            hits.query, hits.key.astype(np.int32), hits.row, items.codes, items.ids, items.metadata
        )

    def _items(self, numbers: Integers, ids: list[str] | None = None) -> Items:
        """Items by their numbers; ids and metadata are looked up when they are asked for."""
        codes = np.empty((len(numbers), self.bits // 8), dtype=np.uint8)
        for part, rows, places in self._located(numbers):
            codes[places] = part.codes(rows)
        names = Lookup(numbers, lambda some: self._each(some, lambda part, rows: part.ids(rows)))
        metadata = Lookup(
            numbers, lambda some: self._each(some, lambda part, rows: part.metadata(rows))
        )
        return Items(names if ids is None else ids, codes, metadata, numbers)

    def _located(self, numbers: Integers) -> Iterator[tuple[Any, Rows, Any]]:
        """For each part: the rows of the items in it, and their places among the numbers."""
        for part, start in self._starts():
            places = np.flatnonzero((numbers >= start) & (numbers < start + len(part)))
            if len(places):
                yield part, numbers[places] - start, places

    def _each(self, numbers: Integers, look: Callable[[Any, Rows], list[E]]) -> list[E]:
        found: list[Any] = [None] * len(numbers)
        for part, rows, places in self._located(numbers):
            if len(places) == len(numbers):
                return look(part, rows)
            for place, one in zip(places.tolist(), look(part, rows), strict=True):
                found[place] = one
        return found


def _joined(hits: Sequence[Hits]) -> Hits:
    if not hits:
        empty = np.empty(0, dtype=np.int64)
        return Hits(empty, empty, empty)
    if len(hits) == 1:
        return hits[0]
    query, key, row = (np.concatenate(some) for some in zip(*hits, strict=True))
    return Hits(query, key, row)
