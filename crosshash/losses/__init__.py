"""Losses: pure functions from tensors to unweighted scalars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crosshash._lazy import attach

if TYPE_CHECKING:
    from crosshash.losses.adversarial import discriminator_loss as discriminator_loss
    from crosshash.losses.adversarial import generator_loss as generator_loss
    from crosshash.losses.adversarial import random_codes as random_codes
    from crosshash.losses.contrast import info_nce as info_nce
    from crosshash.losses.contrast import neighbour_divergence as neighbour_divergence
    from crosshash.losses.cosine import cosine_regression as cosine_regression
    from crosshash.losses.likelihood import bank_nll as bank_nll
    from crosshash.losses.likelihood import pairwise_nll as pairwise_nll
    from crosshash.losses.normalization import term_weight as term_weight
    from crosshash.losses.quantization_error import quantization as quantization
    from crosshash.losses.regularization import l2 as l2
    from crosshash.losses.straight_through import toward_signs as toward_signs
else:
    __getattr__, __dir__, __all__ = attach(
        __name__,
        {
            "crosshash.losses.adversarial": [
                "discriminator_loss",
                "generator_loss",
                "random_codes",
            ],
            "crosshash.losses.contrast": ["info_nce", "neighbour_divergence"],
            "crosshash.losses.cosine": ["cosine_regression"],
            "crosshash.losses.likelihood": ["bank_nll", "pairwise_nll"],
            "crosshash.losses.normalization": ["term_weight"],
            "crosshash.losses.quantization_error": ["quantization"],
            "crosshash.losses.regularization": ["l2"],
            "crosshash.losses.straight_through": ["toward_signs"],
        },
    )
