"""Whether one model finds more than others on the same queries, or only happened to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crosshash.retrieval.ties import Floats

LEVEL = 0.05
_BLOCK = 1 << 22  # draws held at a time


@dataclass(frozen=True)
class Comparison:
    """One column of a table: its best entry, and how sure it is of the others.

    Attributes:
        best: Name of the entry with the highest mean.
        means: Mean of each entry over the queries.
        values: p of each other entry against the best, corrected by :func:`holm`.
        tied: The entries from which the best cannot be told, by name; empty: it is better than all.
        resamples: That were drawn.
    """

    best: str
    means: Mapping[str, float]
    values: Mapping[str, float]
    tied: tuple[str, ...]
    resamples: int


def holm(values: Sequence[float]) -> list[float]:
    """Holm's step-down correction of several p, in their order.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    corrected, highest = [0.0] * len(values), 0.0
    for step, place in enumerate(sorted(range(len(values)), key=lambda at: values[at])):
        highest = max(highest, min(1.0, (len(values) - step) * values[place]))
        corrected[place] = highest
    return corrected


def compare_with_best(
    precisions: Mapping[str, Any], *, resamples: int = 1000, seed: int = 0
) -> Comparison:
    """The best of several models on the same queries against each other one.

    A paired bootstrap: queries are drawn with replacement, the same for all models, and a
    difference counts as often as it goes the other way. p is twice that share, as which model is
    the best was not known before, and never 0. More resamples are drawn than asked for where the
    smallest p could not pass the correction for so many models.

    Args:
        precisions: Name → (q,) average precisions, query by query in one order; no NaN.
        resamples: Draws of q queries, at least.
        seed: Of the draws: the same gives the same p.

    Raises:
        ValueError: There is no model, or they have not the same queries, or there are NaN.

    Example:
        >>> good, bad = [0.9, 0.8, 0.7, 0.9] * 10, [0.2, 0.3, 0.1, 0.2] * 10
        >>> found = compare_with_best({"a": good, "b": bad, "c": good})
        >>> found.best, found.tied
        ('a', ('c',))
    """
    rows = {name: np.asarray(values, dtype=np.float64) for name, values in precisions.items()}
    shapes = {values.shape for values in rows.values()}
    if len(shapes) != 1 or len(shape := next(iter(shapes))) != 1 or not shape[0]:
        raise ValueError(
            "models are compared by the average precisions of the same queries, one vector each; "
            f"got shapes {', '.join(map(str, sorted(shapes))) or 'of none'}"
        )
    if any(np.isnan(values).any() for values in rows.values()):
        raise ValueError("queries with nothing relevant have no average precision; leave them out")
    means = {name: float(values.mean()) for name, values in rows.items()}
    best = max(means, key=lambda name: means[name])
    others = [name for name in rows if name != best]
    resamples = max(resamples, int(4 * len(others) / LEVEL))
    gaps = np.array([rows[best] - rows[name] for name in others]).reshape(len(others), *shape)
    against = _not_above_zero(gaps, resamples, seed)
    shares = np.minimum(1.0, 2 * (1 + against) / (resamples + 1))
    values = dict(zip(others, holm(shares.tolist()), strict=True))
    tied = tuple(name for name in others if values[name] >= LEVEL)
    return Comparison(best, means, values, tied, resamples)


def _not_above_zero(gaps: Floats, resamples: int, seed: int) -> Floats:
    """In how many draws of queries the mean of each row (m, q) is at most 0: (m,)."""
    queries = gaps.shape[1]
    generator = np.random.default_rng(seed)
    counts = np.zeros(len(gaps))
    step = max(1, _BLOCK // queries)
    for start in range(0, resamples, step):
        times = np.zeros((min(step, resamples - start), queries))
        for row in times:
            row += np.bincount(generator.integers(0, queries, queries), minlength=queries)
        # What is 0 but for rounding, as of a model against itself, is 0.
        counts += (times @ gaps.T / queries <= 1e-12).sum(axis=0)
    return counts
