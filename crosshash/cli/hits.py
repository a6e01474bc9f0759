"""The hits of a query as ``search`` tells them, with their probabilities where these are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crosshash.search.result import SearchResult


def hit_rows(
    found: SearchResult, least: float | None = None, *, model: str
) -> list[dict[str, Any]]:
    """The hits of the one query, nearest first, but for those that are less probable than asked.

    Args:
        found: The hits.
        least: The smallest probability that is told; None: any.
        model: Its name, for messages.

    Raises:
        ValueError: ``least`` is given, and no probability is known.
    """
    if least is not None and found.probability is None:
        raise ValueError(
            f"--min-probability: {model} does not know how probable these hits are: no pairs were "
            "held out for it to learn that from, or none of these kinds; train with "
            "data.validation or data.calibration, or calibrate the model on other pairs "
            "(docs/search.md), or leave the option out"
        )
    known = {
        "probability": found.probability,
        "asymmetric": found.asymmetric,
        "distance": found.distances,
    }
    told = {name: values[0].tolist() for name, values in known.items() if values is not None}
    rows = [
        {"rank": place + 1, **{name: values[place] for name, values in told.items()}, "id": id_}
        for place, id_ in enumerate(found.ids[0])
    ]
    return rows if least is None else [row for row in rows if row["probability"] >= least]
