"""Image backbones and text encoders, created by name."""

from __future__ import annotations

import inspect
from typing import Any

from crosshash.backbones.base import (
    IMAGE_BACKBONES,
    TEXT_ENCODERS,
    Features,
    ImageBackbone,
    TextEncoder,
    fingerprint,
)
from crosshash.config import checked_arguments
from crosshash.registry import matches

__all__ = [
    "IMAGE_BACKBONES",
    "TEXT_ENCODERS",
    "Features",
    "ImageBackbone",
    "TextEncoder",
    "create_image_backbone",
    "create_text_encoder",
    "fingerprint",
    "list_backbones",
    "takes_weights",
]


def create_image_backbone(name: str, **options: Any) -> ImageBackbone:
    """An image backbone: a registered name (``cnnf``, ``features`` …) or a timm model name.

    Args:
        name: What to build.
        options: Options of that backbone; for a timm model those of ``TimmBackbone``.

    Raises:
        LookupError: Neither a registered nor a timm name; the message has the nearest of both.
        ConfigError: An option is unknown or of the wrong type.
    """
    if name in IMAGE_BACKBONES:
        kind = IMAGE_BACKBONES[name]
        return kind(**checked_arguments(kind, options, f"options of {name}"))
    from crosshash.backbones.image.timm_models import TimmBackbone, check_name

    check_name(name)  # before its options, which only a timm model has
    return TimmBackbone(name, **checked_arguments(TimmBackbone, options, f"options of {name}"))


def takes_weights(name: str) -> bool:
    """Whether that image backbone has an option ``weights``, as every timm model has."""
    if name not in IMAGE_BACKBONES:
        return True
    return "weights" in inspect.signature(IMAGE_BACKBONES[name]).parameters


def create_text_encoder(name: str, **options: Any) -> TextEncoder:
    """A text encoder: ``bow``, ``features`` or ``hf:<name or folder>``.

    Args:
        name: What to build.
        options: Options of that encoder; ``assets=<folder>`` where ``save_assets`` has written,
            which an encoder without assets of its own does not see.

    Raises:
        LookupError: No such encoder; the message has the nearest names.
        ConfigError: An option is unknown or of the wrong type.
    """
    family, colon, _ = name.partition(":")
    if name == "hf":
        raise LookupError("text encoder 'hf' needs a model: hf:<name on the Hub or folder>")
    kind = TEXT_ENCODERS[family]
    if "assets" not in inspect.signature(kind).parameters:
        options.pop("assets", None)
    options = checked_arguments(kind, options, f"options of {name}")
    return kind(name, **options) if colon else kind(**options)


def list_backbones(pattern: str = "") -> list[str]:
    """Names that an image slot of a config takes: those registered here, then timm's.

    Args:
        pattern: Part of the name, or a pattern with ``*`` and ``?``.

    Example:
        >>> "resnet18" in list_backbones("resnet")
        True
    """
    import timm

    own = IMAGE_BACKBONES.names()
    # A name that is registered here stands before timm's of the same name.
    every = dict.fromkeys([*own, *timm.list_models()])
    return [name for name in every if matches(name, pattern)]
