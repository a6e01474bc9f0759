"""An index in Milvus, on its binary vectors and their Hamming distance."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from crosshash.codes import Packed
from crosshash.search.engine import Engine, Found, Items
from crosshash.search.filters import meets
from crosshash.search.ids import told_missing, told_twice
from crosshash.search.milvus_filters import TOKENS, as_expression
from crosshash.search.milvus_search import Among, Hit, MilvusSearches
from crosshash.search.milvus_server import BLOCK, MilvusServer
from crosshash.search.milvus_state import (
    CHARACTERS,
    Journal,
    find_collections,
    make_collections,
    make_index,
)
from crosshash.search.rows import Row, as_found, as_items, blocks
from crosshash.search.scalars import as_document, id_key
from crosshash.search.tokens import as_tokens

if TYPE_CHECKING:
    from crosshash.search.filters import Filter


_SEARCHES = 5  # before hits that are taken out each time are left out


class MilvusEngine(Engine):
    """Codes in a collection of a Milvus server; see ``docs/engines.md``.

    The collection ``NAME`` has one row per item: its number in order of insertion, which is the
    primary key, its id, its packed code as the binary vector, its metadata as JSON text, and
    digests by which they are filtered. Milvus keeps no lists of what belongs to a code, so that a
    code stands in each of its items; the same codes are found together, as they are in the same
    list. ``NAME_state`` tells which items are part of the index.

    Milvus has no transactions. A change holds by one row that is written last, so that killed at
    any time it is whole or not there, and nothing that returned is lost (``milvus_state.Journal``).
    There is one writer at a time, whose threads may share an engine; a second one is told so where
    it is noticed. Others may read meanwhile; a search that found what was then taken out, before
    its id was read, is made again.

    Searches are exact unless ``compact(kind="ivf")`` made an index; then ``nearest`` without a
    filter looks at an eighth of the lists.
    """

    def __init__(self, server: MilvusServer, bits: int) -> None:
        self.bits = bits
        self.uri = server.uri
        self._server = server
        self._journal = Journal(server)
        self._writing = threading.Lock()
        self._searches = MilvusSearches(server, bits)
        self.exact = self._journal.read().lists is None

    @classmethod
    def open(cls, uri: str, bits: int | None = None, *, create: bool = False) -> MilvusEngine:
        """The index at ``uri``; with ``create`` it is made where there is none.

        Args:
            uri: ``milvus://host:port/collection``.
            bits: Code length k; None: that of the index that is there.
            create: Whether to make one.

        Raises:
            ModuleNotFoundError: The extra ``milvus`` is not installed.
            ConnectionError: The server is not there.
            FileNotFoundError: There is no such index.
            ValueError: It is no such URI, the collections are of another code length or not of this
                package, or the length of a new index is not told.
        """
        server = MilvusServer(uri)
        try:
            if create:
                make_collections(server, bits)
            return cls(server, find_collections(server, bits))
        except BaseException:
            server.close()
            raise

    def __repr__(self) -> str:
        return f"MilvusEngine({self.uri!r}, bits={self.bits})"

    def __len__(self) -> int:
        return self._journal.read().items

    def known(self, ids: Sequence[str]) -> list[bool]:
        """Whether each id is there, by the digests of ids."""
        there = self._known(ids, self._journal.read().committed)
        return [id_ in there for id_ in ids]

    def insert(
        self,
        codes: Packed,
        ids: Sequence[str],
        metadata: Sequence[dict[str, Any] | None] | None,
        *,
        replace: bool = False,
    ) -> None:
        """Append items; refused if an id or metadata are longer than Milvus keeps (ValueError)."""
        for row, id_ in enumerate(ids):
            self._check(row, id_, None if metadata is None else metadata[row])
        with self._writing:
            state = self._journal.prepare()
            there = self._known(ids, state.committed)
            if there and not replace:
                raise ValueError(told_twice(ids, there))
            self._journal.check(state)
            rows = self._as_rows(codes, ids, metadata, state.committed + 1)
            self._server.insert(self._server.name, rows)
            after = state.grown(len(ids), len(ids) - len(there))
            self._journal.commit(state, after, sorted(there.values()))

    def delete(self, ids: Sequence[str]) -> None:
        """Take items out, all of them or, if any is not there, none (LookupError)."""
        gone = list(dict.fromkeys(ids))
        with self._writing:
            state = self._journal.prepare()
            there = self._known(gone, state.committed)
            if missing := [id_ for id_ in gone if id_ not in there]:
                raise LookupError(told_missing(missing))
            after = replace(state, items=state.items - len(gone))
            self._journal.commit(state, after, sorted(there.values()))

    def fetch(self, ids: Sequence[str]) -> Items:
        """Items by their ids, in the order asked; LookupError if any is not there."""
        there = self._known(ids, self._journal.read().committed)
        if missing := list(dict.fromkeys(id_ for id_ in ids if id_ not in there)):
            raise LookupError(told_missing(missing))
        rows = self._searches.rows([there[id_] for id_ in ids])
        return as_items([(0, *rows[there[id_]]) for id_ in ids], self.bits)

    def nearest(self, codes: Packed, topk: int, where: Filter | None = None) -> Found:
        """The ``topk`` nearest items of each code; see the class for what is exact."""
        wanted = [code.tobytes() for code in codes]

        def search(among: Among) -> list[list[Hit]]:
            return self._searches.nearest(wanted, topk, among, roughly=where is None)

        return self._found(search, where)

    def within(self, codes: Packed, radius: int, where: Filter | None = None) -> Found:
        """All items within a distance, by comparing all codes, whatever index there is."""
        wanted = [code.tobytes() for code in codes]

        def search(among: Among) -> list[list[Hit]]:
            return self._searches.within(wanted, radius, among, roughly=False)

        return self._found(search, where)

    def scan(self, where: Filter | None = None) -> Iterator[Items]:
        """All items, a block at a time; those added after it began are not among them."""
        among = self._among(where)
        for orders in self._searches.orders(among):
            for part in blocks(orders, BLOCK):
                rows = self._searches.rows(part).values()
                met = [(0, *row) for row in rows if not among.rest or meets(among.rest, row[3])]
                if met:
                    yield as_items(met, self.bits)

    def read_info(self) -> dict[str, Any]:
        """What is remembered of the whole index."""
        return self._journal.read().info

    def write_info(self, info: Mapping[str, Any]) -> None:
        """Replace what is remembered; ValueError over Milvus's 65,535 bytes of JSON."""
        with self._writing:
            self._change(info=dict(info))

    def compact(self, **options: Any) -> None:
        """Give back room, and make or drop the index for approximate search.

        With a ``kind`` the collection is out of memory meanwhile, and no one can search it.

        Args:
            options: ``kind``: ``"ivf"`` makes an index of ``nlist`` lists of near codes (128),
                ``"flat"`` drops it; without, all stays as it is.

        Raises:
            TypeError: There is no such option.
            ValueError: An option has no such value.
        """
        kind = options.pop("kind", None)
        lists = options.pop("nlist", 128) if kind == "ivf" else None
        super().compact(**options)
        if kind not in (None, "flat", "ivf"):
            raise ValueError(f'{self.uri}: kind is "flat" or "ivf", got {kind!r}')
        if lists is not None and (type(lists) is not int or not 1 <= lists <= 65536):
            raise ValueError(f"{self.uri}: nlist is a number from 1 to 65536, got {lists!r}")
        with self._writing:
            self._server.compact(self._server.name)
            if kind is None:
                return
            # Known before it is there, so that no one takes it for exact meanwhile.
            if lists is not None:
                self._change(lists=lists)
            self._server.release(self._server.name, "code")
            make_index(self._server, self._server.name, "code", lists)
            self._server.load(self._server.name)
            if lists is None:
                self._change(lists=None)
            self.exact = lists is None

    def close(self) -> None:
        """End the connection."""
        self._server.close()

    def _change(self, **what: Any) -> None:
        state = self._journal.prepare()
        self._journal.commit(state, replace(state, **what), [])

    def _check(self, row: int, id_: str, metadata: dict[str, Any] | None) -> None:
        held = {
            "id": json.dumps(id_),
            "metadata": "" if metadata is None else as_document(metadata),
        }
        for what, text in held.items():
            if len(text) > CHARACTERS:
                raise ValueError(
                    f"{self.uri}: the {what} at row {row} takes {len(text):,} bytes as JSON, "
                    f"Milvus keeps {CHARACTERS:,}"
                )
        if (told := len(as_tokens(metadata))) > TOKENS:
            raise ValueError(
                f"{self.uri}: the metadata at row {row} have {told:,} names and values, Milvus "
                f"keeps {TOKENS:,} to filter by"
            )

    def _as_rows(
        self,
        codes: Packed,
        ids: Sequence[str],
        metadata: Sequence[dict[str, Any] | None] | None,
        first: int,
    ) -> Iterator[dict[str, Any]]:
        for row, id_ in enumerate(ids):
            held = None if metadata is None else metadata[row]
            yield {
                "order": first + row,
                "key": id_key(id_).hex(),
                "id": json.dumps(id_),
                "code": codes[row].tobytes(),
                "metadata": "" if held is None else as_document(held),
                "tokens": as_tokens(held),
            }

    def _known(self, ids: Sequence[str], committed: int) -> dict[str, int]:
        """Those ids that are there, with their orders."""
        found: dict[str, int] = {}
        for part in blocks(ids, BLOCK):
            keys = ", ".join(f'"{id_key(id_).hex()}"' for id_ in part)
            expression = f"order <= {committed} and key in [{keys}]"
            rows = self._server.query(self._server.name, expression, ["order", "id"])
            found |= {json.loads(row["id"]): int(row["order"]) for row in rows}
        return found

    def _among(self, where: Filter | None) -> Among:
        """What a search is to look at, as it is now."""
        state = self._journal.read()
        self.exact = state.lists is None
        return Among(0, state.committed, *as_expression(where), state.lists)

    def _found(self, search: Callable[[Among], list[list[Hit]]], where: Filter | None) -> Found:
        for _ in range(_SEARCHES):
            hits = search(self._among(where))
            orders = {order for found in hits for _, order in found}
            held = self._searches.rows(list(orders))
            if len(held) == len(orders):
                break
        rows: list[list[Row]] = [
            [(distance, *held[order]) for distance, order in found if order in held]
            for found in hits
        ]
        return as_found(rows, self.bits)
