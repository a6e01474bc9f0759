"""Channel and spatial attention over a feature map.

HFAH (Li & Wang 2022), section 4.3.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from einops import reduce
from torch import Tensor, nn

from crosshash.registry import nearest

# CBAM, and names of timm's registry that keep the shape of any map.
KINDS = ("cbam", "lcbam", "se", "ese", "eca", "ceca", "gc", "gca")


class ChannelAttention(nn.Module):
    """CBAM's first half (Woo et al. 2018, Eq. 2): ``x * sigmoid(MLP(avg(x)) + MLP(max(x)))``.

    Average and maximum over the places of the map; the MLP is shared, with ReLU and no bias.

    Shapes: (n, channels, h, w) to the same.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(1, int(channels / reduction + 0.5))
        self.fc1 = nn.Conv2d(channels, hidden, 1, bias=False)
        self.fc2 = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The map, its channels weighted."""
        pooled = [reduce(x, "n c h w -> n c 1 1", how) for how in ("mean", "max")]
        first, second = (self.fc2(self.fc1(vector).relu()) for vector in pooled)
        return x * (first + second).sigmoid()  # type: ignore[no-any-return]


class SpatialAttention(nn.Module):
    """CBAM's second half (Woo et al. 2018, Eq. 3): ``x * sigmoid(conv7x7([avg(x); max(x)]))``.

    Average and maximum over the channels of each place; BatchNorm follows the convolution, as in
    the authors' own code.

    Shapes: (n, channels, h, w) to the same.
    """

    def __init__(self, kernel: int = 7) -> None:
        super().__init__()
        layers: dict[str, nn.Module] = {
            "conv": nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False),
            "bn": nn.BatchNorm2d(1),
        }
        self.conv = nn.Sequential(OrderedDict(layers))

    def forward(self, x: Tensor) -> Tensor:
        """The map, its places weighted."""
        pooled = [reduce(x, "n c h w -> n 1 h w", how) for how in ("mean", "max")]
        return x * self.conv(torch.cat(pooled, dim=1)).sigmoid()  # type: ignore[no-any-return]


class HybridAttention(nn.Module):
    """Attention by its name: CBAM is channel, then spatial attention; the others are timm's.

    HFAH, section 4.3: "attention networks are added between the convolution layer and full
    connection layer"; the paper gives no more. ``cbam`` (Woo et al. 2018) is our reading of
    "hybrid"; ``se``, ``eca`` and others attend to channels alone.

    Shapes: (n, channels, h, w) to the same. A vector is a map of one place.

    Args:
        channels: c.
        kind: One of ``KINDS``.

    Raises:
        ValueError: ``kind`` is unknown; the message has the nearest.
    """

    def __init__(self, channels: int, kind: str = "cbam") -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"unknown attention {kind!r}: {nearest(kind, KINDS)}")
        self.attention: nn.Module
        if kind == "cbam":
            # Not timm's, whose import would take twice as long as a model on features needs.
            halves = {"channel": ChannelAttention(channels), "spatial": SpatialAttention()}
            self.attention = nn.Sequential(OrderedDict(halves))
        else:
            from timm.layers import create_attn

            self.attention = create_attn(kind, channels)

    def forward(self, x: Tensor) -> Tensor:
        """The map, weighted."""
        return self.attention(x)  # type: ignore[no-any-return]
