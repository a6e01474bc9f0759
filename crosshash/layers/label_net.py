"""Labels, or any vector, to a semantic feature and the code that is made from it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from crosshash.layers.heads import Encoder, HashHead


class FeatureHash(nn.Module):
    """A semantic feature f, bounded by tanh, and the code H = tanh(W f) that is made from it.

    The paper is silent about f's activation. Inner products of rectified features cannot be
    negative, so that no two items could be told apart by the likelihood.
    """

    def __init__(self, dim: int, feature: int, bits: int) -> None:
        super().__init__()
        self.feature = nn.Linear(dim, feature)
        self.codes = HashHead(feature, bits)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """F (n, feature) and H (n, bits)."""
        f = self.feature(x).tanh()
        return f, self.codes(f)


class LabelNet(nn.Module):
    """Labels to a semantic feature f^l, a code H^l and the labels again (section 3.2).

    Args:
        classes: c.
        hidden: Width of the hidden layer; the paper's 4096.
        feature: Width of f^l.
        bits: K.
    """

    def __init__(self, classes: int, hidden: int, feature: int, bits: int) -> None:
        super().__init__()
        self.encoder = Encoder(classes, (hidden,), norm=False)
        self.hash = FeatureHash(hidden, feature, bits)
        self.classifier = nn.Linear(feature, classes)

    def forward(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """f^l (n, feature) and H^l (n, k) of labels (n, c)."""
        return self.hash(self.encoder(labels.float()))  # type: ignore[no-any-return]

    @torch.enable_grad()
    def learn(
        self, labels: Tensor, loss: Callable[[Tensor], Tensor], *, epochs: int, rate: float
    ) -> None:
        """Train alone, by AdamW on shuffled batches of 128.

        Args:
            labels: (n, c).
            loss: From a batch of them (b, c) to a scalar.
            epochs: Passes over all.
            rate: Learning rate.
        """
        optimizer = torch.optim.AdamW(self.parameters(), lr=rate)
        for _ in range(epochs):
            for rows in torch.randperm(len(labels), device=labels.device).split(128):
                optimizer.zero_grad()
                loss(labels[rows]).backward()
                optimizer.step()
        optimizer.zero_grad()
