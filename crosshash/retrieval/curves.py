"""Precision and recall by Hamming radius and by rank, Precision@N, and F1 at a radius."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from crosshash.retrieval.histogram import Comparison, Engine, Histogram, check_choice
from crosshash.retrieval.metrics import Empty, TieOrder, mean_over_queries
from crosshash.retrieval.ties import Floats

Nothing = Literal["zero", "skip"]
Average = Literal["query", "curve"]
Ranks = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Curve:
    """Precision and recall, means over queries, at radii or ranks.

    Attributes:
        at: (m,) Hamming radii or ranks, ascending.
        precision: (m,) in 0…1; NaN where ``nothing="skip"`` and no query retrieves anything.
        recall: (m,) in 0…1.
    """

    at: Ranks
    precision: Floats
    recall: Floats

    def as_dict(self) -> dict[str, list[Any]]:
        """JSON-ready lists, with ``None`` for NaN."""
        return {
            "at": self.at.tolist(),
            "precision": [None if np.isnan(value) else value for value in self.precision.tolist()],
            "recall": self.recall.tolist(),
        }


def precision_recall_by_radius(
    query_codes: Any,
    retrieval_codes: Any,
    query_labels: Any,
    retrieval_labels: Any,
    *,
    nothing: Nothing = "zero",
    empty: Empty = "skip",
    engine: Engine = "auto",
) -> Curve:
    """Precision and recall of the items within each Hamming radius 0…k; ties do not matter.

    Args:
        query_codes: (q, k/8) packed or (q, k) codes.
        retrieval_codes: (n, k/8) packed or (n, k) codes.
        query_labels: (q, c) in {0, 1}.
        retrieval_labels: (n, c) in {0, 1}.
        nothing: Precision of a query with no item within the radius: ``zero`` (a failed look-up),
            or ``skip`` to leave it out of the mean at that radius.
        empty: Queries with nothing relevant: ``skip`` or ``zero``.
        engine: ``auto``, ``numpy`` or ``numba``.
    """
    comparison = Comparison(query_codes, retrieval_codes, query_labels, retrieval_labels)
    return radius_curve(comparison.histogram(engine), nothing, empty)


def precision_recall_by_rank(
    query_codes: Any,
    retrieval_codes: Any,
    query_labels: Any,
    retrieval_labels: Any,
    *,
    ranks: Sequence[int] | None = None,
    ties: TieOrder = "expected",
    empty: Empty = "skip",
    engine: Engine = "auto",
) -> Curve:
    """Precision and recall of the first items of the ranking; arguments as above.

    Args:
        query_codes: (q, k/8) packed or (q, k) codes.
        retrieval_codes: (n, k/8) packed or (n, k) codes.
        query_labels: (q, c) in {0, 1}.
        retrieval_labels: (n, c) in {0, 1}.
        ranks: Where to cut; ``None`` takes about a hundred, dense at the top, up to the last.
        ties: ``expected``, ``best``, ``worst`` or ``index``.
        empty: Queries with nothing relevant: ``skip`` or ``zero``.
        engine: ``auto``, ``numpy`` or ``numba``.
    """
    comparison = Comparison(query_codes, retrieval_codes, query_labels, retrieval_labels)
    items = len(comparison.retrieval_codes)
    cuts = default_ranks(items) if ranks is None else check_ranks(ranks, items)
    hits, positives = _hits(comparison, cuts, ties, engine)
    return rank_curve(hits, positives, cuts, empty)


def precision_at(
    query_codes: Any,
    retrieval_codes: Any,
    query_labels: Any,
    retrieval_labels: Any,
    ranks: Sequence[int],
    *,
    ties: TieOrder = "expected",
    empty: Empty = "skip",
    engine: Engine = "auto",
) -> dict[int, float]:
    """Precision@N: share of relevant items among the first N, for each N in ``ranks``.

    Example:
        >>> query = [[1, 1, 1, 1, -1, -1, -1, -1]]
        >>> items = [query[0], [-sign for sign in query[0]]]
        >>> precision_at(query, items, [[1, 0]], [[1, 0], [0, 1]], ranks=[1, 2])
        {1: 1.0, 2: 0.5}
    """
    curve = precision_recall_by_rank(
        query_codes,
        retrieval_codes,
        query_labels,
        retrieval_labels,
        ranks=ranks,
        ties=ties,
        empty=empty,
        engine=engine,
    )
    return dict(zip(curve.at.tolist(), curve.precision.tolist(), strict=True))


def f1_at_radius(
    query_codes: Any,
    retrieval_codes: Any,
    query_labels: Any,
    retrieval_labels: Any,
    radii: Sequence[int] = (2,),
    *,
    average: Average = "query",
    empty: Empty = "skip",
    engine: Engine = "auto",
) -> dict[int, float]:
    """F1 of the items within a Hamming radius.

    Args:
        query_codes: (q, k/8) packed or (q, k) codes.
        retrieval_codes: (n, k/8) packed or (n, k) codes.
        query_labels: (q, c) in {0, 1}.
        retrieval_labels: (n, c) in {0, 1}.
        radii: Hamming radii in 0…k.
        average: ``query``: mean of the queries' F1, 2 hits / (retrieved + relevant); ``curve``: F1
            of the mean precision (``nothing="zero"``) and the mean recall.
        empty: Queries with nothing relevant: ``skip`` or ``zero``.
        engine: ``auto``, ``numpy`` or ``numba``.
    """
    comparison = Comparison(query_codes, retrieval_codes, query_labels, retrieval_labels)
    return radius_f1(comparison.histogram(engine), radii, average, empty)


def radius_curve(histogram: Histogram, nothing: Nothing = "zero", empty: Empty = "skip") -> Curve:
    """``precision_recall_by_radius`` from a histogram."""
    check_choice("nothing", nothing, get_args(Nothing))
    check_choice("empty", empty, get_args(Empty))
    retrieved = np.cumsum(histogram.total, axis=1)
    hits = np.cumsum(histogram.relevant, axis=1)
    positives = _with_nan(histogram.positives)
    recall = mean_over_queries(hits / positives, empty)
    precision = hits / np.maximum(retrieved, 1)
    if nothing == "zero":
        precision[np.isnan(positives[:, 0])] = np.nan
        mean = mean_over_queries(precision, empty)
    else:
        counted = retrieved > 0
        if empty == "skip":
            counted &= histogram.positives[:, None] > 0
        number = counted.sum(axis=0)
        mean = np.where(number, (precision * counted).sum(axis=0) / np.maximum(number, 1), np.nan)
    return Curve(np.arange(hits.shape[1]), mean, recall)


def rank_curve(hits: Floats, positives: Ranks, ranks: Ranks, empty: Empty = "skip") -> Curve:
    """The curve from (q, m) hits among the first ``ranks`` (m,) and the (q,) relevant items."""
    check_choice("empty", empty, get_args(Empty))
    divisor = _with_nan(positives)
    precision = np.where(np.isnan(divisor), np.nan, hits / ranks)
    return Curve(
        ranks, mean_over_queries(precision, empty), mean_over_queries(hits / divisor, empty)
    )


def radius_f1(
    histogram: Histogram,
    radii: Sequence[int],
    average: Average = "query",
    empty: Empty = "skip",
) -> dict[int, float]:
    """``f1_at_radius`` from a histogram; of no radii, nothing."""
    check_choice("average", average, get_args(Average))
    check_choice("empty", empty, get_args(Empty))
    largest = histogram.total.shape[1] - 1
    wrong = [radius for radius in radii if not 0 <= radius <= largest]
    if wrong:
        raise ValueError(f"Hamming radii of these codes are in 0…{largest}, got {wrong[0]}")
    if not radii:  # as of a short nested length, whose codes have none of those asked for
        return {}
    if average == "query":
        retrieved = np.cumsum(histogram.total, axis=1)[:, list(radii)]
        hits = np.cumsum(histogram.relevant, axis=1)[:, list(radii)]
        values = mean_over_queries(2 * hits / (retrieved + _with_nan(histogram.positives)), empty)
    else:
        curve = radius_curve(histogram, empty=empty)
        precision, recall = curve.precision[list(radii)], curve.recall[list(radii)]
        both = precision + recall
        values = 2 * precision * recall / np.where(both > 0, both, 1)
    return dict(zip(map(int, radii), values.tolist(), strict=True))


def hits_at_ranks(
    histogram: Histogram, ranks: Ranks, order: Literal["expected", "best", "worst"] = "expected"
) -> Floats:
    """Relevant items among the first ``ranks``: (q, m), fractions where an order is expected."""
    after = np.cumsum(histogram.total, axis=1)
    hits_after = np.cumsum(histogram.relevant, axis=1)
    values = np.empty((len(after), len(ranks)))
    every = np.arange(len(after))
    for column, rank in enumerate(ranks):
        tie = (after < rank).sum(axis=1)
        size, relevant = histogram.total[every, tie], histogram.relevant[every, tie]
        room = rank - (after[every, tie] - size)
        if order == "best":
            here = np.minimum(room, relevant)
        elif order == "worst":
            here = np.maximum(room - (size - relevant), 0)
        else:
            here = room * relevant / size
        values[:, column] = hits_after[every, tie] - relevant + here
    return values


def hits_of_ranking(ranking: npt.NDArray[np.bool_], ranks: Ranks) -> Ranks:
    """Relevant items among the first ``ranks`` (m,), ascending, of rankings (q, n): (q, m)."""
    starts = np.concatenate([[0], ranks[:-1]])
    steps = np.add.reduceat(ranking[:, : ranks[-1]], starts, axis=1, dtype=np.int64)
    hits: Ranks = np.cumsum(steps, axis=1)
    return hits


def default_ranks(items: int) -> Ranks:
    """About a hundred ranks from 1 to ``items``: half evenly spaced, half by equal factors."""
    spread = np.concatenate([np.geomspace(1, items, 50), np.linspace(1, items, 51)])
    return np.unique(np.rint(spread).astype(np.int64))


def check_ranks(ranks: Iterable[int], items: int) -> Ranks:
    """Ranks, ascending and each once.

    Raises:
        ValueError: There is none, or one is outside 1…``items``.
    """
    values = np.unique(np.asarray(list(ranks)))
    if not len(values) or values.dtype.kind not in "iu" or values[0] < 1 or values[-1] > items:
        raise ValueError(
            f"ranks are whole numbers in 1…{items}, the size of the retrieval set; got "
            f"{values.tolist()}"
        )
    return values.astype(np.int64)


def _hits(
    comparison: Comparison, ranks: Ranks, ties: TieOrder, engine: Engine
) -> tuple[Floats, Ranks]:
    check_choice("ties", ties, get_args(TieOrder))
    if ties != "index":
        histogram = comparison.histogram(engine)
        return hits_at_ranks(histogram, ranks, ties), histogram.positives
    hits = np.empty((len(comparison.query_codes), len(ranks)))
    positives = np.empty(len(hits), dtype=np.int64)
    for rows, ranking in comparison.rankings():
        hits[rows] = hits_of_ranking(ranking, ranks)
        positives[rows] = ranking.sum(axis=1)
    return hits, positives


def _with_nan(positives: Ranks) -> Floats:
    """(q, 1) relevant items, NaN instead of 0."""
    return np.where(positives > 0, positives, np.nan)[:, None]
