"""What is asked of an index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from crosshash.codes import Packed
from crosshash.retrieval.asymmetric import WeightedQueries
from crosshash.retrieval.calibration import Kind
from crosshash.retrieval.histogram import check_choice
from crosshash.retrieval.metrics import check_rank
from crosshash.search.engine import Engine, Found, Items
from crosshash.search.exporting import Form, write_parquet
from crosshash.search.filters import as_filter
from crosshash.search.ids import Id, as_id, as_ids
from crosshash.search.inputs import packed_codes, stacked
from crosshash.search.lock import ReadWriteLock
from crosshash.search.probability import probabilities
from crosshash.search.ranking import reranked
from crosshash.search.result import Item, SearchResult, as_result

Rank = Literal["hamming", "asymmetric"]
SHORT_LIST = 10
"""Hits by Hamming distance for each wanted one, where an engine cannot rank all by asymmetric."""


class Reader:
    """The questions of an index, over the engine that keeps its codes.

    Attributes:
        bits: Code length k.
        metadata: What is remembered of the whole index.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = ReadWriteLock()
        self.bits = engine.bits
        self.metadata = engine.read_info()

    @property
    def uri(self) -> str:
        """Where it is, without a password."""
        return self._engine.uri

    @property
    def exact(self) -> bool:
        """Whether a search by Hamming distance always finds the nearest."""
        return self._engine.exact

    def __len__(self) -> int:
        return len(self._engine)

    def __contains__(self, id_: object) -> bool:
        """Whether an item has this id, a string or an integer."""
        return self._known([as_id(id_)])[0]

    def known(self, ids: Iterable[Id]) -> list[bool]:
        """Whether each id is there, by one question to the engine.

        Raises:
            TypeError: An id is no string and no integer.
        """
        return self._known(as_ids(ids))

    def _known(self, names: list[str]) -> list[bool]:
        with self._lock.reading():
            return self._engine.known(names)

    def __iter__(self) -> Iterator[Item]:
        """All items in order of insertion, as they are when this begins."""
        for items in self.scan():
            for place, code in enumerate(items.codes):
                yield Item(items.ids[place], code, items.metadata[place])

    @property
    def ids(self) -> list[str]:
        """All ids in order of insertion, a copy; :meth:`scan` gives them in bounded memory."""
        return [id_ for items in self.scan() for id_ in items.ids]

    def codes(self) -> Packed:
        """A copy of all codes in order of insertion, ``uint8`` (n, k/8)."""
        return stacked(list(self.scan()), self.bits)

    def scan(self, where: Mapping[str, Any] | None = None) -> Iterator[Items]:
        """All items in order of insertion, a block at a time, as they are when this begins.

        Args:
            where: Conditions on their metadata, as for :meth:`search`.
        """
        conditions = as_filter(where)
        with self._lock.reading():
            return self._engine.scan(conditions)

    def export(
        self, path: str | Path, form: Form = "packed", *, where: Mapping[str, Any] | None = None
    ) -> int:
        """Write items to a Parquet file for other stores, in bounded memory; how many they are.

        Args:
            path: A new file, or one that is replaced when all is written.
            form: ``packed`` bytes, or ``signs``, vectors of -1 and +1; docs/engines.md has the
                columns.
            where: Conditions on their metadata, as for :meth:`search`.

        Raises:
            ImportError: pyarrow is not installed.
            ValueError: There is no such ``form``; or an id is no valid Unicode.
        """
        check_choice("form", form, get_args(Form))
        return write_parquet(self.scan(where), self.bits, path, form)

    def get(self, id_: Id) -> Item:
        """The item of an id.

        Raises:
            LookupError: There is none.
        """
        return self.get_many([as_id(id_)])[0]

    def get_many(self, ids: Iterable[Id]) -> list[Item]:
        """The items of ids, in their order, by one question to the engine.

        Of a server, many are read in about the time of one.

        Raises:
            TypeError: An id is no string and no integer.
            LookupError: One is not in the index; names those that are not.
        """
        names = as_ids(ids)
        with self._lock.reading():
            items = self._engine.fetch(names)
            held = zip(items.ids, items.codes, items.metadata, strict=True)
            return [Item(*one) for one in held]

    def search(
        self,
        codes: Any,
        topk: int = 10,
        *,
        rank: Rank = "hamming",
        oversample: int | None = None,
        where: Mapping[str, Any] | None = None,
        metadata: bool = False,
        query: Kind | None = None,
    ) -> SearchResult:
        """Find the nearest items of each query code.

        The asymmetric distance is the sum of a query's values, without their signs, over the bits
        in which an item differs: bits of which the query is sure weigh more. Items store nothing
        for it. Equal ones come by Hamming distance (``crosshash.retrieval.asymmetric``).

        Args:
            codes: (q, k/8) packed ``uint8``, or (q, k) signed or real values.
            topk: How many items per query; no more than the index holds are returned.
            rank: ``hamming``; or ``asymmetric``, of real values, ``encode_text(…, output="real")``.
            oversample: Rank asymmetrically only the ``oversample * topk`` items that are nearest
                by Hamming distance, which is faster and may miss some; None: all items, or ten for
                each wanted one where a server has the codes.
            where: Conditions on the items' metadata, all to be met: ``{"label": "dog"}``,
                ``{"label": ["dog", "cat"]}``, ``{"year": {">=": 2020, "<": 2025}}``.
            metadata: Have the hits' metadata in the result.
            query: What the queries are, ``image`` or ``text``: have the hits' probability in the
                result, where the index knows it of its model.

        Raises:
            TypeError: The codes' type has no sign, or no real values to rank asymmetrically.
            ValueError: The index is empty, ``topk`` is below 1, the codes have another length or,
                to rank asymmetrically, infinite values; there is no such ``rank``; ``oversample``
                is below 1, or without asymmetric ranking.
        """
        check_choice("rank", rank, get_args(Rank))
        check_rank("oversample", oversample)
        if oversample is not None and rank == "hamming":
            raise ValueError("oversample is of asymmetric ranking; add rank='asymmetric'")
        queries = WeightedQueries(codes) if rank == "asymmetric" else None
        packed, conditions = packed_codes(codes, self.bits), as_filter(where)
        if topk < 1:
            raise ValueError(f"topk is at least 1, got {topk}")
        with self._lock.reading():
            count = len(self)  # a question to a server
            if not count:
                raise ValueError("the index is empty; add codes before searching")
            topk = min(topk, count)
            found = None
            if queries is not None and oversample is None:
                found = self._engine.ranked(queries, topk, conditions)
            if found is None:
                wide = 1 if queries is None else (oversample or SHORT_LIST)
                found = self._engine.nearest(packed, min(wide * topk, count), conditions)
                if queries is not None:
                    found = reranked(queries, found, topk)
            width = topk if conditions is None else 0
            return self._result(found, codes, len(packed), width, query, metadata)

    def radius(
        self,
        codes: Any,
        radius: int,
        *,
        where: Mapping[str, Any] | None = None,
        metadata: bool = False,
        query: Kind | None = None,
    ) -> SearchResult:
        """Find all items within a Hamming distance of each query code, exactly.

        Args:
            codes: (q, k/8) packed ``uint8``, or (q, k) signed or real values.
            radius: The largest distance, 0…k.
            where: Conditions on the items' metadata, as for :meth:`search`.
            metadata: Have the hits' metadata in the result.
            query: As for :meth:`search`.

        Raises:
            TypeError: The codes' type has no sign.
            ValueError: The codes have another length, or ``radius`` is not in 0…k.
        """
        packed, conditions = packed_codes(codes, self.bits), as_filter(where)
        if isinstance(radius, bool) or not isinstance(radius, (int, np.integer)):
            raise ValueError(f"radius is a whole number in 0…{self.bits}, got {radius!r}")
        if not 0 <= radius <= self.bits:
            raise ValueError(f"radius is in 0…{self.bits}, the bits of a code; got {radius}")
        with self._lock.reading():
            found = self._engine.within(packed, int(radius), conditions)
            return self._result(found, codes, len(packed), 0, query, metadata)

    def _result(
        self,
        found: Found,
        values: Any,
        queries: int,
        width: int,
        kind: Kind | None,
        metadata: bool,
    ) -> SearchResult:
        likely = None
        if kind is not None:
            check_choice("query", kind, get_args(Kind))
            likely = probabilities(
                self.metadata, found, values, kind, bits=self.bits, count=len(self)
            )
        return as_result(found, queries, width, metadata=metadata, probability=likely)
