"""Image backbones and text encoders, created by name."""

from __future__ import annotations

from typing import Any

from crosshash.backbones.base import (
    IMAGE_BACKBONES,
    TEXT_ENCODERS,
    Features,
    ImageBackbone,
    TextEncoder,
    fingerprint,
)

__all__ = [
    "IMAGE_BACKBONES",
    "TEXT_ENCODERS",
    "Features",
    "ImageBackbone",
    "TextEncoder",
    "create_image_backbone",
    "create_text_encoder",
    "fingerprint",
]


def create_image_backbone(name: str, **options: Any) -> ImageBackbone:
    """An image backbone: a registered name (``alexnet``, ``features``) or a timm model name.

    Args:
        name: What to build.
        options: Options of that backbone; for a timm model those of ``TimmBackbone``.

    Raises:
        LookupError: Neither a registered nor a timm name; the message has the nearest of both.
    """
    if name in IMAGE_BACKBONES:
        return IMAGE_BACKBONES[name](**options)
    from crosshash.backbones.timm_models import TimmBackbone

    return TimmBackbone(name, **options)


def create_text_encoder(name: str, **options: Any) -> TextEncoder:
    """A text encoder: ``bow``, ``features`` or ``hf:<name or folder>``.

    Args:
        name: What to build.
        options: Options of that encoder; ``assets=<folder>`` where ``save_assets`` has written.

    Raises:
        LookupError: No such encoder; the message has the nearest names.
    """
    kind, colon, _ = name.partition(":")
    if colon:
        return TEXT_ENCODERS[kind](name, **options)
    if name == "hf":
        raise LookupError("text encoder 'hf' needs a model: hf:<name on the Hub or folder>")
    return TEXT_ENCODERS[name](**options)
