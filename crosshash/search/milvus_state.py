"""The collections of an index in Milvus, and how a change of many rows is made whole by one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from crosshash.codes import check_bits
from crosshash.search.milvus_filters import TOKENS
from crosshash.search.milvus_server import BLOCK, MilvusServer
from crosshash.search.rows import blocks
from crosshash.search.tokens import TOKEN_CHARACTERS
from crosshash.untrusted import parse_json

CHARACTERS = 65535  # Milvus's own limit of a text
_MARK = "crosshash index"
_FORMAT = 1
_ITEMS = ["order", "key", "id", "code", "metadata", "tokens"]
_STATE = ["number", "content", "none"]


@dataclass(frozen=True)
class State:
    """What the index is at one time: a row of the collection ``NAME_state``.

    Attributes:
        number: Grows with each change; the row with the largest holds.
        committed: The largest order that is part of the index; what has a larger one is not yet.
        items: How many items there are.
        removing: How many rows of the journal tell what is being taken out.
        lists: How many lists the index for approximate search has; None: there is none.
        info: What is remembered of the whole.
    """

    number: int = 0
    committed: int = -1
    items: int = 0
    removing: int = 0
    lists: int | None = None
    info: dict[str, Any] = field(default_factory=dict)

    def grown(self, orders: int, items: int) -> State:
        """With so many orders more that are part of the index, and so many items."""
        return replace(self, committed=self.committed + orders, items=self.items + items)


class Journal:
    """The state of an index, read and changed.

    A change is: new items, with orders that no one looks at yet; a journal of the orders that are
    to go; one row, the new state, by which all of it holds; then the old items are taken out.
    Killed before that row, nothing has changed and the next change clears away what was left;
    killed after it, whoever reads next takes out the rest, as it is told by the journal.
    """

    def __init__(self, server: MilvusServer) -> None:
        self._server = server
        self._name = f"{server.name}_state"
        self._clean = False

    def read(self) -> State:
        """The state that holds, after what was being taken out is out."""
        rows = self._server.query(self._name, "number >= 0", ["number", "content"])
        if not rows:
            raise ValueError(
                f"{self._server.uri}: {self._name} is empty; drop both collections and build the "
                "index anew"
            )
        row = max(rows, key=lambda row: int(row["number"]))
        state = State(number=row["number"], **parse_json(row["content"], self._server.uri))
        if state.removing:
            self._remove(self._orders(state.number))
        return state

    def prepare(self) -> State:
        """The state to change, after what an unfinished change left is cleared away."""
        state = self.read()
        if not self._clean:
            name = self._server.name
            left = self._server.query(name, f"order > {state.committed}", ["order"])
            self._server.delete(name, "order", [row["order"] for row in left])
            if state.removing:  # that is out, by :meth:`read`
                state = replace(state, number=state.number + 1, removing=0)
                self.write(state)
            self._forget(f"number != {state.number}")
        self._clean = False
        return state

    def commit(self, before: State, after: State, gone: Sequence[int]) -> None:
        """Let a change hold, in which these orders go.

        Raises:
            ValueError: The state cannot be written, since ``info`` is too long.
            RuntimeError: Another has changed the index meanwhile.
        """
        after = replace(after, number=before.number + 1)
        parts = list(blocks(gone, BLOCK))
        self._as_text(after)
        self._server.insert(
            self._name,
            (
                _row(-(after.number * (1 << 20) + place + 1), json.dumps(list(part)))
                for place, part in enumerate(parts)
            ),
        )
        self.check(before)
        self.write(replace(after, removing=len(parts)))
        if parts:
            self._remove(gone)
            after = replace(after, number=after.number + 1)
            self.write(after)
        self._forget(f"number < {after.number}")
        self._clean = True

    def check(self, before: State) -> None:
        """RuntimeError if another state holds by now than the one that is being changed."""
        rows = self._server.query(self._name, "number >= 0", ["number"])
        if max(int(row["number"]) for row in rows) != before.number:
            raise RuntimeError(
                f"{self._server.uri}: another has changed the index meanwhile, and nothing was "
                "changed here; an index in Milvus has one writer at a time"
            )

    def write(self, state: State) -> None:
        """Let a state hold; ValueError where it is too long."""
        self._server.insert(self._name, iter([_row(state.number, self._as_text(state))]))

    def _forget(self, which: str) -> None:
        rows = self._server.query(self._name, which, ["number"])
        self._server.delete(self._name, "number", [row["number"] for row in rows])

    def _orders(self, number: int) -> Iterator[int]:
        first, last = -((number + 1) * (1 << 20)), -(number * (1 << 20))
        where = f"number > {first} and number < {last}"
        for row in self._server.query(self._name, where, ["content"]):
            yield from parse_json(row["content"], self._server.uri)

    def _remove(self, orders: Any) -> None:
        self._server.delete(self._server.name, "order", list(orders))

    def _as_text(self, state: State) -> str:
        held = asdict(state)
        del held["number"]
        text = json.dumps(held, allow_nan=False)
        if len(text) > CHARACTERS:
            raise ValueError(
                f"{self._server.uri}: what is remembered of the index takes {len(text):,} bytes as "
                f"JSON, Milvus keeps {CHARACTERS:,}"
            )
        return text


def make_collections(server: MilvusServer, bits: int | None) -> None:
    """Make the two collections where there are none of these names.

    Raises:
        ValueError: There are none, and ``bits`` is None or no code length.
    """
    if server.attach(server.name) is not None:
        return  # they are made last
    if bits is None:
        raise ValueError(f"{server.uri}: there is no index yet; to make one, tell its bits")
    check_bits(bits)
    kind, make = server.pymilvus.DataType, server.pymilvus.FieldSchema
    mark = f"{_MARK}, format {_FORMAT}"
    state = f"{server.name}_state"
    if server.attach(state) is None:
        number = make("number", kind.INT64, is_primary=True)
        content = make("content", kind.VARCHAR, max_length=CHARACTERS)
        none = make("none", kind.BINARY_VECTOR, dim=8)  # Milvus wants one in every collection
        server.make(state, [number, content, none], mark)
    Journal(server).write(State())
    token = {"max_length": TOKEN_CHARACTERS, "max_capacity": TOKENS}
    fields = [
        make("order", kind.INT64, is_primary=True),
        make("key", kind.VARCHAR, max_length=64),
        make("id", kind.VARCHAR, max_length=CHARACTERS),
        make("code", kind.BINARY_VECTOR, dim=bits),
        make("metadata", kind.VARCHAR, max_length=CHARACTERS),
        make("tokens", kind.ARRAY, element_type=kind.VARCHAR, **token),
    ]
    server.make(server.name, fields, mark)


def find_collections(server: MilvusServer, bits: int | None) -> int:
    """The code length of the index that is there, loaded.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is of another length than ``bits``, of a later format, or not ours.
    """
    items, state = server.attach(server.name), server.attach(f"{server.name}_state")
    if items is None:
        raise FileNotFoundError(
            f"{server.uri}: there is no index of that name; make one with create=True, or name "
            "another collection"
        )
    names = [
        [one.name for one in held.schema.fields] for held in (items, state) if held is not None
    ]
    if names != [_ITEMS, _STATE] or not items.schema.description.startswith(_MARK):
        raise ValueError(
            f"{server.uri}: the collections {server.name} and {server.name}_state are not an index "
            "of this package; name another"
        )
    if items.schema.description != f"{_MARK}, format {_FORMAT}":
        raise ValueError(
            f"{server.uri}: written by a later version ({items.schema.description!r}, known is "
            f"format {_FORMAT}); update crosshash"
        )
    found = int(items.schema.fields[3].params["dim"])
    if bits not in (None, found):
        raise ValueError(
            f"{server.uri}: the index is of {found} bits, asked for were {bits}; name another "
            "collection"
        )
    _index(server, server.name, "code", "key")
    _index(server, state.name, "none")
    server.load(server.name, state.name)
    return found


def make_index(server: MilvusServer, name: str, field: str, lists: int | None = None) -> None:
    """Make the index over a field of codes: exact, or with so many lists."""
    kind, sizes = ("BIN_FLAT", {}) if lists is None else ("BIN_IVF_FLAT", {"nlist": lists})
    server.index(name, field, {"index_type": kind, "metric_type": "HAMMING", "params": sizes})


def _index(server: MilvusServer, name: str, field: str, key: str | None = None) -> None:
    """Make the indices without which a collection is not searched, where they are not there."""
    with server.told():
        there = {index.index_name for index in server.collections[name].indexes}
    if field not in there:
        make_index(server, name, field)
    if key is not None and key not in there:
        server.index(name, key, None)


def _row(number: int, content: str) -> dict[str, Any]:
    return {"number": number, "content": content, "none": b"\0"}
