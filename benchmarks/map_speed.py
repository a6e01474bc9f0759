"""Speed and memory of MAP: the field's loop over queries against histograms.

    CROSSHASH_DATA=… python benchmarks/map_speed.py            # speed, MIRFLICKR-25K labels
    CROSSHASH_DATA=… python benchmarks/map_speed.py --memory   # 2,100 x 190,000, NUS-WIDE labels

The loop is the one of the DCMH and DJSRH families: ±1 codes, a matrix product for the distances, a
sort and the precision at each hit, one query after the other. Code bases differ in what they give
it, and its speed with that: float32 codes with float64 labels (as the DJSRH family reads them),
with int64 labels, all float32 (the fastest it can have), and the PyTorch form of the DCMH family.
Its products run in one thread (``--blas-threads``): they are small, and two threads that wait for
each other on a busy machine take ten times as long. Times of crosshash include all checks and the
packing of labels; its codes are packed, as models return them.
"""

from __future__ import annotations

import argparse
import os
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from crosshash.codes import pack
from crosshash.files import locate
from crosshash.retrieval import evaluate_codes, mean_average_precision
from crosshash.retrieval.histogram import Comparison

BITS = 64


def numpy_loop(
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


def torch_loop(
    query: torch.Tensor, items: torch.Tensor, query_labels: torch.Tensor, item_labels: torch.Tensor
) -> float:
    total, counted = torch.zeros(()), 0
    for code, labels in zip(query, query_labels, strict=True):
        relevant = (labels[None].mm(item_labels.t()) > 0).squeeze().float()
        hits = int(relevant.sum())
        if hits == 0:
            continue
        distance = 0.5 * (items.shape[1] - code[None].mm(items.t()))
        order = torch.sort(distance)[1].squeeze()
        rank = torch.nonzero(relevant[order])[:hits].squeeze().float() + 1.0
        total += torch.mean(torch.arange(1, hits + 1).float() / rank)
        counted += 1
    return float(total / counted)


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

    def arguments(codes: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
        parts = (slice(None, queries), slice(queries, None))
        return [values[part] for values in (codes, labels) for part in parts]

    single = arguments(signs, labels.astype(np.float32))
    double = arguments(signs, labels.astype(np.float64))
    integers = arguments(signs, labels.astype(np.int64))
    tensors = [torch.from_numpy(part) for part in single]
    ours = arguments(pack(codes), labels)
    loops: dict[str, Callable[[], float]] = {
        "NumPy, float32 labels": lambda: numpy_loop(*single),
        "NumPy, float64 labels": lambda: numpy_loop(*double),
        "NumPy, int64 labels": lambda: numpy_loop(*integers),
        "PyTorch, float32 labels": lambda: torch_loop(*tensors),
    }
    engines: dict[str, Callable[[], float]] = {
        "numpy": lambda: mean_average_precision(*ours, engine="numpy")
    }
    try:
        first, _ = clock(lambda: mean_average_precision(*ours, engine="numba"))
        engines["numba"] = lambda: mean_average_precision(*ours, engine="numba")
        print(f"numba's first call, which compiles or loads: {first:.2f} s, not counted below\n")
    except ImportError:
        print("numba is not installed; its engine is left out\n")
    seconds: dict[str, list[float]] = {name: [] for name in (*loops, *engines)}
    values: dict[str, float] = {}
    torch.set_num_threads(blas_threads)
    for _ in range(repeat):
        # By turns, so that a machine that is busy for a while is busy for all of them.
        for name, run in loops.items():
            with threadpool_limits(blas_threads):
                taken, values[name] = clock(run)
            seconds[name].append(taken)
            for engine, evaluate in engines.items():
                for _ in range(3):
                    taken, values[engine] = clock(evaluate)
                    seconds[engine].append(taken)
    medians = {name: float(np.median(taken)) for name, taken in seconds.items()}
    print(
        f"{queries:,} queries, {items:,} items, {BITS} bits, {labels.shape[1]} labels; "
        f"{os.cpu_count()} cores; medians of {repeat} rounds\n"
    )
    print(
        "| loop over queries | time | MAP | "
        + " | ".join(f"{e} is faster by" for e in engines)
        + " |"
    )
    print("| --- | --- | --- |" + " --- |" * len(engines))
    for name in loops:
        ratios = " | ".join(f"{medians[name] / medians[engine]:.0f} ×" for engine in engines)
        print(f"| {name} | {medians[name]:.2f} s | {values[name]:.6f} | {ratios} |")
    print("\n| crosshash, engine | median | fastest | MAP (expected ties) |")
    print("| --- | --- | --- | --- |")
    for engine in engines:
        fastest = min(seconds[engine])
        print(
            f"| {engine} | {medians[engine] * 1e3:.1f} ms | {fastest * 1e3:.1f} ms "
            f"| {values[engine]:.6f} |"
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
    print(
        f"{queries:,} queries, {items:,} items, {BITS} bits, {labels.shape[1]} labels; one byte "
        f"for each pair would be {queries * items / 2**20:.0f} MiB\n"
    )
    print("| | time | peak of what is allocated |")
    print("| --- | --- | --- |")
    for name, run in runs.items():
        try:
            # Loads or compiles the kernel.
            Comparison(*(part[:9] for part in ours)).histogram(
                "numba" if "numba" in name else "numpy"
            )
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
    parser.add_argument("--repeat", type=int, default=3, help="rounds of the speed measurement")
    parser.add_argument(
        "--blas-threads", type=int, default=1, help="threads of the loops' products"
    )
    options = parser.parse_args()
    if options.memory:
        memory(options.queries or 2100, options.items or 190_000)
    else:
        speed(
            options.queries or 2000,
            options.items or 18_015,
            options.repeat,
            options.blas_threads,
        )


if __name__ == "__main__":
    main()
