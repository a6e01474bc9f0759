"""A code as squares, one for each bit."""

from __future__ import annotations

from html import escape

import numpy as np

from crosshash.codes import Packed

_ROW = 8


def squares(code: Packed, label: str, other: Packed | None = None) -> str:
    """A drawing of a packed code (k/8,), eight bits a row: filled for +1, pale for -1, as SVG.

    Args:
        code: One item's code.
        label: What it is of, for those who do not see it.
        other: Bits in which the code differs from this one have a frame.
    """
    bits = np.unpackbits(code, bitorder="little").astype(bool)
    differs = (
        np.zeros_like(bits) if other is None else bits != np.unpackbits(other, bitorder="little")
    )
    told = "" if other is None else f", {int(differs.sum())} of which differ from the query's"
    rows = -(-len(bits) // _ROW)
    drawn = "".join(
        f'<path class="{kind}" d="{_path(np.flatnonzero(chosen), inset)}"/>'
        for kind, chosen, inset in (
            ("one", bits, 0.06),
            ("zero", ~bits, 0.06),
            ("other", differs, 0.12),
        )
        if chosen.any()
    )
    name = escape(f"{label}, {len(bits)} bits{told}")
    return (
        f'<svg class="squares" viewBox="0 0 {_ROW} {rows}" role="img" aria-label="{name}">'
        f"{drawn}</svg>"
    )


def _path(places: np.ndarray, inset: float) -> str:
    side = f"{1 - 2 * inset:g}"
    return "".join(
        f"M{place % _ROW + inset:g} {place // _ROW + inset:g}h{side}v{side}h-{side}z"
        for place in places.tolist()
    )
