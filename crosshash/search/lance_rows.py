"""Rows of LanceDB's tables as items, by their ids or their places."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from crosshash.codes import Packed
from crosshash.search.engine import Integers, Items
from crosshash.search.filters import Filter, meets
from crosshash.search.lance_files import Held
from crosshash.search.lance_table import key_of
from crosshash.search.rows import blocks
from crosshash.search.scalars import from_document, id_text

BLOCK = 65_536
_ASKED = 4096  # numbers in SQL; for more of them all rows are looked at


def find(held: Held, ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Those ids that are there, with their orders and their places in the table."""
    asked = set(ids)
    found: dict[str, tuple[int, int]] = {}
    for batch in having(held, "key", [key_of(id_) for id_ in asked], ["order", "id"]):
        columns = (batch[name].to_pylist() for name in ("id", "order", "_rowid"))
        for raw, order, place in zip(*columns, strict=True):
            if (id_ := id_text(raw)) in asked:
                found[id_] = (order, place)
    return found


def having(
    held: Held, column: str, numbers: Sequence[int], columns: Sequence[str]
) -> Iterator[Any]:
    """Rows of which a column is one of these numbers, with their places, in batches."""
    import pyarrow as pa
    import pyarrow.compute as pc

    where = ""
    if len(numbers) <= _ASKED:
        where = f"{column} IN ({', '.join(map(str, numbers))})"
    wanted = pa.array(numbers, pa.int64())
    for batch in streamed(held, [column, *columns], where) if numbers else ():
        yield batch.filter(pc.is_in(batch[column], wanted))


def take(held: Held, places: Integers, uri: str) -> Items:
    """The items at places of the table, ascending and each once."""
    orders, ids, metadata, codes = [], [], [], []
    for part in blocks(places.tolist(), BLOCK):
        query = held.table.take_row_ids(list(part)).with_row_id()
        rows = query.select(["order", "code", "id", "metadata"]).to_arrow().sort_by("_rowid")
        orders.append(rows["order"].to_numpy())
        codes.append(as_array(rows["code"].combine_chunks()))
        ids += [id_text(raw) for raw in rows["id"].to_pylist()]
        metadata += [as_metadata(text, uri) for text in rows["metadata"].to_pylist()]
    if not codes:
        codes = [np.empty((0, held.state.bits // 8), dtype=np.uint8)]
        orders = [np.empty(0, dtype=np.int64)]
    return Items(ids, np.concatenate(codes), metadata, np.concatenate(orders))


def codes_at(held: Held, places: Integers) -> Packed:
    """The codes at places of the table, ascending and each once."""
    rows = held.table.take_row_ids(places.tolist()).with_row_id().select(["code"]).to_arrow()
    return as_array(rows.sort_by("_rowid")["code"].combine_chunks())


def chosen(items: Items, rows: Integers) -> Items:
    """Some of the items, in the order of the rows."""
    ids, metadata = items.ids, items.metadata
    return Items(
        [ids[row] for row in rows],
        items.codes[rows],
        [metadata[row] for row in rows],
        items.order[rows],
    )


def streamed(
    held: Held,
    columns: Sequence[str],
    where: str,
    rest: Filter = (),
    uri: str = "",
    size: int = BLOCK,
) -> Iterator[Any]:
    """Rows that meet SQL and conditions, with their places, in batches.

    Args:
        held: The index.
        columns: Of the table.
        where: SQL; empty: of all rows.
        rest: Conditions that are evaluated here.
        uri: Where it is, for messages.
        size: Rows in a batch, at most, before conditions are evaluated.
    """
    names = [*columns, *(["metadata"] if rest else [])]
    query = held.table.search().select(names).with_row_id(True)
    if where:
        query = query.where(where)
    for batch in _gathered(query.to_batches(size), size):
        if rest:
            batch = batch.filter(met(batch["metadata"], rest, uri))
        if batch.num_rows:
            yield batch


def _gathered(batches: Iterable[Any], size: int) -> Iterator[Any]:
    """The batches of small files, several as one; each costs what reads it more than its rows."""
    import pyarrow as pa

    waiting: list[Any] = []
    for batch in batches:
        waiting.append(batch)
        if sum(one.num_rows for one in waiting) >= size:
            yield from pa.Table.from_batches(waiting).combine_chunks().to_batches()
            waiting = []
    if waiting:
        yield from pa.Table.from_batches(waiting).combine_chunks().to_batches()


def met(texts: Any, rest: Filter, uri: str) -> Any:
    """Which of metadata meet conditions, a mask."""
    import pyarrow as pa

    held = (as_metadata(text, uri) for text in texts.to_pylist())
    return pa.array([meets(rest, one) for one in held], pa.bool_())


def as_metadata(text: str | None, uri: str) -> dict[str, Any] | None:
    """Metadata of their JSON."""
    return None if text is None else from_document(text, uri)


def as_array(codes: Any) -> Packed:
    """A column of codes as (n, k/8), the reader's own."""
    flat = codes.flatten().to_numpy(zero_copy_only=False)
    return np.array(flat.reshape(len(codes), -1) if len(codes) else flat.reshape(0, 0))


def places_of(rows: Any) -> Integers:
    """Where rows are in the table."""
    return np.asarray(rows["_rowid"].to_numpy().astype(np.int64))
