"""Features brought to mean 0 and variance 1, by the statistics of a training set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from crosshash.backbones.base import Features
from crosshash.backbones.forward import floating_type


class Standardization(nn.ModuleDict):
    """A BatchNorm without scale and shift for each part, always in eval mode.

    The statistics are known before training (:meth:`fit`) and fixed from then on, so that training
    and encoding see the same features; before that, features pass as they are.

    Args:
        widths: d of each part, an image slot or ``"text"``.
    """

    def __init__(self, widths: Mapping[str, int]) -> None:
        super().__init__({part: nn.BatchNorm1d(d, affine=False) for part, d in widths.items()})
        self.eval()

    def train(self, mode: bool = True) -> Standardization:
        """Stay in eval mode."""
        return super().train(False)

    @torch.no_grad()
    def fit(self, batches: Iterable[Mapping[str, Tensor]]) -> None:
        """Set mean and variance to those of all rows, exactly; sums are float64.

        Args:
            batches: The features (b, d) of each part, every row of the training set once.
        """
        count, sums = 0, dict.fromkeys(self, torch.zeros((), dtype=torch.float64))
        for batch in batches:
            count += len(next(iter(batch.values())))
            for part, features in batch.items():
                x = features.double()
                sums[part] = torch.stack([x.sum(dim=0), x.square().sum(dim=0)]) + sums[part]
        for part, norm in self.items():
            mean, square = sums[part] / count
            norm.get_buffer("running_mean").copy_(mean)
            norm.get_buffer("running_var").copy_((square - mean.square()).clamp_min(0))

    def forward(self, part: str, features: Features) -> Features:
        """The features of a part, their map as it is."""
        if part not in self:
            return features
        norm = self[part]
        return Features(norm(features.pooled.to(floating_type(norm))), features.map)
