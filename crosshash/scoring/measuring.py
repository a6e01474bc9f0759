"""Figures of codes from outside, by the same evaluation as those of our own models."""

from __future__ import annotations

from typing import Any

from crosshash.data.dataset import PairedDataset
from crosshash.data.protocol import Protocol
from crosshash.retrieval.evaluate import evaluate_both
from crosshash.retrieval.record import make_record
from crosshash.retrieval.report import Report
from crosshash.scoring.submission import Submission, check_fits


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
