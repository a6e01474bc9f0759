"""Speed and memory of MAP: the field's loop over queries against histograms.

    CROSSHASH_DATA=… python benchmarks/map_speed.py            # speed, MIRFLICKR-25K labels
    CROSSHASH_DATA=… python benchmarks/map_speed.py --memory   # 2,100 x 190,000, NUS-WIDE labels

The loop is the one of the DCMH and DJSRH families: ±1 codes, a matrix product for the distances, an
argsort and the precision at each hit, one query after the other. Its codes are float32, as networks
leave them, and its labels float64, as these scripts read them from their .mat files; once they are
float32 too, the fastest it can be given. Its products run in one thread (``--blas-threads``): they
are small, and two threads that wait for each other on a busy machine take ten times as long. Times
include the packing of labels and all checks.
"""

from __future__ import annotations

import argparse
import os
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from crosshash.codes import pack
from crosshash.files import locate
from crosshash.retrieval import evaluate_codes, mean_average_precision
from crosshash.retrieval.histogram import Comparison

BITS = 64


def field_loop(
    query: np.ndarray, items: np.ndarray, query_labels: np.ndarray, item_labels: np.ndarray
) -> float:
    total, counted = 0.0, 0
    for code, labels in zip(query, query_labels, strict=True):
        relevant = (np.dot(labels, item_labels.T) > 0).astype(np.float32)
        hits = int(np.sum(relevant))
        if hits == 0:
            continue
        distance = 0.5 * (items.shape[1] - np.dot(code, items.T))
        relevant = relevant[np.argsort(distance)]
        count = np.linspace(1, hits, hits)
        rank = np.asarray(np.where(relevant == 1)) + 1.0
        total += np.mean(count / rank)
        counted += 1
    return total / counted


def labelled(name: str, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Real labels, those of items that have some, drawn again where there are too few."""
    with np.load(locate(f"label-sets/{name}.npz")) as file:
        labels = file["labels"]
    labels = labels[labels.any(axis=1)]
    order = rng.permutation(len(labels))
    if rows > len(labels):
        order = rng.integers(0, len(labels), rows)
    return labels[order[:rows]].astype(np.uint8)


def noisy_codes(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Real codes that depend on the labels, (n, BITS)."""
    noise = 3 * rng.standard_normal((len(labels), BITS), dtype=np.float32)
    noise += labels @ rng.standard_normal((labels.shape[1], BITS), dtype=np.float32)
    return noise


def clock(run: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def speed(queries: int, items: int, repeat: int, blas_threads: int) -> None:
    rng = np.random.default_rng(0)
    labels = labelled("mirflickr25k", queries + items, rng)
    codes = noisy_codes(labels, rng)
    signs = np.where(codes >= 0, 1, -1).astype(np.float32)
    packed = pack(codes)
    parts = (slice(None, queries), slice(queries, None))
    single = [values[part] for values in (signs, labels.astype(np.float32)) for part in parts]
    double = [values[part] for values in (signs, labels.astype(np.float64)) for part in parts]
    ours = [values[part] for values in (packed, labels) for part in parts]
    runs: dict[str, Callable[[], float]] = {
        "loop over queries": lambda: field_loop(*double),
        "loop over queries, float32 labels": lambda: field_loop(*single),
        "crosshash, engine='numpy'": lambda: mean_average_precision(*ours, engine="numpy"),
    }
    try:
        first, _ = clock(lambda: mean_average_precision(*ours, engine="numba"))
        runs["crosshash, engine='numba'"] = lambda: mean_average_precision(*ours, engine="numba")
        print(f"numba's first call, which compiles or loads: {first:.2f} s, not counted below\n")
    except ImportError:
        print("numba is not installed; its engine is left out\n")
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    values = {}
    for _ in range(repeat):  # by turns, so that a busy machine is busy for all of them
        for name, run in runs.items():
            for _ in range(1 if "loop" in name else 5):
                with threadpool_limits(blas_threads):
                    taken, values[name] = clock(run)
                seconds[name].append(taken)
    medians = {name: float(np.median(taken)) for name, taken in seconds.items()}
    loop, favoured = list(medians.values())[:2]
    print(
        f"{queries:,} queries, {items:,} items, {BITS} bits, {labels.shape[1]} labels; "
        f"{os.cpu_count()} cores; medians of {repeat} rounds\n"
    )
    print("| | median | fastest | times the loop | with float32 labels | MAP |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, median in medians.items():
        print(
            f"| {name} | {median * 1e3:.1f} ms | {min(seconds[name]) * 1e3:.1f} ms "
            f"| {loop / median:.1f} | {favoured / median:.1f} | {values[name]:.6f} |"
        )


def memory(queries: int, items: int) -> None:
    rng = np.random.default_rng(0)
    labels = labelled("nuswide-sample", queries + items, rng)
    packed = pack(noisy_codes(labels, rng))
    parts = (slice(None, queries), slice(queries, None))
    ours = [values[part] for values in (packed, labels) for part in parts]
    runs: dict[str, Callable[[], Any]] = {
        "histogram, engine='numpy'": lambda: Comparison(*ours).histogram("numpy"),
        "histogram, engine='numba'": lambda: Comparison(*ours).histogram("numba"),
        "all figures, engine='auto'": lambda: evaluate_codes(*ours, topk=[50, 5000]),
        "MAP in database order": lambda: mean_average_precision(*ours, ties="index"),
    }
    whole = queries * items / 2**20
    print(
        f"{queries:,} queries, {items:,} items, {BITS} bits, {labels.shape[1]} labels; one byte "
        f"for each pair would be {whole:.0f} MiB\n"
    )
    print("| | time | peak of what is allocated |")
    print("| --- | --- | --- |")
    for name, run in runs.items():
        try:
            run()  # loads or compiles the kernel
        except ImportError:
            continue
        taken, _ = clock(run)
        tracemalloc.start()
        run()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        print(f"| {name} | {taken:.2f} s | {peak / 2**20:.0f} MiB |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--memory", action="store_true", help="measure memory instead of speed")
    parser.add_argument("--queries", type=int)
    parser.add_argument("--items", type=int)
    parser.add_argument("--repeat", type=int, default=7, help="rounds of the speed measurement")
    parser.add_argument(
        "--blas-threads", type=int, default=1, help="threads of the loop's products"
    )
    options = parser.parse_args()
    if options.memory:
        memory(options.queries or 2100, options.items or 190_000)
    else:
        speed(
            options.queries or 2000, options.items or 18_015, options.repeat, options.blas_threads
        )


if __name__ == "__main__":
    main()
