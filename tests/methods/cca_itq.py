"""A method in closed form: canonical correlations and a rotation to binary codes, no parameters.

CCA-ITQ (Gong et al., TPAMI 2013, sections 3 and 5): the directions in which both modalities
correlate most, then the rotation R of the projections V that minimises |sign(V R) - V R|^2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from crosshash.algorithms.phases import Algorithm, Phase, SolvePhase
from crosshash.backbones.base import Features
from crosshash.codes import sign
from crosshash.model.batch import Batch
from crosshash.model.hash_model import HashModel

SIDES = ("image", "text")


class CCAITQNet(HashModel):
    """An affine map for each modality, kept in buffers."""

    def __init__(
        self, backbones: Any, text: Any, bits: int, *, standardize: Sequence[str] = ()
    ) -> None:
        super().__init__(backbones, text, bits, standardize=standardize)
        widths = {"image": backbones["image"].dim, "text": text.dim}
        for side in SIDES:
            self.register_buffer(f"{side}_mean", torch.zeros(widths[side]))
            self.register_buffer(f"{side}_map", torch.randn(widths[side], bits))

    def hash_image(self, features: Mapping[str, Features]) -> Tensor:
        return self._hashed("image", features["image"].pooled)

    def hash_text(self, features: Features) -> Tensor:
        return self._hashed("text", features.pooled)

    def _hashed(self, side: str, x: Tensor) -> Tensor:
        mean, matrix = self.get_buffer(f"{side}_mean"), self.get_buffer(f"{side}_map")
        return (x.float() - mean) @ matrix


class CCAITQ(Algorithm):
    """One phase, which goes over the data twice: for moments, then for projections."""

    Network = CCAITQNet
    trains = "nothing"
    net: CCAITQNet

    def __init__(self, net: CCAITQNet, count: int, classes: int, *, ridge: float = 1e-1) -> None:
        super().__init__()
        self.net = net
        self.ridge = ridge

    def phases(self) -> list[Phase]:
        return [SolvePhase("cca_itq", self.solve, sees_data=True)]

    def solve(self, batches: Iterable[Batch]) -> Mapping[str, float]:
        count, total, products = 0, 0.0, 0.0
        for batch in batches:
            both = torch.cat(self._vectors(batch), dim=1)
            count, total = count + len(both), total + both.sum(dim=0)
            products = products + both.T @ both
        mean = total / count
        covariance = products / count - mean[:, None] * mean
        split = len(self.net.get_buffer("image_mean"))
        image = _inverse_root(covariance[:split, :split], self.ridge)
        text = _inverse_root(covariance[split:, split:], self.ridge)
        U, correlations, V = torch.linalg.svd(image @ covariance[:split, split:] @ text)
        bits = self.net.bits
        maps = {"image": image @ U[:, :bits], "text": text @ V.T[:, :bits]}
        means = {"image": mean[:split], "text": mean[split:]}
        projected = torch.cat(
            [
                sum((x - means[s]) @ maps[s] for s, x in zip(SIDES, vectors, strict=True))
                for vectors in map(self._vectors, batches)
            ]
        )
        rotation = torch.eye(bits, dtype=projected.dtype)
        for _ in range(30):
            left, _, right = torch.linalg.svd(projected.T @ sign(projected @ rotation))
            rotation = left @ right
        for side in SIDES:
            self.net.get_buffer(f"{side}_mean").copy_(means[side])
            self.net.get_buffer(f"{side}_map").copy_(maps[side] @ rotation)
        return {"correlation": float(correlations[:bits].mean())}

    def _vectors(self, batch: Batch) -> tuple[Tensor, Tensor]:
        image = self.net.image_features(batch.images)["image"].pooled
        return image.double(), self.net.text_features(batch.texts).pooled.double()


def _inverse_root(covariance: Tensor, ridge: float) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    kept = values.clamp_min(0) + ridge * values.mean()
    return vectors @ torch.diag(kept.rsqrt()) @ vectors.T
