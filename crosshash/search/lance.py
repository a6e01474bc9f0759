"""An index in LanceDB, a folder of columns, by its Hamming distance of bytes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from crosshash.codes import Packed
from crosshash.search.engine import Engine, Found, Items
from crosshash.search.filters import meets
from crosshash.search.ids import told_missing, told_twice
from crosshash.search.lance_files import Held, LanceFiles
from crosshash.search.lance_filters import as_where
from crosshash.search.lance_rows import BLOCK, chosen, find, places_of, streamed, take
from crosshash.search.lance_search import nearest, ranked, within
from crosshash.search.lance_table import as_batches, check_table, make_table
from crosshash.search.rows import blocks
from crosshash.search.scalars import as_document

if TYPE_CHECKING:
    from crosshash.retrieval.asymmetric import WeightedQueries
    from crosshash.search.filters import Filter

T = TypeVar("T")
_INDEX = "code_idx"  # as LanceDB names it
_SCANNED = 4096
_ALL, _NONE = timedelta(days=36500), timedelta(milliseconds=1)  # versions that are kept


class LanceEngine(Engine):
    """Codes in a table of a LanceDB folder; see ``docs/engines.md``.

    The table has one row per item: its number in order of insertion, its id, its packed code, its
    metadata as JSON text, and digests by which they are filtered. A code stands in each of its
    items; the same codes are found together, as they are in the same list.

    A change is whole, and on the disk when it returns (``lance_files.LanceFiles``). One writes at a
    time, which its threads may share; others read what was there when they opened it, until they
    :meth:`refresh`, or until a writer has compacted what they read.

    Searches are exact unless ``compact(kind="ivf")`` made an index; then ``nearest`` without a
    filter looks at an eighth of the lists.
    """

    def __init__(self, files: LanceFiles) -> None:
        self.uri = files.uri
        self._files = files
        self._writing = threading.Lock()
        with files.told():
            self._hold(files.read())
        check_table(files, self._held)
        self.bits = self._held.state.bits

    @classmethod
    def open(cls, uri: str, bits: int | None = None, *, create: bool = False) -> LanceEngine:
        """The index at ``uri``; with ``create`` it is made where there is none.

        Args:
            uri: ``lancedb:FOLDER``, with ``?table=NAME`` for another table than ``crosshash``.
            bits: Code length k; None: that of the index that is there.
            create: Whether to make one.

        Raises:
            ModuleNotFoundError: The extra ``lancedb`` is not installed.
            FileNotFoundError: There is no such index.
            FileExistsError: The folder is a file.
            CorruptIndexError: Its files are damaged, or not all there.
            ValueError: It is no such URI, the table is of another code length or not of this
                package, or the length of a new index is not told.
        """
        files = LanceFiles(uri)
        if create:
            with files.told():
                make_table(files, bits)
        engine = cls(files)
        if bits not in (None, engine.bits):
            raise ValueError(
                f"{engine.uri}: the index is of {engine.bits} bits, asked for were {bits}; name "
                "another table"
            )
        return engine

    def __repr__(self) -> str:
        return f"LanceEngine({self.uri!r}, bits={self.bits})"

    def __len__(self) -> int:
        return int(self._asked(lambda held: held.table.count_rows()))

    def known(self, ids: Sequence[str]) -> list[bool]:
        """Whether each id is there, by digests of ids."""
        there = self._asked(lambda held: find(held, ids))
        return [id_ in there for id_ in ids]

    def insert(
        self,
        codes: Packed,
        ids: Sequence[str],
        metadata: Sequence[dict[str, Any] | None] | None,
        *,
        replace: bool = False,
    ) -> None:
        """Append items; with ``replace`` those that are there are taken out first."""
        held = [None] * len(ids) if metadata is None else metadata
        texts = [None if one is None else as_document(one) for one in held]
        with self._writing, self._files.told():
            table = self._begin()
            there = find(self._held, ids)
            if there and not replace:
                raise ValueError(told_twice(ids, there))
            if not len(ids):
                return
            self._strike(table, there)
            first = self._held.state.following
            table.add(as_batches(codes, ids, texts, metadata, first))
            self._commit(table, following=first + len(ids))

    def delete(self, ids: Sequence[str]) -> None:
        """Take items out, all of them or, if any is not there, none (LookupError)."""
        gone = list(dict.fromkeys(ids))
        with self._writing, self._files.told():
            table = self._begin()
            there = find(self._held, gone)
            if missing := [id_ for id_ in gone if id_ not in there]:
                raise LookupError(told_missing(missing))
            if gone:
                self._strike(table, there)
                self._commit(table)

    def fetch(self, ids: Sequence[str]) -> Items:
        """Items by their ids, in the order asked; LookupError if any is not there."""

        def fetched(held: Held) -> Items:
            there = find(held, ids)
            if missing := list(dict.fromkeys(id_ for id_ in ids if id_ not in there)):
                raise LookupError(told_missing(missing))
            asked = np.array([there[id_][1] for id_ in ids], dtype=np.int64)
            places, rows = np.unique(asked, return_inverse=True)
            return chosen(take(held, places, self.uri), rows)

        return self._asked(fetched)

    def nearest(self, codes: Packed, topk: int, where: Filter | None = None) -> Found:
        """The ``topk`` nearest items of each code; see the class for what is exact."""
        return self._asked(lambda held: nearest(held, codes, topk, where, self.uri))

    def within(self, codes: Packed, radius: int, where: Filter | None = None) -> Found:
        """All items within a distance, by comparing all codes, whatever index there is."""
        return self._asked(lambda held: within(held, codes, radius, where, self.uri))

    def ranked(self, queries: WeightedQueries, topk: int, where: Filter | None = None) -> Found:
        """The ``topk`` nearest of all items by asymmetric distance."""
        return self._asked(lambda held: ranked(held, queries, topk, where, self.uri))

    def scan(self, where: Filter | None = None) -> Iterator[Items]:
        """All items as they are now, a block at a time; 16 bytes of each are in memory.

        Raises:
            RuntimeError: While they are read, the index was compacted.
        """
        sql, rest = as_where(where)

        def numbered(held: Held) -> tuple[Held, Any]:
            pairs = [np.empty((0, 2), dtype=np.int64)]
            for batch in streamed(held, ["order"], sql, (), self.uri):
                pairs.append(np.stack([batch["order"].to_numpy(), places_of(batch)], axis=1))
            ordered = np.concatenate(pairs)
            return held, ordered[np.argsort(ordered[:, 0]), 1]

        return self._scan(*self._asked(numbered), rest)

    def _scan(self, held: Held, places: Any, rest: Filter) -> Iterator[Items]:
        for part in blocks(places, _SCANNED):
            with self._files.told():
                items = take(held, np.sort(part), self.uri)
            rows = np.argsort(items.order)
            if rest:
                rows = rows[[meets(rest, items.metadata[row]) for row in rows]]
            if len(rows):
                yield chosen(items, rows)

    def read_info(self) -> dict[str, Any]:
        """What is remembered of the whole index."""
        return dict(self._held.state.info)

    def write_info(self, info: Mapping[str, Any]) -> None:
        """Replace what is remembered; TypeError for what is no JSON."""
        with self._writing, self._files.told():
            self._commit(self._begin(), info=dict(info))

    def compact(self, **options: Any) -> None:
        """Merge small files, give back room, and make or drop the index for approximate search.

        Lists are made anew, since LanceDB would join small ones; killed before, search is exact.

        Args:
            options: ``kind``: ``"ivf"`` makes an index of ``nlist`` lists of near codes (the square
                root of the number of items), ``"flat"`` drops it; without, all stays as it is.

        Raises:
            TypeError: There is no such option.
            ValueError: An option has no such value, or there are too few codes for so many lists.
        """
        kind = options.pop("kind", None)
        lists = options.pop("nlist", None) if kind == "ivf" else None
        super().compact(**options)
        if kind not in (None, "flat", "ivf"):
            raise ValueError(f'{self.uri}: kind is "flat" or "ivf", got {kind!r}')
        with self._writing, self._files.told():
            table, before = self._begin(), self._held.state.lists
            count = table.count_rows()
            if kind == "ivf" and lists is None:
                lists = max(1, round(count**0.5))
            if lists is not None and (type(lists) is not int or not 1 <= lists <= count):
                raise ValueError(
                    f"{self.uri}: nlist is a number from 1 to that of the items, {count}, got "
                    f"{lists!r}"
                )
            if kind is None and before is not None and count:
                lists = min(before, count)
            if before is not None:
                table.drop_index(_INDEX)
            table.optimize(cleanup_older_than=_ALL)
            self._commit(table, lists=None)
            # Only now may what held until now be deleted; no one else has begun to write.
            table.optimize(cleanup_older_than=_NONE, delete_unverified=True)
            if table.version != self._held.state.version:
                self._commit(table)
            if lists is not None:
                self._make_lists(table, lists)
                self._commit(table, lists=lists, listed=self._held.state.following)

    def refresh(self) -> bool:
        """See what another process wrote since; whether there was anything."""
        with self._files.told():
            new = self._files.read()
        if new.state == self._held.state:
            return False
        self._hold(new)
        return True

    def close(self) -> None:
        """Give back the right to write."""
        self._files.stop_writing()

    # How

    def _hold(self, held: Held) -> None:
        self._held = held
        self.exact = held.state.lists is None

    def _asked(self, ask: Callable[[Held], T]) -> T:
        """An answer of one version; of the next, where a writer has compacted it away."""
        held = self._held
        try:
            with self._files.told():
                return ask(held)
        except (RuntimeError, OSError):
            if not self.refresh():
                raise
        with self._files.told():
            return ask(self._held)

    def _begin(self) -> Any:
        """Take the right to write; the table to write to, without what was not finished."""
        if self._files.start_writing():
            held = self._files.read()  # in a version that its file may not name yet
            self._hold(self._files.commit(held.state))
        table = self._files.connection.open_table(self._files.name)
        if table.version != self._held.state.version:
            table.restore(self._held.state.version)
        return table

    def _commit(self, table: Any, **changes: Any) -> None:
        state = replace(self._held.state, version=table.version, **changes)
        self._hold(self._files.commit(state))

    def _strike(self, table: Any, there: Mapping[str, tuple[int, int]]) -> None:
        for part in blocks([order for order, _ in there.values()], BLOCK):
            table.delete(f"order IN ({', '.join(map(str, part))})")

    def _make_lists(self, table: Any, lists: int) -> None:
        from lancedb.index import IvfFlat

        config = IvfFlat(distance_type="hamming", num_partitions=lists)
        try:
            table.create_index("code", config=config, name=_INDEX)
        except RuntimeError as error:
            if "partitions" not in str(error):
                raise
            raise ValueError(
                f"{self.uri}: there are too few different codes for {lists} lists, and search is "
                f"exact now; pass a smaller nlist ({' '.join(str(error).split())[:300]})"
            ) from None
