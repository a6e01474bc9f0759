"""The items that were added last, which grow and shrink in memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from crosshash.codes import Packed
from crosshash.search.filters import Filter, meets
from crosshash.search.postings import Hits, Postings, Rows


class Recent:
    """Items in order of insertion, few enough that each has a code of its own.

    It is asked as a :class:`~crosshash.search.segment.Segment` is; a removal moves later rows up.
    """

    structure = None
    code_of = None

    def __init__(self, width: int) -> None:
        self._buffer = np.empty((0, width), dtype=np.uint8)
        self._ids: list[str] = []
        self._texts: list[bytes] = []
        self._row: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def left(self) -> int:
        """Items; none of those that were removed is kept."""
        return len(self)

    def add(self, codes: Packed, ids: Sequence[str], texts: Sequence[bytes] | None) -> None:
        """Append items; metadata are JSON texts, empty for none."""
        count = len(self)
        if count + len(ids) > len(self._buffer):
            grown = np.empty((2 * count + len(ids), self._buffer.shape[1]), dtype=np.uint8)
            grown[:count] = self._buffer[:count]
            self._buffer = grown
        self._buffer[count : count + len(ids)] = codes
        self._row.update((id_, count + number) for number, id_ in enumerate(ids))
        self._ids += ids
        self._texts += [b""] * len(ids) if texts is None else texts

    def remove(self, rows: Rows) -> None:
        """Take rows out, which are there; later ones move up."""
        if not len(rows):
            return
        kept = np.delete(np.arange(len(self)), rows)
        codes, places = self._buffer[kept], kept.tolist()
        ids, texts = [self._ids[row] for row in places], [self._texts[row] for row in places]
        self.__init__(codes.shape[1])  # type: ignore[misc]
        self.add(codes, ids, texts)

    def codes(self, rows: Rows) -> Packed:
        """Codes of rows, (m, k/8)."""
        return self._buffer[rows]

    def ids(self, rows: Rows) -> list[str]:
        """Ids of rows."""
        return [self._ids[row] for row in rows.tolist()]

    def metadata(self, rows: Rows) -> list[dict[str, Any] | None]:
        """Metadata of rows."""
        return [json.loads(text) if text else None for text in self.metadata_texts(rows)]

    def metadata_texts(self, rows: Rows) -> list[bytes]:
        """Metadata of rows as JSON, empty where there is none."""
        return [self._texts[row] for row in rows.tolist()]

    def rows_of(self, ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """The row of each id, -1 where it is not here."""
        return np.array([self._row.get(id_, -1) for id_ in ids], dtype=np.int64)

    def rows_left(self, where: Filter | None = None) -> Rows:
        """Rows that meet a filter, ascending."""
        rows = np.arange(len(self))
        if where is None:
            return rows
        met = [meets(where, metadata) for metadata in self.metadata(rows)]
        return rows[np.array(met, dtype=np.bool_)]

    def nearest(self, queries: Packed, topk: int, where: Filter | None) -> Hits:
        """The nearest rows by Hamming distance."""
        return self._postings(where).nearest(queries, topk, None, 0, None)

    def ranked(self, queries: Any, topk: int, where: Filter | None) -> Hits:
        """The nearest rows by asymmetric distance."""
        return self._postings(where).ranked(queries, topk, None, 0)

    def within(self, queries: Packed, radius: int, where: Filter | None) -> Hits:
        """All rows within a Hamming distance."""
        return self._postings(where).within(queries, radius, None, None)

    def _postings(self, where: Filter | None) -> Postings:
        if where is None:
            return Postings(self._buffer[: len(self)])
        rows = self.rows_left(where)
        return Postings(self._buffer[rows], None, rows)
