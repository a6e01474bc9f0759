"""Codes whose cosines reproduce a given similarity."""

from __future__ import annotations

from torch import Tensor

from crosshash.similarity import cosine_similarity


def cosine_regression(U: Tensor, V: Tensor, target: Tensor) -> Tensor:
    """Mean over all n m pairs of (cos(u_i, v_j) - T_ij)^2 (DJSRH, Su et al. 2019, Eq. 6).

    Args:
        U: (n, k) real-valued codes.
        V: (m, k) real-valued codes.
        target: (n, m) similarities; 2S - 1 for labels.
    """
    return (cosine_similarity(U, V) - target).square().mean()
