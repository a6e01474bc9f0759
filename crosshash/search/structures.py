"""What finds codes without looking at all of them: FAISS's structures over codes, each once."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any, Literal, get_args

import numpy as np

from crosshash.codes import Packed
from crosshash.search.engine import CorruptIndexError
from crosshash.search.postings import Rows, scan_within

Kind = Literal["flat", "mih", "ivf", "hnsw"]
SMALLEST = 50_000
"""Fewer codes are scanned faster than a structure is asked."""

_OPTIONS = {
    "flat": {},
    "mih": {"substring": 0},
    "ivf": {"lists": 0, "probes": 0},
    "hnsw": {"neighbours": 16, "build": 100, "search": 128},
}  # type: dict[str, dict[str, int]]
_ROUNDS = 3  # of a growing radius, before the rest is scanned


def check_options(kind: str, options: dict[str, Any]) -> dict[str, int]:
    """Options of a kind with their defaults; 0 stands for a choice by the number of codes.

    Raises:
        ValueError: There is no such kind, or an option is no whole number of at least 0.
        TypeError: The kind has no such option.
    """
    if kind not in get_args(Kind):
        raise ValueError(f"kind is one of {', '.join(get_args(Kind))}, got {kind!r}")
    known = _OPTIONS[kind]
    for name, value in options.items():
        if name not in known:
            raise TypeError(f"{kind} has the options {sorted(known)}, got {name!r}")
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ValueError(f"{name} is a whole number of at least 0, got {value!r}")
    return {**known, **options}


class Structure:
    """Codes found by multi-index hashing (``mih``), inverted lists (``ivf``) or a graph (``hnsw``).

    Multi-index hashing (Norouzi, Punjani & Fleet 2012) cuts a code of k bits in m substrings: two
    codes within r bits agree in one of these but for floor(r / m) bits, so that looking up what is
    so near in each finds all within r, exactly. The nearest are found by growing r; what is not
    found by three rounds is scanned. The other two are approximate: ``ivf`` looks into the
    ``probes`` nearest of ``lists`` clusters, ``hnsw`` walks a graph with ``search`` candidates.
    """

    def __init__(self, kind: str, index: Any, codes: Packed, options: dict[str, int]) -> None:
        self.kind = kind
        self.exact = kind == "mih"
        self.options = options
        self._index = index
        self._codes = codes
        self._flips = Lock()
        if kind == "hnsw":
            index.hnsw.efSearch = options["search"]
        if kind == "ivf":
            index.nprobe = options["probes"] or max(1, index.nlist // 8)

    @classmethod
    def build(cls, kind: str, codes: Packed, options: dict[str, int]) -> Structure:
        """A structure over codes (u, k/8)."""
        import faiss

        index: Any
        bits, count = codes.shape[1] * 8, len(codes)
        if kind == "hnsw":
            index = faiss.IndexBinaryHNSW(bits, options["neighbours"])
            index.hnsw.efConstruction = options["build"]
        elif kind == "ivf":
            lists = min(options["lists"] or max(1, int(4 * count**0.5)), count)
            coarse: Any = faiss.IndexBinaryFlat(bits)
            index = faiss.IndexBinaryIVF(coarse, bits, lists)
            index.own_fields = True
            coarse.this.disown()
            index.train(codes[:: max(1, count // (64 * lists))])
        else:
            # So long that a bucket has about one code, and that they fill the code.
            length = options["substring"] or max(8, min(32, round(np.log2(max(2, count)))))
            index = faiss.IndexBinaryMultiHash(bits, bits // length or 1, min(length, bits))
        index.add(codes)
        return cls(kind, index, codes, options)

    def search(self, queries: Packed, count: int) -> tuple[Rows, Rows]:
        """Distances and places (q, count) of codes found near each query, -1 for none."""
        if self.kind != "mih":
            distances, places = self._index.search(queries, count)
            return distances, places
        return self._growing(queries, count)

    def within(self, queries: Packed, radius: int) -> tuple[Rows, Rows, Rows]:
        """Query, distance and place of all codes within a Hamming distance; ``mih`` only."""
        substrings = self._index.nhash
        if radius // substrings >= _ROUNDS:
            return scan_within(self._codes, queries, radius)
        with self._flips:  # of which FAISS has one number for all threads
            self._index.nflip = radius // substrings
            ends, distances, places = self._index.range_search(queries, radius + 1)
        query = np.repeat(np.arange(len(queries)), np.diff(ends.astype(np.int64)))
        return query, distances.astype(np.int64), places

    def _growing(self, queries: Packed, count: int) -> tuple[Rows, Rows]:
        import faiss

        distances = np.full((len(queries), count), -1, dtype=np.int64)
        places = np.full((len(queries), count), -1, dtype=np.int64)
        open_ = np.arange(len(queries))
        for flips in range(_ROUNDS):
            radius = (flips + 1) * self._index.nhash - 1
            query, distance, place = self.within(queries[open_], radius)
            order = np.lexsort((place, distance, query))
            query, distance, place = query[order], distance[order], place[order]
            ends = np.searchsorted(query, np.arange(len(open_) + 1))
            enough = np.diff(ends) >= count
            for number in np.flatnonzero(enough):
                first = ends[number]
                distances[open_[number]] = distance[first : first + count]
                places[open_[number]] = place[first : first + count]
            open_ = open_[~enough]
            if not len(open_):
                return distances, places
        distances[open_], places[open_] = faiss.knn_hamming(queries[open_], self._codes, count)
        return distances, places

    def save(self, path: Path) -> None:
        """Write it as FAISS does."""
        import faiss

        faiss.write_index_binary(self._index, str(path))

    @classmethod
    def load(cls, path: Path, kind: str, codes: Packed, options: dict[str, int]) -> Structure:
        """Read one, over the codes that it was built over.

        Raises:
            CorruptIndexError: It is none, or of other codes.
        """
        import faiss

        wanted = {
            "mih": faiss.IndexBinaryMultiHash,
            "ivf": faiss.IndexBinaryIVF,
            "hnsw": faiss.IndexBinaryHNSW,
        }[kind]
        try:
            index = faiss.read_index_binary(str(path))
        except RuntimeError as error:
            raise CorruptIndexError(path, "FAISS cannot read it") from error
        held = (index.d, index.ntotal)
        if not isinstance(index, wanted) or held != (codes.shape[1] * 8, len(codes)):
            raise CorruptIndexError(path, f"no {kind} of {len(codes)} codes, but {held}")
        return cls(kind, index, codes, options)
