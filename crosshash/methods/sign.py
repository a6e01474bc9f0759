"""The simplest codes, signs of the vectors themselves, and the network of all closed forms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from crosshash.algorithms.closed_form import moments, random_frame
from crosshash.algorithms.phases import Algorithm, Phase, SolvePhase
from crosshash.backbones.base import Features, ImageBackbone, TextEncoder
from crosshash.methods.build import METHODS
from crosshash.model.batch import Batch
from crosshash.model.hash_model import HashModel, Standardize

SIDES = ("image", "text")


class AffineNet(HashModel):
    """An affine map for each side, (x - mean) W, kept in buffers: nothing is learnt by gradients.

    W is the identity where the vectors have as many values as the codes have bits, else a random
    frame (orthonormal along its shorter side), the same on both sides where they are equally wide,
    as the vectors of one common space are. A method puts its solution in its place.

    Args:
        backbones: ``{"image": backbone}``.
        text: The text encoder.
        bits: K.
        standardize: See :class:`~crosshash.model.hash_model.HashModel`.
    """

    def __init__(
        self,
        backbones: Mapping[str, ImageBackbone],
        text: TextEncoder,
        bits: int,
        *,
        standardize: Sequence[Standardize] = (),
    ) -> None:
        super().__init__(backbones, text, bits, standardize=standardize)
        self.widths = {"image": backbones["image"].dim, "text": text.dim}
        maps = {width: _first_map(width, bits) for width in self.widths.values()}
        for side, width in self.widths.items():
            self.register_buffer(f"{side}_mean", torch.zeros(width))
            self.register_buffer(f"{side}_map", maps[width].clone())

    def hash_image(self, features: Mapping[str, Features]) -> Tensor:
        """F (n, k), unbounded."""
        return self._hashed("image", features["image"].pooled)

    def hash_text(self, features: Features) -> Tensor:
        """G (n, k), unbounded."""
        return self._hashed("text", features.pooled)

    def _hashed(self, side: str, x: Tensor) -> Tensor:
        return (x - self.get_buffer(f"{side}_mean")) @ self.get_buffer(f"{side}_map")

    def vectors(self, batch: Batch) -> dict[str, Tensor]:
        """What the maps read of a batch, by side."""
        images = self.image_features(batch.images)["image"].pooled
        return {"image": images, "text": self.text_features(batch.texts).pooled}

    def put(self, side: str, mean: Tensor, matrix: Tensor) -> None:
        """Set the map of a side to (x - mean) W, for W (d, k)."""
        self.get_buffer(f"{side}_mean").copy_(mean)
        self.get_buffer(f"{side}_map").copy_(matrix)


def _first_map(width: int, bits: int) -> Tensor:
    return torch.eye(bits) if width == bits else random_frame(width, bits).float()


@METHODS.register("sign")
class Sign(Algorithm):
    """Signs of the vectors: a bit for each value, or for each of K random directions.

    sign(R x) keeps angles (Charikar, STOC 2002): two vectors differ in a share of the bits that is
    their angle over pi, in expectation. It knows nothing of pairs, so that images and texts find
    each other only where their vectors are of one space, as CLIP's.

    Args:
        net: The network.
        count: Training pairs.
        classes: Label classes; no label is used.
        centred: Subtract each side's mean first, so that bits are balanced; False takes the vectors
            as they are.
    """

    supervised = False
    paired = False
    Network = AffineNet
    trains = "nothing"
    net: AffineNet

    def __init__(self, net: AffineNet, count: int, classes: int, *, centred: bool = True) -> None:
        super().__init__()
        self.net = net
        self.centred = centred

    def phases(self) -> list[Phase]:
        """One phase, which takes the means."""
        return [SolvePhase("sign", self.solve, sees_data=True)]

    def solve(self, batches: Iterable[Batch]) -> dict[str, float]:
        """The means; their length, as a share of the vectors', is logged."""
        figures = {}
        for side in SIDES:
            mean, covariance = moments(self.net.vectors(batch)[side] for batch in batches)
            length = mean.square().sum()
            figures[f"{side}_mean"] = float((length / (length + covariance.trace())).sqrt())
            if self.centred:
                self.net.put(side, mean, self.net.get_buffer(f"{side}_map"))
        return figures
