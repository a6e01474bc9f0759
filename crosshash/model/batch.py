"""What a training step sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from crosshash.backbones.base import Features


@dataclass
class Batch:
    """b training pairs.

    Attributes:
        index: (b,) rows in the training set, ``int64``.
        images: For each image slot, pixels (b, 3, h, w) or the features of a frozen backbone.
        texts: What the text encoder prepared, each with b rows; or the features of a frozen one.
        labels: (b, c) in {0, 1}, or None.
        shared: Detached tensors that one update of a phase leaves for the next.
    """

    index: Tensor
    images: Mapping[str, Tensor | Features]
    texts: Mapping[str, Tensor] | Features
    labels: Tensor | None = None
    shared: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.index)

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        return Batch(
            self.index.to(device),
            {slot: value.to(device) for slot, value in self.images.items()},
            self.texts.to(device)
            if isinstance(self.texts, Features)
            else {name: value.to(device) for name, value in self.texts.items()},
            None if self.labels is None else self.labels.to(device),
        )
