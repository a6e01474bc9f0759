"""Asymmetric ranking beside Hamming distance: MAP, time, and recall of short lists.

CROSSHASH_DATA=… python benchmarks/asymmetric.py [MODEL …] [--items 1000000] [--queries 100]
    [--repeat 5]

MAP is of every shipped model, or of those that are named (`runs/lpdh/checkpoint`), expected ties,
on its data set's queries. Times are of random codes and normal values, ratios to the search by
Hamming distance in the same run. Recall is the share of the 100 first items by exact asymmetric
ranking that a short list of oversample * 100 items, nearest by Hamming distance, has among its own
100 first; texts of the queries over the images. `--items 0` measures no times.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import crosshash
from crosshash import Index
from crosshash.codes import pack
from crosshash.config import parse_config
from crosshash.data.model_inputs import encode_pairs, prepare_inputs
from crosshash.experiment.assembly import read_data
from crosshash.reports.tables import markdown_table
from crosshash.retrieval import asymmetric, evaluate_codes

_RECALL_AT = 100
_OVERSAMPLES = (2, 5, 10, 20)


def ranked(name: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows of MAP and of recall of a model."""
    model = crosshash.load(name)
    config = parse_config(model.info.experiment, where=name)
    dataset, protocol = read_data(config)
    inputs = prepare_inputs(model, dataset, captions=config.data.captions, progress=False)
    query = encode_pairs(model, inputs.select(protocol.query), output="real")
    found = encode_pairs(model, inputs.select(protocol.retrieval))
    labels = dataset.labels[protocol.query], dataset.labels[protocol.retrieval]
    row: dict[str, Any] = {"model": name}
    for way, asked, items in (("i2t", query[0], found[1]), ("t2i", query[1], found[0])):
        figures = evaluate_codes(asked, items, *labels, asymmetric=True)
        row |= {f"{way} Hamming": figures.map, f"{way} asymmetric": figures.map_asymmetric}
    columns = ("i2t asymmetric", "t2i asymmetric", "i2t Hamming", "t2i Hamming")
    a, b, c, d = (row[column] for column in columns)
    row["gain of the mean"] = f"{(a + b - c - d) / 2:+.4f}"
    index = Index.for_model(model)
    index.add(found[0], range(len(found[0])))
    return row, {"model": name, **recall(index, query[1])}


def recall(index: Index, values: np.ndarray) -> dict[str, float]:
    """By oversample."""
    exact = index.search(values, _RECALL_AT, rank="asymmetric").positions.tolist()
    shares = {}
    for factor in _OVERSAMPLES:
        found = index.search(values, _RECALL_AT, rank="asymmetric", oversample=factor)
        same = [len(set(x) & set(y)) for x, y in zip(exact, found.positions.tolist(), strict=True)]
        shares[f"oversample {factor}"] = float(np.mean(same)) / _RECALL_AT
    return shares


def random_index(items: int, queries: int) -> tuple[Index, np.ndarray]:
    rng = np.random.default_rng(0)
    index = Index(64)
    index.add(rng.integers(0, 256, (items, 8), dtype=np.uint8), range(items))
    return index, rng.standard_normal((queries, 64), dtype=np.float32)


def times(items: int, queries: int, repeat: int) -> list[dict[str, Any]]:
    """Medians of searches by turns, top 10."""
    index, values = random_index(items, queries)
    packed = pack(values)

    # The engine that "auto" takes, forced.
    def engine(worth: int, **options: Any) -> Callable[[], Any]:
        def search() -> Any:
            asymmetric._WORTH_COMPILING = worth
            return index.search(values, rank="asymmetric", **options)

        return search

    never, always = 1 << 62, 0
    runs: dict[str, Callable[[], Any]] = {
        "Hamming (FAISS)": lambda: index.search(packed),
        "asymmetric, exact, numpy": engine(never),
        "asymmetric, oversample 10, numpy": engine(never, oversample=10),
    }
    try:
        asymmetric.compiled()
        runs["asymmetric, exact, numba"] = engine(always)
        runs["asymmetric, oversample 10, numba"] = engine(always, oversample=10)
        engine(always)()  # compiles or loads
    except ImportError:
        print("numba is not installed; its engine is left out\n")
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeat):
        # By turns, so that a machine that is busy for a while is busy for all of them.
        for name, search in runs.items():
            start = time.perf_counter()
            search()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: float(np.median(taken)) for name, taken in seconds.items()}
    first = next(iter(medians.values()))
    return [
        {
            "search": name,
            "median, ms a query": f"{1000 * median / queries:.2f}",
            "fastest": f"{1000 * min(seconds[name]) / queries:.2f}",
            "× Hamming": f"{median / first:.1f}",
        }
        for name, median in medians.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", help="default: all that are shipped")
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=5, help="rounds of the speed measurement")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    names = options.models or [model.name for model in crosshash.list_models(status="local")]
    maps, recalls = zip(*map(ranked, names), strict=True)
    if options.items:
        random = {"model": f"random, {options.items:,} items, 64 bits"}
        recalls = [*recalls, {**random, **recall(*random_index(options.items, 20))}]
    print("MAP\n")
    print(markdown_table(maps, digits=4))
    print(f"Recall@{_RECALL_AT} against the exact asymmetric ranking\n")
    print(markdown_table(recalls))
    if not options.items:
        return
    print(
        f"{options.items:,} random codes of 64 bits, {options.queries} queries, top 10; "
        f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', '')}; medians of {options.repeat}\n"
    )
    print(markdown_table(times(options.items, options.queries, options.repeat)))


if __name__ == "__main__":
    main()
