"""Pairwise likelihood of a similarity given two sets of codes."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def pairwise_nll(U: Tensor, V: Tensor, S: Tensor, *, scale: float = 0.5) -> Tensor:
    """Mean over all n m pairs of softplus(theta) - S theta, theta = scale U V^T.

    Negative log-likelihood of DCMH (Jiang & Li 2017, Eq. 1; printed as a sum, with scale 1/2).
    Softplus does not overflow where log(1 + exp(theta)) does.

    Args:
        U: (n, k) real-valued codes.
        V: (m, k) real-valued codes.
        S: (n, m) similarities in {0, 1}.
        scale: Factor of the inner products.
    """
    theta = scale * (U @ V.T)
    return (functional.softplus(theta) - S * theta).mean()
