"""An index's items for other stores: a Parquet file of ids, codes and metadata."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from crosshash.codes import unpack
from crosshash.data.features.parquet import import_parquet
from crosshash.files import atomic_file
from crosshash.search.engine import Items
from crosshash.search.scalars import as_document

Form = Literal["packed", "signs"]
_BITS = "crosshash.bits"  # in the schema's metadata


def write_parquet(blocks: Iterable[Items], bits: int, path: str | Path, form: Form) -> int:
    """Write items a block at a time, the file whole or not at all; how many they were.

    Columns are ``id`` (text), ``code`` and ``metadata`` (JSON text, null where an item has none).

    Args:
        blocks: The items.
        bits: Code length k.
        path: A new file, or one that is replaced.
        form: Of the codes: ``packed`` is ``fixed_size_binary[k/8]``, bit i of byte j output 8j + i;
            ``signs`` is ``fixed_size_list<float32>[k]`` of -1 and +1, for stores that know no bits:
            the Hamming distance of two is (k - their inner product) / 2.

    Raises:
        ImportError: pyarrow is not installed.
        ValueError: An id is no valid Unicode, as a file's name may be; Parquet keeps none such.
    """
    parquet = import_parquet(str(path))
    import pyarrow

    code = pyarrow.binary(bits // 8) if form == "packed" else pyarrow.list_(pyarrow.float32(), bits)
    columns = [("id", pyarrow.string()), ("code", code), ("metadata", pyarrow.string())]
    schema = pyarrow.schema(columns, metadata={_BITS: str(bits)})
    count = 0
    with atomic_file(path) as temporary, parquet.ParquetWriter(temporary, schema) as writer:
        for items in blocks:
            held = [None if one is None else as_document(one) for one in items.metadata]
            arrays = [
                pyarrow.array(_checked(items.ids), pyarrow.string()),
                _as_array(items, bits, form),
                pyarrow.array(held, pyarrow.string()),
            ]
            writer.write_table(pyarrow.table(arrays, schema=schema))
            count += len(items)
    return count


def _as_array(items: Items, bits: int, form: Form) -> Any:
    import pyarrow

    if form == "packed":
        buffer = pyarrow.py_buffer(np.ascontiguousarray(items.codes))
        return pyarrow.FixedSizeBinaryArray.from_buffers(
            pyarrow.binary(bits // 8), len(items), [None, buffer]
        )
    values = unpack(items.codes).astype(np.float32).reshape(-1)
    return pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(values), bits)


def _checked(ids: Iterable[str]) -> list[str]:
    found = list(ids)
    for id_ in found:
        try:
            id_.encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError(
                f"id {id_!r} is no valid Unicode, and Parquet keeps none such; upsert the item by "
                "another id"
            ) from None
    return found
