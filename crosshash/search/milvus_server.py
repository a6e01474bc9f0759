"""A Milvus server: where it is, a connection to it, and what its errors mean."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

_FORM = "milvus://user:password@host:port/collection"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}", re.ASCII)
_PORT = 19530
_CONNECT_SECONDS = 10
_SECONDS = 60  # without a time, pymilvus tries again for minutes
_BUILD_SECONDS = 3600
# Rows of a list of numbers in an expression; bytes in a request, of which a proxy takes 64 MiB.
BLOCK = 1024
_REQUEST_BYTES = 8 << 20


class MilvusServer:
    """A connection of its own to a Milvus server, which threads may share.

    A read waits until it sees all that was written before (consistency level ``Strong``), unless it
    is told not to.

    Args:
        uri: ``milvus://host:port/collection``, with ``user:password@`` where the server asks.

    Attributes:
        uri: The same without the password.
        name: The collection's name.
        collections: By name, those that :meth:`attach` found or made.

    Raises:
        ValueError: It is no such URI.
        ModuleNotFoundError: The extra ``milvus`` is not installed.
        ConnectionError: The server is not there.
    """

    def __init__(self, uri: str) -> None:
        parts = urlsplit(uri)
        user, _, password = parts.netloc.rpartition("@")[0].partition(":")
        path = parts.path.strip("/")
        host = parts.netloc.rpartition("@")[2]
        clean = (
            parts.scheme == "milvus" and not parts.query and not parts.fragment and "@" not in path
        )
        if not clean or not _NAME.fullmatch(path) or not re.fullmatch(r"[^:]+(:\d{1,5})?", host):
            raise ValueError(
                f"a Milvus index is {_FORM}, where a collection is named by letters, digits and "
                "'_', and '/', '?', '#' and '@' of a password are written %2F, %3F, %23 and %40; "
                f"got the scheme {parts.scheme!r}"
            )
        self.name = path
        self.uri = f"milvus://{user}{'@' if user else ''}{host}/{path}"
        try:
            import pymilvus
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"{self.uri}: Milvus needs pymilvus: pip install 'crosshash[milvus]' ({error})",
                name=error.name,
            ) from error
        self.pymilvus: Any = pymilvus
        self._secret = unquote(password)
        self._alias = f"crosshash-{uuid.uuid4().hex}"
        self.collections: dict[str, Any] = {}
        name, _, port = host.partition(":")
        options = {"user": unquote(user), "password": self._secret} if user else {}
        with self.told(connecting=True):
            pymilvus.connections.connect(
                self._alias, host=name, port=port or _PORT, timeout=_CONNECT_SECONDS, **options
            )

    def __repr__(self) -> str:
        return f"MilvusServer({self.uri!r})"

    def attach(self, name: str) -> Any:
        """The collection of a name, None where there is none."""
        with self.told():
            if not self.pymilvus.utility.has_collection(name, using=self._alias, timeout=_SECONDS):
                return None
            self.collections[name] = self.pymilvus.Collection(name, using=self._alias)
        return self.collections[name]

    def make(self, name: str, fields: Sequence[Any], description: str) -> None:
        """Make a collection, of one shard, so that what is written in order is seen in order."""
        schema = self.pymilvus.CollectionSchema(fields, description=description)
        with self.told():
            self.collections[name] = self.pymilvus.Collection(
                name, schema, using=self._alias, num_shards=1, consistency_level="Strong"
            )

    def index(self, name: str, field: str, params: Mapping[str, Any] | None) -> None:
        """Make the index of a field and wait for it."""
        with self.told():
            self.collections[name].create_index(
                field, params, index_name=field, timeout=_BUILD_SECONDS
            )

    def load(self, *names: str) -> None:
        """Have the collections' rows in memory, where they are searched."""
        with self.told():
            for name in names:
                self.collections[name].load(_async=True, timeout=_SECONDS)
            for name in names:
                self.pymilvus.utility.wait_for_loading_complete(
                    name, timeout=_BUILD_SECONDS, using=self._alias
                )

    def release(self, name: str, field: str) -> None:
        """Take the rows out of memory, and drop a field's index."""
        with self.told():
            self.collections[name].release(timeout=_SECONDS)
            self.collections[name].drop_index(index_name=field, timeout=_SECONDS)

    def compact(self, name: str) -> None:
        """Write out what is in memory and merge what it is written in."""
        with self.told():
            collection = self.collections[name]
            collection.flush(timeout=_BUILD_SECONDS)
            collection.compact(timeout=_SECONDS)
            collection.wait_for_compaction_completed(timeout=_BUILD_SECONDS)

    def query(
        self, name: str, expression: str, fields: Sequence[str], level: str = "Strong"
    ) -> list[dict[str, Any]]:
        """The rows that meet an expression."""
        with self.told():
            return list(
                self.collections[name].query(
                    expression, list(fields), timeout=_SECONDS, consistency_level=level
                )
            )

    def search(
        self,
        name: str,
        codes: Sequence[bytes],
        limit: int,
        expression: str,
        params: Mapping[str, int],
        *,
        metadata: bool,
    ) -> list[list[tuple[int, int, str]]]:
        """Distance, order and, if asked for, metadata of the nearest of each code, those first."""
        fields = ["metadata"] if metadata else []
        with self.told():
            found = self.collections[name].search(
                list(codes),
                "code",
                {"metric_type": "HAMMING", "params": dict(params)},
                limit,
                expression,
                output_fields=fields,
                timeout=_SECONDS,
                consistency_level="Strong",
            )
            return [
                [
                    (round(hit.distance), hit.id, hit.entity.get("metadata") if fields else "")
                    for hit in hits
                ]
                for hits in found
            ]

    def insert(self, name: str, rows: Iterator[dict[str, Any]]) -> None:
        """Append rows, in requests of bounded size."""
        part: list[dict[str, Any]] = []
        size = 0
        for row in rows:
            part.append(row)
            size += sum(_size(value) for value in row.values())
            if size > _REQUEST_BYTES or len(part) >= 16 * BLOCK:
                self._insert(name, part)
                part, size = [], 0
        self._insert(name, part)

    def _insert(self, name: str, rows: list[dict[str, Any]]) -> None:
        if rows:
            with self.told():
                self.collections[name].insert(rows, timeout=_SECONDS)

    def delete(self, name: str, field: str, numbers: Sequence[int]) -> None:
        """Take out the rows of these primary keys; those that are not there are none."""
        with self.told():
            for start in range(0, len(numbers), BLOCK):
                part = ", ".join(map(str, numbers[start : start + BLOCK]))
                self.collections[name].delete(f"{field} in [{part}]", timeout=_SECONDS)

    def close(self) -> None:
        """End the connection."""
        self.pymilvus.connections.remove_connection(self._alias)

    @contextmanager
    def told(self, *, connecting: bool = False) -> Iterator[None]:
        """Errors of pymilvus as built-in ones, without the password.

        Raises:
            ConnectionError: The server is not there, or no longer.
            TimeoutError: It did not answer in time.
            RuntimeError: Anything else of which it complains.
        """
        import grpc

        try:
            yield
        except grpc.RpcError as error:
            raise self._as_builtin(error, connecting, error.code().name) from None
        except self.pymilvus.MilvusException as error:
            raise self._as_builtin(error, connecting, str(error)) from None

    def _as_builtin(self, error: Exception, connecting: bool, said: str) -> Exception:
        text = " ".join(str(error).split())[:500]
        text = text.replace(self._secret, "***") if self._secret else text
        lower = said.lower().replace("_", " ")
        if connecting or "unavailable" in lower or "connect" in lower:
            return ConnectionError(
                f"{self.uri}: no connection to the server ({text}); is it running, and are host, "
                "port, user and password right?"
            )
        if "deadline" in lower or "timeout" in lower:
            return TimeoutError(f"{self.uri}: no answer within {_SECONDS} seconds ({text})")
        return RuntimeError(f"{self.uri}: {text}")


def _size(value: Any) -> int:
    if isinstance(value, (str, bytes)):
        return len(value)
    return 8 if isinstance(value, int) else sum(map(len, value))
