"""The index's engines and structures: time, recall, memory, disk, duplicates.

python benchmarks/search.py [--items 1000000] [--kinds flat mih ivf hnsw] [--uri URI] [--repeat 5]

A kind may have options: `ivf:probes=250`, `hnsw:search=512,neighbours=32`.

Codes of 64 bits lie around items / 20 centres, each bit of a code turned with a chance of 0.08,
and one in ten is the code of another item once more. Queries are codes of items of which three
bits were turned, top 100. Times are by turns with a flat index of FAISS alone in the same
process, in batches of 100 and one by one. Recall is the share of the 100 distances that the exact
scan has. Duplicates: of queries that are the codes of items, the share whose nearest hits are all
items of that very code. A search within a radius is compared with FAISS's own over the flat
index. Memory is what the process has grown by, resident, when it has opened the index and
searched it.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from crosshash.reports.tables import markdown_table
from crosshash.search import Index
from crosshash.search.places import split

_TOPK = 100
_BATCH = 100
_RADII = (2, 5, 8)


def draw(items: int, seed: int = 0) -> np.ndarray:
    """Packed codes (items, 8)."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 256, (max(1, items // 20), 8), dtype=np.uint8)
    codes = centres[rng.integers(0, len(centres), items)]
    for first in range(0, items, 1_000_000):  # a million's random numbers at a time
        some = codes[first : first + 1_000_000]
        some ^= np.packbits(rng.random((len(some), 64), dtype=np.float32) < 0.08, axis=1)
    again = rng.integers(0, items, items // 10)
    codes[again] = codes[rng.integers(0, items, len(again))]
    return codes


def queries(codes: np.ndarray, count: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    asked = np.unpackbits(codes[rng.integers(0, len(codes), count)], axis=1)
    for row in asked:
        row[rng.choice(64, 3, replace=False)] ^= 1
    return np.packbits(asked, axis=1)


def by_turns(runs: dict[str, Callable[[], Any]], repeat: int) -> dict[str, float]:
    """Medians in seconds."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeat):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            taken[name].append(time.perf_counter() - start)
    return {name: float(np.median(seconds)) for name, seconds in taken.items()}


def resident() -> float:
    """Resident memory of this process in MB, files that are mapped into it included."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def measure(uri: str, items: int, kind: str, repeat: int) -> dict[str, Any]:
    """A row of the table: an index that is there, opened and searched."""
    codes = draw(items)
    asked = queries(codes, _BATCH)
    before = resident()
    start = time.perf_counter()
    index = Index.open(uri)
    opening = time.perf_counter() - start
    found = index.search(asked, _TOPK)
    memory = resident() - before
    import faiss

    flat = faiss.IndexBinaryFlat(64)
    flat.add(codes)
    flat.use_heap = True
    exact, _ = flat.search(asked, _TOPK)
    shares = [
        sum((Counter(a) & Counter(b)).values()) / _TOPK
        for a, b in zip(found.distances.tolist(), exact.tolist(), strict=True)
    ]
    seconds = by_turns(
        {
            "batch": lambda: index.search(asked, _TOPK),
            "flat batch": lambda: flat.search(asked, _TOPK),
            "one": lambda: [index.search(asked[n : n + 1], _TOPK) for n in range(20)],
            "flat one": lambda: [flat.search(asked[n : n + 1], _TOPK) for n in range(20)],
        },
        repeat,
    )
    near = {}
    for radius in _RADII:
        taken = by_turns(
            {
                "index": partial(index.radius, asked, radius),
                "flat": partial(flat.range_search, asked, radius + 1),
            },
            repeat,
        )
        near[f"within {radius}, / flat"] = f"{taken['index'] / taken['flat']:.2f}"
    return {
        "kind": kind,
        "queries/s, batches": round(_BATCH / seconds["batch"]),
        "time / FAISS flat": f"{seconds['batch'] / seconds['flat batch']:.2f}",
        "queries/s, one by one": round(20 / seconds["one"]),
        "time / flat, one": f"{seconds['one'] / seconds['flat one']:.2f}",
        "recall@100": f"{np.mean(shares):.3f}",
        "duplicates": f"{duplicates(index, codes):.3f}",
        "opened, s": f"{opening:.2f}",
        "memory, MB": round(memory),
        **near,
    }


def duplicates(index: Index, codes: np.ndarray) -> float:
    """The share of codes that several items have, of which a search finds all of these items."""
    words = codes.view(np.uint64)[:, 0]
    unique, counts = np.unique(words, return_counts=True)
    several = np.flatnonzero((counts > 1) & (counts <= _TOPK))
    chosen = np.random.default_rng(2).choice(several, 200)
    asked = unique[chosen].view(np.uint8).reshape(-1, 8)
    found = index.search(asked, _TOPK).distances
    return float(np.mean((found == 0).sum(axis=1) == counts[chosen]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--kinds", nargs="+", default=["flat", "mih", "ivf", "hnsw"])
    parser.add_argument("--uri", help="where the index is made; default: a temporary folder")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        row = measure(options.uri, options.items, options.measure, options.repeat)
        print(markdown_table([row]).splitlines()[-1])
        return
    with tempfile.TemporaryDirectory() as temporary:
        uri = options.uri or str(Path(temporary) / "index")
        start = time.perf_counter()
        with Index.open(uri, 64) as index:
            codes = draw(options.items)
            for first in range(0, options.items, 1_000_000):
                some = codes[first : first + 1_000_000]
                index.add(some, range(first, first + len(some)))
        print(f"{options.items:,} items added in {time.perf_counter() - start:.0f} s")
        for kind in options.kinds:
            start = time.perf_counter()
            name, _, given = kind.partition(":")
            chosen = dict(pair.split("=") for pair in given.split(",") if pair)
            with Index.open(uri) as index:
                index.compact(name, **{key: int(value) for key, value in chosen.items()})
            built = time.perf_counter() - start
            size = ""
            folder = Path(split(uri)[1].partition("?")[0])
            if folder.is_dir():
                held = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
                size = f", {held / 1e6:.0f} MB on disk"
            print(f"{kind}: compacted in {built:.0f} s{size}", flush=True)
            told = [sys.executable, __file__, "--measure", kind, "--uri", uri]
            told += ["--items", str(options.items), "--repeat", str(options.repeat)]
            subprocess.run(told, check=True)


if __name__ == "__main__":
    main()
