"""The probability of hits, by what an index knows of its model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from crosshash.retrieval.calibration import KEY, Kind, Probabilities, read_calibration
from crosshash.search.engine import Found


def probabilities(
    metadata: Mapping[str, Any], found: Found, values: Any, query: Kind, *, bits: int, count: int
) -> Probabilities | None:
    """How probably each hit is relevant, by the distance that ranked it.

    Args:
        metadata: Of an index: its model's ``calibration``, and the ``kind`` of its items.
        found: h hits.
        values: (q, k) what was searched for, real values where these ranked.
        query: What that was.
        bits: Code length.
        count: Items that were searched.

    Returns:
        (h,), inside of 0…1; None where the model or the kind of items is not known well enough.
    """
    items = metadata.get("kind")
    if KEY not in metadata or items not in ("image", "text"):
        return None
    calibration = read_calibration(metadata[KEY])
    told: Any = found.distance[:, None]
    sizes = None
    if found.asymmetric is not None:
        sizes = np.abs(np.asarray(values, dtype=np.float64)).sum(axis=1)[found.query]
        told = found.asymmetric[:, None]
    known = calibration.probability(
        told, query=query, items=items, bits=bits, sizes=sizes, count=count
    )
    return None if known is None else known[:, 0]
