"""Discriminator of adversarial terms."""

from __future__ import annotations

from torch import Tensor, nn


class Discriminator(nn.Module):
    """Two fully connected layers that tell real vectors from generated ones.

    Shapes: (n, dim) to (n,) logits, positive for "real". LeakyReLU keeps the gradient to the
    generator alive where a ReLU would cut it.

    Args:
        dim: Width of the vectors.
        hidden: Width of the first layer; the papers are silent.
    """

    def __init__(self, dim: int, hidden: int = 256) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dim, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, 1))

    def forward(self, x: Tensor) -> Tensor:
        """One logit for each row."""
        return self.layers(x).squeeze(1)  # type: ignore[no-any-return]
