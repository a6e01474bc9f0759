"""What keeps the codes of an index: the few operations that every engine has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from crosshash.codes import Packed

if TYPE_CHECKING:
    from crosshash.retrieval.asymmetric import WeightedQueries
    from crosshash.search.filters import Filter

Integers = npt.NDArray[np.int64]


class CorruptIndexError(ValueError):
    """A saved index whose files are damaged or do not belong together."""

    def __init__(self, place: object, reason: str) -> None:
        super().__init__(
            f"{place}: {reason}; copy the whole index again, or build it anew from the codes"
        )


class Lookup(Sequence[Any]):
    """What belongs to items, looked up when it is first read.

    Args:
        numbers: The items' numbers.
        look: Gives what belongs to numbers, as a list.
    """

    def __init__(self, numbers: Integers, look: Callable[[Integers], list[Any]]) -> None:
        self._numbers = numbers
        self._look = look
        self._found: list[Any] | None = None

    def take(self, places: Integers) -> Lookup:
        """Of some of the items, of which nothing need have been read."""
        return Lookup(self._numbers[places], self._look)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, place: Any) -> Any:
        if self._found is None:
            self._found = self._look(self._numbers)
        return self._found[place]


@dataclass(frozen=True)
class Items:
    """Items of an index, in order of insertion.

    Attributes:
        ids: n ids.
        codes: (n, k/8) packed.
        metadata: n mappings, None where an item has none.
        order: ``int64`` (n,), numbers that grow in order of insertion.
    """

    ids: Sequence[str]
    codes: Packed
    metadata: Sequence[dict[str, Any] | None]
    order: Integers

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True)
class Found:
    """Hits of q queries in one run, by query, then distance, then order of insertion.

    Attributes:
        query: ``int64`` (h,), which query a hit is of, ascending.
        distance: ``int32`` (h,), Hamming distance to it.
        order: ``int64`` (h,), the hits' numbers in order of insertion.
        codes: (h, k/8), the hits' packed codes.
        ids: h ids; read under the index's lock, so that they may be looked up then.
        metadata: h mappings, likewise.
        asymmetric: ``float32`` (h,), of :meth:`Engine.ranked`, by which its hits are sorted first.
    """

    query: Integers
    distance: npt.NDArray[np.int32]
    order: Integers
    codes: Packed
    ids: Sequence[str]
    metadata: Sequence[dict[str, Any] | None]
    asymmetric: npt.NDArray[np.float32] | None = None

    def take(self, places: Integers) -> Found:
        """Some of the hits."""
        return Found(
            self.query[places],
            self.distance[places],
            self.order[places],
            self.codes[places],
            _taken(self.ids, places),
            _taken(self.metadata, places),
            None if self.asymmetric is None else self.asymmetric[places],
        )


class Engine(ABC):
    """Codes of one length with their ids, metadata and what is remembered of the whole.

    ``Index`` is what users hold. Of their threads it lets any number ask, or one change something,
    at a time. It checks what they give before it reaches an engine: codes are
    packed and of the right length, ids are strings, metadata are JSON objects. An engine makes
    each change whole or not at all and has written it durably when it returns (where it is kept
    durably). Items are numbered in order of insertion; equal distances come in that order, and an
    item that is replaced comes last. Codes are kept once, with lists of the items that have them,
    and what an approximate search walks over are codes, each once: all items of a code are found
    together.

    Attributes:
        bits: Code length k.
        uri: Where it is, without passwords, for messages.
        exact: Whether ``nearest`` always finds the nearest.
    """

    bits: int
    uri: str
    exact: bool = True

    @abstractmethod
    def __len__(self) -> int:
        """The number of items."""

    @abstractmethod
    def known(self, ids: Sequence[str]) -> list[bool]:
        """Whether each id is there."""

    @abstractmethod
    def insert(
        self,
        codes: Packed,
        ids: Sequence[str],
        metadata: Sequence[dict[str, Any] | None] | None,
        *,
        replace: bool = False,
    ) -> None:
        """Append items; with ``replace`` those that are there are taken out first.

        Raises:
            ValueError: An id is there (without ``replace``), told by ``ids.told_twice``. That ids
                are given once each, the index has checked.
        """

    @abstractmethod
    def delete(self, ids: Sequence[str]) -> None:
        """Take items out; LookupError, told by ``ids.told_missing``, if any is not there."""

    @abstractmethod
    def fetch(self, ids: Sequence[str]) -> Items:
        """Items by their ids, in the order asked; LookupError as :meth:`delete`."""

    @abstractmethod
    def nearest(self, codes: Packed, topk: int, where: Filter | None = None) -> Found:
        """The ``topk`` nearest items of each code; fewer where fewer match."""

    @abstractmethod
    def within(self, codes: Packed, radius: int, where: Filter | None = None) -> Found:
        """All items within a Hamming distance of each code, exactly, whatever ``exact`` says."""

    def ranked(
        self, queries: WeightedQueries, topk: int, where: Filter | None = None
    ) -> Found | None:
        """The ``topk`` nearest of all items by asymmetric distance; None: only a short list can be.

        Engines that have the codes at hand rank all of them; a server's would have to be fetched.
        """
        return None

    @abstractmethod
    def scan(self, where: Filter | None = None) -> Iterator[Items]:
        """All items in order of insertion, a block at a time, in bounded memory."""

    @abstractmethod
    def read_info(self) -> dict[str, Any]:
        """What is remembered of the whole index: a JSON object."""

    @abstractmethod
    def write_info(self, info: Mapping[str, Any]) -> None:
        """Replace what is remembered."""

    def compact(self, **options: Any) -> None:
        """Give back the room of what was removed, and build search structures anew."""
        if options:
            raise TypeError(f"{self.uri}: compacting takes no options, got {sorted(options)}")

    def refresh(self) -> bool:
        """See what others wrote since; whether there was anything. Servers always show it."""
        return False

    @abstractmethod
    def close(self) -> None:
        """Give back files, connections and locks; the engine is not used afterwards."""


def _taken(values: Sequence[Any], places: Integers) -> Sequence[Any]:
    if isinstance(values, Lookup):
        return values.take(places)
    return [values[place] for place in places.tolist()]
