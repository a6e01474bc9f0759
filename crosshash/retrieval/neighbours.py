"""Recall of what a ranking ought to find: a pair's other side, or the neighbours of the vectors.

Rankings are of scores, higher first, so that Hamming distance (:func:`symmetric_scores`), the
asymmetric score (:func:`asymmetric_scores`) and the cosine of vectors (:func:`cosine_scores`) are
measured alike. Inside a tie every order is as likely as another, and recall is the expectation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from crosshash.codes import as_packed, hamming, sign

Scores = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
_BLOCK = 1 << 24  # scores held at a time


def symmetric_scores(query: Any, database: Any) -> Scores:
    """Minus the Hamming distances (q, n) of two batches of codes, signed, real or packed."""
    scores: Scores = -hamming(as_packed(query), as_packed(database)).astype(np.int32)
    return scores


def asymmetric_scores(query: Any, database: Any) -> Scores:
    """Inner products (q, n) of a query's real-valued outputs with stored signs.

    Args:
        query: (q, k) real-valued outputs.
        database: (n, k) signed or real-valued codes, of which the signs are taken.
    """
    signs = sign(np.asarray(database, dtype=np.float32))
    scores: Scores = np.asarray(query, dtype=np.float32) @ signs.T
    return scores


def cosine_scores(query: Any, database: Any) -> Scores:
    """Cosines (q, n) of vectors (q, d) and (n, d)."""
    scores: Scores = _unit(query) @ _unit(database).T
    return scores


def pair_recall(scores: Scores, partners: Any, ks: Sequence[int] = (1, 10)) -> dict[int, float]:
    """R@k: the share of queries that have one of their partners among the k best.

    A query with several partners (an image with its captions) counts where one of them is found.

    Args:
        scores: (q, n), higher is nearer.
        partners: (q,) row numbers of the database; or (q, n) bool, any number of partners each.
        ks: Cuts.

    Returns:
        By k, in 0…1.

    Raises:
        ValueError: The shapes do not fit, or a query has no partner.
    """
    _check_ranks(ks)
    wanted = _mask(np.asarray(partners), scores.shape)
    none = np.flatnonzero(~wanted.any(axis=1))
    if len(none):
        raise ValueError(f"{len(none)} queries have no partner, the first is row {none[0]}")
    best = np.where(wanted, scores, -np.inf if scores.dtype.kind == "f" else scores.min() - 1)
    cut = best.max(axis=1, keepdims=True)
    above, tied = (scores > cut).sum(axis=1), (scores == cut).sum(axis=1)
    right = (wanted & (scores == cut)).sum(axis=1)
    return {k: float(_some_of(right, tied, k - above).mean()) for k in ks}


def partner_recall(images: Any, texts: Any, ks: Sequence[int] = (1, 5, 10)) -> dict[str, float]:
    """How often pairs find each other among themselves by their codes.

    ``t2i_r10`` is the share of texts whose own image is among the 10 nearest of all images by
    Hamming distance, ``i2t_r10`` that of images with their text, and ``…_asymmetric`` the same by
    the inner product of the query's real-valued outputs with stored signs.

    Args:
        images: (n, k) real-valued outputs of the pairs' images.
        texts: (n, k) of their texts.
        ks: Cuts; beyond n, all are found.

    Returns:
        By name, in 0…1.
    """
    count = len(images)
    found: dict[str, float] = {}
    for name, query, database in (("t2i", texts, images), ("i2t", images, texts)):
        for way, scores in (("", symmetric_scores), ("_asymmetric", asymmetric_scores)):
            sums = dict.fromkeys(ks, 0.0)
            for rows in _blocks(count, count):
                part = scores(query[rows], database)
                for k, recall in pair_recall(part, np.arange(count)[rows], ks).items():
                    sums[k] += recall * len(part)
            found |= {f"{name}_r{k}{way}": total / count for k, total in sums.items()}
    return found


def neighbour_recall(
    codes: Any,
    vectors: Any,
    *,
    real: Any = None,
    ks: Sequence[int] = (1, 10, 100),
) -> dict[int, float]:
    """recall@k of the vectors' neighbours: the share of the k nearest that the k best codes hold.

    Each row is a query among all others. Neighbours are by cosine; equal cosines are taken in the
    order of the rows.

    Args:
        codes: (n, k) signed or real-valued codes, or packed ones.
        vectors: (n, d) float vectors.
        real: (n, k) real-valued outputs of the queries, for asymmetric ranking; None: Hamming.
        ks: Cuts below n.

    Returns:
        By k, in 0…1.

    Raises:
        ValueError: The counts differ, or a cut is not below n.
    """
    _check_ranks(ks)
    count, most = len(vectors), max(ks)
    if len(codes) != count:
        raise ValueError(f"{len(codes)} codes for {count} vectors; give one for each")
    if most >= count:
        raise ValueError(f"{count} vectors have {count - 1} neighbours each, not {most}")
    units = _unit(vectors)
    sums = dict.fromkeys(ks, 0.0)
    for rows in _blocks(count, count):
        own = np.arange(count)[rows], np.arange(rows.stop - rows.start)
        cosines = units[rows] @ units.T
        cosines[own[1], own[0]] = -np.inf
        order = np.argsort(-cosines, axis=1, kind="stable")[:, :most]
        scores = (
            symmetric_scores(codes[rows], codes).astype(np.float32)
            if real is None
            else asymmetric_scores(real[rows], codes)
        )
        scores[own[1], own[0]] = -np.inf
        descending = -np.sort(-scores, axis=1)
        for k in ks:
            # Items above the k-th score are in, those at it in with the share of the places left.
            cut = descending[:, k - 1 : k]
            found = np.take_along_axis(scores, order[:, :k], axis=1)
            above, tied = (scores > cut).sum(axis=1), (scores == cut).sum(axis=1)
            hits = (found > cut).sum(axis=1) + (found == cut).sum(axis=1) * (k - above) / tied
            sums[k] += float((hits / k).sum())
    return {k: total / count for k, total in sums.items()}


def _some_of(right: Any, tied: Any, places: Any) -> Floats:
    """Probability that of ``tied`` items, in random order, one of ``right`` is in ``places``.

    1 - prod_{i < places} (tied - right - i) / (tied - i), hypergeometric.
    """
    right, tied = np.asarray(right, dtype=float), np.asarray(tied, dtype=float)
    places = np.clip(np.asarray(places, dtype=float), 0, tied)
    missed = np.ones(len(places))
    for i in range(int(places.max(initial=0))):
        step = np.clip((tied - right - i) / np.maximum(tied - i, 1), 0, 1)
        missed *= np.where(i < places, step, 1.0)
    found: Floats = 1 - missed
    return found


def _mask(partners: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    if partners.dtype == bool and partners.shape == shape:
        return partners
    if partners.shape != shape[:1] or partners.dtype.kind not in "iu":
        raise ValueError(
            f"partners of {shape[0]} queries over {shape[1]} items are row numbers (q,) or a bool "
            f"array (q, n), got {partners.dtype} of shape {partners.shape}"
        )
    mask = np.zeros(shape, dtype=bool)
    mask[np.arange(shape[0]), partners] = True
    return mask


def _check_ranks(ks: Sequence[int]) -> None:
    if not ks or min(ks) < 1:
        raise ValueError(f"cuts are whole numbers of at least 1, got {list(ks)}")


def _unit(vectors: Any) -> npt.NDArray[np.float32]:
    rows = np.asarray(vectors, dtype=np.float32)
    norms = np.linalg.norm(rows, axis=1, keepdims=True).astype(np.float32)
    unit: npt.NDArray[np.float32] = rows / np.where(norms > 0, norms, np.float32(1))
    return unit


def _blocks(queries: int, items: int) -> Iterator[slice]:
    size = max(1, _BLOCK // max(items, 1))
    return (slice(start, min(start + size, queries)) for start in range(0, queries, size))
