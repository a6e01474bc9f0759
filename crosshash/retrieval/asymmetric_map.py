"""Average precision of asymmetric ranking: items by asymmetric distance, then Hamming distance."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from crosshash.retrieval.asymmetric import Keys, WeightedQueries, adder
from crosshash.retrieval.histogram import Comparison, Engine, Histogram
from crosshash.retrieval.metrics import TieOrder, histogram_precision, ranked_precision
from crosshash.retrieval.ties import Floats


def asymmetric_precision(
    comparison: Comparison,
    values: Any,
    ties: TieOrder = "expected",
    engine: Engine = "auto",
    block: int = 1 << 19,
) -> Floats:
    """Average precision of each query over the whole retrieval set.

    Items of the same asymmetric and the same Hamming distance are tied.

    Args:
        comparison: Queries and items with their labels.
        values: (q, k) real values of its queries.
        ties: As in :func:`~crosshash.retrieval.metrics.mean_average_precision`.
        engine: ``auto``, ``numpy`` or ``numba``; all give the same.
        block: Pairs of items held at a time.

    Returns:
        (q,) in 0…1, NaN for queries with nothing relevant.

    Raises:
        TypeError: The values are packed codes or whole numbers.
        ValueError: A value is NaN or infinite.
        ImportError: ``engine="numba"`` without numba.
    """
    queries, items = WeightedQueries(values), comparison.retrieval_codes
    add = adder(engine, len(queries) * len(items))
    precision = np.empty(len(queries))
    step = max(1, block // len(items))
    for start in range(0, len(queries), step):
        rows = slice(start, min(start + step, len(queries)))
        keys = np.empty((rows.stop - start, len(items)), dtype=np.int64)
        for row, found in enumerate(keys, start):
            add(queries.table(row), items, found)
        order = np.argsort(keys, axis=1, kind="stable")
        ranking = np.take_along_axis(comparison.relevant(rows), order, axis=1)
        if ties == "index":
            precision[rows] = ranked_precision(ranking)
        else:
            histogram = _histogram(np.take_along_axis(keys, order, axis=1), ranking)
            precision[rows] = histogram_precision(histogram, order=ties)
    return precision


def _histogram(keys: Keys, ranking: npt.NDArray[np.bool_]) -> Histogram:
    """Sorted keys (q, n) and the relevance of their items, as counts at each query's own keys."""
    places = np.zeros(keys.shape, dtype=np.intp)
    np.cumsum(keys[:, 1:] != keys[:, :-1], axis=1, out=places[:, 1:])
    bins = int(places[:, -1].max()) + 1
    places += bins * np.arange(len(keys))[:, None]
    total, relevant = (
        np.bincount(part, minlength=bins * len(keys)).reshape(-1, bins).astype(np.int32)
        for part in (places.ravel(), places[ranking])
    )
    return Histogram(total, relevant)
