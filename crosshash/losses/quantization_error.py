"""Distance of real-valued codes from binary ones."""

from __future__ import annotations

from torch import Tensor


def quantization(B: Tensor, codes: Tensor) -> Tensor:
    """Mean over all n k entries of (B - codes)^2 (AMGFH, Eqs. 8-9; printed as a sum).

    Args:
        B: (n, k) binary codes in {-1, +1}.
        codes: (n, k) real-valued codes.

    Example:
        >>> import torch
        >>> quantization(torch.tensor([[1.0, -1.0]]), torch.tensor([[0.5, -1.0]]))
        tensor(0.1250)
    """
    return (B - codes).square().mean()
