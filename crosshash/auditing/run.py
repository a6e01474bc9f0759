"""An audit from an encoder and a data set to its findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from crosshash.auditing.codes import Given, check_bits, check_form, check_round_trip, given_codes
from crosshash.auditing.figures import (
    Codes,
    check_chance,
    check_order,
    check_shuffled,
    check_ties,
    measure,
)
from crosshash.auditing.finding import CHECKS, Audit, Finding
from crosshash.auditing.independence import check_independence
from crosshash.auditing.records import check_database, check_epochs
from crosshash.auditing.splits import check_content, check_splits
from crosshash.auditing.subject import Encode, Subject, subject_of
from crosshash.codes import Packed, pack
from crosshash.data.dataset import PairedDataset
from crosshash.data.protocol import Indices, Protocol
from crosshash.model.hash_model import HashModel

_MEASURED = ("ties", "chance", "shuffled labels")


def audit(
    encoder: str | HashModel | Encode | Subject,
    dataset: PairedDataset,
    protocol: Protocol,
    *,
    report: Mapping[str, Any] | None = None,
    history: Sequence[Mapping[str, Any]] = (),
    items: int = 48,
    topk: int = 50,
    limit: int | None = None,
    batch_size: int = 256,
    bits: int | None = None,
    tolerance: float | None = None,
    seed: int = 0,
) -> Audit:
    """Look for what makes figures of an encoder mean something else than they say.

    Args:
        encoder: A zoo name, a checkpoint folder or that of a run; a model; a function
            ``encode(images, texts)``, or its name, ``file.py:function``, which is run.
        dataset: Pairs to encode; MAP is measured where it has labels.
        protocol: Which of them are queries, searched, and trained on. It may be a bad one.
        report: A result and its record, whose epochs and database are checked; default: what a
            model carries.
        history: Figures of each epoch, to be compared with the report.
        items: Pairs that are encoded in several ways.
        topk: k of MAP@k, whose ties are told.
        limit: Queries and searched pairs that are encoded at most, drawn by ``seed``, for a slow
            encoder; MAP is then of these, and not the one to be quoted.
        batch_size: Pairs of a batch in which all are encoded.
        bits: Length that the codes are to have; a model says its own.
        tolerance: How far real values of an item may differ between batches; default: 64 units in
            the last place of their type, at least 1e-6.
        seed: Of the pairs that are chosen, and of all shuffles.

    Returns:
        The findings, with a name each, and what was measured.

    Raises:
        ValueError: There are too few pairs, or the encoder fails or gives no codes.
    """
    subject = encoder if isinstance(encoder, Subject) else subject_of(encoder)
    findings: list[Finding] = check_splits(dataset, protocol)
    findings += check_content(dataset, protocol, subject.captions)
    skipped: dict[str, str] = {}
    sample = subject.inputs(dataset, _drawn(protocol.query, items, seed))
    told, left = check_independence(subject, *sample, seed=seed, tolerance=tolerance)
    findings += told
    skipped |= left

    asked, searched = protocol.query, protocol.retrieval
    if limit is not None:
        asked, searched = (_drawn(rows, limit, seed) for rows in (asked, searched))
    sets = np.unique(np.concatenate([asked, searched]))
    images, texts = _encode(subject, dataset, sets, batch_size)
    findings += check_form(images, texts, subject.bits if bits is None else bits)
    findings += check_bits(images, texts)
    broken = [one for one in findings if one.check in ("values", "length") and one.level == "fault"]
    figures: dict[str, Any] = {"bits": images.bits, "queries": len(asked), "items": len(searched)}
    if any(one.check == "length" for one in broken) or not _finite(images, texts):
        why = "the codes cannot be compared"
        skipped |= dict.fromkeys((*_MEASURED, "bit order"), why)
    elif dataset.labels is None:
        why = "the data set has no labels"
        skipped |= dict.fromkeys(_MEASURED, why)
        findings += _round_trip(subject, sample)
    else:
        labels = dataset.labels[asked], dataset.labels[searched]
        query = _of(images, sets, asked), _of(texts, sets, asked)
        found = _of(images, sets, searched), _of(texts, sets, searched)
        findings += _round_trip(subject, sample) + check_order(query, found, *labels)
        both: tuple[Codes, Codes] = (_packed(query), _packed(found))
        figures |= measure(*both, *labels, topk)
        findings += check_ties(figures) + check_chance(figures)
        findings += check_shuffled(*both, *labels, seed=seed)
    if report is None and subject.model is not None:
        report = subject.model.info.figures
    if report:
        findings += check_epochs(report, history) + check_database(report)
    else:
        skipped |= dict.fromkeys(("epochs", "database"), "there is no report to read")
    order = list(CHECKS)
    return Audit(
        subject=subject.name,
        dataset=dataset.name,
        protocol=protocol.name,
        split=protocol.digest(dataset.ids),
        findings=tuple(sorted(findings, key=lambda one: order.index(one.check))),
        skipped=skipped,
        figures=figures,
    )


def _drawn(rows: Indices, count: int, seed: int) -> Indices:
    """At most ``count`` different rows, in ascending order; in the given order where all fit."""
    if len(rows) <= count:
        return rows
    return np.sort(np.random.default_rng(seed).permutation(np.unique(rows))[:count])


def _encode(
    subject: Subject, dataset: PairedDataset, rows: Any, batch_size: int
) -> tuple[Given, Given]:
    """Codes of those rows, batch by batch; copied, as an encoder may fill one buffer."""
    sides: tuple[list[Any], list[Any]] = ([], [])
    for start in range(0, len(rows), batch_size):
        images, texts = subject.inputs(dataset, rows[start : start + batch_size])
        for parts, codes in zip(sides, subject(images, texts), strict=True):
            parts.append(np.array(given_codes(codes).raw))
    widths = {part.shape[1] for side in sides for part in side}
    if len({part.shape[1] for part in sides[0]}) > 1 or len({p.shape[1] for p in sides[1]}) > 1:
        raise ValueError(
            f"{subject.name} gave codes of several widths ({sorted(widths)}) for batches of one "
            "data set; a code has one length"
        )
    return given_codes(np.concatenate(sides[0])), given_codes(np.concatenate(sides[1]))


def _of(codes: Given, rows: Any, wanted: Any) -> Given:
    places = np.searchsorted(rows, wanted)
    return Given(codes.form, codes.raw[places], codes.values[places])


def _packed(codes: tuple[Given, Given]) -> Codes:
    images, texts = (pack(side.signs) for side in codes)
    return images, texts


def _finite(*codes: Given) -> bool:
    return all(bool(np.isfinite(side.values).all()) for side in codes)


def _round_trip(subject: Subject, sample: tuple[Any, Any]) -> list[Finding]:
    """Packed codes of a model of ours beside its real values."""
    model = subject.model
    if model is None:
        return []
    images, texts = sample
    real = subject(images, texts)
    packed: tuple[Packed, Packed] = (
        model.encode_image(images, progress=False),
        model.encode_text(texts, unknown="allow"),
    )
    found = []
    for side, bytes_, values in zip(("image", "text"), packed, real, strict=True):
        found += check_round_trip(bytes_, values, side)
    return found
