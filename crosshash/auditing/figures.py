"""What the figures of codes hang on: the order inside ties, chance, and the order of bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from crosshash.auditing.codes import Given, reversed_bits
from crosshash.auditing.finding import Finding, fault, note
from crosshash.codes import Packed, as_packed
from crosshash.data.dataset import Labels
from crosshash.retrieval.histogram import Comparison, Histogram
from crosshash.retrieval.metrics import (
    TieOrder,
    chance_precision,
    histogram_precision,
    mean_average_precision,
    mean_over_queries,
)

Codes = tuple[Packed, Packed]  # of images and of texts
WAYS = {"i2t": (0, 1), "t2i": (1, 0)}
_ORDERS: tuple[TieOrder, ...] = ("expected", "best", "worst", "index")
_LOOSE = 0.02  # best to worst, from which a figure needs its order beside it
_SORTED = 0.005  # database order to expectation, from which the database is not in random order
_SHUFFLES = 5
_CLOSE = 0.01
_GAIN = 0.05


def measure(
    query: Codes, retrieval: Codes, query_labels: Labels, retrieval_labels: Labels, topk: int
) -> dict[str, Any]:
    """For each direction MAP and MAP@k in each order of ties, chance, and what is cut in a tie.

    Args:
        query: Packed codes (q, k/8) of the queries' images and texts.
        retrieval: Those (n, k/8) of the searched pairs.
        query_labels: (q, c).
        retrieval_labels: (n, c).
        topk: k of MAP@k, whose denominator is ``min``.
    """
    found: dict[str, Any] = {"topk": topk}
    for way, (asked, given) in WAYS.items():
        pair = query[asked], retrieval[given], query_labels, retrieval_labels
        histogram = Comparison(*pair).histogram()
        orders: dict[str, dict[str, float]] = {"map": {}, "map_at_k": {}}
        for order in _ORDERS:
            for name, k in (("map", None), ("map_at_k", topk)):
                if order == "index":
                    value = mean_average_precision(*pair, topk=k, ties=order, denominator="min")
                else:
                    values = histogram_precision(histogram, k, order, "min")
                    value = float(mean_over_queries(values, "skip"))
                orders[name][order] = value
        chance = float(mean_over_queries(chance_precision(histogram), "skip"))
        found[way] = {**orders, "chance": chance, "cut_in_a_tie": cut_in_a_tie(histogram, topk)}
    return found


def cut_in_a_tie(histogram: Histogram, topk: int) -> float:
    """Share of queries of which items at one distance are both within the first k and beyond."""
    upto = np.cumsum(histogram.total, axis=1)
    return float(1 - (upto == min(topk, histogram.items)).any(axis=1).mean())


def check_ties(figures: dict[str, Any]) -> list[Finding]:
    """A note where MAP or MAP@k moves with the order inside ties, or with the database's."""
    found = []
    for way in WAYS:
        for name, said in (("map", "MAP"), ("map_at_k", f"MAP@{figures['topk']}")):
            orders = figures[way][name]
            expected, best, worst = orders["expected"], orders["best"], orders["worst"]
            apart = abs(orders["index"] - expected)
            if best - worst <= _LOOSE and apart <= _SORTED:
                continue
            told = (
                f"{said} {way} is {expected:.3f} expected, {worst:.3f} to {best:.3f} by the order"
            )
            if name == "map_at_k":
                told += f"; {figures[way]['cut_in_a_tie']:.0%} of the queries are cut inside a tie"
            if apart > _SORTED:
                told += f"; {orders['index']:.3f} in the order of the database"
            mend = "quote the expected figure and say so (ties=expected), or take more bits"
            found.append(note("ties", told, mend))
    return found


def check_chance(figures: dict[str, Any]) -> list[Finding]:
    """A fault where a direction is not above chance."""
    return [
        fault(
            "chance",
            f"MAP {way} is {figures[way]['map']['expected']:.3f}, and a random order gives "
            f"{figures[way]['chance']:.3f}",
            "see that rows of codes are in the order of the protocol's ids, and that both sides "
            "were trained into one space",
        )
        for way in WAYS
        if figures[way]["map"]["expected"] <= figures[way]["chance"] + _CLOSE
    ]


def check_shuffled(
    query: Codes,
    retrieval: Codes,
    query_labels: Labels,
    retrieval_labels: Labels,
    *,
    seed: int = 0,
    map_of: Callable[..., float] = mean_average_precision,
) -> list[Finding]:
    """A fault where MAP is not at chance with the searched pairs' labels shuffled.

    Args:
        query: Packed codes of the queries' images and texts.
        retrieval: Those of the searched pairs.
        query_labels: (q, c).
        retrieval_labels: (n, c).
        seed: Of the shuffles.
        map_of: MAP from codes and labels: ours, or one that is to be tried.
    """
    found = []
    draw = np.random.default_rng(seed)
    for way, (asked, given) in WAYS.items():
        comparison = Comparison(query[asked], retrieval[given], query_labels, retrieval_labels)
        chance = float(mean_over_queries(chance_precision(comparison.histogram()), "skip"))
        maps = [
            map_of(query[asked], retrieval[given], query_labels, draw.permutation(retrieval_labels))
            for _ in range(_SHUFFLES)
        ]
        mean, error = float(np.mean(maps)), float(np.std(maps, ddof=1)) / _SHUFFLES**0.5
        if abs(mean - chance) > _CLOSE + 4 * error:
            found.append(
                fault(
                    "shuffled labels",
                    f"MAP {way} is {mean:.3f} with shuffled labels, and chance is {chance:.3f}",
                    "labels or distances reach the ranking in another way than by the codes: a "
                    "query that finds itself, a hit counted twice, an order by labels inside ties",
                )
            )
    return found


def check_order(
    query: tuple[Given, Given],
    retrieval: tuple[Given, Given],
    query_labels: Labels,
    retrieval_labels: Labels,
) -> list[Finding]:
    """A fault where packed sides fit far better with the bits of one side's bytes reversed."""
    forms = {side.form == "packed" for side in (*query, *retrieval)}
    if forms != {True}:
        return []
    labels = query_labels, retrieval_labels
    as_given, other = 0.0, 0.0
    for asked, given in WAYS.values():
        items = as_packed(retrieval[given].raw)
        as_given += mean_average_precision(as_packed(query[asked].raw), items, *labels) / 2
        other += (
            mean_average_precision(as_packed(query[asked].raw), reversed_bits(items), *labels) / 2
        )
    if other - as_given < _GAIN:
        return []
    return [
        fault(
            "bit order",
            f"MAP is {as_given:.3f}, and {other:.3f} with the bits of each byte of one side in the "
            "other order: the two sides are packed in different orders",
            "pack both with np.packbits(codes >= 0, axis=1, bitorder='little')",
        )
    ]
