"""All figures of a set of codes from one pass over the distances, and the record beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np

from crosshash.retrieval.asymmetric_map import asymmetric_precision
from crosshash.retrieval.curves import (
    Average,
    Curve,
    Nothing,
    check_ranks,
    default_ranks,
    hits_at_ranks,
    hits_of_ranking,
    radius_curve,
    radius_f1,
    rank_curve,
)
from crosshash.retrieval.health import code_health
from crosshash.retrieval.histogram import Comparison, Engine, check_choice
from crosshash.retrieval.metrics import (
    Denominator,
    Empty,
    TieOrder,
    chance_precision,
    check_rank,
    histogram_precision,
    mean_over_queries,
    ranked_precision,
)
from crosshash.retrieval.record import Record as Record
from crosshash.retrieval.record import check_disjoint as check_disjoint
from crosshash.retrieval.record import check_record
from crosshash.retrieval.record import make_record as make_record
from crosshash.retrieval.report import Figures, Report
from crosshash.retrieval.ties import Floats

_RANKS = (1, 5, 10, 50, 100, 500, 1000, 5000)


def evaluate_codes(
    query_codes: Any,
    retrieval_codes: Any,
    query_labels: Any,
    retrieval_labels: Any,
    *,
    topk: Sequence[int] = (50,),
    ranks: Sequence[int] | None = None,
    radii: Sequence[int] = (0, 1, 2),
    f1_average: Average = "query",
    ties: TieOrder = "expected",
    empty: Empty = "skip",
    nothing: Nothing = "zero",
    query_ids: Iterable[Any] | None = None,
    retrieval_ids: Iterable[Any] | None = None,
    asymmetric: bool = False,
    engine: Engine = "auto",
) -> Figures:
    """All figures of one direction.

    Args:
        query_codes: (q, k/8) packed ``uint8`` or (q, k) signed or real codes.
        retrieval_codes: (n, k/8) packed or (n, k) signed or real codes.
        query_labels: (q, c) in {0, 1}.
        retrieval_labels: (n, c) in {0, 1}.
        topk: Each k of MAP@k, which is given with all four denominators.
        ranks: Each N of Precision@N; ``None``: 1, 5, 10, 50, … as far as the retrieval set goes.
        radii: Hamming radii of F1.
        f1_average: ``query``: mean of the queries' F1; ``curve``: F1 of the mean precision and the
            mean recall, as in :func:`~crosshash.retrieval.curves.f1_at_radius`.
        ties: ``expected``, ``best``, ``worst`` or ``index``, for all but ``map_best`` and
            ``map_worst``.
        empty: Queries with nothing relevant: ``skip`` or ``zero``.
        nothing: Precision of a query that retrieves nothing within a radius: ``zero`` or ``skip``.
        query_ids: (q,) names of the queries; with ``retrieval_ids``, a shared one is refused.
        retrieval_ids: (n,) names of the items.
        asymmetric: Measure MAP by asymmetric distance too; the query codes are real values then.
        engine: ``auto``, ``numpy`` or ``numba``; all give the same.

    Raises:
        TypeError: ``asymmetric`` without real values of the queries.
        ValueError: Codes, labels or options do not fit, a query is in the retrieval set, or no
            query has a relevant item.
        ImportError: ``engine="numba"`` without numba.
    """
    check_choice("ties", ties, get_args(TieOrder))
    check_choice("empty", empty, get_args(Empty))
    check_choice("f1_average", f1_average, get_args(Average))
    comparison = Comparison(query_codes, retrieval_codes, query_labels, retrieval_labels)
    queries, items = len(comparison.query_codes), len(comparison.retrieval_codes)
    if (query_ids is None) != (retrieval_ids is None):
        raise ValueError("give both query_ids and retrieval_ids, or neither")
    if query_ids is not None and retrieval_ids is not None:
        check_disjoint(query_ids, retrieval_ids)
    shown = check_ranks([r for r in _RANKS if r <= items] if ranks is None else ranks, items)
    curve_ranks = default_ranks(items)
    cuts = np.union1d(curve_ranks, shown)
    cases = [(k, name) for k in _checked(topk) for name in get_args(Denominator)]

    histogram = comparison.histogram(engine)
    positives = histogram.positives
    best, worst = (histogram_precision(histogram, order=order) for order in ("best", "worst"))
    if ties == "index":
        whole = np.empty(queries)
        parts = np.empty((len(cases), queries))
        hits: Floats = np.empty((queries, len(cuts)))
        for rows, ranking in comparison.rankings():
            whole[rows] = ranked_precision(ranking)
            for part, (k, name) in zip(parts, cases, strict=True):
                part[rows] = ranked_precision(ranking, k, name)
            hits[rows] = hits_of_ranking(ranking, cuts)
    else:
        whole = histogram_precision(histogram, order=ties)
        parts = np.array([histogram_precision(histogram, k, ties, name) for k, name in cases])
        hits = hits_at_ranks(histogram, cuts, ties)
    map_at: dict[int, dict[str, float]] = {}
    for part, (k, name) in zip(parts, cases, strict=True):
        map_at.setdefault(k, {})[name] = float(mean_over_queries(part, empty))
    curve = rank_curve(hits, positives, cuts, empty)
    precisions = dict(zip(cuts.tolist(), curve.precision.tolist(), strict=True))
    kept = np.isin(cuts, curve_ranks)
    weighted = None
    if asymmetric:
        weighted = asymmetric_precision(comparison, query_codes, ties, engine)
    return Figures(
        map=float(mean_over_queries(whole, empty)),
        map_best=float(mean_over_queries(best, empty)),
        map_worst=float(mean_over_queries(worst, empty)),
        map_at=map_at,
        chance=float(mean_over_queries(chance_precision(histogram), empty)),
        precision_at={rank: precisions[rank] for rank in shown.tolist()},
        f1_at_radius=radius_f1(histogram, radii, f1_average, empty),
        by_radius=radius_curve(histogram, nothing, empty),
        by_rank=Curve(cuts[kept], curve.precision[kept], curve.recall[kept]),
        queries=queries,
        items=items,
        empty_queries=int((positives == 0).sum()),
        bits=comparison.bits,
        map_asymmetric=None if weighted is None else float(mean_over_queries(weighted, empty)),
        precisions=whole,
    )


def evaluate_both(
    query: tuple[Any, Any],
    retrieval: tuple[Any, Any],
    query_labels: Any,
    retrieval_labels: Any,
    *,
    record: Record | None = None,
    denominator: Denominator = "total",
    ties: TieOrder = "expected",
    empty: Empty = "skip",
    f1_average: Average = "query",
    **options: Any,
) -> Report:
    """Figures of image→text, text→image, and within each modality, on the same pairs.

    Codes of both modalities are of one space, so that a picture also finds pictures; queries are
    none of the searched pairs.

    Args:
        query: Image codes and text codes of the query pairs.
        retrieval: Image codes and text codes of the retrieval pairs.
        query_labels: (q, c) in {0, 1}.
        retrieval_labels: (n, c) in {0, 1}.
        record: From ``make_record``; the conventions of this call are filled in.
        denominator: Denominator of MAP@k to be quoted; it goes into the record.
        ties: As in ``evaluate_codes``.
        empty: As in ``evaluate_codes``.
        f1_average: As in ``evaluate_codes``.
        **options: ``topk``, ``ranks``, ``radii`` and the other options of ``evaluate_codes``.

    Raises:
        ValueError: As in ``evaluate_codes``; or image and text codes are one array, which would
            give the same figures in both directions; or the record contradicts the codes.
    """
    check_choice("denominator", denominator, get_args(Denominator))
    for name, (images, texts) in (("query", query), ("retrieval", retrieval)):
        if _same_memory(images, texts):
            raise ValueError(
                f"image and text codes of the {name} pairs are one and the same array; keep them "
                "in two, or both directions measure the same thing"
            )
    i2t, t2i, i2i, t2t = (
        evaluate_codes(
            codes,
            found,
            query_labels,
            retrieval_labels,
            ties=ties,
            empty=empty,
            f1_average=f1_average,
            **options,
        )
        for codes, found in (
            (query[0], retrieval[1]),
            (query[1], retrieval[0]),
            (query[0], retrieval[0]),
            (query[1], retrieval[1]),
        )
    )
    record = make_record(bits=i2t.bits) if record is None else record
    check_record(record, bits=i2t.bits, query=i2t.queries, retrieval=i2t.items)
    return Report(
        i2t=i2t,
        t2i=t2i,
        i2i=i2i,
        t2t=t2t,
        image_health=code_health(retrieval[0]),
        text_health=code_health(retrieval[1]),
        record=replace(
            record,
            ties=ties,
            denominator=denominator,
            empty=empty,
            f1_average=f1_average,
            empty_queries={"i2t": i2t.empty_queries, "t2i": t2i.empty_queries},
        ),
    )


def _checked(topk: Sequence[int]) -> list[int]:
    ranks = [check_rank("each entry of topk", k) for k in topk]
    if None in ranks:
        raise ValueError("topk lists whole numbers; the whole ranking is always measured")
    return [k for k in ranks if k is not None]


def _same_memory(a: Any, b: Any) -> bool:
    """Whether two arrays or tensors are one object or start at the same place."""
    if a is b:
        return True
    if hasattr(a, "data_ptr") and hasattr(b, "data_ptr"):
        return bool(a.data_ptr() == b.data_ptr() != 0)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and a.size:
        return bool(a.__array_interface__["data"][0] == b.__array_interface__["data"][0])
    return False
