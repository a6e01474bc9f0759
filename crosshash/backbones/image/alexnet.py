"""AlexNet, the image network of many cross-modal hashing papers."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from crosshash.backbones.base import IMAGE_BACKBONES, Features, ImageBackbone
from crosshash.backbones.image.pixels import pixel_config, pixel_transform
from crosshash.backbones.weights import load_weight_file

_IMAGENET: dict[str, Any] = {
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "interpolation": "bilinear",
    "crop_pct": 0.875,
    "crop_mode": "center",
}


@IMAGE_BACKBONES.register("alexnet")
class AlexNet(ImageBackbone):
    """torchvision's AlexNet (Krizhevsky 2014) up to fc7.

    Pooled feature: fc7 after its ReLU, 4096 values; map: the last convolutions' 256 channels.

    Args:
        weights: ``"pretrained"`` (torchvision downloads them), ``"random"``, or the path of a
            safetensors file in torchvision's names.
        image_size: Side of the square input, at least 63.
        preprocess: Replaces parts of torchvision's preprocessing: ``mean``, ``std``,
            ``interpolation``, ``crop_pct``, ``crop_mode``.

    Raises:
        ValueError: An option is wrong, or a weight file does not fit.
    """

    name = "alexnet"
    reads_pixels = True
    has_head = True
    channels = 256
    dim = 4096

    def __init__(
        self,
        *,
        weights: str | Path = "pretrained",
        image_size: int = 224,
        preprocess: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        from torchvision.models import AlexNet_Weights, alexnet

        if image_size < 63:
            raise ValueError(f"alexnet: image_size is at least 63, got {image_size}")
        # 58 million random numbers are not drawn where a file's values take their place.
        with nullcontext() if str(weights) == "random" else torch.device("meta"):
            network = alexnet(weights=None)
        # Without fc8; the layers keep torchvision's names.
        network.classifier = network.classifier[:6]
        self.features: nn.Module = network.features
        self.avgpool: nn.Module = network.avgpool
        self.classifier: nn.Module = network.classifier
        self.image_size = image_size
        self.config = pixel_config(self.name, _IMAGENET, preprocess)
        self.preprocess = pixel_transform(self.config, (image_size, image_size))
        if str(weights) != "random":
            self.to_empty(device="cpu")
        if str(weights) == "pretrained":
            found = AlexNet_Weights.IMAGENET1K_V1.get_state_dict(
                progress=False, check_hash=True, weights_only=True
            )
            self.load_state_dict({k: v for k, v in found.items() if "classifier.6." not in k})
        elif str(weights) != "random":
            load_weight_file(self, weights, drop=("classifier.6",))

    def forward(self, x: Tensor) -> Features:
        """Features of preprocessed pictures (n, 3, h, w)."""
        feature_map = self.features(x)
        return Features(self.head(feature_map), feature_map)

    def head(self, feature_map: Tensor) -> Tensor:
        """fc6 and fc7 over a map (n, 256, h, w): (n, 4096)."""
        pooled: Tensor = self.classifier(torch.flatten(self.avgpool(feature_map), 1))
        return pooled

    def spec(self) -> dict[str, Any]:
        """Name, image size and whole preprocessing."""
        return {
            "name": self.name,
            "weights": "random",
            "image_size": self.image_size,
            "preprocess": self.config,
        }
