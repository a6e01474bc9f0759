"""The same codes by the field's conventions: how far a figure moves when nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np

from crosshash.auditing.figures import WAYS
from crosshash.data.dataset import Labels
from crosshash.retrieval.histogram import Comparison
from crosshash.retrieval.metrics import (
    Denominator,
    TieOrder,
    histogram_precision,
    mean_average_precision,
    mean_over_queries,
)

RANKS = (50, 1000, 5000)
# (queries, searched pairs) that papers have, by who has them.
SIZES = {
    "DCMH's and MITH's sizes on MIRFLICKR": (2000, 18_015),
    "the CLIP toolboxes' sizes on MIRFLICKR": (5000, 15_015),
}
_DRAWS = 5
# What the field's code does, beside what is measured by default here.
_KNOWN = {
    (50, "retrieved", "index"): "DJSRH's and its successors'",
    (50, "first", "index"): "DCMH's family",
}
_ORDERS: tuple[TieOrder, ...] = ("expected", "best", "worst", "index")


def protocol_rows(
    query: tuple[Any, Any],
    retrieval: tuple[Any, Any],
    query_labels: Labels,
    retrieval_labels: Labels,
    *,
    ranks: Sequence[int] = RANKS,
    sizes: Mapping[str, tuple[int, int]] | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """MAP of one set of codes by each convention: both directions, their mean, how far it moved.

    Args:
        query: Codes of the queries' images and texts, as
            :func:`~crosshash.retrieval.mean_average_precision` takes them.
        retrieval: Those of the searched pairs.
        query_labels: (q, c).
        retrieval_labels: (n, c).
        ranks: k of MAP@k; those beyond the retrieval set are left out.
        sizes: Queries and searched pairs to draw, by a name; default: :data:`SIZES`. Sets that are
            larger than those at hand are left out. Half and a tenth of the searched pairs are
            always drawn.
        seed: Of the draws, of which there are five; their mean is given.

    Returns:
        Rows with ``convention``, ``i2t``, ``t2i``, ``mean`` and ``moved``, the mean less that of
        the first row: MAP over all, ties in expectation.
    """
    sides = {
        way: (query[asked], retrieval[given], query_labels, retrieval_labels)
        for way, (asked, given) in WAYS.items()
    }
    histograms = {way: Comparison(*side).histogram() for way, side in sides.items()}
    rows: list[dict[str, Any]] = []

    def add(convention: str, values: Mapping[str, float]) -> None:
        mean = (values["i2t"] + values["t2i"]) / 2
        moved = mean - rows[0]["mean"] if rows else 0.0
        rows.append({"convention": convention, **values, "mean": mean, "moved": moved})

    def figure(way: str, k: int | None, order: TieOrder, divide: Denominator) -> float:
        if order == "index":
            return mean_average_precision(*sides[way], topk=k, ties=order, denominator=divide)
        values = histogram_precision(histograms[way], k, order, divide)
        return float(mean_over_queries(values, "skip"))

    for order in _ORDERS:
        add(f"over all, ties {order}", {way: figure(way, None, order, "total") for way in WAYS})
    items = len(retrieval_labels)
    for k in (rank for rank in ranks if rank < items):
        for divide in get_args(Denominator):
            for order in _ORDERS if k == ranks[0] else _ORDERS[:1]:
                known = _KNOWN.get((k, divide, order), "")
                said = f"@{k}, divided by {divide}, ties {order}" + (f" ({known})" if known else "")
                add(said, {way: figure(way, k, order, divide) for way in WAYS})
    count = len(query_labels)
    drawn = {"half of the searched pairs": (count, items // 2)}
    drawn["a tenth of the searched pairs"] = (count, items // 10)
    for name, (asked, searched) in (SIZES if sizes is None else sizes).items():
        if asked <= count and searched <= items:
            drawn[f"{name}: {asked:,} queries, {searched:,} searched"] = (asked, searched)
    for name, size in drawn.items():
        add(name, _drawn(sides, *size, seed))
    return rows


def _drawn(
    sides: Mapping[str, tuple[Any, Any, Labels, Labels]], asked: int, searched: int, seed: int
) -> dict[str, float]:
    """MAP over all of drawn queries and searched pairs, in expectation, by direction."""
    found: dict[str, float] = {}
    for way, (query, items, query_labels, item_labels) in sides.items():
        draw = np.random.default_rng(seed)  # the same pairs in both directions
        maps = []
        for _ in range(_DRAWS):
            q = np.sort(draw.permutation(len(query))[:asked])
            n = np.sort(draw.permutation(len(items))[:searched])
            maps.append(mean_average_precision(query[q], items[n], query_labels[q], item_labels[n]))
        found[way] = float(np.mean(maps))
    return found
