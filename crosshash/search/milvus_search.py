"""Searches in a collection of Milvus, whose hits are limited and without an order among equals."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from crosshash.search.filters import Filter, meets
from crosshash.search.milvus_server import BLOCK, MilvusServer
from crosshash.search.rows import blocks
from crosshash.search.scalars import from_document

_LIMIT = 16384  # Milvus's own limit of hits
_MANY = 1024  # of a code within a radius, in one answer with those of other codes
_SPARE = 64  # hits beyond those asked for, among which ties at the cut mostly end
Hit = tuple[int, int]
"""Distance and order."""
Held = tuple[int, bytes, str, dict[str, Any] | None]
"""Order, packed code, id and metadata."""


@dataclass(frozen=True)
class Among:
    """Which items are looked at.

    Attributes:
        first: The least order.
        last: The largest order.
        where: What Milvus is to look for besides; empty: nothing.
        rest: What is to be evaluated here.
        lists: How many lists the index for approximate search has; None: there is none.
    """

    first: int
    last: int
    where: str
    rest: Filter
    lists: int | None

    @property
    def limit(self) -> int:
        """How many hits of a search are taken at once; metadata come with them for ``rest``."""
        return BLOCK if self.rest else _LIMIT

    def as_expression(self) -> str:
        """All that Milvus is to look for."""
        orders = f"order >= {self.first} and order <= {self.last}"
        return f"{orders} and {self.where}" if self.where else orders

    def halves(self) -> tuple[Among, Among]:
        """The same of the lower orders, and of the higher."""
        middle = (self.first + self.last) // 2
        return replace(self, last=middle), replace(self, first=middle + 1)


class MilvusSearches:
    """The searches of one index."""

    def __init__(self, server: MilvusServer, bits: int) -> None:
        self._server = server
        self._bits = bits

    def nearest(
        self, codes: Sequence[bytes], topk: int, among: Among, *, roughly: bool
    ) -> list[list[Hit]]:
        """The ``topk`` nearest of each code; ``roughly``: as the lists give them."""
        found: dict[int, list[Hit]] = {}
        tied: defaultdict[int, list[int]] = defaultdict(list)
        limit = topk + _SPARE
        waiting, few = list(range(len(codes))), list[int]()
        while waiting and limit <= among.limit:
            asked = [codes[query] for query in waiting]
            for query, hits in zip(
                waiting, self._search(asked, limit, among, roughly=roughly), strict=True
            ):
                kept = self._kept(hits, among)
                if len(hits) < limit or (len(kept) >= topk and hits[-1][0] > kept[topk - 1][0]):
                    found[query] = kept[:topk]
                elif len(kept) >= topk:
                    tied[kept[topk - 1][0]].append(query)
                else:
                    few.append(query)
            waiting, few = few, []
            limit *= 4
        # Of those that are as far as the last, the earliest are wanted.
        for radius, queries in [*tied.items(), (self._bits, waiting)]:
            near = self.within([codes[query] for query in queries], radius, among, roughly=roughly)
            found |= {query: hits[:topk] for query, hits in zip(queries, near, strict=True)}
        few = [query for query in found if len(found[query]) < topk]
        if roughly and few and among.lists is not None:
            again = self.nearest([codes[query] for query in few], topk, among, roughly=False)
            found |= dict(zip(few, again, strict=True))
        return [found[query] for query in range(len(codes))]

    def within(
        self,
        codes: Sequence[bytes],
        radius: int,
        among: Among,
        *,
        roughly: bool,
        limit: int = _MANY,
    ) -> list[list[Hit]]:
        """All within a distance; where there are more than a search gives, half the orders each.

        ``limit`` of each code are asked for at first, before as many as a search gives.
        """
        limit = min(limit, among.limit)
        # With lists, Milvus's search by radius leaves some of them out, whatever nprobe says.
        asked = radius if among.lists is None else None
        answers = self._search(codes, limit, among, roughly=roughly, radius=asked)
        found: dict[int, list[Hit]] = {}
        for place, hits in enumerate(answers):
            if len(hits) < limit or hits[-1][0] > radius:
                found[place] = self._kept([hit for hit in hits if hit[0] <= radius], among)
        more = [place for place in range(len(codes)) if place not in found]
        if more:
            rest = [codes[place] for place in more]
            parts = [among] if limit < among.limit else among.halves()
            near = [
                self.within(rest, radius, part, roughly=roughly, limit=among.limit)
                for part in parts
            ]
            for place, *found_in in zip(more, *near, strict=True):
                found[place] = sorted(chain.from_iterable(found_in))
        return [found[place] for place in range(len(codes))]

    def _search(
        self,
        codes: Sequence[bytes],
        limit: int,
        among: Among,
        *,
        roughly: bool,
        radius: int | None = None,
    ) -> list[list[tuple[int, int, str]]]:
        params = {}
        if among.lists is not None:
            params["nprobe"] = max(1, among.lists // 8) if roughly else among.lists
        if radius is not None:
            params["radius"] = radius + 1  # Milvus finds what is nearer than that
        return [
            hits
            for part in blocks(codes, max(1, 4 * among.limit // limit))
            for hits in self._server.search(
                self._server.name,
                part,
                limit,
                among.as_expression(),
                params,
                metadata=bool(among.rest),
            )
        ]

    def _kept(self, hits: Sequence[tuple[int, int, str]], among: Among) -> list[Hit]:
        return sorted(
            (distance, order)
            for distance, order, text in hits
            if not among.rest or meets(among.rest, self._metadata(text))
        )

    def orders(self, among: Among) -> Iterator[list[int]]:
        """Orders of the items that meet the expression, ascending, a part at a time."""
        name, where = self._server.name, among.as_expression()
        count = among.last - among.first + 1
        if count > _LIMIT:
            count = int(self._server.query(name, where, ["count(*)"])[0]["count(*)"])
        if count > _LIMIT:
            for half in among.halves():
                yield from self.orders(half)
        elif count:
            yield sorted(int(row["order"]) for row in self._server.query(name, where, ["order"]))

    def rows(self, orders: Sequence[int]) -> dict[int, Held]:
        """What is kept of items, but for those that were taken out meanwhile."""
        found: dict[int, Held] = {}
        for part in blocks(orders, BLOCK):
            # A read that waited has seen them; what one that does not wait misses is waited for.
            for level in ("Eventually", "Strong"):
                if left := [order for order in part if order not in found]:
                    where = f"order in [{', '.join(map(str, left))}]"
                    fields = ["order", "code", "id", "metadata"]
                    for row in self._server.query(self._server.name, where, fields, level):
                        metadata = self._metadata(row["metadata"])
                        order = int(row["order"])
                        found[order] = (order, row["code"][0], json.loads(row["id"]), metadata)
        return dict(sorted(found.items()))

    def _metadata(self, text: str) -> dict[str, Any] | None:
        return from_document(text, self._server.uri) if text else None
