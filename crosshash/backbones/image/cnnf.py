"""CNN-F, the image network of MDFFH, HFAH and of the hashing papers before them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from crosshash.backbones.base import IMAGE_BACKBONES, Features, ImageBackbone
from crosshash.backbones.image.pixels import pixel_config, pixel_transform
from crosshash.backbones.weights import load_weight_file

# The side of the published network's input and mean image, and of the map that fc6 reads.
SIDE = 224
GRID = 6
PUBLISHED = "https://www.vlfeat.org/matconvnet/pretrained/"
# Pixels stay in 0..255; what is subtracted from them is the module's own mean image.
_PIXELS: dict[str, Any] = {
    "mean": (0.0, 0.0, 0.0),
    "std": (1 / 255, 1 / 255, 1 / 255),
    "interpolation": "bilinear",
    "crop_pct": 0.875,
    "crop_mode": "center",
}
_IMAGENET_MEAN = (123.68, 116.779, 103.939)  # red, green, blue, in 0..255


@IMAGE_BACKBONES.register("cnnf")
class CNNF(ImageBackbone):
    """CNN-F, also called VGG-F (Chatfield et al., BMVC 2014, Table 1), up to fc6 or fc7.

    Takes RGB in 0..255 and subtracts ``mean_image`` (3, 224, 224), which is kept with the weights;
    for another image size it is resized. Map: pool5 (n, 256, h, w), 6 × 6 at 224; :meth:`head`
    brings other sizes to 6 × 6 by average pooling. No dropout, as in the published file.

    Args:
        weights: ``"random"``, or the path of the file that ``crosshash convert cnnf`` wrote.
        layer: The pooled feature, 4096 values after their ReLU: ``"fc7"`` (DCMH, HFAH), or
            ``"fc6"`` (MDFFH), which leaves fc7 out.
        image_size: Side of the square input, at least 55.
        preprocess: Replaces parts of the published preprocessing: ``interpolation``,
            ``crop_pct``, ``crop_mode``; ``mean`` and ``std`` act before the mean image does.

    Raises:
        ValueError: An option is wrong, or a weight file does not fit.
        FileNotFoundError: There is no such weight file.
    """

    name = "cnnf"
    reads_pixels = True
    has_head = True
    widths: ClassVar[tuple[int, int, int, int, int]] = (64, 256, 256, 256, 256)
    dim = 4096

    def __init__(
        self,
        *,
        weights: str | Path = "pretrained",
        layer: Literal["fc6", "fc7"] = "fc7",
        image_size: int = SIDE,
        preprocess: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if str(weights) == "pretrained":
            raise ValueError(
                "cnnf: its published weights are a MatConvNet file and have no public home in a "
                f"safe format; fetch imagenet-vgg-f.mat from {PUBLISHED}, run `crosshash convert "
                "cnnf imagenet-vgg-f.mat -o cnnf.safetensors`, and pass "
                "weights='cnnf.safetensors'; or pass weights='random'"
            )
        if layer not in ("fc6", "fc7"):
            raise ValueError(f"cnnf: layer is 'fc6' or 'fc7', got {layer!r}")
        if image_size < 55:  # where pool5 still has three rows to read
            raise ValueError(f"cnnf: image_size is at least 55, got {image_size}")
        self.layer = layer
        self.image_size = image_size
        self.channels = self.widths[-1]
        self.config = pixel_config(self.name, _PIXELS, preprocess)
        self.preprocess = pixel_transform(self.config, (image_size, image_size))
        # 60 million random numbers are not drawn where a file's values take their place.
        with nullcontext() if str(weights) == "random" else torch.device("meta"):
            self.features: nn.Module = _convolutions(self.widths)
            self.avgpool: nn.Module = nn.AdaptiveAvgPool2d((GRID, GRID))
            self.classifier: nn.Module = _connected(self.channels * GRID * GRID, self.dim, layer)
            self.mean_image: Tensor
            mean = torch.tensor(_IMAGENET_MEAN)[:, None, None].repeat(1, SIDE, SIDE)
            self.register_buffer("mean_image", mean)
        if str(weights) != "random":
            self.to_empty(device="cpu")
            load_weight_file(self, weights, drop=("classifier.fc7",) if layer == "fc6" else ())

    def forward(self, x: Tensor) -> Features:
        """Features of preprocessed pictures (n, 3, h, w)."""
        mean = self.mean_image
        if mean.shape[-2:] != x.shape[-2:]:
            mean = functional.interpolate(mean[None], size=x.shape[-2:], mode="bilinear")[0]
        feature_map = self.features(x - mean)
        return Features(self.head(feature_map), feature_map)

    def head(self, feature_map: Tensor) -> Tensor:
        """Fully connected layers over a map (n, 256, h, w): (n, 4096)."""
        pooled: Tensor = self.classifier(torch.flatten(self.avgpool(feature_map), 1))
        return pooled

    def spec(self) -> dict[str, Any]:
        """Name, layer, image size and whole preprocessing."""
        return {
            "name": self.name,
            "weights": "random",
            "layer": self.layer,
            "image_size": self.image_size,
            "preprocess": self.config,
        }


def _convolutions(widths: tuple[int, int, int, int, int]) -> nn.Sequential:
    """conv1 to pool5; the names are the published file's."""
    one, two, three, four, five = widths
    layers: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(3, one, 11, stride=4),
        "relu1": nn.ReLU(inplace=True),
        "norm1": _normalization(),
        "pool1": _pooling(),
        "conv2": nn.Conv2d(one, two, 5, padding=2),
        "relu2": nn.ReLU(inplace=True),
        "norm2": _normalization(),
        "pool2": _pooling(),
        "conv3": nn.Conv2d(two, three, 3, padding=1),
        "relu3": nn.ReLU(inplace=True),
        "conv4": nn.Conv2d(three, four, 3, padding=1),
        "relu4": nn.ReLU(inplace=True),
        "conv5": nn.Conv2d(four, five, 3, padding=1),
        "relu5": nn.ReLU(inplace=True),
        "pool5": _pooling(),
    }
    return nn.Sequential(OrderedDict(layers))


def _connected(inputs: int, dim: int, layer: str) -> nn.Sequential:
    layers: dict[str, nn.Module] = {
        "fc6": nn.Linear(inputs, dim),
        "relu6": nn.ReLU(inplace=True),
    }
    if layer == "fc7":
        layers |= {"fc7": nn.Linear(dim, dim), "relu7": nn.ReLU(inplace=True)}
    return nn.Sequential(OrderedDict(layers))


def _normalization() -> nn.Module:
    # x / (2 + 1e-4 * sum of five squares) ** 0.75; torch divides alpha by the five.
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)


def _pooling() -> nn.Module:
    # The file pads below and on the right so that the last rows and columns count: ceil mode.
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)
