"""Average precision from histograms, exact for any order inside ties.

Short codes tie by the thousand, and the order inside a tie is an accident of storage. The
expectation of average precision over all orders has a closed form per tie (McSherry & Najork 2008,
"Computing information retrieval performance measures efficiently in the presence of tied scores").
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crosshash.retrieval.histogram import Histogram

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

_UNIT = 2.0**-58
_CELLS = 1 << 19  # values held at a time where queries need rows of different lengths


class Ties(NamedTuple):
    """Ties that hold something relevant, of all queries in one flat list; values are floats.

    Attributes:
        row: Query of the tie.
        before: Items ranked before the tie (a in the formulas).
        hits: Relevant items before it (b).
        size: Items in it (n).
        relevant: Relevant items in it (r).
    """

    row: Rows
    before: Floats
    hits: Floats
    size: Floats
    relevant: Floats

    def where(self, mask: npt.NDArray[np.bool_]) -> Ties:
        """Some of the ties."""
        return Ties(self.row[mask], *(part[mask] for part in self[1:]))


def ties_of(histogram: Histogram) -> Ties:
    """The ties of a histogram that hold something relevant."""
    places = np.flatnonzero(histogram.relevant != 0)
    size, relevant, after, hits_after = (
        part.ravel()[places].astype(float)
        for part in (
            histogram.total,
            histogram.relevant,
            np.cumsum(histogram.total, axis=1, dtype=np.int32),
            np.cumsum(histogram.relevant, axis=1, dtype=np.int32),
        )
    )
    row = places // histogram.total.shape[1]
    return Ties(row, after - size, hits_after - relevant, size, relevant)


def harmonic_span(start: Any, count: Any) -> Floats:
    """H(start + count) - H(start), the sum of 1/(start + i) for i = 1…count, whole numbers.

    From a table in fixed point, whose differences lose nothing, as those of floats would: a tie
    far down the ranking is a small difference of large harmonic numbers.
    """
    first = np.asarray(start).astype(np.int64)
    last = first + np.asarray(count).astype(np.int64)
    table = _harmonic_table(int(last.max(initial=0)).bit_length())
    return (table[last] - table[first]).astype(float) * _UNIT


@lru_cache(maxsize=1)
def _harmonic_table(bits: int) -> npt.NDArray[np.int64]:
    """Harmonic numbers up to 2**bits - 1, in units of 2**-58; their whole part has 5 bits."""
    one = np.int64(1 << 58)
    number = np.arange(1, 1 << bits, dtype=np.int64)
    return np.concatenate([[0], np.cumsum((one + number // 2) // number)])


def run_of_hits(hits: Any, start: Any, count: Any) -> Floats:
    """Sum of the precisions at ``count`` hits in a row: Σ (hits + i) / (start + i), i = 1…count."""
    total: Floats = count + (hits - start) * harmonic_span(start, count)
    return total


def precision_sum(order: str, ties: Ties, cut: Floats) -> Floats:
    """Sum of the precisions at the relevant items among the first ``cut`` of each tie.

    Args:
        order: ``expected``: mean over all orders of the tie, (r/n) Σ_j (b + 1 + (j-1)(r-1)/(n-1)) /
            (a + j) for j = 1…cut; ``best``: relevant items first; ``worst``: last.
        ties: The ties.
        cut: Leading items of each tie that count, at most its size.
    """
    _, a, b, n, r = ties
    if order == "best":
        return run_of_hits(b, a, np.minimum(cut, r))
    if order == "worst":
        count = np.maximum(cut - (n - r), 0)
        return run_of_hits(b, a + cut - count, count)
    return _expected(a, b, n, r, cut, harmonic_span(a, cut))


def _expected(a: Any, b: Any, n: Any, r: Any, cut: Any, span: Any) -> Floats:
    rest = cut - (a + 1) * span  # Σ (j - 1) / (a + j)
    total: Floats = r / n * ((b + 1) * span + (r - 1) / np.maximum(n - 1, 1) * rest)
    return total


def cut_by_retrieved(order: str, ties: Ties, cut: Floats, earlier: Floats) -> Floats:
    """Average precision over the hits above a cut that goes through a tie.

    How many of the tie's r relevant items, t, are above the cut depends on the order, and divides
    the sum: ``expected`` weighs each t by its hypergeometric probability. ``best`` and ``worst``
    choose t too, since a hit more can lower this measure.

    Args:
        order: ``expected``, ``best`` or ``worst``.
        ties: One tie for each of some queries.
        cut: Items of the tie above the cut, 1…n.
        earlier: Sum of the precisions at the hits before the tie.

    Returns:
        One value for each tie; 0 where nothing above the cut is relevant.
    """
    least = np.maximum(cut - (ties.size - ties.relevant), 0)
    most = np.minimum(cut, ties.relevant)
    values = np.empty(len(least))
    for part, t in _grid(least, most - least + 1):
        a, b, n, r = (value[part, None] for value in ties[1:])
        m, valid = cut[part, None], t <= most[part, None]
        t = np.minimum(t, most[part, None])
        hits = b + t
        if order == "best":
            here = run_of_hits(b, a, t)
        elif order == "worst":
            here = run_of_hits(b, a + m - t, t)
        else:
            here = _expected(a, b, m, t, m, harmonic_span(a, m))
        value = np.where(hits > 0, (earlier[part, None] + here) / np.maximum(hits, 1), 0.0)
        if order == "best":
            values[part] = np.where(valid, value, 0.0).max(axis=1)
        elif order == "worst":
            values[part] = np.where(valid, value, 1.0).min(axis=1)
        else:
            # P(t + 1) / P(t) for t of r relevant items among m drawn from n
            ratio = (r - t) * (m - t) / ((t + 1) * np.maximum(n - r - m + t + 1, 1))
            values[part] = (_from_ratios(ratio, valid) * value).sum(axis=1)
    return values


def cut_by_hits(order: str, ties: Ties, wanted: Floats) -> Floats:
    """Sum of the precisions at the first ``wanted`` of a tie's relevant items.

    The expectation uses that item x is relevant and at most the ``wanted``-th hit of its tie if
    at most ``wanted - 1`` of the x - 1 items before it are relevant; the position of the q-th
    relevant item has the negative hypergeometric distribution.

    Args:
        order: ``expected``, ``best`` or ``worst``.
        ties: One tie for each of some queries.
        wanted: Hits that count, at least 1 and fewer than the tie's r.
    """
    _, a, b, n, r = ties
    if order == "best":
        return run_of_hits(b, a, wanted)
    if order == "worst":
        return run_of_hits(b, a + n - r, wanted)
    # Beyond this position the probability is below exp(-40), by Chernoff's bound for draws with
    # replacement, whose tail is the heavier (Hoeffding 1963).
    bound = wanted + 40 + np.sqrt(80 * wanted + 1600)
    share = np.maximum(r - 2, 1) / np.maximum(n - 2, 1)
    last = np.minimum(n - r + wanted, np.ceil(bound / share) + 2)
    values = np.empty(len(last))
    # One place more, with which the distributions of the places before it are whole.
    for part, x in _grid(np.ones(len(last)), last + 1):
        a, b, n, r = (value[part, None] for value in ties[1:])
        q = wanted[part, None]
        one = 1 - _waiting(n - 1, r - 1, q, x - 1)
        two = np.where(q > 1, 1 - _waiting(n - 2, r - 2, np.maximum(q - 1, 1), x - 2), 0.0)
        hits = (b + 1) * one + (x - 1) * (r - 1) / np.maximum(n - 1, 1) * two
        terms = np.where(x <= last[part, None], r / n / (a + x) * hits, 0.0)
        values[part] = terms.sum(axis=1)
    return values


def _waiting(n: Floats, r: Floats, q: Floats, x: Floats) -> Floats:
    """P(the q-th of r relevant items among n in random order is at or before place x).

    ``x`` are consecutive places along the last axis; those before q have probability 0.
    """
    possible = (x >= q) & (x <= n - r + q)
    ratio = np.where(
        possible, x * (n - x - r + q) / (np.maximum(x - q + 1, 1) * (n - x).clip(1)), 1
    )
    distribution: Floats = np.cumsum(_from_ratios(ratio, possible), axis=1)
    return np.minimum(distribution, 1.0)


def _from_ratios(ratio: Floats, valid: npt.NDArray[np.bool_]) -> Floats:
    """Probabilities from the ratio of each to the one before, over the valid places of a row."""
    steps = np.where(valid & (ratio > 0), np.log(np.where(ratio > 0, ratio, 1)), 0.0)
    logarithm = np.cumsum(steps, axis=1) - steps
    logarithm = np.where(valid, logarithm, -np.inf)
    with np.errstate(invalid="ignore"):
        weights = np.exp(logarithm - logarithm.max(axis=1, keepdims=True))
    weights = np.where(valid, weights, 0.0)
    total = weights.sum(axis=1, keepdims=True)
    shares: Floats = weights / np.where(total > 0, total, 1)
    return shares


def _grid(first: Floats, counts: Floats) -> Iterator[tuple[Rows, Floats]]:
    """Consecutive values from ``first``, in blocks of rows of similar lengths.

    Yields:
        Row numbers, and (rows, longest count of them) values.
    """
    order = np.argsort(counts, kind="stable")[::-1]
    start = 0
    while start < len(order):
        longest = int(counts[order[start]])
        part = order[start : start + max(1, _CELLS // longest)]
        start += len(part)
        yield part, first[part, None] + np.arange(longest)
