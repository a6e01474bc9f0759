"""Any timm model as an image backbone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from crosshash.backbones.base import IMAGE_BACKBONES, Features, ImageBackbone
from crosshash.backbones.forward import evaluating
from crosshash.backbones.image._blocks import freeze_all_but_last
from crosshash.backbones.image.pixels import pixel_config, pixel_transform
from crosshash.backbones.weights import load_weight_file
from crosshash.registry import nearest

# With what timm's constructors meet options of the wrong kind: few of them are checked.
_WRONG_OPTIONS = (
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ZeroDivisionError,
)
_LARGEST_STRIDE = 64
_OURS = ("pretrained", "num_classes", "img_size", "in_chans", "features_only")


class TimmBackbone(ImageBackbone):
    """A timm model without its classifier: feature map and pooled feature in one pass.

    The map is the output of ``forward_features``: as it is for a CNN, channels first for models
    that keep them last, and patch tokens laid out on their grid for transformers, whose prefix
    tokens feed the pooled feature only. The pooled feature is ``forward_head(pre_logits=True)``.
    Models whose features are neither have no map (``channels == 0``).

    Args:
        name: A timm name, with or without a pretrained tag.
        weights: ``"pretrained"`` (timm downloads them from the Hub), ``"random"``, the path of a
            safetensors file in timm's names, or the name of weights that come with the package
            (``"shapes-resnet10t"``).
        image_size: Height and width, or one number for both; default: the model's own.
        preprocess: Replaces parts of the model's own preprocessing: ``mean``, ``std`` (of pixels
            in [0, 1]), ``interpolation``, ``crop_pct``, ``crop_mode``.
        model_options: Further arguments of ``timm.create_model``, such as ``pad_type="same"``.
        strides: Strides of convolutions by their names in the model, where weights were trained
            with others than timm's: MobileSAM's TinyViT has
            ``{"stages.3.downsample.conv2.conv": 1}``.
        trainable_blocks: How many of the last blocks are trained where the backbone is not frozen:
            stages of a CNN, blocks of a transformer, as timm groups layers, with what comes behind
            them. What comes before keeps its weights and its BatchNorm statistics. Default: all.

    Raises:
        LookupError: timm has no such model, no such pretrained tag, or no convolution of a name in
            ``strides``.
        ValueError: An option is wrong, or a weight file does not fit.
    """

    reads_pixels = True

    def __init__(
        self,
        name: str,
        *,
        weights: str | Path = "pretrained",
        image_size: int | tuple[int, int] | None = None,
        preprocess: Mapping[str, Any] | None = None,
        model_options: Mapping[str, Any] | None = None,
        strides: Mapping[str, int] | None = None,
        trainable_blocks: int | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self.model_options = _plain(name, model_options or {})
        for option in _OURS:
            if option in self.model_options:
                raise ValueError(f"{name}: model option {option!r} is set by crosshash; remove it")
        self.model: Any = _create(name, weights, _size(image_size), self.model_options)
        self.strides = dict(strides or {})
        _set_strides(name, self.model, self.strides)
        config = self.model.pretrained_cfg
        self.image_size = _size(image_size) or _size(config["input_size"][-2:]) or (224, 224)
        self.config = pixel_config(name, config, preprocess)
        self.preprocess = pixel_transform(self.config, self.image_size)
        if str(weights) not in ("pretrained", "random"):
            classifier = config.get("classifier") or ()
            drop = (classifier,) if isinstance(classifier, str) else tuple(classifier)
            load_weight_file(self.model, weights, drop=drop)
        self.trainable_blocks = trainable_blocks
        self._frozen: list[nn.Module] = []
        if trainable_blocks is not None:
            self._frozen = freeze_all_but_last(name, self.model, trainable_blocks)
            self.train()
        self._measure()

    def train(self, mode: bool = True) -> TimmBackbone:
        """Set training mode; blocks that are not trained stay in eval mode."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def _measure(self) -> None:
        """Learn widths and layout from one empty picture."""
        try:
            with evaluating(self.model), torch.no_grad():
                features = self.model.forward_features(torch.zeros(1, 3, *self.image_size))
                pooled = self.model.forward_head(features, pre_logits=True)
        except (*_WRONG_OPTIONS, ValueError) as error:
            raise ValueError(
                f"{self.name}: timm's model does not take pictures of {self.image_size} ({error}); "
                "leave image_size at the model's own, or try another multiple of its patch size"
            ) from error
        if pooled.ndim != 2:
            raise ValueError(
                f"{self.name}: pooled features have shape {tuple(pooled.shape)} instead of (n, d); "
                "leave the model option global_pool as it is"
            )
        self.dim = int(pooled.shape[1])
        self._layout, self._prefix = _layout(self.model, features, self.image_size)
        laid_out = self._map(features, self.image_size)
        self.channels = 0 if laid_out is None else int(laid_out.shape[1])
        # A map of patch tokens is all that the pooling reads only where no other tokens are.
        self.has_head = laid_out is not None and self._prefix == 0

    def _map(self, features: Any, size: tuple[int, int]) -> Tensor | None:
        laid_out: Tensor | None = None
        if self._layout == "nchw":
            laid_out = features
        elif self._layout == "nhwc":
            laid_out = rearrange(features, "n h w c -> n c h w")
        elif self._layout == "nlc":
            grid = _grid(features.shape[1] - self._prefix, size)
            if grid is not None:
                patches = features[:, self._prefix :]
                laid_out = rearrange(patches, "n (h w) c -> n c h w", h=grid[0], w=grid[1])
        return laid_out

    def forward(self, x: Tensor) -> Features:
        """Features of preprocessed pictures (n, 3, h, w)."""
        features = self.model.forward_features(x)
        pooled = self.model.forward_head(features, pre_logits=True)
        return Features(pooled, self._map(features, (x.shape[-2], x.shape[-1])))

    def head(self, feature_map: Tensor) -> Tensor:
        """``forward_head(pre_logits=True)`` over a map (n, c, h, w): (n, d).

        Raises:
            ValueError: The pooled feature is not made from the map alone: the model is a
                transformer with prefix tokens, or has no map.
        """
        if not self.has_head:
            if self.channels:
                raise ValueError(
                    f"{self.name}: its pooled feature is made with prefix tokens, which the map of "
                    "patch tokens leaves out, so it cannot go on from the map; use cnnf, alexnet "
                    "or a CNN of timm"
                )
            return super().head(feature_map)
        orders = {"nhwc": "n c h w -> n h w c", "nlc": "n c h w -> n (h w) c"}
        if self._layout in orders:
            feature_map = rearrange(feature_map, orders[self._layout])
        pooled: Tensor = self.model.forward_head(feature_map, pre_logits=True)
        return pooled

    def spec(self) -> dict[str, Any]:
        """Name, image size, whole preprocessing, model options; what else was given."""
        spec = {
            "name": self.name,
            "weights": "random",
            "image_size": list(self.image_size),
            "preprocess": self.config,
            "model_options": self.model_options,
        }
        given = {"strides": self.strides, "trainable_blocks": self.trainable_blocks}
        return {**spec, **{key: value for key, value in given.items() if value}}


def check_name(name: str) -> None:
    """Refuse a name that timm does not know.

    Raises:
        LookupError: With the nearest names, of timm and of those registered here.
    """
    import timm

    if not timm.is_model(name):
        own = IMAGE_BACKBONES.names()
        guess = nearest(name, [*timm.list_models(), *own])
        # With a thousand timm names the list of all of them helps nobody.
        if not guess.startswith("did"):
            guess = f"nothing of a similar name exists; known: {', '.join(own)}, any of timm's"
        raise LookupError(
            f"unknown image backbone {name!r}: {guess} (crosshash.list_backbones() has all)"
        )


def _create(
    name: str, weights: str | Path, size: tuple[int, int] | None, options: dict[str, Any]
) -> Any:
    import timm

    check_name(name)
    architecture, _, tag = name.partition(".")
    tags = [n for n in timm.list_pretrained(architecture) if n.partition(".")[0] == architecture]
    if tag and name not in tags:
        raise LookupError(f"unknown pretrained tag in {name!r}: {nearest(name, tags)}")
    pretrained = str(weights) == "pretrained"
    if pretrained and not tags:
        raise ValueError(
            f"{name}: timm has no pretrained weights for it; pass weights='random' or the path of "
            "a safetensors file"
        )
    default = timm.get_pretrained_cfg(name)
    if size and default is not None and default.fixed_input_size:
        options = {**options, "img_size": size}
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
    except _WRONG_OPTIONS as error:
        raise ValueError(
            f"{name}: timm cannot build it ({type(error).__name__}: {error}); check image_size and "
            "model_options against timm's model"
        ) from error
    except OSError as error:
        raise OSError(
            f"{name}: its pretrained weights could not be fetched ({error}); check the connection, "
            "or pass weights=<path of a safetensors file>"
        ) from error


def _set_strides(name: str, model: nn.Module, strides: Mapping[str, int]) -> None:
    if not strides:
        return
    convolutions = {n: m for n, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    for place, stride in strides.items():
        if place not in convolutions:
            raise LookupError(f"{name}: no convolution {place!r}: {nearest(place, convolutions)}")
        if not 1 <= stride <= _LARGEST_STRIDE:
            raise ValueError(
                f"{name}: the stride of {place} is a positive number up to {_LARGEST_STRIDE}, got "
                f"{stride}"
            )
        convolutions[place].stride = (stride, stride)


def _plain(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(options)))
    except TypeError as error:
        raise ValueError(
            f"{name}: model options are kept in the checkpoint as JSON, which cannot hold "
            f"{dict(options)} ({error}); give names and numbers"
        ) from error
    return plain


def _size(size: Any) -> tuple[int, int] | None:
    if size is None:
        return None
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or not all(isinstance(side, int) and side > 0 for side in pair):
        raise ValueError(f"image_size is a positive number or (height, width), got {size!r}")
    return pair


def _grid(count: int, size: tuple[int, int]) -> tuple[int, int] | None:
    """Rows and columns of ``count`` patches over a picture of that size, if they tile it."""
    height, width = size
    rows, columns = round((count * height / width) ** 0.5), round((count * width / height) ** 0.5)
    return (rows, columns) if count > 0 and rows * columns == count else None


def _layout(model: nn.Module, features: Any, size: tuple[int, int]) -> tuple[str | None, int]:
    """Order of the axes of ``forward_features``, and how many tokens come before the patches."""
    if not isinstance(features, Tensor):
        return None, 0
    if features.ndim == 4:
        says = str(getattr(model, "output_fmt", "")).upper().endswith("NHWC")
        width = getattr(model, "num_features", features.shape[1])
        last = features.shape[3] == width and features.shape[1] != width
        return ("nhwc" if says or last else "nchw"), 0
    if features.ndim != 3:
        return None, 0
    count, prefix = features.shape[1], getattr(model, "num_prefix_tokens", None)
    if prefix is None:
        # Models that do not say (VOLO, CoaT, LeViT): class tokens, if any, come first. A single
        # token is taken for a class token, since PiT gives nothing else.
        prefix = next((p for p in range(8) if count > p + 1 and _grid(count - p, size)), None)
    if prefix is None or _grid(count - prefix, size) is None:
        return None, 0
    return "nlc", prefix
