"""Figures of codes from outside, by the same evaluation as those of our own models."""

from __future__ import annotations

from typing import Any

from crosshash.data.dataset import PairedDataset
from crosshash.data.protocol import Protocol
from crosshash.retrieval.evaluate import evaluate_both
from crosshash.retrieval.record import make_record
from crosshash.retrieval.report import Report
from crosshash.scoring.submission import Submission


def score(
    submission: Submission, dataset: PairedDataset, protocol: Protocol, **conventions: Any
) -> Report:
    """Check that codes are of a split, and measure them.

    Args:
        submission: The codes. Where both sides of the queries are reals, MAP by asymmetric
            distance is measured too.
        dataset: The pairs, with labels.
        protocol: Their split.
        **conventions: ``topk``, ``ties`` and the others of
            :func:`~crosshash.retrieval.evaluate_both`.

    Raises:
        ValueError: The codes are of other pairs, or the data set has no labels.
    """
    submission = submission.check()
    check_fits(submission, dataset, protocol)
    if dataset.labels is None:
        raise ValueError(f"data set {dataset.name!r} has no labels, so nothing can be measured")
    record = make_record(
        dataset=dataset.name,
        protocol=protocol.name,
        split=submission.split,
        database=submission.database,
        counts=protocol.counts(),
        overlaps=protocol.overlaps(),
        seed=submission.seed,
        bits=submission.bits,
    )
    return evaluate_both(
        submission.query,
        submission.retrieval,
        dataset.labels[protocol.query],
        dataset.labels[protocol.retrieval],
        record=record,
        **{"asymmetric": submission.has_reals, **conventions},
    )


def check_fits(submission: Submission, dataset: PairedDataset, protocol: Protocol) -> None:
    """Refuse codes of other pairs than those of a split.

    Raises:
        ValueError: The data set's name, the split's digest, the numbers of rows or the ids differ.
    """
    said = protocol.counts()
    if submission.dataset not in ("", dataset.name):
        raise ValueError(
            f"these codes are of the data set {submission.dataset!r}, and {dataset.name!r} is at "
            "hand; name theirs with --data"
        )
    here = protocol.digest(dataset.ids)
    if submission.split != here:
        raise ValueError(
            f"these codes are of the split {submission.split[:12]}…, and {dataset.name!r} under "
            f"{protocol.name!r} has {here[:12]}… ({said['query']:,} queries, "
            f"{said['retrieval']:,} searched); give the options of their split, or the split's file"
        )
    for part in ("query", "retrieval"):
        rows = getattr(protocol, part)
        count = len(getattr(submission, f"{part}_images"))
        if count != len(rows):
            raise ValueError(
                f"{count:,} {part} codes, and the split has {len(rows):,} {part} pairs; give one "
                "row for each, in the order of their ids"
            )
        ids = getattr(submission, f"{part}_ids")
        if ids is None:
            continue
        if len(ids) != count:
            raise ValueError(f"{len(ids):,} {part}_ids for {count:,} {part} codes; give one each")
        for row, (told, place) in enumerate(zip(ids.tolist(), rows, strict=True)):
            if told != dataset.ids[place]:
                raise ValueError(
                    f"{part}_ids are not in the split's order: row {row} is {told!r}, expected "
                    f"{dataset.ids[place]!r}; bring the codes into that order"
                )
