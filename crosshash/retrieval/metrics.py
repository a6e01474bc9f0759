"""Mean average precision of hash codes, with every convention that changes it named.

Relevant means: shares a label with the query. Items are ranked by Hamming distance.

- ``ties``: ``expected``, the mean over all orders inside ties (exact); ``best`` and ``worst``, the
  extremes over these orders; ``index``, the order of the database.
- ``denominator``, with ``topk``: what divides the sum of the precisions at the hits. ``total``: all
  relevant items. ``min``: min(k, relevant items). ``retrieved``: the relevant items among the first
  k. ``first``: the first k relevant items count, at whatever rank, and their number divides.
  Without ``topk`` the four are the same.
- ``empty``: queries with nothing relevant are left out (``skip``) or count as 0 (``zero``).
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from crosshash.retrieval.histogram import Comparison, Engine, Histogram, check_choice
from crosshash.retrieval.ties import (
    Floats,
    cut_by_hits,
    cut_by_retrieved,
    precision_sum,
    ties_of,
)

TieOrder = Literal["expected", "best", "worst", "index"]
Denominator = Literal["total", "min", "retrieved", "first"]
Empty = Literal["skip", "zero"]


def mean_average_precision(
    query_codes: Any,
    retrieval_codes: Any,
    query_labels: Any,
    retrieval_labels: Any,
    *,
    topk: int | None = None,
    ties: TieOrder = "expected",
    denominator: Denominator = "total",
    empty: Empty = "skip",
    engine: Engine = "auto",
) -> float:
    """Mean of ``average_precision`` over the queries.

    Args:
        query_codes: (q, k/8) packed ``uint8`` or (q, k) signed or real codes.
        retrieval_codes: (n, k/8) packed or (n, k) signed or real codes.
        query_labels: (q, c) in {0, 1}.
        retrieval_labels: (n, c) in {0, 1}.
        topk: Cut of the ranking; ``None`` ranks the whole database.
        ties: ``expected``, ``best``, ``worst`` or ``index``.
        denominator: ``total``, ``min``, ``retrieved`` or ``first``.
        empty: ``skip`` or ``zero``.
        engine: ``auto``, ``numpy`` or ``numba``; all give the same.

    Returns:
        MAP in 0…1.

    Raises:
        ValueError: Codes and labels do not fit, a name is unknown, or no query has a relevant item.
        ImportError: ``engine="numba"`` without numba.

    Example:
        >>> query = [[1, 1, 1, 1, -1, -1, -1, -1]]
        >>> items = [query[0], [-sign for sign in query[0]]]  # the second is as far as can be
        >>> mean_average_precision(query, items, [[1, 0]], [[1, 0], [0, 1]])
        1.0
        >>> mean_average_precision(query, items, [[1, 0]], [[0, 1], [1, 0]])
        0.5
    """
    check_choice("empty", empty, get_args(Empty))
    values = average_precision(
        query_codes,
        retrieval_codes,
        query_labels,
        retrieval_labels,
        topk=topk,
        ties=ties,
        denominator=denominator,
        engine=engine,
    )
    return float(mean_over_queries(values, empty))


def average_precision(
    query_codes: Any,
    retrieval_codes: Any,
    query_labels: Any,
    retrieval_labels: Any,
    *,
    topk: int | None = None,
    ties: TieOrder = "expected",
    denominator: Denominator = "total",
    engine: Engine = "auto",
) -> Floats:
    """Average precision of each query; arguments as in ``mean_average_precision``.

    Returns:
        (q,) in 0…1, NaN for queries with nothing relevant.
    """
    check_choice("ties", ties, get_args(TieOrder))
    check_choice("denominator", denominator, get_args(Denominator))
    topk = check_rank("topk", topk)
    comparison = Comparison(query_codes, retrieval_codes, query_labels, retrieval_labels)
    if ties != "index":
        return histogram_precision(comparison.histogram(engine), topk, ties, denominator)
    check_choice("engine", engine, get_args(Engine))
    values = np.empty(len(comparison.query_codes))
    for rows, ranking in comparison.rankings():
        values[rows] = ranked_precision(ranking, topk, denominator)
    return values


def histogram_precision(
    histogram: Histogram,
    topk: int | None = None,
    order: Literal["expected", "best", "worst"] = "expected",
    denominator: Denominator = "total",
) -> Floats:
    """``average_precision`` from a histogram: (q,), NaN for queries with nothing relevant."""
    positives = histogram.positives.astype(float)
    k = float(histogram.items if topk is None else topk)
    ties = ties_of(histogram)
    if denominator == "first":
        wanted = np.minimum(k, positives)[ties.row]
        whole = ties.hits + ties.relevant <= wanted
        cut = ~whole & (ties.hits < wanted)
        room = wanted - ties.hits
    else:
        whole = ties.before + ties.size <= k
        cut = ~whole & (ties.before < k)
        room = k - ties.before
    full = ties if whole.all() else ties.where(whole)
    through, room = ties.where(cut), room[cut]
    queries = len(positives)
    sums = np.bincount(full.row, precision_sum(order, full, full.size), queries).astype(float)
    if denominator == "retrieved":
        divisor = np.bincount(full.row, full.relevant, queries)
        values = _divide(sums, divisor, positives)
        if len(room):
            values[through.row] = cut_by_retrieved(order, through, room, sums[through.row])
        return values
    if len(room):
        sums[through.row] += (cut_by_hits if denominator == "first" else precision_sum)(
            order, through, room
        )
    return _divide(
        sums, positives if denominator == "total" else np.minimum(k, positives), positives
    )


def ranked_precision(
    ranking: npt.NDArray[np.bool_], topk: int | None = None, denominator: Denominator = "total"
) -> Floats:
    """``average_precision`` of rankings, (q, n) relevance in ranked order: (q,)."""
    items = ranking.shape[1]
    k = items if topk is None else min(topk, items)
    positives = ranking.sum(axis=1)
    counted = ranking if denominator == "first" else ranking[:, :k]
    hits = np.cumsum(counted, axis=1, dtype=np.int32)
    divisor = positives
    if denominator == "retrieved":
        divisor = hits[:, -1].astype(np.int64)
    elif denominator != "total":
        divisor = np.minimum(k, positives)
    hits *= counted
    if denominator == "first":
        hits *= hits <= k
    return _divide(hits.astype(float) @ (1 / np.arange(1.0, hits.shape[1] + 1)), divisor, positives)


def chance_precision(histogram: Histogram) -> Floats:
    """Expected average precision of a random order of the whole database: (q,)."""
    return histogram_precision(histogram.collapsed())


def mean_over_queries(values: npt.NDArray[Any], empty: Empty) -> Floats:
    """Mean over the first axis, where queries with nothing relevant have NaN.

    Raises:
        ValueError: No query has a relevant item.
    """
    some = ~np.isnan(values[..., 0] if values.ndim > 1 else values)
    if not some.any():
        raise ValueError(
            f"none of the {len(values)} queries shares a label with any item of the retrieval set, "
            "so nothing can be measured; are the label columns of both in the same order?"
        )
    mean: Floats = values[some].sum(axis=0) / (some.sum() if empty == "skip" else len(values))
    return mean


def check_rank(name: str, value: Any) -> int | None:
    """``value`` as a rank, 1 or more; ``None`` passes.

    Raises:
        ValueError: It is not a whole number of at least 1.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name} is a whole number of at least 1 or None, got {value!r}")
    return int(value)


def _divide(
    sums: npt.NDArray[Any], divisor: npt.NDArray[Any], positives: npt.NDArray[Any]
) -> Floats:
    values: Floats = np.where(positives > 0, sums / np.maximum(divisor, 1), np.nan)
    return values
