"""From a picture to the input of a backbone: timm's evaluation transform, its options checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from PIL import Image as PILImage
from torch import Tensor

from crosshash.registry import nearest

# What timm's evaluation transform depends on, beside the image size.
PREPROCESSING = ("mean", "std", "interpolation", "crop_pct", "crop_mode")
# Of pixels in [0, 1]; backbones that take 0…255 divide by 1/255.
_CHANNELS = {"mean": (-1e4, 1e4), "std": (1e-4, 1e4)}
# The share of the picture's side that is kept; a picture is scaled to the crop's size over it.
_CROP = (0.1, 10)
_CHOICES = {
    "interpolation": ("nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"),
    "crop_mode": ("center", "squash", "border"),
}


def pixel_config(
    name: str, default: Mapping[str, Any], changes: Mapping[str, Any] | None
) -> dict[str, Any]:
    """A model's preprocessing with some of it replaced, in JSON's types.

    Args:
        name: The model, for error messages.
        default: timm's ``pretrained_cfg`` or a dictionary of its keys.
        changes: Values for some of ``PREPROCESSING``.

    Raises:
        ValueError: An unknown key, or a value that no picture could be prepared by.
    """
    from timm.data import resolve_data_config

    for key in changes or {}:
        if key not in PREPROCESSING:
            raise ValueError(
                f"{name}: unknown preprocessing option {key!r}: {nearest(key, PREPROCESSING)}"
            )
    resolved = {**resolve_data_config(pretrained_cfg=dict(default)), **(changes or {})}
    config = {key: resolved[key] for key in PREPROCESSING}
    for key, (least, most) in _CHANNELS.items():
        values = config[key]
        if not isinstance(values, (list, tuple)) or len(values) != 3:
            raise ValueError(f"{name}: preprocessing {key!r} has three channels, got {values!r}")
        config[key] = [_number(name, key, value, least, most) for value in values]
    if config["crop_pct"] is not None:
        config["crop_pct"] = _number(name, "crop_pct", config["crop_pct"], *_CROP)
    for key, known in _CHOICES.items():
        if config[key] not in known:
            raise ValueError(
                f"{name}: preprocessing {key!r} is one of {', '.join(known)}, got {config[key]!r}"
            )
    return config


def _number(name: str, key: str, value: Any, least: float, most: float) -> float:
    # NaN is in no range.
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not least <= value <= most:
        raise ValueError(
            f"{name}: preprocessing {key!r} has numbers from {least:g} to {most:g}, got {value!r}"
        )
    return float(value)


def pixel_transform(
    config: Mapping[str, Any], size: tuple[int, int]
) -> Callable[[PILImage.Image], Tensor]:
    """The evaluation transform: resize, crop, scale to [0, 1], normalise; PIL to (3, h, w)."""
    from timm.data import create_transform

    transform: Callable[[PILImage.Image], Tensor] = create_transform(
        input_size=(3, *size), is_training=False, **config
    )
    return transform
