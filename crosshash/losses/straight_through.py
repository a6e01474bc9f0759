"""Codes that feel their signs while they learn."""

from __future__ import annotations

from torch import Tensor

from crosshash.codes import sign


def toward_signs(codes: Tensor, share: float, *, of: Tensor | None = None) -> Tensor:
    """Codes moved towards their signs, with the gradient of the codes as they are.

    u + share (sign(u) - u): straight-through estimation (Bengio, Leonard & Courville 2013,
    arXiv:1308.3432), in part.

    Args:
        codes: (n, k) real-valued codes.
        share: 0 leaves them, 1 gives their signs.
        of: (n, k), whose signs are taken instead; None: those of ``codes``.

    Example:
        >>> import torch
        >>> toward_signs(torch.tensor([[0.5, -2.0]]), 0.5)
        tensor([[ 0.7500, -1.5000]])
    """
    signs = sign(codes if of is None else of)
    return codes + share * (signs - codes).detach()
