"""Image feature enhancement by convolutions of several sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from einops import rearrange, reduce
from torch import Tensor, nn
from torch.nn import functional


class Pointwise(nn.Module):
    """A 1x1 convolution as a matrix product, (n, c, h, w) to (n, o, h, w).

    Over the few channels at hand, the CPU's convolution takes two to ten times as long.
    """

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool = True) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels, out_channels, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """The mixed channels."""
        mixed = self.linear.weight @ rearrange(x, "n c h w -> n c (h w)")
        if self.linear.bias is not None:
            mixed = mixed + self.linear.bias[:, None]
        return rearrange(mixed, "n o (h w) -> n o h w", h=x.shape[2])


class ScaleBranch(nn.Module):
    """One scale X_i of the enhancement network with its weight A_i (AMGFH, Eqs. 1-2).

    Convolution with same padding, BatchNorm, ReLU, then ``X_i * sigmoid(MLP(pool(X_i)))``. The
    paper defines X_i and A_i by each other; we make the weight from the average-pooled output of
    that scale's own convolution. It prints A_i as a vector of d numbers: with ``vector`` there is
    one for each channel of the scale, else one for the whole scale.

    Shapes: (n, in_channels, h, w) to (n, channels, h, w).
    """

    def __init__(
        self, in_channels: int, channels: int, kernel: int, *, vector: bool = False
    ) -> None:
        super().__init__()
        self.conv: nn.Module = (
            Pointwise(in_channels, channels, bias=False)
            if kernel == 1
            else nn.Conv2d(in_channels, channels, kernel, padding=kernel // 2, bias=False)
        )
        self.norm = nn.BatchNorm2d(channels)
        # The pooled scales are few and nearly the same for all items: behind a plain ReLU, one
        # block in four would start with a scale whose weight is the same for every item for good.
        self.weight = nn.Sequential(
            nn.Linear(channels, channels),
            nn.LeakyReLU(0.1),
            nn.Linear(channels, channels if vector else 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The weighted scale."""
        scale = self.norm(self.conv(x)).relu()
        weight = self.weight(reduce(scale, "n c h w -> n c", "mean"))
        return scale * rearrange(weight, "n a -> n a 1 1")  # type: ignore[no-any-return]


class MultiScaleConv(nn.Module):
    """Multi-scale enhancement of a feature map with a residual (AMGFH's IFN, Eqs. 1-3).

    ``X_I = Conv1x1(concat_i A_i X_i) + X``. The 1x1 convolution starts at zero, so that training
    starts from the features as they are (the paper is silent on initialisation).

    Shapes: (n, channels, h, w) to the same.

    Args:
        channels: Channels of the map.
        width: Channels of each scale.
        kernels: Odd kernel sizes, one branch each.
        vector: A_i has one weight for each channel of a scale, not one for the scale.

    Raises:
        ValueError: A kernel is even, so that same padding would shift the map.

    Example:
        >>> x = torch.randn(8, 4, 16, 16)
        >>> torch.equal(MultiScaleConv(4)(x), x)  # it starts from the features as they are
        True
    """

    def __init__(
        self,
        channels: int,
        width: int = 4,
        kernels: Sequence[int] = (1, 3, 5, 7, 9),
        *,
        vector: bool = False,
    ) -> None:
        super().__init__()
        even = [kernel for kernel in kernels if kernel % 2 == 0]
        if even or not kernels:
            raise ValueError(f"kernel sizes must be odd numbers, got {list(kernels)}")
        self.branches = nn.ModuleList(
            ScaleBranch(channels, width, kernel, vector=vector) for kernel in kernels
        )
        self.fuse = Pointwise(width * len(kernels), channels)
        nn.init.zeros_(self.fuse.linear.weight)
        nn.init.zeros_(self.fuse.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """The enhanced map."""
        scales = torch.cat([branch(x) for branch in self.branches], dim=1)
        return self.fuse(scales) + x  # type: ignore[no-any-return]


def vector_to_map(x: Tensor) -> Tensor:
    """Lay vectors out as one-channel square maps: (n, d) to (n, 1, s, s), s = ceil(sqrt(d)).

    The end is padded with zeros; 4,096 features make 64 x 64 without padding.
    """
    side = math.isqrt(x.shape[1] - 1) + 1
    padded = functional.pad(x, (0, side * side - x.shape[1]))
    return rearrange(padded, "n (h w) -> n 1 h w", h=side)


def map_to_vector(x: Tensor, dim: int) -> Tensor:
    """Undo :func:`vector_to_map`: (n, 1, s, s) to (n, dim)."""
    return rearrange(x, "n 1 h w -> n (h w)")[:, :dim]
