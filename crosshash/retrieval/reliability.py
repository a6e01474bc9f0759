"""How far a calibration is from the truth: expected calibration error, on queries and items."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crosshash.codes import Packed, as_packed
from crosshash.retrieval.asymmetric import WeightedQueries, adder
from crosshash.retrieval.calibration import Table
from crosshash.retrieval.histogram import Comparison

FIRST = 10  # hits of a query, as a search shows them
_BINS = 10
_COMPARISONS = 1 << 25  # of a direction; some queries are left out where there would be more

Marks = npt.NDArray[np.bool_]


def calibration_error(found: Any, relevant: Any, bins: int = _BINS) -> float:
    """Expected calibration error: how far probabilities are from what was relevant.

    Comparisons go into bins of equal width, 0…0.1 and so on; the error is the mean over them of the
    distance between mean probability and relevant share, weighted by the comparisons in each.

    Args:
        found: (m,) probabilities.
        relevant: (m,) whether what they are of is relevant.
        bins: How many.

    Example:
        >>> calibration_error([0.85, 0.85, 0.05, 0.05], [True, True, False, False])
        0.1
    """
    values = np.asarray(found, dtype=np.float64).ravel()
    marks = np.asarray(relevant, dtype=np.float64).ravel()
    place = np.minimum((values * bins).astype(np.intp), bins - 1)
    excess = np.bincount(place, weights=values - marks, minlength=bins)
    return float(round(np.abs(excess).sum() / max(len(values), 1), 12))


class Distances(NamedTuple):
    """Both distances of q queries and n items, each (q, n).

    Attributes:
        hamming: Hamming distances.
        asymmetric: Asymmetric distances as shares of the queries' |r|_1; 0.5 for one of zeros.
    """

    hamming: npt.NDArray[np.int64]
    asymmetric: npt.NDArray[np.float32]


def distances_between(values: Any, codes: Packed) -> Distances:
    """Both distances between all queries and all items.

    Args:
        values: (q, k) real values.
        codes: (n, k/8) packed.
    """
    queries = WeightedQueries(values)
    add = adder("auto", len(queries) * len(codes))
    keys = np.empty((len(queries), len(codes)), dtype=np.int64)
    for row, found in enumerate(keys):
        add(queries.table(row), codes, found)
    whole = queries.weights.sum(axis=1)[:, None]
    weighed = np.where(whole > 0, keys >> queries.shift, 1) / np.where(whole > 0, whole, 2)
    return Distances(keys & ((1 << queries.shift) - 1), weighed.astype(np.float32))


def query_errors(
    tables: Any, query: tuple[Any, Any], retrieval: tuple[Any, Any], labels: tuple[Any, Any]
) -> dict[str, dict[str, dict[str, float]]]:
    """The error of each direction on queries, over items of two sorts.

    Args:
        tables: :class:`~crosshash.retrieval.calibration.Table` of each direction, at one length.
        query: Real values (q, k) of the queries' images and texts.
        retrieval: Codes of the searched pairs' images and texts.
        labels: (q, c) and (n, c) in {0, 1}.

    Returns:
        ``searched``: the queries over what they search; ``unseen``, of 20 queries or more: every
        second of them over the others, so that no training has seen the items either. In each, by
        direction: ``hamming`` and ``asymmetric``, over all comparisons; and ``hamming_first`` and
        ``asymmetric_first``, over the 10 nearest items of each query, which a search shows. Of
        many queries some are taken, evenly, so that there are at most 33 million comparisons.
    """
    sorts = {"searched": (query, retrieval, labels)}
    if len(labels[0]) >= 2 * FIRST:
        one, other = (tuple(part[half::2] for part in query) for half in (0, 1))
        sorts["unseen"] = (one, other, (labels[0][::2], labels[0][1::2]))
    return {sort: _by_way(tables, *given) for sort, given in sorts.items()}


def _by_way(
    tables: Any, query: Any, retrieval: Any, labels: tuple[Any, Any]
) -> dict[str, dict[str, float]]:
    items = len(labels[1])
    rows = evenly(len(labels[0]), max(1, _COMPARISONS // items))
    relevant = share_label(labels[0][rows], labels[1])
    sides = {"i": 0, "t": 1}
    found: dict[str, dict[str, float]] = {}
    for way, table in tables.items():
        asked = query[sides[way[0]]][rows]
        distances = distances_between(asked, as_packed(retrieval[sides[way[2]]]))
        found[way] = _errors(table, distances, relevant)
    return found


def _errors(table: Table, distances: Distances, relevant: Marks) -> dict[str, float]:
    found = {}
    for kind, values in distances._asdict().items():
        told = np.array(table.hamming)[values] if kind == "hamming" else table.asymmetric.at(values)
        found[kind] = calibration_error(told, relevant)
        # Ties in order of insertion, as a search has them.
        first = np.argsort(values, axis=1, kind="stable")[:, :FIRST]
        near, right = (np.take_along_axis(part, first, axis=1) for part in (told, relevant))
        found[f"{kind}_first"] = calibration_error(near, right)
    return found


def share_label(labels: npt.NDArray[Any], others: npt.NDArray[Any] | None = None) -> Marks:
    """Whether items share a label with others, (n, m); with each other by default."""
    others = labels if others is None else others
    one, other = (np.zeros((len(part), 1), dtype=np.uint8) for part in (labels, others))
    return Comparison(one, other, labels, others).relevant(slice(None))


def evenly(count: int, most: int) -> npt.NDArray[np.int64]:
    """At most so many of ``count`` rows, evenly."""
    return np.arange(min(count, most), dtype=np.int64) * count // max(min(count, most), 1)
