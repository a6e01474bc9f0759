"""What is done to the tables of an index in PostgreSQL inside of a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crosshash.codes import Packed
from crosshash.search.postgres_server import PostgresServer
from crosshash.search.postgres_tables import as_bits, from_bits
from crosshash.search.rows import Row, blocks
from crosshash.search.scalars import (
    as_document,
    as_filterable,
    from_document,
    id_bytes,
    id_key,
    id_text,
)

BLOCK = 4096  # items or ids that are sent or taken at once


class Statements:
    """Statements on the tables of one index, each given the connection of a transaction."""

    def __init__(self, server: PostgresServer, bits: int) -> None:
        self._uri = server.uri
        self._bits = bits
        self._names = {part: f'"{server.table}_{part}"' for part in ("codes", "items", "info")}

    def lock(self, connection: Any) -> tuple[int, int]:
        """Wait until no other writes; the number of items, and the next one's order."""
        ((held, first),) = self.rows(connection, "SELECT items, next FROM {info} FOR UPDATE")
        return held, first

    def held(self, connection: Any) -> int:
        """The number of items."""
        return int(self.rows(connection, "SELECT items FROM {info}")[0][0])

    def copy(
        self,
        connection: Any,
        codes: Packed,
        ids: Sequence[str],
        metadata: Sequence[dict[str, Any] | None] | None,
        first: int,
    ) -> None:
        """Bring items into a table of this transaction's own, a block at a time."""
        connection.execute(
            f'CREATE TEMPORARY TABLE new ("order" bigint, id bytea, code bit({self._bits}), '
            "metadata json, filterable jsonb) ON COMMIT DROP"
        )
        with connection.cursor().copy("COPY pg_temp.new FROM STDIN") as copy:
            for rows in blocks(range(len(ids)), BLOCK):
                bits = as_bits(codes[rows[0] : rows[-1] + 1])
                for row, code in zip(rows, bits, strict=True):
                    held = None if metadata is None else metadata[row]
                    texts = (
                        (None,) * 2 if held is None else (as_document(held), as_filterable(held))
                    )
                    copy.write_row((first + row, id_bytes(ids[row]), code, *texts))

    def known(self, connection: Any, ids: Sequence[str]) -> set[str]:
        """Those of the ids that are there."""
        found: set[str] = set()
        for part in blocks(ids, BLOCK):
            keys = [id_key(id_) for id_ in part]
            query = "SELECT id FROM {items} WHERE sha256(id) = ANY(%s)"
            found |= {id_text(held) for (held,) in self.rows(connection, query, [keys])}
        return found

    def remove(self, connection: Any, ids: Sequence[str]) -> tuple[int, list[int]]:
        """Take out the items that are there: how many, and the codes that they had."""
        touched: list[int] = []
        for part in blocks(ids, BLOCK):
            query = "DELETE FROM {items} WHERE sha256(id) = ANY(%s) RETURNING code_id"
            rows = self.rows(connection, query, [[id_key(id_) for id_ in part]])
            touched += [code_id for (code_id,) in rows]
        return len(touched), list(set(touched))

    def tidy(self, connection: Any, touched: Sequence[int]) -> None:
        """Take out codes without items, and find the first items of the others."""
        for part in blocks(touched, BLOCK):
            self.execute(
                connection,
                "DELETE FROM {codes} c WHERE code_id = ANY(%s) AND NOT EXISTS "
                "(SELECT FROM {items} i WHERE i.code_id = c.code_id)",
                [part],
            )
            self.execute(
                connection,
                'UPDATE {codes} c SET first = i.first FROM (SELECT code_id, min("order") AS first'
                " FROM {items} WHERE code_id = ANY(%s) GROUP BY code_id) i "
                "WHERE c.code_id = i.code_id AND c.first <> i.first",
                [part],
            )

    def hits(self, connection: Any, query: str, values: Sequence[Any]) -> list[Row]:
        """The rows of a query of distance, order, code, id and metadata."""
        return [self.row(*row) for row in self.rows(connection, query, values)]

    def row(self, distance: int, order: int, code: str, id_: bytes, metadata: str | None) -> Row:
        """Such a row, as PostgreSQL gives it."""
        held = None if metadata is None else from_document(metadata, self._uri)
        return distance, order, from_bits(code), id_text(id_), held

    def rows(self, connection: Any, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """All rows of a query."""
        rows: list[Any] = self.execute(connection, query, values).fetchall()
        return rows

    def execute(self, connection: Any, query: str, values: Sequence[Any] = ()) -> Any:
        """Run a statement in which tables are named ``{codes}``, ``{items}`` and ``{info}``."""
        return connection.execute(self.named(query), values)

    def named(self, query: str) -> str:
        """A statement with the tables' names; nothing else comes into it from outside."""
        for part, name in self._names.items():
            query = query.replace(f"{{{part}}}", name)
        return query
