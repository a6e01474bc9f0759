"""Fusion of image and text over the graph of a batch."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from crosshash.layers.attention import SampleAttention
from crosshash.layers.graph import GraphConv, batch_graph
from crosshash.layers.heads import Encoder, HashHead


class GraphFusion(nn.Module):
    """f(H) of AMGFH: couples the items of a batch, so it guides training only (Eqs. 4-7).

    Three streams (image, text, both) go through graph convolution and self-attention over the
    items and are fused; a hash layer follows. Defaults are those of the method.

    Shapes: (n, image_dim), (n, text_dim) to (n, bits) in (-1, 1).

    Args:
        image_dim: Width of the image features.
        text_dim: Width of the text features.
        bits: K.
        dim: Width of the streams; the paper is silent.
        gcn: Mix along the graph; else the streams are plain linear layers.
        attention: Attend over the items.
        fusion: ``"add"`` (Table 5 shows that it wins) or ``"concat"``.
        activation: Of the graph convolution.
        alpha: Share of image similarity in the graph.
        neighbours: Nearest neighbours kept in the graph; None keeps all.
        centred: Cosines of centred features in the graph
            (:func:`~crosshash.layers.graph.batch_graph`).
        norm: BatchNorm in the streams, as in the encoders; the paper is silent. Without it what the
            hash layer sees is far from its range, and fused codes rank worse than those of either
            modality (benchmarks/RESULTS.md).
        dropout: In the streams, in training.

    Example:
        >>> import torch
        >>> fusion = GraphFusion(512, 300, bits=64)
        >>> fusion(torch.randn(8, 512), torch.randn(8, 300)).shape
        torch.Size([8, 64])
    """

    def __init__(
        self,
        image_dim: int,
        text_dim: int,
        bits: int,
        *,
        dim: int = 256,
        gcn: bool = True,
        attention: bool = True,
        fusion: Literal["add", "concat"] = "add",
        activation: Literal["relu", "softmax"] = "relu",
        alpha: float = 0.5,
        neighbours: int | None = None,
        centred: bool = True,
        norm: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        widths = (image_dim, text_dim, image_dim + text_dim)
        self.streams = nn.ModuleList(
            GraphConv(width, dim, activation=activation, norm=norm)
            if gcn
            else Encoder(width, (dim,), norm=norm)
            for width in widths
        )
        self.dropout = nn.Dropout(dropout)
        self.attention = nn.ModuleList(SampleAttention(dim) for _ in widths) if attention else None
        self.head = HashHead(dim * (3 if fusion == "concat" else 1), bits)
        self.gcn, self.fusion, self.alpha = gcn, fusion, alpha
        self.neighbours, self.centred = neighbours, centred

    def forward(self, image: Tensor, text: Tensor) -> Tensor:
        """f(H)."""
        inputs = (image, text, torch.cat([image, text], dim=1))
        if self.gcn:
            graph = batch_graph(
                image, text, alpha=self.alpha, neighbours=self.neighbours, centred=self.centred
            )
            streams = [s(x, graph) for s, x in zip(self.streams, inputs, strict=True)]
        else:
            streams = [s(x) for s, x in zip(self.streams, inputs, strict=True)]
        streams = [self.dropout(x) for x in streams]
        if self.attention is not None:
            streams = [a(x) for a, x in zip(self.attention, streams, strict=True)]
        fused = torch.cat(streams, dim=1) if self.fusion == "concat" else sum(streams)
        return self.head(fused)  # type: ignore[no-any-return]
