"""Penalty on the size of parameters."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def l2(parameters: Iterable[nn.Parameter]) -> Tensor:
    """Sum over all entries of theta^2 (AMGFH, Eq. 10, its factor lambda left to the weight)."""
    return torch.stack([parameter.square().sum() for parameter in parameters]).sum()
