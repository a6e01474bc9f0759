"""Pairwise likelihood of a similarity given two sets of codes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def pairwise_nll(
    U: Tensor, V: Tensor, S: Tensor, *, scale: float = 0.5, weights: Tensor | None = None
) -> Tensor:
    """Mean over all n m pairs of softplus(theta) - S theta, theta = scale U V^T.

    Negative log-likelihood of DCMH (Jiang & Li 2017, Eq. 1; printed as a sum, with scale 1/2).
    Softplus does not overflow where log(1 + exp(theta)) does.

    Args:
        U: (n, k) real-valued codes.
        V: (m, k) real-valued codes.
        S: (n, m) similarities in {0, 1}, or probabilities of it.
        scale: Factor of the inner products.
        weights: (n,) weights of the rows, of mean 1; None weighs all the same.

    Example:
        >>> U = torch.tensor([[1.0, 1.0], [-1.0, 1.0]])
        >>> same = pairwise_nll(U, U, torch.eye(2))
        >>> bool(same < pairwise_nll(U, -U, torch.eye(2)))
        True
    """
    theta = scale * (U @ V.T)
    terms = functional.softplus(theta) - S * theta
    return terms.mean() if weights is None else (weights[:, None] * terms).mean()


def bank_nll(
    U: Tensor,
    V: Tensor,
    labels: Tensor,
    bank_labels: Tensor,
    *,
    scale: float = 0.5,
    block: int = 2048,
) -> Tensor:
    """:func:`pairwise_nll` of a batch against all n codes of a bank, which are constants.

    Rows of S are made from labels on the fly, ``block`` bank rows at a time, and the gradient is
    summed on the way, so that memory is O(b block) and nothing of size n x n is ever there. Under
    autocast the products run in its type; sums are float32.

    Args:
        U: (b, k) real-valued codes of a batch.
        V: (n, k) codes of the bank.
        labels: (b, c) in {0, 1}.
        bank_labels: (n, c) in {0, 1}.
        scale: Factor of the inner products.
        block: Bank rows that are met at once.

    Raises:
        ValueError: V requires a gradient, which this loss does not give.
    """
    if V.requires_grad:
        raise ValueError("the codes of a bank are constants: detach them, or use pairwise_nll")
    value: Tensor = _BankNLL.apply(U, V, labels, bank_labels, scale, block)
    return value


class _BankNLL(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        U: Tensor,
        V: Tensor,
        labels: Tensor,
        bank_labels: Tensor,
        scale: float,
        block: int,
    ) -> Tensor:
        total = torch.zeros((), device=U.device)
        gradient = torch.zeros(U.shape, device=U.device)
        for start in range(0, len(V), block):
            codes = V[start : start + block]
            # softplus(theta) - S theta = softplus((1 - 2 S) theta) for S in {0, 1}; S is the number
            # of shared labels cut at 1, twice as fast as a comparison.
            shared = labels.float() @ bank_labels[start : start + block].float().T
            sign = 1 - 2 * shared.clamp_(max=1)
            theta = sign * (scale * (U.to(V.dtype) @ codes.T)).float()
            # softplus(t) = max(t, 0) - log sigmoid(|t|), twice as fast as torch's own.
            total += theta.relu().sum() - theta.abs().sigmoid_().log_().sum()
            gradient += (sign * theta.sigmoid_()).to(V.dtype) @ codes
        count = U.shape[0] * V.shape[0]
        ctx.save_for_backward((gradient * (scale / count)).to(U.dtype))
        return total / count

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return outputs[0] * gradient, None, None, None, None, None
