"""The tables of an index in PostgreSQL: made, recognised, and bits as they are written there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from crosshash.codes import Packed, check_bits
from crosshash.search.postgres_server import PostgresServer

_FORMAT = 1
_OLDEST = (0, 7)
_COLUMNS = {
    ("codes", "code_id"): "bigint",
    ("codes", "first"): "bigint",  # the least order of its items
    ("items", "order"): "bigint",
    ("items", "id"): "bytea",  # UTF-8, also of what is no text to PostgreSQL
    ("items", "code_id"): "bigint",
    ("items", "metadata"): "json",  # as it was given
    ("items", "filterable"): "jsonb",  # scalars.as_filterable
    ("info", "format"): "integer",
    ("info", "info"): "json",
    ("info", "items"): "bigint",
    ("info", "next"): "bigint",
}
_MAKE = """
CREATE TABLE "{table}_codes" (
    code_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code bit({bits}) NOT NULL UNIQUE,
    first bigint NOT NULL
);
CREATE TABLE "{table}_items" (
    "order" bigint PRIMARY KEY,
    id bytea NOT NULL,
    code_id bigint NOT NULL REFERENCES "{table}_codes",
    metadata json,
    filterable jsonb
);
CREATE UNIQUE INDEX ON "{table}_items" (sha256(id));
CREATE INDEX ON "{table}_items" (code_id, "order");
CREATE TABLE "{table}_info" (
    format integer NOT NULL, info json NOT NULL, items bigint NOT NULL, next bigint NOT NULL
);
INSERT INTO "{table}_info" VALUES ({format}, '{{}}', 0, 0);
"""


def make_tables(server: PostgresServer, bits: int | None) -> None:
    """Make the tables where there are none of these names.

    Raises:
        ValueError: There are none, and ``bits`` is None or no code length.
        RuntimeError: The server cannot have them.
    """
    with server.transaction(write=True) as connection:
        # Two that make the same tables at once would meet in PostgreSQL's own.
        connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [server.table])
        if _found(connection, server.table):
            return
        if bits is None:
            raise ValueError(f"{server.uri}: there is no index yet; to make one, tell its bits")
        _check_server(server, connection, create=True)
        connection.execute(_MAKE.format(table=server.table, bits=check_bits(bits), format=_FORMAT))


def find_bits(server: PostgresServer, bits: int | None) -> int:
    """The code length of the index that is there.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is of another length than ``bits``, of a later format, or not ours.
        RuntimeError: The server has no pgvector that serves.
    """
    with server.transaction() as connection:
        found = _found(connection, server.table)
        if not found:
            raise FileNotFoundError(
                f"{server.uri}: there is no index of that name; make one with create=True, or name "
                "another by ?table="
            )
        length = re.fullmatch(r"bit\((\d+)\)", found.pop(("codes", "code"), ""))
        if found != _COLUMNS or length is None or int(length[1]) % 8:
            raise ValueError(
                f"{server.uri}: the tables {server.table}_codes, _items and _info are not an index "
                "of this package; name another by ?table="
            )
        _check_server(server, connection, create=False)
        rows = connection.execute(f'SELECT format FROM "{server.table}_info"').fetchall()
    if len(rows) != 1 or rows[0][0] > _FORMAT:
        raise ValueError(
            f"{server.uri}: written by a later version (format {[row[0] for row in rows]}, known "
            f"is {_FORMAT}); update crosshash"
        )
    if bits not in (None, int(length[1])):
        raise ValueError(
            f"{server.uri}: the index is of {length[1]} bits, asked for were {bits}; name another "
            "by ?table="
        )
    return int(length[1])


def has_hnsw(connection: Any, table: str) -> bool:
    """Whether the codes have an HNSW index."""
    query = (
        "SELECT 1 FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_am a "
        "ON a.oid = c.relam WHERE x.indrelid = to_regclass(%s) AND x.indisvalid "
        "AND a.amname = 'hnsw'"
    )
    return bool(connection.execute(query, [f'"{table}_codes"']).fetchall())


def build_hnsw(server: PostgresServer, sizes: Mapping[str, Any] | None) -> None:
    """Make the HNSW index anew with ``m`` and ``ef``; None: drop it.

    Raises:
        ValueError: pgvector takes no such sizes.
    """
    if sizes is not None:
        m, ef = sizes["m"], sizes["ef"]
        whole = type(m) is int and type(ef) is int
        if not whole or not 2 <= m <= 100 or not 2 * m <= ef <= 1000:
            raise ValueError(
                f"{server.uri}: m is a number from 2 to 100 and ef_construction one from 2 * m to "
                f"1000, got {m!r} and {ef!r}"
            )
    with server.transaction(write=True) as connection:
        connection.execute(f'SELECT FROM "{server.table}_info" FOR UPDATE')
        connection.execute(f'DROP INDEX IF EXISTS "{server.table}_hnsw"')
        if sizes is not None:
            connection.execute(
                f'CREATE INDEX "{server.table}_hnsw" ON "{server.table}_codes" '
                f"USING hnsw (code bit_hamming_ops) WITH (m = {m}, ef_construction = {ef})"
            )


def as_bits(codes: Packed) -> list[str]:
    """Packed codes as PostgreSQL writes them, the first output first, b_0 b_1 b_2."""
    digits = np.unpackbits(codes, axis=1, bitorder="little") + ord("0")
    return [row.tobytes().decode("ascii") for row in digits]


def from_bits(text: str) -> bytes:
    """The bytes of one packed code."""
    digits = np.frombuffer(text.encode("ascii"), dtype=np.uint8) - ord("0")
    return np.packbits(digits, bitorder="little").tobytes()


def _found(connection: Any, table: str) -> dict[tuple[str, str], str]:
    """Types of the columns of those of the tables that are there."""
    query = (
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a "
        "WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped"
    )
    return {
        (part, name): kind
        for part in ("codes", "items", "info")
        for name, kind in connection.execute(query, [f'"{table}_{part}"']).fetchall()
    }


def _check_server(server: PostgresServer, connection: Any, *, create: bool) -> None:
    encoding = connection.execute("SHOW server_encoding").fetchone()[0]
    if encoding != "UTF8":
        raise RuntimeError(
            f"{server.uri}: the database holds {encoding}, not every text; use one that was made "
            "with ENCODING 'UTF8'"
        )
    query = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
    row = connection.execute(query).fetchone()
    if row is None and create:
        row = _make_extension(server, connection, query)
    if row is None:
        raise RuntimeError(
            f"{server.uri}: the database has no extension vector (pgvector); have an administrator "
            "of it run CREATE EXTENSION vector"
        )
    if tuple(map(int, re.findall(r"\d+", row[0])[:2])) < _OLDEST:
        raise RuntimeError(
            f"{server.uri}: pgvector {row[0]} does not compare bits, 0.7 and later do; update it "
            "on the server, then run ALTER EXTENSION vector UPDATE"
        )


def _make_extension(server: PostgresServer, connection: Any, query: str) -> Any:
    available = "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'"
    if connection.execute(available).fetchone() is None:
        raise RuntimeError(
            f"{server.uri}: pgvector is not installed on the server; install 0.7 or later there "
            "(on Debian, postgresql-NN-pgvector)"
        )
    may = "SELECT has_database_privilege(current_database(), 'CREATE')"
    if not connection.execute(may).fetchone()[0]:
        return None
    connection.execute("CREATE EXTENSION vector")
    return connection.execute(query).fetchone()
