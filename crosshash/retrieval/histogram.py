"""Histograms over (Hamming distance, relevant): all that tie-aware figures need of a ranking.

A query ranks the items by the Hamming distance of their codes, and an item is relevant if it shares
a label with the query. k bits give only k + 1 distances, so that the counts of items and of
relevant items at each of them hold the whole ranking up to the order inside ties. Counting them
costs the distances and nothing is sorted; ``Comparison.rankings`` sorts, for the database order of
ties.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from crosshash.codes import Packed, as_packed, as_words
from crosshash.registry import nearest
from crosshash.retrieval import kernel
from crosshash.retrieval.compiling import spread, usable_threads

Engine = Literal["auto", "numpy", "numba"]
Counts = npt.NDArray[np.int32]

# Pairs of items from which loading the compiled kernel pays for itself.
_WORTH_COMPILING = 1 << 24


@dataclass(frozen=True, eq=False)
class Histogram:
    """Items of a database by their distance from each query.

    Attributes:
        total: (q, d) number of items at each distance, nearest first; d is k + 1.
        relevant: (q, d) number of relevant ones among them.
    """

    total: Counts
    relevant: Counts

    @property
    def items(self) -> int:
        """Size of the database."""
        return int(self.total[0].sum())

    @property
    def positives(self) -> npt.NDArray[np.int64]:
        """(q,) number of items relevant to each query."""
        positives: npt.NDArray[np.int64] = self.relevant.sum(axis=1, dtype=np.int64)
        return positives

    def collapsed(self) -> Histogram:
        """The same items all at one distance: what codes that say nothing give."""
        return Histogram(*(part.sum(axis=1, keepdims=True) for part in (self.total, self.relevant)))


class Comparison:
    """Queries and a database, checked and packed.

    Args:
        query_codes: (q, k/8) packed or (q, k) signed or real codes.
        retrieval_codes: (n, k/8) packed or (n, k) signed or real codes.
        query_labels: (q, c) in {0, 1}, of any numeric or boolean type.
        retrieval_labels: (n, c) in {0, 1}.

    Raises:
        ValueError: Codes or labels differ in width or in number, labels are not in {0, 1}, or a
            set is empty.
    """

    def __init__(
        self, query_codes: Any, retrieval_codes: Any, query_labels: Any, retrieval_labels: Any
    ) -> None:
        self.query_codes = as_packed(query_codes)
        self.retrieval_codes = as_packed(retrieval_codes)
        self.query_labels, classes = _pack_labels(query_labels, "query")
        self.retrieval_labels, others = _pack_labels(retrieval_labels, "retrieval")
        for side in ("query", "retrieval"):
            codes, labels = (
                len(getattr(self, f"{side}_codes")),
                len(getattr(self, f"{side}_labels")),
            )
            if codes != labels:
                raise ValueError(
                    f"{codes} {side} codes with {labels} rows of {side} labels; each code needs "
                    "the labels of its item"
                )
            if not codes:
                raise ValueError(f"the {side} set is empty; give at least one code")
        widths = self.query_codes.shape[1], self.retrieval_codes.shape[1]
        if widths[0] != widths[1] or not widths[0]:
            raise ValueError(
                f"query codes of {8 * widths[0]} bits cannot be compared with retrieval codes of "
                f"{8 * widths[1]} bits (uint8 codes are packed, 8 bits a byte)"
            )
        if classes != others:
            raise ValueError(
                f"query labels have {classes} classes and retrieval labels {others}; both need "
                "the same columns in the same order"
            )

    @property
    def bits(self) -> int:
        """Code length k."""
        return 8 * int(self.query_codes.shape[1])

    def relevant(self, rows: slice) -> npt.NDArray[np.bool_]:
        """Whether each item is relevant to each query of some rows, (queries, n)."""
        return _share(_words(self.query_labels[rows]), _words(self.retrieval_labels))

    def histogram(self, engine: Engine = "auto", block: int = 1 << 18) -> Histogram:
        """Count the items at each distance.

        Args:
            engine: ``numba``: the compiled kernel of the extra ``fast``; ``numpy``; ``auto``: the
                kernel where it is installed and the work is worth loading it. All count the same.
            block: Pairs of items that the NumPy engine holds at a time; it bounds the memory.

        Raises:
            ImportError: ``engine="numba"`` without numba.
        """
        check_choice("engine", engine, ("auto", "numpy", "numba"))
        if block < 1:
            raise ValueError(f"block is a number of pairs, at least 1, got {block}")
        total = np.zeros((len(self.query_codes), self.bits + 8), dtype=np.int32)
        relevant = np.zeros_like(total)
        pairs = len(self.query_codes) * len(self.retrieval_codes)
        if engine == "numba" or (engine == "auto" and pairs >= _WORTH_COMPILING):
            try:
                self._count_compiled(kernel.compiled(), total, relevant)
            except ImportError:
                if engine == "numba":
                    raise
                engine = "numpy"
        else:
            engine = "numpy"
        if engine == "numpy":
            self._count_blocks(block, total, relevant)
        bins = self.bits + 1
        return Histogram(*(np.ascontiguousarray(part[:, :bins]) for part in (total, relevant)))

    def rankings(self, block: int = 1 << 19) -> Iterator[tuple[slice, npt.NDArray[np.bool_]]]:
        """Relevance in ranked order, ties in database order, a block of queries at a time.

        Args:
            block: Pairs of items held at a time.

        Yields:
            The queries of the block, and (queries, n) whether the item at each rank is relevant.
        """
        step = max(1, block // len(self.retrieval_codes))
        query, items = _words(self.query_codes), _words(self.retrieval_codes)
        labels, item_labels = _words(self.query_labels), _words(self.retrieval_labels)
        for start in range(0, len(query), step):
            rows = slice(start, min(start + step, len(query)))
            distance = _distances(query[rows], items)
            order = np.argsort(distance, axis=1, kind="stable")  # a radix sort for small integers
            yield rows, np.take_along_axis(_share(labels[rows], item_labels), order, axis=1)

    def _count_blocks(self, block: int, total: Counts, relevant: Counts) -> None:
        query, items = _words(self.query_codes), _words(self.retrieval_codes)
        labels, item_labels = _words(self.query_labels), _words(self.retrieval_labels)
        columns = min(len(items), block)
        step = max(1, block // columns)
        bins = 2 * (self.bits + 1)

        def count(start: int) -> None:
            rows = slice(start, min(start + step, len(query)))
            counts = np.empty((rows.stop - start, bins), dtype=np.intp)
            for first in range(0, len(items), columns):
                part = slice(first, first + columns)
                key = _distances(query[rows], items[part])
                if bins > 256:
                    key = key.astype(np.uint16)
                key += key
                key |= _share(labels[rows], item_labels[part]).view(np.uint8)
                # np.bincount would convert to intp too, but under the interpreter's lock.
                for row, keys in enumerate(key.astype(np.intp)):
                    counts[row] = np.bincount(keys, minlength=bins)
                hits = counts[:, 1::2]
                relevant[rows, : self.bits + 1] += hits.astype(np.int32)
                total[rows, : self.bits + 1] += (counts[:, ::2] + hits).astype(np.int32)

        # While one thread is in np.bincount, which holds the lock, the other computes distances;
        # a third would only wait.
        spread(count, range(0, len(query), step), min(2, usable_threads()))

    def _count_compiled(self, count: Callable[..., None], total: Counts, relevant: Counts) -> None:
        n, words = len(self.retrieval_codes), kernel.WORDS
        planes = kernel.bit_planes(self.retrieval_codes)
        label_planes = kernel.bit_planes(self.retrieval_labels)
        filled = np.clip(n - 64 * np.arange(len(planes) * words), 0, 64).reshape(-1, words)
        partial = (np.uint64(1) << (filled % 64).astype(np.uint64)) - np.uint64(1)
        valid = np.where(filled == 64, ~np.uint64(0), partial)
        # In whole vectors, so that no loop has a remainder.
        widths = (-(-(filled > 0).sum(axis=1) // 4) * 4).astype(np.uint64)
        bits = np.unpackbits(self.query_labels, axis=1, bitorder="little")
        rows, classes = np.nonzero(bits)
        first = np.searchsorted(rows, np.arange(len(bits) + 1))
        shared = (planes, label_planes, valid, widths, self.query_codes, first, classes)
        workers = min(usable_threads(), len(bits))
        pieces = min(2 * workers, len(bits))
        edges = np.linspace(0, len(bits), pieces + 1).astype(int).tolist()

        def count_rows(piece: int) -> None:
            count(*shared, total, relevant, edges[piece], edges[piece + 1])

        count(*shared, total, relevant, 0, 0)  # compiles, before there are threads
        spread(count_rows, range(pieces), workers)


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a name that is none of ``choices``."""
    if value not in choices:
        raise ValueError(f"unknown {name} {value!r}: {nearest(str(value), choices)}")


def _pack_labels(labels: Any, side: str) -> tuple[Packed, int]:
    """Packed bits (n, ⌈c/8⌉) of a label matrix, and c."""
    if hasattr(labels, "detach"):
        labels = labels.detach().cpu().numpy()
    array = np.asarray(labels)
    if array.ndim != 2 or not array.shape[1]:
        raise ValueError(
            f"{side} labels are a matrix (items, classes) of 0 and 1, got shape {array.shape}; "
            "turn class numbers into it with np.eye(classes)[numbers]"
        )
    if array.dtype.kind not in "buif":
        raise ValueError(f"{side} labels are numbers 0 and 1, got {array.dtype}")
    if array.dtype.kind != "b":
        wrong = (array != 0) & (array != 1)
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise ValueError(
                f"{side} labels must be 0 or 1, but {wrong.sum()} are not, the first at row {row}, "
                f"column {column}: {array[row, column]}"
            )
    return np.packbits(array != 0, axis=1, bitorder="little"), array.shape[1]


def _words(packed: Packed) -> npt.NDArray[np.unsignedinteger[Any]]:
    """The same bits in one word where they fit, else in words of 64, filled up with zeros."""
    width = packed.shape[1]
    wide = next((size for size in (1, 2, 4) if width <= size), -(-width // 8) * 8)
    return as_words(np.pad(packed, ((0, 0), (0, wide - width))))


def _distances(
    query: npt.NDArray[Any], items: npt.NDArray[Any]
) -> npt.NDArray[np.unsignedinteger[Any]]:
    """Hamming distances (q, n), in the narrowest type that holds them."""
    distance: npt.NDArray[np.unsignedinteger[Any]]
    distance = np.bitwise_count(query[:, :1] ^ items[:, 0])
    if query.shape[1] * query.itemsize * 8 > 255:
        distance = distance.astype(np.uint16)
    for word in range(1, query.shape[1]):
        distance += np.bitwise_count(query[:, word, None] ^ items[:, word])
    return distance


def _share(query: npt.NDArray[Any], items: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Whether two rows have a set bit in common, (q, n)."""
    shared: npt.NDArray[np.bool_] = (query[:, :1] & items[:, 0]) != 0
    for word in range(1, query.shape[1]):
        shared |= (query[:, word, None] & items[:, word]) != 0
    return shared
