"""Records of benchmarks whose queries have given precisions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from crosshash.experiment.bench import report
from crosshash.experiment.bench.record import Record, Store

Measured = Callable[..., Record]


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports whose tables are looked at, without their plots, which take most of the time."""
    for name in ("drawn_figures", "epoch_figures"):
        monkeypatch.setattr(report, name, lambda table: [])


@pytest.fixture
def measured() -> Measured:
    """``measured(store, method, i2t, t2i)``: a record of these precisions, written to the store."""

    def write(
        store: Store,
        method: str,
        i2t: Any,
        t2i: Any = None,
        *,
        supervised: bool = True,
        **more: Any,
    ) -> Record:
        found = {"i2t": np.asarray(i2t), "t2i": np.asarray(i2t if t2i is None else t2i)}
        curve = {"at": [0, 1, 2, 3], "precision": [0.9, 0.8, 0.7, 0.3], "recall": [0, 0.1, 0.2, 1]}
        told = {
            **{"denominator": "total", "ties": "expected", "empty": "skip", "f1_average": "query"},
            **{"database": "encoded", "training": {"supervised": supervised}},
            "counts": {"query": len(found["i2t"]), "retrieval": 9},
        }
        means = {way: float(np.nanmean(values)) for way, values in found.items()}
        figures: dict[str, Any] = {"map_mean": sum(means.values()) / 2, "record": told}
        for way, mean in means.items():
            figures[way] = {"map": mean, "chance": 0.3, "by_radius": curve, "by_rank": curve}
        values: dict[str, Any] = {
            **{"state": "finished", "suite": "tests", "method": method, "dataset": "wiki"},
            **{"bits": 16, "seed": 0, "started": "2026", "config": {}, "figures": figures},
            "identity": {"compared": "same", "data": "d", "code": "e", "config": "c"},
            "seconds": {"training": 1.0, "whole": 1.0},
            "memory": {"of": "resident", "bytes": 1},
            "parameters": {"all": 1, "trained": 1},
            "flops": {"image": 1, "text": 1},
            "machine": {"device": "cpu", "threads": 1, "jobs": 1},
            **more,
        }
        apart = [values.get("variant", "plain"), values.get("encoder", "plain")]
        shown = [part for part in apart if part != "plain"]
        # As the configs are called: method/data-encoder-bits-variant.
        middle = f"wiki-{apart[1]}" if apart[1] != "plain" else "wiki"
        end = f"-{apart[0]}" if apart[0] != "plain" else ""
        values.setdefault("name", f"{method}/{middle}-{values['bits']}{end}")
        values.setdefault(
            "key", "_".join([method, *shown, f"{values['bits']}", f"{values['seed']}"])
        )
        record = Record.model_validate(values)
        store.write(record, found)
        return record

    return write
