"""An index in PostgreSQL, with pgvector's ``bit`` type and its Hamming distance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from crosshash.codes import Packed
from crosshash.search.engine import Engine, Found, Items
from crosshash.search.ids import told_missing, told_twice
from crosshash.search.postgres_filters import as_sql
from crosshash.search.postgres_server import PostgresServer
from crosshash.search.postgres_statements import BLOCK, Statements
from crosshash.search.postgres_tables import (
    as_bits,
    build_hnsw,
    find_bits,
    has_hnsw,
    make_tables,
)
from crosshash.search.rows import Row, as_found, as_items, blocks
from crosshash.search.scalars import as_document, from_document, id_key

if TYPE_CHECKING:
    from crosshash.search.filters import Filter

# pgvector walks a graph with at most so many candidates in hand.
_CANDIDATES = 1000
_COLUMNS = 'i."order", c.code::text, i.id, i.metadata::text'
_JOINED = "{codes} c JOIN {items} i USING (code_id)"


class PostgresEngine(Engine):
    """Codes in three tables of a PostgreSQL database; see ``docs/engines.md``.

    ``NAME_codes`` has each code once, as ``bit(k)`` whose i-th bit is output i, ``NAME_items`` the
    items and ``NAME_info`` one row of the whole. A change is one transaction; writers wait for each
    other, and any number read meanwhile. What an item's metadata were is kept as JSON text, and
    beside it, for filters, ``jsonb`` of its texts, numbers and truth values. Threads may share an
    engine.

    Searches are exact, by comparing all codes, unless ``compact(kind="hnsw")`` made an index; then
    ``nearest`` is approximate, except with a filter, for more than 1,000 items, or where the index
    finds too few.
    """

    def __init__(self, server: PostgresServer, bits: int) -> None:
        self.bits = bits
        self.uri = server.uri
        self._server = server
        self._tables = Statements(server, bits)
        with server.transaction() as connection:
            self.exact = not has_hnsw(connection, server.table)

    @classmethod
    def open(cls, uri: str, bits: int | None = None, *, create: bool = False) -> PostgresEngine:
        """The index at ``uri``; with ``create`` it is made where there is none.

        Args:
            uri: ``postgresql://user:password@host:port/database?table=name``.
            bits: Code length k; None: that of the index that is there.
            create: Whether to make one; the extension ``vector`` too, if the user may.

        Raises:
            ModuleNotFoundError: The extra ``postgres`` is not installed.
            ConnectionError: The server is not there.
            FileNotFoundError: There is no such index.
            RuntimeError: The server has no pgvector of 0.7 or later, or holds no UTF-8.
            ValueError: It is no such URI, the tables are of another code length or not of this
                package, or the length of a new index is not told.
        """
        server = PostgresServer(uri)
        try:
            if create:
                make_tables(server, bits)
            return cls(server, find_bits(server, bits))
        except BaseException:
            server.close()
            raise

    def __repr__(self) -> str:
        return f"PostgresEngine({self.uri!r}, bits={self.bits})"

    def __len__(self) -> int:
        with self._server.transaction() as connection:
            return self._tables.held(connection)

    def known(self, ids: Sequence[str]) -> list[bool]:
        """Whether each id is there, by the digests of ids."""
        with self._server.transaction() as connection:
            there = self._tables.known(connection, ids)
        return [id_ in there for id_ in ids]

    def insert(
        self,
        codes: Packed,
        ids: Sequence[str],
        metadata: Sequence[dict[str, Any] | None] | None,
        *,
        replace: bool = False,
    ) -> None:
        """Append items, in one transaction; they are brought there a block at a time."""
        with self._server.transaction(write=True) as connection:
            held, first = self._tables.lock(connection)
            there = set() if replace else self._tables.known(connection, ids)
            if there:
                raise ValueError(told_twice(ids, there))
            self._tables.copy(connection, codes, ids, metadata, first)
            removed, touched = self._tables.remove(connection, ids) if replace else (0, [])
            self._tables.execute(
                connection,
                'INSERT INTO {codes} (code, first) SELECT code, min("order") FROM pg_temp.new '
                "GROUP BY code ORDER BY 2 ON CONFLICT (code) DO NOTHING",
            )
            self._tables.execute(
                connection,
                'INSERT INTO {items} ("order", id, code_id, metadata, filterable) SELECT n."order",'
                " n.id, c.code_id, n.metadata, n.filterable FROM pg_temp.new n "
                "JOIN {codes} c USING (code)",
            )
            self._tables.tidy(connection, touched)
            self._tables.execute(
                connection,
                "UPDATE {info} SET items = %s, next = %s",
                [held - removed + len(ids), first + len(ids)],
            )

    def delete(self, ids: Sequence[str]) -> None:
        """Take items out, all of them or, if any is not there, none (LookupError)."""
        gone = list(dict.fromkeys(ids))
        with self._server.transaction(write=True) as connection:
            held, _ = self._tables.lock(connection)
            there = self._tables.known(connection, gone)
            if missing := [id_ for id_ in gone if id_ not in there]:
                raise LookupError(told_missing(missing))
            removed, touched = self._tables.remove(connection, gone)
            self._tables.tidy(connection, touched)
            self._tables.execute(connection, "UPDATE {info} SET items = %s", [held - removed])

    def fetch(self, ids: Sequence[str]) -> Items:
        """Items by their ids, in the order asked; LookupError if any is not there."""
        found: dict[str, Row] = {}
        query = f"SELECT 0, {_COLUMNS} FROM {_JOINED} WHERE sha256(i.id) = ANY(%s)"
        with self._server.transaction() as connection:
            for part in blocks(ids, BLOCK):
                rows = self._tables.hits(connection, query, [[id_key(id_) for id_ in part]])
                found |= {row[3]: row for row in rows}
        if missing := list(dict.fromkeys(id_ for id_ in ids if id_ not in found)):
            raise LookupError(told_missing(missing))
        return as_items([found[id_] for id_ in ids], self.bits)

    def nearest(self, codes: Packed, topk: int, where: Filter | None = None) -> Found:
        """The ``topk`` nearest items of each code; see the class for what is exact."""
        with self._server.transaction() as connection:
            hits = [self._nearest(connection, code, topk, where) for code in as_bits(codes)]
        return as_found(hits, self.bits)

    def _nearest(
        self, connection: Any, code: str, topk: int, where: Filter | None
    ) -> Sequence[Row]:
        distance = f"(c.code <~> %s::bit({self.bits}))"
        if where is not None:
            met, values = as_sql(where)
            return self._tables.hits(
                connection,
                f"SELECT {distance}::int, {_COLUMNS} FROM {_JOINED} WHERE {met} "
                "ORDER BY 1, 2 LIMIT %s",
                [code, *values, topk],
            )
        # An item is among the nearest only if its code is, where codes of equal distance come by
        # their first items.
        query = (
            f"SELECT c.distance, {_COLUMNS} FROM (SELECT code_id, code, {distance}::int AS distance"
            " FROM {codes} c ORDER BY {by} LIMIT %s) c CROSS JOIN LATERAL (SELECT * FROM {items} "
            'WHERE code_id = c.code_id ORDER BY "order" LIMIT %s) i ORDER BY 1, 2 LIMIT %s'
        )
        if not self.exact and topk <= _CANDIDATES:
            candidates = min(_CANDIDATES, max(2 * topk, 40))
            connection.execute(f"SET LOCAL hnsw.ef_search = {int(candidates)}")
            by = query.replace("{by}", distance)
            rows = self._tables.hits(connection, by, [code, code, topk, topk, topk])
            # Rows that were deleted stay in the graph for a while, and take places.
            if len(rows) == topk or len(rows) == self._tables.held(connection):
                return rows
        by = query.replace("{by}", f"{distance} + 0, first")  # not what the index is over
        return self._tables.hits(connection, by, [code, code, topk, topk, topk])

    def within(self, codes: Packed, radius: int, where: Filter | None = None) -> Found:
        """All items within a distance, by comparing all codes."""
        met, values = as_sql(where)
        distance = f"(c.code <~> %s::bit({self.bits}))"
        query = (
            f"SELECT {distance}::int, {_COLUMNS} FROM {_JOINED} WHERE {distance} <= %s AND ({met}) "
            "ORDER BY 1, 2"
        )
        with self._server.transaction() as connection:
            hits = [
                self._tables.hits(connection, query, [code, code, radius, *values])
                for code in as_bits(codes)
            ]
        return as_found(hits, self.bits)

    def scan(self, where: Filter | None = None) -> Iterator[Items]:
        """All items as they were when it began, a block at a time, by a cursor of the server."""
        met, values = as_sql(where)
        query = f'SELECT 0, {_COLUMNS} FROM {_JOINED} WHERE {met} ORDER BY i."order"'
        with (
            self._server.transaction() as connection,
            connection.cursor(name="crosshash_scan") as cursor,
        ):
            cursor.execute(self._tables.named(query), values)
            while rows := cursor.fetchmany(BLOCK):
                yield as_items([self._tables.row(*row) for row in rows], self.bits)

    def read_info(self) -> dict[str, Any]:
        """What is remembered of the whole index."""
        with self._server.transaction() as connection:
            text = self._tables.rows(connection, "SELECT info::text FROM {info}")[0][0]
        return from_document(text, self.uri)

    def write_info(self, info: Mapping[str, Any]) -> None:
        """Replace what is remembered; ValueError for what is no JSON."""
        with self._server.transaction(write=True) as connection:
            self._tables.lock(connection)
            self._tables.execute(
                connection, "UPDATE {info} SET info = %s::json", [as_document(info)]
            )

    def compact(self, **options: Any) -> None:
        """Give back room, and make or drop the index for approximate search.

        Args:
            options: ``kind``: ``"hnsw"`` makes an HNSW index over the codes, ``"flat"`` drops it;
                without, all stays as it is. ``m`` and ``ef_construction`` of HNSW: how many
                neighbours a code has (16) and how many are looked at to find them (64).

        Raises:
            TypeError: There is no such option.
            ValueError: An option has no such value.
        """
        kind = options.pop("kind", None)
        if kind == "hnsw":
            sizes = {"m": options.pop("m", 16), "ef": options.pop("ef_construction", 64)}
        super().compact(**options)
        if kind not in (None, "flat", "hnsw"):
            raise ValueError(f'{self.uri}: kind is "flat" or "hnsw", got {kind!r}')
        if kind is not None:
            build_hnsw(self._server, sizes if kind == "hnsw" else None)
            self.exact = kind == "flat"
        with self._server.connection() as connection:
            self._tables.execute(connection, "VACUUM (ANALYZE) {codes}, {items}, {info}")

    def close(self) -> None:
        """End the connections."""
        self._server.close()
