"""A source cut into parts, the same ones whenever it is read, and how a changed one is told."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np

from crosshash.encoding.items import Item, Source

_MASK = (1 << 64) - 1
TWICE = "its id stands before in the source; the first item keeps it"


class Listing(NamedTuple):
    """What one pass over a source's items tells, without reading any.

    Attributes:
        items: How many there are.
        parts: SHA-256 of each part's items.
        per_part: Items of each part but the last.
        twice: Hashes of ids that stand more than once; of this process, as Python's hashes are.
    """

    items: int
    parts: list[bytes]
    per_part: int
    twice: frozenset[int]

    def digest(self, stamp: str) -> str:
        """SHA-256, 64 hexadecimal digits, of all items in their order and the source's stamp."""
        return hashlib.sha256(b"".join([stamp.encode(), b"\0", *self.parts])).hexdigest()

    def size(self, number: int) -> int:
        """Items of a part."""
        return min(self.per_part, self.items - number * self.per_part)


def list_items(source: Source, per_part: int) -> Listing:
    """Go through a source once; 8 bytes are kept for each item, and only until the end.

    Args:
        source: Its items are named, not read.
        per_part: Items of a part.

    Raises:
        ValueError: There is no item, or ``per_part`` is below 1.
    """
    if per_part < 1:
        raise ValueError(f"a part has at least 1 item, got {per_part}")
    hashes = array("Q")
    parts = []
    for items in _cut(source, per_part):
        parts.append(_digest(items))
        hashes.extend(hash(item.id) & _MASK for item in items)
    if not parts:
        raise ValueError(
            f"there is nothing to encode in {source}; name what has pictures or, with --text, texts"
        )
    ordered = np.sort(np.frombuffer(hashes, dtype=np.uint64))
    twice = frozenset(ordered[1:][ordered[1:] == ordered[:-1]].tolist())
    return Listing(len(hashes), parts, per_part, twice)


def iterate_parts(source: Source, listing: Listing) -> Iterator[tuple[int, list[Item]]]:
    """All parts with their numbers, in order; what cannot be encoded is marked by its fault.

    Raises:
        ValueError: The source is no longer what was listed.
    """
    seen: set[str] = set()
    number = -1
    for number, items in enumerate(_cut(source, listing.per_part)):
        if number >= len(listing.parts) or _digest(items) != listing.parts[number]:
            break
        yield number, [_checked(item, listing.twice, seen) for item in items]
    else:
        if number + 1 == len(listing.parts):
            return
    raise ValueError(
        f"{source} changed while it was read, and the parts of a changed source "
        "would be others; encode it again, to a new folder, when it stays as it is"
    )


def _cut(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    left = iter(items)
    while part := list(islice(left, size)):
        yield part


def _digest(items: list[Item]) -> bytes:
    digest = hashlib.sha256()
    for item in items:
        digest.update(repr(tuple(item)).encode("utf-8", "surrogatepass"))
    return digest.digest()


def _checked(item: Item, twice: frozenset[int], seen: set[str]) -> Item:
    if hash(item.id) & _MASK in twice:
        if item.id in seen:
            return item._replace(fault=item.fault or TWICE)
        seen.add(item.id)
    try:
        item.id.encode("utf-8")
    except UnicodeEncodeError:  # a file's name may be any bytes, and an id may not
        shown = item.id.encode("utf-8", "backslashreplace").decode()
        return Item(shown, item.place, item.fault or "its name is no valid Unicode; rename it")
    return item
