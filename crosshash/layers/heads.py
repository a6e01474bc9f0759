"""Fully connected encoders and hash heads."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class HashHead(nn.Module):
    """Linear layer to K outputs, with tanh where the paper says so.

    Shapes: (n, dim) to (n, bits), in (-1, 1) with ``tanh``.

    Args:
        dim: Width of the input.
        bits: K.
        tanh: Bound the codes; MDFFH and DMSFH leave them unbounded.
    """

    def __init__(self, dim: int, bits: int, *, tanh: bool = True) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, bits)
        self.tanh = tanh

    @property
    def weight(self) -> Tensor:
        """(bits, dim), of the linear layer."""
        return self.linear.weight

    @torch.no_grad()
    def cut(self, bits: int) -> None:
        """Keep the first ``bits`` outputs alone."""
        kept = self.linear
        self.linear = nn.Linear(kept.in_features, bits)
        self.linear.to(kept.weight)
        self.linear.weight.copy_(kept.weight[:bits])
        self.linear.bias.copy_(kept.bias[:bits])

    def forward(self, x: Tensor) -> Tensor:
        """Real-valued codes."""
        codes = self.linear(x)
        return codes.tanh() if self.tanh else codes  # type: ignore[no-any-return]


class TokenHead(nn.Module):
    """Linear layers to K outputs, each from a token of its own, with tanh.

    Shapes: (n, bits, dim) to (n, bits), in (-1, 1).

    Args:
        dim: Width of the tokens.
        bits: K.
    """

    def __init__(self, dim: int, bits: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(bits, dim).uniform_(-(dim**-0.5), dim**-0.5))
        self.bias = nn.Parameter(torch.zeros(bits))

    def forward(self, tokens: Tensor) -> Tensor:
        """Real-valued codes."""
        return ((tokens * self.weight).sum(dim=2) + self.bias).tanh()


class Encoder(nn.Module):
    """Fully connected layers, each with BatchNorm, ReLU and dropout, before a hash head.

    AMGFH, section 4.2: "three-layered ... first dimensionally transformed by fully connected
    layers, which are subsequently normalized and nonlinearly transformed". With two hidden
    widths the hash head is the third layer. The paper gives no widths and no dropout. MDFFH, DMSFH
    and HFAH name none: ``norm=False``.

    Shapes: (n, dim) to (n, out_dim), the last of ``hidden``, or ``dim`` where there is none.

    Args:
        dim: Width of the input.
        hidden: Width of each layer; AMGFH's by default.
        dropout: After each layer, in training.
        norm: BatchNorm after each linear layer.

    Example:
        >>> import torch
        >>> encoder = Encoder(300, [128])
        >>> head = HashHead(encoder.out_dim, bits=64)
        >>> head(encoder(torch.randn(8, 300))).shape
        torch.Size([8, 64])
    """

    def __init__(
        self,
        dim: int,
        hidden: Sequence[int] = (1024, 1024),
        *,
        dropout: float = 0.0,
        norm: bool = True,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in hidden:
            layers.append(nn.Linear(dim, width))
            if norm:
                layers.append(nn.BatchNorm1d(width))
            layers.append(nn.ReLU())
            if dropout:
                layers.append(nn.Dropout(dropout))
            dim = width
        self.layers = nn.Sequential(*layers)
        self.out_dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """The last hidden layer."""
        return self.layers(x)  # type: ignore[no-any-return]
