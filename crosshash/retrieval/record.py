"""The record of a measurement: what was measured on what, by which conventions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any


@dataclass(frozen=True)
class Record:
    """What a figure means nothing without.

    Attributes:
        dataset: Name of the data set.
        protocol: Name of its split.
        split: Digest of the ids in each set.
        database: What codes the retrieval set has: ``"encoded"`` by the hash functions; or
            ``"learned"``: pairs that were trained on have their label-learned B, others are encoded
            (``counts`` then says how many are ``learned``).
        counts: Pairs in each set: query, retrieval, train.
        overlaps: Pairs that two sets share.
        captions: Which caption of a pair is its text.
        seed: Seed of the training.
        training: What came before: whether labels ``supervised`` it, the ``pairs`` that trained the
            network, ``best_epoch``, after which it was kept, and where that epoch was chosen the
            ``held_out`` pairs by which (0: by a validation of one's own), and ``refit``: whether it
            was then trained on these pairs too. :func:`training_words` makes a sentence of it.
        bits: Code length.
        versions: Of crosshash and what it computes with.
        ties: Order inside ties.
        denominator: The denominator of MAP@k that is quoted; figures have all four.
        empty: What becomes of queries with nothing relevant.
        empty_queries: Number of such queries, by direction.
        f1_average: How F1 is averaged: ``query`` or ``curve``, see
            :func:`~crosshash.retrieval.curves.f1_at_radius`.
    """

    dataset: str = ""
    protocol: str = ""
    split: str = ""
    database: str = "encoded"
    counts: Mapping[str, int] = field(default_factory=dict)
    overlaps: Mapping[str, int] = field(default_factory=dict)
    captions: str | int | None = None
    seed: int | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    bits: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    ties: str = "expected"
    denominator: str = "total"
    empty: str = "skip"
    empty_queries: Mapping[str, int] = field(default_factory=dict)
    f1_average: str = "query"

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return asdict(self)


def installed(*packages: str) -> dict[str, str]:
    """Versions of those packages that are installed."""
    versions = {}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def training_words(training: Mapping[str, Any]) -> str:
    """What a record's ``training`` says, as a sentence.

    Example:
        >>> told = {"supervised": True, "pairs": 2173, "best_epoch": 35}
        >>> training_words(told)
        'supervised, 35 epochs on 2,173 pairs'
        >>> training_words({**told, "held_out": 300, "refit": True})
        'supervised, epoch 35 chosen on 300 held-out pairs, then trained on all 2,173 pairs'
    """
    kind = "supervised" if training["supervised"] else "unsupervised"
    pairs, epoch = f"{training['pairs']:,}", training["best_epoch"]
    if "held_out" not in training:
        return f"{kind}, {epoch} epochs on {pairs} pairs"
    held = training["held_out"]
    chosen = f"on {held:,} held-out pairs" if held else "by a validation of one's own"
    trained = (
        f"then trained on all {pairs} pairs" if training["refit"] else f"trained on {pairs} others"
    )
    return f"{kind}, epoch {epoch} chosen {chosen}, {trained}"


def make_record(**known: Any) -> Record:
    """A record with the versions of what is installed; ``known`` are its other fields."""
    return Record(**{"versions": installed("crosshash", "torch", "numpy", "timm"), **known})


def check_disjoint(query_ids: Iterable[Any], retrieval_ids: Iterable[Any]) -> None:
    """Refuse queries that are in the retrieval set: each would find itself.

    Raises:
        ValueError: Some are; the message names the first.
    """
    items = set(retrieval_ids)
    shared = [one for one in query_ids if one in items]
    if shared:
        names = ", ".join(map(repr, shared[:3])) + (", …" if len(shared) > 3 else "")
        raise ValueError(
            f"{len(shared)} queries are in the retrieval set too ({names}); take them out of one "
            "of the two"
        )


def check_record(record: Record, *, bits: int, query: int, retrieval: int) -> None:
    """Refuse a record that contradicts what was measured, or whose queries are searched.

    Raises:
        ValueError: It says another code length or size of a set, or that the sets overlap.
    """
    said = {"bits": record.bits, "query": None, "retrieval": None, **record.counts}
    found = {"bits": bits, "query": query, "retrieval": retrieval}
    for name, value in found.items():
        if said[name] is not None and said[name] != value:
            raise ValueError(
                f"the record says {name} {said[name]}, but the codes have {value}; "
                "it belongs to another run"
            )
    shared = record.overlaps.get("query_retrieval", 0)
    if shared:
        raise ValueError(
            f"{shared} queries are in the retrieval set too, says the record; take them out of "
            "one of the two"
        )
