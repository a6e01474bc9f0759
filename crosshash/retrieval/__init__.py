"""How good codes are: metrics, curves, rankings and their records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crosshash._lazy import attach

if TYPE_CHECKING:
    from crosshash.retrieval.calibration import Calibration as Calibration
    from crosshash.retrieval.calibration import calibration_of as calibration_of
    from crosshash.retrieval.curves import f1_at_radius as f1_at_radius
    from crosshash.retrieval.curves import precision_at as precision_at
    from crosshash.retrieval.curves import precision_recall_by_radius as precision_recall_by_radius
    from crosshash.retrieval.curves import precision_recall_by_rank as precision_recall_by_rank
    from crosshash.retrieval.evaluate import evaluate_both as evaluate_both
    from crosshash.retrieval.evaluate import evaluate_codes as evaluate_codes
    from crosshash.retrieval.health import code_health as code_health
    from crosshash.retrieval.metrics import average_precision as average_precision
    from crosshash.retrieval.metrics import mean_average_precision as mean_average_precision
    from crosshash.retrieval.neighbours import asymmetric_scores as asymmetric_scores
    from crosshash.retrieval.neighbours import cosine_scores as cosine_scores
    from crosshash.retrieval.neighbours import neighbour_recall as neighbour_recall
    from crosshash.retrieval.neighbours import pair_recall as pair_recall
    from crosshash.retrieval.neighbours import symmetric_scores as symmetric_scores
    from crosshash.retrieval.record import check_disjoint as check_disjoint
    from crosshash.retrieval.record import make_record as make_record
    from crosshash.retrieval.reliability import calibration_error as calibration_error
else:
    __getattr__, __dir__, __all__ = attach(
        __name__,
        {
            "crosshash.retrieval.calibration": ["Calibration", "calibration_of"],
            "crosshash.retrieval.reliability": ["calibration_error"],
            "crosshash.retrieval.curves": [
                "f1_at_radius",
                "precision_at",
                "precision_recall_by_radius",
                "precision_recall_by_rank",
            ],
            "crosshash.retrieval.evaluate": ["evaluate_both", "evaluate_codes"],
            "crosshash.retrieval.health": ["code_health"],
            "crosshash.retrieval.metrics": ["average_precision", "mean_average_precision"],
            "crosshash.retrieval.neighbours": [
                "asymmetric_scores",
                "cosine_scores",
                "neighbour_recall",
                "pair_recall",
                "symmetric_scores",
            ],
            "crosshash.retrieval.record": ["check_disjoint", "make_record"],
        },
    )
