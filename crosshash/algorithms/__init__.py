"""The grammar in which a method's training algorithm is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crosshash._lazy import attach

if TYPE_CHECKING:
    from crosshash.algorithms.code_bank import CodeBank as CodeBank
    from crosshash.algorithms.code_bank import bank_codes as bank_codes
    from crosshash.algorithms.code_bank import batch_labels as batch_labels
    from crosshash.algorithms.label_coding import label_codes as label_codes
    from crosshash.algorithms.laplacian import LabelLaplacian as LabelLaplacian
    from crosshash.algorithms.nested import Nested as Nested
    from crosshash.algorithms.phases import Algorithm as Algorithm
    from crosshash.algorithms.phases import BatchPhase as BatchPhase
    from crosshash.algorithms.phases import Phase as Phase
    from crosshash.algorithms.phases import SolvePhase as SolvePhase
    from crosshash.algorithms.phases import Terms as Terms
    from crosshash.algorithms.phases import Update as Update
else:
    __getattr__, __dir__, __all__ = attach(
        __name__,
        {
            "crosshash.algorithms.code_bank": ["CodeBank", "bank_codes", "batch_labels"],
            "crosshash.algorithms.label_coding": ["label_codes"],
            "crosshash.algorithms.laplacian": ["LabelLaplacian"],
            "crosshash.algorithms.nested": ["Nested"],
            "crosshash.algorithms.phases": [
                "Algorithm",
                "BatchPhase",
                "Phase",
                "SolvePhase",
                "Terms",
                "Update",
            ],
        },
    )
