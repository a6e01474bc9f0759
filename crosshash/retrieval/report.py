"""What an evaluation gives: figures of each direction, and the record beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crosshash.retrieval.curves import Curve
from crosshash.retrieval.health import CodeHealth
from crosshash.retrieval.record import Record
from crosshash.retrieval.ties import Floats


@dataclass(frozen=True, eq=False)
class Figures:
    """Figures of one direction; means over its queries, in 0…1.

    Attributes:
        map: MAP over the whole retrieval set, with the record's tie order.
        map_best: The same with the best possible order inside ties.
        map_worst: With the worst.
        map_at: MAP@k for each k, by the name of its denominator.
        chance: MAP that random codes would reach: the expectation over all orders of the database.
        precision_at: Precision@N.
        f1_at_radius: F1 within a Hamming radius, averaged as the record's ``f1_average`` says.
        by_radius: Precision and recall within each Hamming radius 0…k.
        by_rank: Precision and recall among the first items.
        queries: Number of queries.
        items: Size of the retrieval set.
        empty_queries: Queries with nothing relevant.
        bits: Code length.
        map_asymmetric: MAP by asymmetric distance, where it was asked for, with the same
            conventions.
        precisions: (q,) average precision of each query over the whole retrieval set, whose mean is
            ``map``; NaN for queries with nothing relevant. It is no part of :meth:`as_dict`.
    """

    map: float
    map_best: float
    map_worst: float
    map_at: dict[int, dict[str, float]]
    chance: float
    precision_at: dict[int, float]
    f1_at_radius: dict[int, float]
    by_radius: Curve
    by_rank: Curve
    queries: int
    items: int
    empty_queries: int
    bits: int
    map_asymmetric: float | None = None
    precisions: Floats | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values; numbers as keys become strings, and what is None is left out."""
        names = [name for name in self.__dataclass_fields__ if name != "precisions"]
        found = {name: getattr(self, name) for name in names}
        values = {name: value for name, value in found.items() if value is not None}
        for name, value in values.items():
            if isinstance(value, Curve):
                values[name] = value.as_dict()
            elif isinstance(value, dict):
                values[name] = {str(key): entry for key, entry in value.items()}
        return values


@dataclass(frozen=True, eq=False)
class Report:
    """Figures of both directions, and within each modality.

    Attributes:
        i2t: Image queries over texts.
        t2i: Text queries over images.
        i2i: Image queries over images.
        t2t: Text queries over texts.
        image_health: Of the images' retrieval codes.
        text_health: Of the texts' retrieval codes.
        record: How they were measured, on what.
        learned: The same with learned codes of the searched pairs that were trained on, where that
            was asked for; its record says so.
        nested: By length, the same with the first bits of all codes, of a nested model.
        calibration_error: How far off probabilities are, over ``searched`` and ``unseen`` items.
        partners: How often a query finds its own other side among the queries, where that was asked
            for, by the names of :func:`~crosshash.retrieval.neighbours.partner_recall`.
    """

    i2t: Figures
    t2i: Figures
    i2i: Figures
    t2t: Figures
    image_health: CodeHealth
    text_health: CodeHealth
    record: Record
    learned: Report | None = None
    nested: Mapping[int, Report] = field(default_factory=dict)
    calibration_error: Mapping[str, Any] = field(default_factory=dict)
    partners: Mapping[str, float] = field(default_factory=dict)

    @property
    def map_mean(self) -> float:
        """Mean of the MAP of image→text and text→image."""
        return (self.i2t.map + self.t2i.map) / 2

    def record_dict(self) -> dict[str, Any]:
        """The record, JSON-ready."""
        return self.record.as_dict()

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values; the last four only where they were measured."""
        shorter = {str(bits): report.as_dict() for bits, report in self.nested.items()}
        return {
            "map_i2t": self.i2t.map,
            "map_t2i": self.t2i.map,
            "map_mean": self.map_mean,
            "i2t": self.i2t.as_dict(),
            "t2i": self.t2i.as_dict(),
            "map_i2i": self.i2i.map,
            "map_t2t": self.t2t.map,
            "i2i": self.i2i.as_dict(),
            "t2t": self.t2t.as_dict(),
            "health": {"image": self.image_health.as_dict(), "text": self.text_health.as_dict()},
            "record": self.record_dict(),
            **({"calibration_error": self.calibration_error} if self.calibration_error else {}),
            **({"partners": dict(self.partners)} if self.partners else {}),
            **({} if self.learned is None else {"learned": self.learned.as_dict()}),
            **({"nested": shorter} if shorter else {}),
        }
