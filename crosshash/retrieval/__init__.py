"""Search over codes, and the figures that say how good it is."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crosshash.retrieval.curves import f1_at_radius as f1_at_radius
    from crosshash.retrieval.curves import precision_at as precision_at
    from crosshash.retrieval.curves import precision_recall_by_radius as precision_recall_by_radius
    from crosshash.retrieval.curves import precision_recall_by_rank as precision_recall_by_rank
    from crosshash.retrieval.evaluate import evaluate_both as evaluate_both
    from crosshash.retrieval.evaluate import evaluate_codes as evaluate_codes
    from crosshash.retrieval.health import code_health as code_health
    from crosshash.retrieval.index import Index as Index
    from crosshash.retrieval.metrics import average_precision as average_precision
    from crosshash.retrieval.metrics import mean_average_precision as mean_average_precision
    from crosshash.retrieval.record import check_disjoint as check_disjoint
    from crosshash.retrieval.record import make_record as make_record

# Public name -> the module that has it, imported when the name is first used.
_LAZY = {
    "Index": "index",
    "average_precision": "metrics",
    "check_disjoint": "record",
    "code_health": "health",
    "evaluate_both": "evaluate",
    "evaluate_codes": "evaluate",
    "f1_at_radius": "curves",
    "make_record": "record",
    "mean_average_precision": "metrics",
    "precision_at": "curves",
    "precision_recall_by_radius": "curves",
    "precision_recall_by_rank": "curves",
}

__all__ = [
    "Index",
    "average_precision",
    "check_disjoint",
    "code_health",
    "evaluate_both",
    "evaluate_codes",
    "f1_at_radius",
    "make_record",
    "mean_average_precision",
    "precision_at",
    "precision_recall_by_radius",
    "precision_recall_by_rank",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
