"""The hits of a query as ``search`` tells them, with all that is known of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crosshash.search.result import SearchResult

# Where metadata have a caption and labels; the first that is there counts.
CAPTIONS = ("caption", "text", "captions", "title", "name")
LABELS = ("labels", "label")


def hit_rows(
    found: SearchResult, least: float | None = None, *, model: str
) -> list[dict[str, Any]]:
    """The hits of the one query, nearest first, but for those that are less probable than asked.

    Args:
        found: The hits; with their metadata, where these are to be told.
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
    if found.metadata is not None:
        for row, metadata in zip(rows, found.metadata[0], strict=True):
            row["metadata"] = metadata
    return rows if least is None else [row for row in rows if row["probability"] >= least]


def table_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of :func:`hit_rows` for a table: caption and labels in place of all metadata."""
    told = []
    for row in rows:
        held = row.get("metadata")
        known = {"caption": caption_of(held), "labels": ", ".join(labels_of(held))}
        shown = {name: value for name, value in row.items() if name != "metadata"}
        told.append({**shown, **{name: value for name, value in known.items() if value}})
    return told


def caption_of(metadata: Mapping[str, Any] | None) -> str | None:
    """The caption in an item's metadata, of several the first; None where there is none."""
    value = _first(metadata, CAPTIONS)
    if isinstance(value, list):
        more = f" (+{len(value) - 1})" if len(value) > 1 else ""
        return f"{value[0]}{more}"
    return None if value is None else str(value)


def labels_of(metadata: Mapping[str, Any] | None) -> list[str]:
    """The labels in an item's metadata."""
    value = _first(metadata, LABELS)
    listed = value if isinstance(value, list) else [] if value is None else [value]
    return [str(label) for label in listed]


def _first(metadata: Mapping[str, Any] | None, names: Sequence[str]) -> Any:
    known = metadata or {}
    return next((known[name] for name in names if known.get(name) not in (None, "", [])), None)
