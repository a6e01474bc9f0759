"""A PostgreSQL server: where it is, connections to it, and what its errors mean."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

_FORM = "postgresql://user:password@host:port/database?table=name"
_TABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,49}", re.ASCII)
# How long to wait: for a connection, for another writer, for a server that no longer answers.
_CONNECT_SECONDS = 10
_LOCK_SECONDS = 60
_SILENT_MILLISECONDS = 30_000
_KEPT = 4  # idle connections


class PostgresServer:
    """Connections to one database, each used by one thread at a time, opened anew where broken.

    Args:
        uri: ``postgresql://user:password@host:port/database?table=name``. What else libpq takes
            after the ``?``, such as ``sslmode=require``, is handed on to it.

    Attributes:
        uri: The same without passwords.
        table: The beginning of the tables' names; ``crosshash`` where none is given.

    Raises:
        ValueError: It is no such URI.
        ModuleNotFoundError: The extra ``postgres`` is not installed.
    """

    def __init__(self, uri: str) -> None:
        self.uri, self.table, self._conninfo, self._secrets = _read(uri)
        try:
            import psycopg
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"{self.uri}: PostgreSQL needs psycopg: pip install 'crosshash[postgres]'",
                name="psycopg",
            ) from error
        self._psycopg: Any = psycopg
        self._idle: list[Any] = []
        self._inherited: list[Any] = []
        self._process = os.getpid()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"PostgresServer({self.uri!r})"

    @contextmanager
    def transaction(self, *, write: bool = False) -> Iterator[Any]:
        """A connection inside of a transaction, which is rolled back on any error.

        One that reads sees the same state from its beginning to its end. One that writes is to
        lock first what it changes, and then sees what was written before.

        Raises:
            ConnectionError: The server is not there, or no longer.
            TimeoutError: Another has been writing for a minute, or the server's own limit ended it.
            PermissionError: The user may not.
            RuntimeError: Anything else of which the server complains.
        """
        with self.connection() as connection, connection.transaction():
            kind = "READ COMMITTED, READ WRITE" if write else "REPEATABLE READ, READ ONLY"
            connection.execute(f"SET TRANSACTION ISOLATION LEVEL {kind}")
            if write:
                connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'")
            yield connection

    @contextmanager
    def connection(self) -> Iterator[Any]:
        """A connection of which each statement stands alone; errors as :meth:`transaction`."""
        connection = self._take()
        try:
            with self._told():
                yield connection
        finally:
            self._give(connection)

    def close(self) -> None:
        """End the idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> Any:
        while True:
            with self._lock:
                if self._process != os.getpid():
                    # Forked: the parent's connections are not to be used, nor ended, from here.
                    self._inherited += self._idle
                    self._idle, self._process = [], os.getpid()
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return self._connect()
            try:
                connection.execute("SELECT 1")
            except self._psycopg.Error:  # the server was restarted
                connection.close()
            else:
                return connection

    def _give(self, connection: Any) -> None:
        waiting = connection.info.transaction_status == self._psycopg.pq.TransactionStatus.IDLE
        with self._lock:
            if waiting and self._process == os.getpid() and len(self._idle) < _KEPT:
                self._idle.append(connection)
                return
        connection.close()

    def _connect(self) -> Any:
        with self._told(connecting=True):
            # Statements are not prepared, since poolers between do not know them.
            return self._psycopg.connect(self._conninfo, autocommit=True, prepare_threshold=None)

    @contextmanager
    def _told(self, *, connecting: bool = False) -> Iterator[None]:
        errors = self._psycopg.errors
        try:
            yield
        except errors.LockNotAvailable:
            raise TimeoutError(
                f"{self.uri}: another has been writing for {_LOCK_SECONDS} seconds; nothing was "
                "changed, try again when it is done"
            ) from None
        except errors.QueryCanceled as error:
            raise TimeoutError(f"{self.uri}: the server ended it ({self._said(error)})") from None
        except errors.InsufficientPrivilege as error:
            raise PermissionError(f"{self.uri}: {self._said(error)}") from None
        except self._psycopg.Error as error:
            state = error.sqlstate or "08"
            if connecting or state.startswith(("08", "57P")):
                raise ConnectionError(
                    f"{self.uri}: no connection to the server ({self._said(error)}); is it "
                    "running, and are host, port, user, password and database right?"
                ) from None
            raise RuntimeError(f"{self.uri}: {self._said(error)}") from error

    def _said(self, error: Exception) -> str:
        text = " ".join(str(error).split())
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def _read(uri: str) -> tuple[str, str, str, list[str]]:
    """URI without passwords, table, what libpq is given, and passwords."""
    parts = urlsplit(uri)
    if parts.scheme not in ("postgresql", "postgres"):
        raise ValueError(f"a PostgreSQL index is {_FORM}, got the scheme {parts.scheme!r}")
    lost = "@" not in parts.netloc and "@" in parts.path + parts.query
    if parts.fragment or lost or re.search("%(?![0-9A-Fa-f]{2})", uri):
        raise ValueError(
            f"a PostgreSQL index is {_FORM}, where '/', '?', '#', '@' and '%' of a password are "
            "written %2F, %3F, %23, %40 and %25"
        )
    who, at, hosts = parts.netloc.rpartition("@")
    user, _, password = who.partition(":")
    asked = dict(parse_qsl(parts.query, keep_blank_values=True))
    table = asked.pop("table", "crosshash")
    if not _TABLE.fullmatch(table):
        raise ValueError(
            f"table is a name of letters, digits and '_', at most 50, got {table!r}; write {_FORM}"
        )
    shown = {key: value for key, value in asked.items() if "password" not in key}
    secrets = [unquote(password)] + [asked[key] for key in asked if key not in shown]
    defaults = {
        "connect_timeout": str(_CONNECT_SECONDS),
        "tcp_user_timeout": str(_SILENT_MILLISECONDS),
        "application_name": "crosshash",
    }
    told = parts._replace(netloc=user + at + hosts, query=urlencode({**shown, "table": table}))
    query = urlencode({**defaults, **asked}).replace("+", "%20")
    conninfo = parts._replace(query=query).geturl()
    return told.geturl(), table, conninfo, [secret for secret in secrets if secret]
