"""The hits of a query as ``search`` tells them, with their probabilities where these are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from crosshash.model.hash_model import HashModel
    from crosshash.retrieval.calibration import Probabilities
    from crosshash.search.index import Index, SearchResult


def probabilities(
    model: HashModel,
    index: Index,
    found: SearchResult,
    values: Any,
    query: Literal["image", "text"],
) -> Probabilities | None:
    """How probably each hit is relevant.

    Args:
        model: It may carry a calibration.
        index: What was searched; its metadata say what ``kind`` its items are.
        found: The hits.
        values: (q, k) real values of what was searched for.
        query: What that was.

    Returns:
        (q, topk); None where the model or the kind of items is not known well enough.
    """
    from crosshash.retrieval.calibration import calibration_of

    calibration, items = calibration_of(model), index.metadata.get("kind")
    if calibration is None or items not in ("image", "text"):
        return None
    return calibration.of(
        found, values, query=query, items=items, bits=index.bits, count=len(index)
    )


def hit_rows(
    found: SearchResult, likely: Probabilities | None, least: float | None = None, *, model: str
) -> list[dict[str, Any]]:
    """The hits of the one query, nearest first, but for those that are less probable than asked.

    Args:
        found: The hits.
        likely: Of :func:`probabilities`.
        least: The smallest probability that is told; None: any.
        model: Its name, for messages.

    Raises:
        ValueError: ``least`` is given, and no probability is known.
    """
    if least is not None and likely is None:
        raise ValueError(
            f"--min-probability: {model} does not know how probable these hits are: no pairs were "
            "held out for it to learn that from, or none of these kinds; train with "
            "data.validation or data.calibration, or calibrate the model on other pairs "
            "(docs/search.md), or leave the option out"
        )
    known = {"probability": likely, "asymmetric": found.asymmetric, "distance": found.distances}
    told = {name: values[0].tolist() for name, values in known.items() if values is not None}
    rows = [
        {"rank": place + 1, **{name: values[place] for name, values in told.items()}, "id": id_}
        for place, id_ in enumerate(found.ids[0])
    ]
    return rows if least is None else [row for row in rows if row["probability"] >= least]
