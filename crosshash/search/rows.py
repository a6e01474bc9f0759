"""Rows of a server's answers as what an engine returns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, TypeVar

import numpy as np

from crosshash.codes import Packed
from crosshash.search.engine import Found, Items

Row = tuple[int, int, bytes, str, dict[str, Any] | None]
"""Distance, order, packed code, id, metadata."""

_T = TypeVar("_T")


def as_found(queries: Sequence[Sequence[Row]], bits: int) -> Found:
    """Hits of each query, sorted by distance, then order."""
    rows = list(chain.from_iterable(queries))
    numbers = np.arange(len(queries), dtype=np.int64)
    return Found(
        query=numbers.repeat([len(hits) for hits in queries]),
        distance=np.array([row[0] for row in rows], dtype=np.int32),
        order=np.array([row[1] for row in rows], dtype=np.int64),
        codes=as_codes([row[2] for row in rows], bits),
        ids=[row[3] for row in rows],
        metadata=[row[4] for row in rows],
    )


def as_items(rows: Sequence[Row], bits: int) -> Items:
    """Items in the order of the rows, whose distances mean nothing."""
    return Items(
        ids=[row[3] for row in rows],
        codes=as_codes([row[2] for row in rows], bits),
        metadata=[row[4] for row in rows],
        order=np.array([row[1] for row in rows], dtype=np.int64),
    )


def as_codes(codes: Sequence[bytes], bits: int) -> Packed:
    """Packed codes (n, k/8) from n byte strings."""
    flat = np.array(bytearray(b"".join(codes)), dtype=np.uint8)  # its own, to be written to
    found: Packed = flat.reshape(len(codes), bits // 8)
    return found


def blocks(values: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    """Parts of a sequence, of at most ``size``."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
