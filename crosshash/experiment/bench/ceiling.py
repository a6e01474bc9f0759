"""MAP of a model's outputs before the sign: what its codes could reach, were they not binary."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from crosshash.retrieval.histogram import Comparison, Histogram
from crosshash.retrieval.metrics import TieOrder, histogram_precision, ranked_precision
from crosshash.retrieval.neighbours import cosine_scores
from crosshash.retrieval.ties import Floats

_STEPS = 1_000_000  # a cosine is told from another by so much; rounding alone differs by less
_BLOCK = 1 << 22  # cosines held at a time


def cosine_precision(
    query: npt.NDArray[np.float32],
    retrieval: npt.NDArray[np.float32],
    query_labels: Any,
    retrieval_labels: Any,
    *,
    ties: TieOrder = "expected",
    block: int = _BLOCK,
) -> Floats:
    """Average precision of each query over the whole retrieval set, ranked by cosine.

    Args:
        query: (q, k) real-valued outputs.
        retrieval: (n, k) real-valued outputs.
        query_labels: (q, c) in {0, 1}.
        retrieval_labels: (n, c) in {0, 1}.
        ties: As in :func:`~crosshash.retrieval.metrics.mean_average_precision`; outputs near ±1,
            as of a steep tanh, have some.
        block: Pairs of items held at a time.

    Returns:
        (q,) in 0…1, NaN for queries with nothing relevant.

    Raises:
        ValueError: Outputs and labels do not fit.
    """
    compared = Comparison(query, retrieval, query_labels, retrieval_labels)
    precision = np.empty(len(query))
    step = max(1, block // len(retrieval))
    for start in range(0, len(query), step):
        rows = slice(start, min(start + step, len(query)))
        keys = np.rint(-_STEPS * cosine_scores(query[rows], retrieval)).astype(np.int32)
        relevant = compared.relevant(rows)
        if ties == "index":
            order = np.argsort(keys, axis=1, kind="stable")
            precision[rows] = ranked_precision(np.take_along_axis(relevant, order, axis=1))
            continue
        for row, (own, wanted) in enumerate(zip(keys, relevant, strict=True), start):
            histogram = _histogram(own, wanted)
            precision[row] = histogram_precision(histogram, order=ties)[0]
    return precision


def _histogram(keys: npt.NDArray[np.int32], relevant: npt.NDArray[np.bool_]) -> Histogram:
    """One query's items (n,) as counts at each key that they have."""
    _, places = np.unique(keys, return_inverse=True)
    total = np.bincount(places)
    found = np.bincount(places[relevant], minlength=len(total))
    return Histogram(total[None].astype(np.int32), found[None].astype(np.int32))
