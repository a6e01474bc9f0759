"""Channel and spatial attention over a feature map.

HFAH (Li & Wang 2022), section 4.3.
"""

from __future__ import annotations

from torch import Tensor, nn

from crosshash.registry import nearest

# Names of timm's registry that keep the shape of any map.
KINDS = ("cbam", "lcbam", "se", "ese", "eca", "ceca", "gc", "gca")


class HybridAttention(nn.Module):
    """Attention of a name in timm's registry; its CBAM is channel, then spatial attention.

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
        from timm.layers import create_attn

        if kind not in KINDS:
            raise ValueError(f"unknown attention {kind!r}: {nearest(kind, KINDS)}")
        self.attention: nn.Module = create_attn(kind, channels)

    def forward(self, x: Tensor) -> Tensor:
        """The map, weighted."""
        return self.attention(x)  # type: ignore[no-any-return]
