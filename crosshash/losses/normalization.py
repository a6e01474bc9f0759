"""How terms of different size stand beside each other in an objective."""

from __future__ import annotations

from typing import Literal

Normalization = Literal["sums", "means"]


def term_weight(normalization: Normalization, width: int, count: int) -> float:
    """Weight of a mean over n w entries beside a mean over n^2 pairs.

    The papers print sums: over n^2 pairs for a likelihood, over n w entries for the rest. Our terms
    are means, each over its own terms. ``"sums"`` weighs them as printed, up to the one factor n^2
    of the whole; ``"means"`` lets each count the same.

    Args:
        normalization: ``"sums"`` or ``"means"``.
        width: w, bits or classes.
        count: n, training pairs.

    Raises:
        ValueError: ``normalization`` has another value.
    """
    if normalization not in ("sums", "means"):
        raise ValueError(f"normalization is 'sums' or 'means', got {normalization!r}")
    return width / count if normalization == "sums" else 1.0
