"""Calibration learned from held-out pairs, and its error measured.

All held-out items of one kind are compared with all of the other, and isotonic regression finds
the probabilities that fit best among those that never rise with distance. Its steps are smoothed:
each has ``SMOOTHING`` queries more than were seen in it, with as many comparisons as the others
have there, as often relevant as all are on average. So a step that a few queries made says little,
and none says 0 or 1. What is nearer than the nearest pair that was seen is as probable as there,
and what is farther than the farthest likewise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from crosshash.codes import as_packed, to_array
from crosshash.retrieval.calibration import (
    MOST_STEPS,
    WAYS,
    Calibration,
    Probabilities,
    Steps,
    Table,
    Way,
)
from crosshash.retrieval.reliability import (
    Distances,
    Marks,
    calibration_error,
    distances_between,
    evenly,
    share_label,
)

SMOOTHING = 5.0
LEAST = 10  # held-out pairs
MOST = 2000  # likewise: 4 million comparisons


def learn(
    images: Any, texts: Any, labels: Any = None, *, lengths: Any = None, refit: bool = False
) -> Calibration | None:
    """Learn a model's calibration from pairs that it was not trained on.

    Args:
        images: (v, k) real values of the pairs' images.
        texts: (v, k) of their texts; the same as ``images`` where there is one kind of item.
        labels: (v, c) in {0, 1}: relevant is what shares a label. None: the own partner alone is,
            and directions within one kind have nothing relevant.
        lengths: Of the codes, each the first bits of the next; None: k.
        refit: For the record, as in :class:`~crosshash.retrieval.calibration.Calibration`.

    Returns:
        None for fewer than 10 pairs, or where no direction has relevant items. Of more than 2,000
        pairs so many are taken, evenly.

    Raises:
        ValueError: Values or labels do not fit together.
    """
    found = to_array(images), to_array(texts)
    if found[0].shape != found[1].shape or found[0].ndim != 2:
        raise ValueError(
            f"images and texts of the same pairs have values (v, k), got {found[0].shape} and "
            f"{found[1].shape}"
        )
    rows = evenly(len(found[0]), MOST)
    images, texts = (part[rows] for part in found)
    same = np.eye(len(rows), dtype=bool)
    one_kind = np.array_equal(images, texts)
    if len(rows) < LEAST or (labels is None and one_kind):
        return None
    relevant = same if labels is None else share_label(to_array(labels)[rows])
    sides = {"i": images, "t": texts}
    tables: dict[str, dict[Way, Table]] = {}
    for bits in lengths or [images.shape[1]]:
        tables[str(bits)] = ways = {}
        for way in WAYS:
            within = way[0] == way[2]
            if within and labels is None:
                continue
            # An item finds itself at distance 0, which says nothing of others.
            counted = ~same if within or one_kind else np.ones_like(same)
            query, items = sides[way[0]][:, :bits], as_packed(sides[way[2]][:, :bits])
            ways[way] = _table(distances_between(query, items), relevant, counted, bits)
    return Calibration(
        relevance="pairs" if labels is None else "labels",
        items=len(rows),
        refit=refit,
        tables=tables,
    )


def fit_steps(
    places: npt.NDArray[Any],
    relevant: Marks,
    queries: npt.NDArray[Any],
    smoothing: float = SMOOTHING,
) -> Steps:
    """Probabilities that never rise, by isotonic regression, at most 256 steps of them.

    Args:
        places: (m,) distances from 0 on, in any unit in which the largest is at most 1.
        relevant: (m,) whether what is there is relevant.
        queries: (m,) numbers from 0 on, of the query that each comparison belongs to.
        smoothing: Queries that are added to each step.
    """
    at, group = np.unique(places, return_inverse=True)
    totals = np.bincount(group).astype(np.float64)
    hits = np.bincount(group, weights=relevant)
    fitted = _isotonic(hits / totals, totals)
    level, drop = fitted, fitted[0] - fitted[-1]
    if len(np.unique(fitted)) > MOST_STEPS:  # those within so small a part of the drop become one
        level = -np.minimum((fitted[0] - fitted) / drop * MOST_STEPS // 1, MOST_STEPS - 1)
    first = np.flatnonzero(np.diff(level, prepend=np.inf))  # of each step
    totals, hits = np.add.reduceat(totals, first), np.add.reduceat(hits, first)
    step = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(at))))[group]
    width = int(queries.max()) + 1
    some = np.bincount(np.unique(step * width + queries) // width)  # queries of each step
    added = smoothing * totals / some
    # By the rule of succession, so that it is neither 0 nor 1.
    mean = (hits.sum() + 1) / (totals.sum() + 2)
    heights = _isotonic((hits + added * mean) / (totals + added), totals + added)
    starts = np.append(0.0, (at[first[1:]] + at[first[1:] - 1]) / 2)
    return Steps(starts=starts.tolist(), heights=heights.tolist())


def _isotonic(
    values: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The nearest values, by weighted squares, that never rise."""
    from scipy.optimize import isotonic_regression

    found: npt.NDArray[np.float64] = isotonic_regression(
        values, weights=weights, increasing=False
    ).x
    return np.minimum.accumulate(found)  # not by a digit either


def _table(distances: Distances, relevant: Marks, counted: Marks, bits: int) -> Table:
    def fit(kind: str, marks: Marks) -> Steps:
        places = getattr(distances, kind)[marks]
        places = places / bits if kind == "hamming" else places
        return fit_steps(places, relevant[marks], np.nonzero(marks)[0])

    def heights(kind: str, steps: Steps, marks: Marks) -> Probabilities:
        places = getattr(distances, kind)[marks]
        return steps.at(places / bits if kind == "hamming" else places)

    halves = [np.zeros_like(counted) for _ in range(2)]
    for half, mark in enumerate(halves):
        mark[half::2, half::2] = counted[half::2, half::2]
    errors: dict[Any, float] = {}
    for kind in ("hamming", "asymmetric"):
        if len(counted) < 2 * LEAST:
            continue
        both = [
            calibration_error(heights(kind, fit(kind, one), other), relevant[other])
            for one, other in (halves, halves[::-1])
        ]
        errors[kind] = float(np.mean(both))
    whole = fit("hamming", counted)
    return Table(
        hamming=whole.at(np.arange(bits + 1) / bits).tolist(),
        asymmetric=fit("asymmetric", counted),
        held_out=errors,
    )
