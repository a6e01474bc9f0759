"""The table of an index in LanceDB: how it is made, and items as its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from crosshash.codes import Packed, as_words, check_bits
from crosshash.search.engine import CorruptIndexError, Integers
from crosshash.search.lance_files import Held, LanceFiles
from crosshash.search.lance_state import State
from crosshash.search.rows import blocks
from crosshash.search.scalars import id_bytes, id_key
from crosshash.search.tokens import as_tokens

_MARK = {b"crosshash": b"items of an index"}
_ODD = np.uint64(0x9E3779B97F4A7C15)  # so that words of a code do not cancel each other
_BLOCK = 65_536  # rows in memory at once while they are written


def schema(bits: int) -> Any:
    """The table's columns.

    ``key`` is a digest by which an id is looked up, ``id`` its UTF-8, ``code`` as it is packed,
    ``twin`` a digest of it, ``metadata`` JSON text, and ``tokens`` its digests to filter by.
    """
    import pyarrow as pa

    kinds = {
        "order": pa.int64(),
        "key": pa.int64(),
        "id": pa.binary(),
        "code": pa.list_(pa.uint8(), bits // 8),
        "twin": pa.int64(),
        "metadata": pa.string(),
        "tokens": pa.list_(pa.string()),
    }
    fields = [pa.field(name, kind, nullable=name == "metadata") for name, kind in kinds.items()]
    return pa.schema(fields, metadata=_MARK)


def make_table(files: LanceFiles, bits: int | None) -> None:
    """Make an index where there is none.

    Raises:
        ValueError: There is none and ``bits`` is None or no code length, or a table of that name
            is another's.
        CorruptIndexError: There is a table of ours, but not what says which version holds.
        BlockingIOError: Another is making it, and does not end.
    """
    if files.state.exists():
        return
    if bits is None:
        raise ValueError(f"{files.uri}: there is no index yet; to make one, tell its bits")
    check_bits(bits)
    files.start_writing(wait=True)
    try:
        if files.state.exists():
            return
        try:
            table = files.connection.create_table(files.name, schema=schema(bits))
        except ValueError:
            # A process that was killed may have left one, with nothing in it.
            table = files.connection.open_table(files.name)
            if table.schema.metadata == _MARK and table.version != 1:
                raise CorruptIndexError(files.uri, f"{files.state.name} is missing") from None
            if table.schema.metadata != _MARK:
                raise ValueError(
                    f"{files.uri}: the table {files.name} is not an index of this package; name "
                    "another"
                ) from None
            if not table.schema.equals(schema(bits)):
                files.connection.drop_table(files.name)
                table = files.connection.create_table(files.name, schema=schema(bits))
        files.commit(State(bits, table.version))
    finally:
        files.stop_writing()


def check_table(files: LanceFiles, held: Held) -> None:
    """CorruptIndexError unless a table has the columns of codes of the state's length."""
    wanted = schema(held.state.bits)
    if not held.table.schema.equals(wanted):
        raise CorruptIndexError(
            files.uri, f"its table is not of codes of {held.state.bits} bits, by its columns"
        )


def as_batches(
    codes: Packed,
    ids: Sequence[str],
    texts: Sequence[str | None],
    metadata: Sequence[dict[str, Any] | None] | None,
    first: int,
) -> Any:
    """Items as a reader of batches, the first of which has this order.

    Args:
        codes: (n, k/8) packed.
        ids: n ids.
        texts: n metadata as JSON.
        metadata: The same, as they were given.
        first: The least order.
    """
    import pyarrow as pa

    columns = schema(codes.shape[1] * 8)

    def batches() -> Iterator[Any]:
        for rows in blocks(range(len(ids)), _BLOCK):
            part = slice(rows[0], rows[-1] + 1)
            held = [None] * len(rows) if metadata is None else metadata[part]
            values = [
                pa.array(range(first + rows[0], first + rows[-1] + 1), columns.field("order").type),
                pa.array([key_of(id_) for id_ in ids[part]], columns.field("key").type),
                pa.array([id_bytes(id_) for id_ in ids[part]], columns.field("id").type),
                pa.FixedSizeListArray.from_arrays(pa.array(codes[part].ravel()), codes.shape[1]),
                pa.array(twins_of(codes[part]), columns.field("twin").type),
                pa.array(texts[part], columns.field("metadata").type),
                pa.array([as_tokens(one) for one in held], columns.field("tokens").type),
            ]
            yield pa.record_batch(values, schema=columns)

    return pa.RecordBatchReader.from_batches(columns, batches())


def key_of(id_: str) -> int:
    """The digest of an id by which it is looked up: 64 bits, which others may have as well."""
    return int.from_bytes(id_key(id_)[:8], "big", signed=True)


def twins_of(codes: Packed) -> Integers:
    """Digests of codes (n, k/8), by which equal ones are looked up: 64 bits, as :func:`key_of`."""
    words = as_words(codes)
    found = np.zeros(len(words), dtype=np.uint64)
    for column in range(words.shape[1]):
        found = found * _ODD + words[:, column]
    return found.view(np.int64)
