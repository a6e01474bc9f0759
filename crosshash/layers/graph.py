"""Graph convolution over the items of a batch."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import torch
from torch import Tensor, nn

from crosshash.needs import needs
from crosshash.similarity import cosine_similarity


def batch_graph(
    image: Tensor,
    text: Tensor,
    *,
    alpha: float = 0.5,
    neighbours: int | None = None,
    centred: bool = True,
) -> Tensor:
    """Adjacency of a batch, S = alpha S_I + (1 - alpha) S_T (AMGFH, Eq. 4; printed alpha - 1).

    Cosine similarities; negative values are cut to 0, since a GCN's degrees must stay positive.
    The graph is a constant of the step: no gradient flows into it.

    Args:
        image: (n, d) image features.
        text: (n, e) text features.
        alpha: Weight of the image similarity, in [0, 1].
        neighbours: Keep each item's nearest neighbours only (made symmetric by maximum).
        centred: Take the batch's mean off the features first. Features that cannot be negative have
            cosines far above 0 throughout; all items of a batch are then neighbours, and a
            convolution gives all of them nearly their mean.

    Returns:
        (n, n), symmetric, in [0, 1].
    """
    with torch.no_grad():
        if centred:
            image, text = image - image.mean(dim=0), text - text.mean(dim=0)
        graph = alpha * cosine_similarity(image, image) + (1 - alpha) * cosine_similarity(
            text, text
        )
        graph = graph.clamp(min=0)
        if neighbours is not None and neighbours + 1 < len(graph):
            kept = graph.topk(neighbours + 1, dim=1)  # an item is its own nearest
            graph = torch.zeros_like(graph).scatter_(1, kept.indices, kept.values)
            graph = torch.maximum(graph, graph.T)
    return graph


class GraphConv(nn.Module):
    """PyG's ``GCNConv`` on the weighted graph of a batch, with an activation (AMGFH, Eq. 6).

    ``activation(D^-1/2 (S + I) D^-1/2 X W)``. The printed activation is a softmax over features;
    it leaves every feature near 1/d and starves what follows of signal, so ReLU is the default.
    An item is its own neighbour in S already, so that it weighs 2 beside the others' S_ij.

    Shapes: x (n, dim), graph (n, n) to (n, out_dim).

    Args:
        dim: Width of the input.
        out_dim: Width of the output.
        activation: ``"relu"`` or ``"softmax"``.
        norm: BatchNorm before the activation.

    Raises:
        ModuleNotFoundError: torch-geometric is not installed.
    """

    def __init__(
        self,
        dim: int,
        out_dim: int,
        *,
        activation: Literal["relu", "softmax"] = "relu",
        norm: bool = False,
    ) -> None:
        super().__init__()
        if activation not in ("relu", "softmax"):
            raise ValueError(f"activation is 'relu' or 'softmax', got {activation!r}")
        with (
            needs("torch_geometric", "a graph convolution (GCNConv)", "torch-geometric"),
            warnings.catch_warnings(),
        ):
            # torch-geometric decorates by torch.jit.script, of which newer versions of torch warn.
            warnings.filterwarnings("ignore", message=".*torch.jit", category=FutureWarning)
            from torch_geometric.nn import GCNConv
        self.conv: Any = GCNConv(dim, out_dim)
        self.norm = nn.BatchNorm1d(out_dim) if norm else None
        self.activation = activation

    def forward(self, x: Tensor, graph: Tensor) -> Tensor:
        """Features mixed along the graph's edges."""
        # Sparse products have no kernels of half precision on the CPU.
        with torch.autocast(x.device.type, enabled=False):
            dtype = self.conv.lin.weight.dtype
            with warnings.catch_warnings():
                # torch calls its sparse layout a beta each time a process first uses it.
                warnings.filterwarnings("ignore", message="Sparse", category=UserWarning)
                mixed = self.conv(x.to(dtype), graph.to(dtype).to_sparse_csr())
        if self.norm is not None:
            mixed = self.norm(mixed)
        return mixed.relu() if self.activation == "relu" else mixed.softmax(dim=1)  # type: ignore[no-any-return]
