"""Items that no longer change: their codes, ids and metadata, in memory or mapped from a file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from crosshash.codes import Packed
from crosshash.search.engine import CorruptIndexError
from crosshash.search.filters import Filter, meets
from crosshash.search.postings import Hits, Mask, Postings, Rows, as_keys, grouped
from crosshash.search.recent import Recent
from crosshash.tensor_header import read_entries

Tensors = dict[str, npt.NDArray[Any]]
# More codes than these that lost an item are not asked for beside the answer, but left out.
_SUSPECTS = 1_024
_BLOCK = 65_536  # ids or metadata at a time
_KINDS = {"U8": np.uint8, "U32": np.uint32, "I64": np.int64}
# Name, type and axes of what a segment's file holds; the last four only where they are needed.
_HOLDS = {
    "codes": ("U8", 2),
    "utf8": ("U8", 1),
    "offsets": ("I64", 1),
    "hashes": ("U32", 1),
    "hash_rows": ("U32", 1),
    "starts": ("I64", 1),
    "rows": ("U32", 1),
    "code_of": ("U32", 1),
    "metadata": ("U8", 1),
    "metadata_offsets": ("I64", 1),
}
_ALWAYS = ("codes", "utf8", "offsets", "hashes", "hash_rows")
LARGEST = 2**32 - 1
"""Items of a segment, at most: rows are kept in 32 bits."""


class Segment:
    """n items in order of insertion, some of which may have been removed since.

    Codes are kept once each, with the rows that have them; ids as one run of UTF-8 bytes, so that
    any character may stand in them (file names that are not valid Unicode reach Python as lone
    surrogates), and are found by a sorted table of their CRC-32.

    Args:
        tensors: What :func:`build` gives.
        structure: A search structure over the codes (``search.structures``), or None.

    Attributes:
        removed: (n,) rows that are gone; None: none is.
    """

    def __init__(self, tensors: Tensors, structure: Any = None) -> None:
        self.tensors = tensors
        self.structure = structure
        self.postings = Postings(tensors["codes"], tensors.get("starts"), tensors.get("rows"))
        self.removed: Mask | None = None
        self.left = len(self)
        self._suspects: set[int] = set()
        self._utf8 = np.ascontiguousarray(tensors["utf8"]).data
        self._view = lru_cache(maxsize=4)(self._make_view)

    def __len__(self) -> int:
        """Items, those that were removed among them."""
        return len(self.tensors["offsets"]) - 1

    @property
    def code_of(self) -> Rows | None:
        """(n,), the place of each row's code; None: its own number."""
        return self.tensors.get("code_of")

    def codes(self, rows: Rows) -> Packed:
        """Codes of rows, (m, k/8)."""
        places = rows if self.code_of is None else self.code_of[rows]
        found: Packed = self.tensors["codes"][places]
        return found

    def ids(self, rows: Rows) -> list[str]:
        """Ids of rows."""
        found: list[str] = []
        for first in range(0, len(rows), _BLOCK):
            found += self._ids(rows[first : first + _BLOCK])
        return found

    def _ids(self, rows: Rows) -> list[str]:
        # All bytes at once, since a view of each id takes ten times as long as its letters.
        starts, stops = self.tensors["offsets"][rows], self.tensors["offsets"][rows + 1]
        lengths = stops - starts
        ends = np.cumsum(lengths)
        places = np.arange(int(lengths.sum())) + np.repeat(starts - (ends - lengths), lengths)
        raw = self.tensors["utf8"][places].tobytes()
        cuts = zip((ends - lengths).tolist(), ends.tolist(), strict=True)
        if raw.isascii():
            text = raw.decode("ascii")
            return [text[a:b] for a, b in cuts]
        return [raw[a:b].decode("utf-8", "surrogatepass") for a, b in cuts]

    def metadata(self, rows: Rows) -> list[dict[str, Any] | None]:
        """Metadata of rows."""
        texts = self.metadata_texts(rows)
        return [json.loads(text) if text else None for text in texts]

    def metadata_texts(self, rows: Rows) -> list[bytes]:
        """Metadata of rows as JSON, empty where there is none."""
        if "metadata" not in self.tensors:
            return [b""] * len(rows)
        offsets, text = self.tensors["metadata_offsets"], self.tensors["metadata"].data
        ends = zip(offsets[rows].tolist(), offsets[rows + 1].tolist(), strict=True)
        return [bytes(text[a:b]) for a, b in ends]

    def rows_of(self, ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """The row of each id, -1 where it is not here or was removed."""
        raw = [id_.encode("utf-8", "surrogatepass") for id_ in ids]
        wanted = np.fromiter(map(crc32, raw), dtype=np.uint32, count=len(raw))
        hashes, hash_rows = self.tensors["hashes"], self.tensors["hash_rows"]
        first = np.searchsorted(hashes, wanted, side="left")
        last = np.searchsorted(hashes, wanted, side="right")
        found = np.full(len(raw), -1, dtype=np.int64)
        offsets = self.tensors["offsets"]
        for number in np.flatnonzero(first < last):
            for row in hash_rows[first[number] : last[number]].tolist():
                same = self._utf8[offsets[row] : offsets[row + 1]] == raw[number]
                if same and not (self.removed is not None and self.removed[row]):
                    found[number] = row
        return found

    def remove(self, rows: Rows) -> None:
        """Take rows out, which are there."""
        if not len(rows):
            return
        if self.removed is None:
            self.removed = np.zeros(len(self), dtype=np.bool_)
        self.removed[rows] = True
        self.left -= len(rows)
        if len(self._suspects) <= _SUSPECTS:
            places = rows if self.code_of is None else self.code_of[rows]
            self._suspects.update(places.tolist())
        self._view.cache_clear()

    def rows_left(self, where: Filter | None = None) -> Rows:
        """Rows that were not removed and meet a filter, ascending."""
        rows = np.arange(len(self)) if self.removed is None else np.flatnonzero(~self.removed)
        if where is None:
            return rows
        met = [
            meets(where, metadata)
            for first in range(0, len(rows), _BLOCK)
            for metadata in self.metadata(rows[first : first + _BLOCK])
        ]
        return rows[np.array(met, dtype=np.bool_)]

    def nearest(self, queries: Packed, topk: int, where: Filter | None) -> Hits:
        """The nearest rows by Hamming distance, as :class:`Postings` has them."""
        postings, removed, suspects, structure = self._searched(where)
        return postings.nearest(queries, topk, removed, suspects, structure)

    def ranked(self, queries: Any, topk: int, where: Filter | None) -> Hits:
        """The nearest rows by asymmetric distance."""
        postings, removed, suspects, _ = self._searched(where)
        return postings.ranked(queries, topk, removed, suspects)

    def within(self, queries: Packed, radius: int, where: Filter | None) -> Hits:
        """All rows within a Hamming distance."""
        postings, removed, _, structure = self._searched(where)
        exact = structure if structure is not None and structure.exact else None
        return postings.within(queries, radius, removed, exact)

    def _searched(self, where: Filter | None) -> tuple[Postings, Mask | None, int, Any]:
        if where is None and len(self._suspects) <= _SUSPECTS:
            return self.postings, self.removed, len(self._suspects), self.structure
        if where is None and self.structure is not None and not self.structure.exact:
            return self.postings, self.removed, _SUSPECTS, self.structure
        return self._view(where), None, 0, None

    def _make_view(self, where: Filter | None) -> Postings:
        wanted = np.zeros(len(self), dtype=np.bool_)
        wanted[self.rows_left(where)] = True
        return self.postings.only(wanted, self.code_of)

    def save(self, path: Path) -> None:
        """Write the tensors as a safetensors file."""
        from safetensors.numpy import save_file

        save_file({name: np.ascontiguousarray(one) for name, one in self.tensors.items()}, path)


def build(codes: Packed, raw: Sequence[bytes], metadata: Sequence[bytes] | None) -> Tensors:
    """The tensors of a segment.

    Args:
        codes: (n, k/8) packed.
        raw: n ids as UTF-8, with lone surrogates.
        metadata: n JSON texts, empty for none; None: none at all.
    """
    hashes = np.fromiter(map(crc32, raw), dtype=np.uint32, count=len(raw))
    order = np.argsort(hashes, kind="stable")
    utf8, offsets = _run(raw)
    tensors: Tensors = {
        "utf8": utf8,
        "offsets": offsets,
        "hashes": hashes[order],
        "hash_rows": order.astype(np.uint32),
    }
    if metadata is not None and any(metadata):
        tensors["metadata"], tensors["metadata_offsets"] = _run(metadata)
    _, starts, rows, code_of = grouped(as_keys(codes))
    if len(starts) - 1 == len(codes):
        return {"codes": codes, **tensors}
    firsts = rows[starts[:-1]]
    tensors |= {"starts": starts, "rows": rows.astype(np.uint32)}
    return {"codes": codes[firsts], "code_of": code_of.astype(np.uint32), **tensors}


def _run(texts: Sequence[bytes]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Texts as one run of bytes and n + 1 offsets."""
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    return np.frombuffer(b"".join(texts), dtype=np.uint8), offsets


def merged(segments: Iterable[tuple[Segment | Recent, Rows]]) -> Tensors:
    """One segment of the rows of several, in order."""
    codes, raw, metadata = [], [], []
    for segment, rows in segments:
        codes.append(segment.codes(rows))
        raw += [id_.encode("utf-8", "surrogatepass") for id_ in segment.ids(rows)]
        metadata += segment.metadata_texts(rows)
    return build(np.concatenate(codes), raw, metadata)


def open_segment(path: Path, bits: int, count: int) -> Tensors:
    """The tensors of a segment's file, mapped: read when they are used.

    Raises:
        FileNotFoundError: There is no such file.
        CorruptIndexError: It does not hold so many items of so many bits.
    """
    try:
        entries = read_entries(path)
    except ValueError as error:
        raise CorruptIndexError(path, str(error).removeprefix(f"{path}: ")) from error
    missing = [name for name in _ALWAYS if name not in entries]
    for name, entry in entries.items():
        if name not in _HOLDS or (entry.kind, len(entry.shape)) != _HOLDS[name]:
            raise CorruptIndexError(path, f"{name}, {entry.kind} {entry.shape}, has no place here")
    if missing:
        raise CorruptIndexError(path, f"{', '.join(missing)} missing")
    shapes = {name: entry.shape for name, entry in entries.items()}
    unique, items = shapes["codes"][0], {"hashes": 0, "hash_rows": 0, "rows": 0, "code_of": 0}
    ends = {"offsets": count + 1, "metadata_offsets": count + 1, "starts": unique + 1}
    wanted = {"codes": (unique, bits // 8), **dict.fromkeys(items, (count,))}
    wanted |= {name: (length,) for name, length in ends.items()}
    for name, shape in wanted.items():
        if name in shapes and shapes[name] != shape:
            raise CorruptIndexError(path, f"{name} is to be {shape}, and is {shapes[name]}")
    if ("starts" in shapes) != (unique != count) or ("starts" in shapes) != ("rows" in shapes):
        raise CorruptIndexError(path, f"{unique} codes of {count} items without their lists")
    return _mapped(path, entries)


def _mapped(path: Path, entries: dict[str, Any]) -> Tensors:
    with path.open("rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        places = json.loads(file.read(start - 8))
    tensors: Tensors = {}
    for name, entry in entries.items():
        kind, offset = _KINDS[entry.kind], start + places[name]["data_offsets"][0]
        if 0 in entry.shape:
            tensors[name] = np.empty(entry.shape, dtype=kind)
        else:
            mapped = np.memmap(path, kind, "r", offset, entry.shape)
            tensors[name] = mapped.view(np.ndarray)
    return tensors
