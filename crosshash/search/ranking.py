"""Asymmetric ranking of a short list."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from crosshash.retrieval.asymmetric import WeightedQueries, adder
from crosshash.search.engine import Found


def reranked(queries: WeightedQueries, found: Found, topk: int) -> Found:
    """The first ``topk`` of each query's hits by asymmetric distance, then as they came.

    Args:
        queries: q queries.
        found: Hits by Hamming distance.
        topk: At most so many are left for each query.
    """
    add = adder("auto", len(found.query))
    keys = np.empty(len(found.query), dtype=np.int64)
    ends = np.searchsorted(found.query, np.arange(len(queries) + 1))
    kept = []
    for row in range(len(queries)):
        hits = slice(ends[row], ends[row + 1])
        if ends[row] == ends[row + 1]:
            continue
        add(queries.table(row), found.codes[hits], keys[hits])
        # A key holds the Hamming distance too, so that only insertion is left to decide.
        kept.append(ends[row] + np.lexsort((found.order[hits], keys[hits]))[:topk])
    chosen = np.concatenate(kept) if kept else np.empty(0, dtype=np.int64)
    asymmetric, hamming = queries.told(found.query[chosen], keys[chosen])
    return replace(found.take(chosen), distance=hamming, asymmetric=asymmetric)
