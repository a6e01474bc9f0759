"""Asymmetric ranking: real-valued queries over stored signs.

An item keeps only the signs b of its outputs; a query has its outputs r as they are, whose sizes
say how sure each sign is. The asymmetric distance is the sum of |r_i| over the bits in which
sign(r_i) and b_i differ, (|r|_1 - <r, b>) / 2: 0 for the query's own code, and in the order of the
inner product.

Weights are whole numbers, round(65535 |r_i| / max|r|), so that sums are exact, and the same in any
order and by any engine. A weight is wrong by at most half a unit, max|r| / 131070, and a distance
by that for each bit that differs: where two items differ in d bits, they stand in the order of the
inner product if their distances are more than d such halves apart. Sums are below 2^26 for 1,024
bits.

Items rank by a key, asymmetric distance first, Hamming distance second: each weight is shifted
behind the digits that count bits, and 1 is added. Equal keys come in order of insertion.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from crosshash.codes import Packed, as_packed, to_array
from crosshash.retrieval.compiling import compile_loops, spread, usable_threads
from crosshash.retrieval.histogram import Engine, check_choice

Keys = npt.NDArray[np.int64]
Positions = npt.NDArray[np.int64]

LARGEST = 65_535
"""The weight of a query's largest value."""

_BLOCK = 1 << 15  # items at a time, whose keys stay in cache
# Pairs of a query and an item for which loading the compiled loop takes as long as NumPy does.
_WORTH_COMPILING = 1 << 24
# (8, 256): bit i of each byte.
_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[None], axis=0, bitorder="little")


class WeightedQueries:
    """Queries whose bits have weights, by their real values.

    A query of zeros is at distance 0 from every item, so that Hamming distance alone ranks.

    Args:
        values: (q, k) floating array or tensor.

    Attributes:
        weights: ``int64`` (q, k) in 0…65535, of the bits.
        units: ``float64`` (q,), what a weight of 1 stands for, in units of the values.
        shift: Digits of a key below the asymmetric distance, which hold the Hamming distance.

    Raises:
        TypeError: The values are packed codes or whole numbers, which have signs only.
        ValueError: They are not (q, k), k a multiple of 8, or NaN, infinite, or too large, with the
            first such row.
    """

    def __init__(self, values: Any) -> None:
        array = to_array(values)
        if array.dtype.kind != "f":
            form = "packed codes (uint8)" if array.dtype == np.uint8 else f"codes in {array.dtype}"
            raise TypeError(
                "asymmetric ranking weighs each bit of a query by a real value, as "
                f'encode_text(…, output="real") gives them; got {form}, whose bits all weigh the '
                'same, which is Hamming distance: search with rank="hamming"'
            )
        sizes = np.abs(array.astype(np.float64))
        # The largest distance there can be is to have a form in float32 as well.
        bad = np.flatnonzero(~(sizes.sum(axis=1) <= np.finfo(np.float32).max))
        if len(bad):
            raise ValueError(
                f"values of {len(bad)} queries are NaN, infinite or too large for float32, the "
                f"first at row {bad[0]}; a query's values are finite numbers"
            )
        self.packed: Packed = as_packed(array)
        largest = sizes.max(axis=1, initial=0.0)
        shares = sizes / np.where(largest > 0, largest, 1.0)[:, None]
        self.weights: npt.NDArray[np.int64] = np.rint(shares * LARGEST).astype(np.int64)
        self.units: npt.NDArray[np.float64] = largest / LARGEST
        self.shift = array.shape[1].bit_length()

    def __len__(self) -> int:
        return len(self.packed)

    def table(self, row: int) -> Keys:
        """What each byte of an item adds to its key, (k/8, 256)."""
        steps = ((self.weights[row] << self.shift) + 1).reshape(-1, 8)
        asked = np.unpackbits(self.packed[row], bitorder="little").astype(np.int64).reshape(-1, 8)
        table: Keys = (asked * steps).sum(axis=1)[:, None] + (steps * (1 - 2 * asked)) @ _BITS
        return table

    def told(
        self, query: Positions, keys: Keys
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """The asymmetric distances, in units of the values, and Hamming distances in keys (h,).

        Args:
            query: (h,), which query each key is of.
            keys: (h,).
        """
        asymmetric = (keys >> self.shift) * self.units[query]
        hamming = keys & ((1 << self.shift) - 1)
        return asymmetric.astype(np.float32), hamming.astype(np.int32)


def add_up(table: Keys, codes: Packed, keys: Keys) -> None:
    """Keys (n,) of packed codes (n, k/8) by a query's table: one look-up for each byte."""
    table[0].take(codes[:, 0], out=keys, mode="clip")  # which no byte needs, but "raise" copies
    for place in range(1, len(table)):
        keys += table[place].take(codes[:, place])


def _add_up(table: Keys, codes: Packed, keys: Keys) -> None:
    # Byte by byte over all items, which takes two thirds of the time of item by item.
    for item in range(codes.shape[0]):
        keys[item] = table[0, codes[item, 0]]
    for place in range(1, codes.shape[1]):
        for item in range(codes.shape[0]):
            keys[item] += table[place, codes[item, place]]


@cache
def compiled() -> Callable[..., None]:
    """:func:`add_up`, compiled; ImportError where numba is missing."""
    return compile_loops(_add_up)


class _Work:
    pairs = 0  # of this process; some are lost where threads count at once


def expect(pairs: int) -> None:
    """Count pairs of a query and an item that this process ranks, or will rank."""
    _Work.pairs += pairs


def adder(engine: Engine, pairs: int) -> Callable[..., None]:
    """The engine's :func:`add_up`; ``auto`` compiles where numba is there and it is worth it.

    That is when so many pairs were ranked, or are to be, that compiling would have paid.

    Raises:
        ValueError: There is no such engine.
        ImportError: ``engine="numba"`` without numba.
    """
    check_choice("engine", engine, ("auto", "numpy", "numba"))
    expect(pairs)
    if engine == "numba" or (engine == "auto" and _Work.pairs >= _WORTH_COMPILING):
        try:
            return compiled()
        except ImportError:
            if engine == "numba":
                raise
    return add_up


def nearest(
    queries: WeightedQueries, codes: Packed, topk: int, *, engine: Engine = "auto"
) -> tuple[Positions, Keys]:
    """The nearest items by asymmetric distance, then Hamming distance, then position.

    Beside the result, memory is taken for a block of items or ``topk`` of them, if that is more.

    Args:
        queries: q queries.
        codes: (n, k/8) packed codes.
        topk: Items for each query, 1…n.
        engine: ``auto``, ``numpy`` or ``numba``; all give the same.

    Returns:
        Rows of the codes and their keys (:meth:`WeightedQueries.told`), each (q, topk).
    """
    add = adder(engine, len(queries) * len(codes))
    positions = np.empty((len(queries), topk), dtype=np.int64)
    keys = np.empty((len(queries), topk), dtype=np.int64)

    def rank(row: int) -> None:
        positions[row], keys[row] = _first_of_all(queries.table(row), codes, topk, add)

    spread(rank, range(len(queries)), usable_threads())
    return positions, keys


def _first_of_all(
    table: Keys, codes: Packed, topk: int, add: Callable[..., None]
) -> tuple[Positions, Keys]:
    """Positions and keys of the first ``topk`` of all items, a block at a time."""
    block = max(_BLOCK, topk)
    scratch = np.empty(min(block, len(codes)), dtype=np.int64)
    positions, keys = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    for start in range(0, len(codes), block):
        part = codes[start : start + block]
        found = scratch[: len(part)]
        add(table, part, found)
        # An item as far as the last of topk earlier ones comes after it.
        new = np.arange(len(part)) if len(keys) < topk else np.flatnonzero(found < keys[-1])
        positions, keys = np.append(positions, start + new), np.append(keys, found[new])
        order = _first(keys, topk)
        positions, keys = positions[order], keys[order]
    return positions, keys


def _first(keys: Keys, topk: int) -> npt.NDArray[np.intp]:
    """Places of the ``topk`` smallest keys, in order; equal ones in order of their places."""
    if len(keys) <= topk:
        return np.argsort(keys, kind="stable")
    last = np.partition(keys, topk - 1)[topk - 1]
    below = np.flatnonzero(keys < last)
    equal = np.flatnonzero(keys == last)[: topk - len(below)]
    return np.concatenate([below[np.argsort(keys[below], kind="stable")], equal])
