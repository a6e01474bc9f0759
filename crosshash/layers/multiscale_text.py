"""Multi-scale pooling of a text vector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional

from crosshash.layers.heads import Encoder

Fuse = Literal["conv", "concat"]


class MultiScaleText(nn.Module):
    """Average-pooled views of a text vector at several scales, beside the vector itself.

    MDFFH's text multi-dimensional fusion, DMSFH's MS model and HFAH's multi-scale fusion (its
    section 4.3); all three descend from SSAH (Li et al. 2018). For each scale s: average pooling
    with kernel and stride s, 1x1 convolution, ReLU, and back to width d; stacked with the input as
    six channels. What the papers say: scales of 5, 10, 15, 30 and 50, each with a 1x1 convolution
    and an activation that is not named (DMSFH, section 3.2); scales of a, 2a, 3a, 6a and 10a, a not
    given, joined by a 1x1 convolution (MDFFH, section 3.2); scales not given, "spliced" (HFAH).
    Widening back to d and the input among the channels are SSAH's.

    A pooled value comes back to the very positions that it is the average of; where s does not
    divide d, the last window is the average of what is left. (Nearest interpolation to d would
    stretch the windows: with d = 1386 it gives 13 to 38 % of the positions, by scale, the value of
    a neighbouring window. Where s divides d, as the scales 5 and 10 divide 10, both are the same.)

    Shapes: (n, d) to (n, d) with ``fuse="conv"`` (1x1 convolution over the channels, MDFFH) or
    (n, d * (len(scales) + 1)) with ``fuse="concat"`` (DMSFH, HFAH). ``out_dim`` says which.

    Args:
        dim: d, the width of the text vector.
        scales: Kernel sizes. A scale wider than the vector is clamped to d (it then gives the
            vector's mean), so that short vectors such as 10 topics can be used; the papers' BoW
            vectors are all wider.
        fuse: ``"conv"`` or ``"concat"``.

    Raises:
        ValueError: ``fuse`` has another value, or a scale is not positive.

    Example:
        >>> import torch
        >>> pooling = MultiScaleText(300, fuse="concat")
        >>> pooling(torch.rand(8, 300)).shape, pooling.out_dim
        (torch.Size([8, 1800]), 1800)
    """

    def __init__(
        self,
        dim: int,
        scales: Sequence[int] = (5, 10, 15, 30, 50),
        fuse: Fuse = "conv",
    ) -> None:
        super().__init__()
        if fuse not in ("conv", "concat"):
            raise ValueError(f"fuse is 'conv' or 'concat', got {fuse!r}")
        if not scales or min(scales) < 1:
            raise ValueError(f"scales are positive pooling widths, got {list(scales)}")
        self.dim = dim
        self.scales = tuple(min(scale, dim) for scale in scales)
        # Of one place and one channel: applied as products, whose values no batch size changes.
        self.convs = nn.ModuleList(nn.Conv1d(1, 1, 1) for _ in self.scales)
        for conv in self.convs:
            # A random sign would switch half of the scales off for good behind the ReLU.
            nn.init.ones_(conv.weight)  # type: ignore[arg-type]
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        self.fuse = nn.Conv1d(len(self.scales) + 1, 1, 1) if fuse == "conv" else None
        self.out_dim = dim if fuse == "conv" else dim * (len(self.scales) + 1)

    def forward(self, x: Tensor) -> Tensor:
        """The fused vector."""
        views = [x, *(_widened(view, s, self.dim) for s, view in self._pooled(x))]
        if self.fuse is None:
            return torch.cat(views, dim=1)
        products = [w * view for w, view in zip(self.fuse.weight.flatten(), views, strict=True)]
        return sum(products, self.fuse.get_parameter("bias"))

    def project(self, x: Tensor, layer: nn.Linear) -> Tensor:
        """``layer(self(x))`` of ``fuse="concat"``, without widening the pooled views.

        A value that stands at all s positions of its window meets the sum of their weights, so
        that the product is over d (1 + sum 1 / s) columns in place of d (len(scales) + 1): with the
        scales of the papers a quarter.

        Args:
            x: (n, d).
            layer: From ``out_dim`` to any width.
        """
        own, *others = layer.weight.split(self.dim, dim=1)
        views, weights = [x], [own]
        for (scale, view), weight in zip(self._pooled(x), others, strict=True):
            short = view.shape[1] * scale - self.dim
            windows = rearrange(functional.pad(weight, (0, short)), "o (w s) -> o w s", s=scale)
            views.append(view)
            weights.append(windows.sum(dim=2))
        return functional.linear(torch.cat(views, dim=1), torch.cat(weights, dim=1), layer.bias)

    def _pooled(self, x: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Each scale with its view, (n, ceil(d / scale))."""
        line = rearrange(x, "n d -> n 1 d")
        for scale, conv in zip(self.scales, self.convs, strict=True):
            pooled = functional.avg_pool1d(line, scale, stride=scale, ceil_mode=True)
            view = rearrange(pooled, "n 1 w -> n w")
            weight, bias = conv.get_parameter("weight").flatten(), conv.get_parameter("bias")
            yield scale, (weight * view + bias).relu()


def _widened(view: Tensor, scale: int, dim: int) -> Tensor:
    return repeat(view, "n w -> n (w s)", s=scale)[:, :dim]


class MultiScaleEncoder(nn.Module):
    """The text side of MDFFH, DMSFH and HFAH before its head: multi-scale pooling, then layers.

    Shapes: (n, dim) to (n, out_dim).

    Args:
        dim: d, the width of the text vector.
        hidden: Widths of the fully connected layers; MDFFH's by default.
        fuse: How the scales are joined; None leaves the pooling out (HFAH-1).
        dropout: In the fully connected layers.
        norm: BatchNorm in the fully connected layers.
    """

    def __init__(
        self,
        dim: int,
        hidden: Sequence[int] = (1024,),
        *,
        fuse: Fuse | None = "conv",
        dropout: float = 0.0,
        norm: bool = False,
    ) -> None:
        super().__init__()
        self.pooling = None if fuse is None else MultiScaleText(dim, fuse=fuse)
        width = dim if self.pooling is None else self.pooling.out_dim
        self.encoder = Encoder(width, hidden, dropout=dropout, norm=norm)
        self.out_dim = self.encoder.out_dim

    def forward(self, x: Tensor) -> Tensor:
        """The last hidden layer."""
        if self.pooling is None:
            return self.encoder(x)  # type: ignore[no-any-return]
        layers = self.encoder.layers
        if self.pooling.fuse is not None or not len(layers):
            return self.encoder(self.pooling(x))  # type: ignore[no-any-return]
        hidden = self.pooling.project(x, layers[0])  # type: ignore[arg-type]
        for layer in layers[1:]:
            hidden = layer(hidden)
        return hidden
