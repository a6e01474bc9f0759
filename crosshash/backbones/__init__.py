"""Image backbones and text encoders, created by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from crosshash.backbones.base import (
    IMAGE_BACKBONES,
    TEXT_ENCODERS,
    Features,
    ImageBackbone,
    TextEncoder,
    fingerprint,
)
from crosshash.backbones.sources import HINT
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
    "image_backbone_kind",
    "list_backbones",
    "takes_weights",
]

T = TypeVar("T")


def image_backbone_kind(name: str) -> Callable[..., ImageBackbone]:
    """What builds an image backbone of that name: a registered class, or ``TimmBackbone``."""
    family, colon, _ = name.partition(":")
    if colon or name in IMAGE_BACKBONES:
        return IMAGE_BACKBONES[family]
    from crosshash.backbones.image.timm_models import TimmBackbone

    return TimmBackbone


def create_image_backbone(name: str, **options: Any) -> ImageBackbone:
    """An image backbone: a registered name (``cnnf``, ``features`` …) or a timm model name.

    Args:
        name: What to build; a dual encoder's image half is ``clip:<name or folder>``.
        options: Options of that backbone; for a timm model those of ``TimmBackbone``.

    Raises:
        LookupError: Neither a registered nor a timm name; the message has the nearest of both.
        ConfigError: An option is unknown or of the wrong type.
    """
    if ":" not in name and name not in IMAGE_BACKBONES:
        from crosshash.backbones.image.timm_models import check_name

        check_name(name)  # before its options, which only a timm model has
    return _create(image_backbone_kind(name), "image backbone", name, options)


def takes_weights(name: str) -> bool:
    """Whether that image backbone has an option ``weights``, as every timm model has."""
    return "weights" in inspect.signature(image_backbone_kind(name)).parameters


def create_text_encoder(name: str, **options: Any) -> TextEncoder:
    """A text encoder: ``bow``, ``features``, or ``hf:``, ``clip:``, ``static:`` and a model.

    Args:
        name: What to build.
        options: Options of that encoder; ``assets=<folder>`` where ``save_assets`` has written,
            which an encoder without assets of its own does not see.

    Raises:
        LookupError: No such encoder; the message has the nearest names.
        ConfigError: An option is unknown or of the wrong type.
    """
    kind = TEXT_ENCODERS[name.partition(":")[0]]
    if "assets" not in inspect.signature(kind).parameters:
        options.pop("assets", None)
    return _create(kind, "text encoder", name, options)


def _create(kind: Callable[..., T], what: str, name: str, options: Mapping[str, Any]) -> T:
    named = _takes_name(kind)
    if named and name in (*IMAGE_BACKBONES.names(), *TEXT_ENCODERS.names()):
        raise LookupError(f"{what} {name!r} needs a model: {name}:{HINT}")
    checked = checked_arguments(kind, options, f"options of {name}")
    return kind(name, **checked) if named or ":" in name else kind(**checked)


def _takes_name(kind: Callable[..., Any]) -> bool:
    """Whether it is a family, of which a name picks a model."""
    return any(
        parameter.kind is parameter.POSITIONAL_OR_KEYWORD and parameter.default is parameter.empty
        for parameter in inspect.signature(kind).parameters.values()
    )


def list_backbones(pattern: str = "") -> list[str]:
    """Names that an image slot of a config takes: those registered here, then timm's.

    Args:
        pattern: Part of the name, or a pattern with ``*`` and ``?``.

    Example:
        >>> "resnet18" in list_backbones("resnet")
        True
    """
    import timm

    known, own = set(timm.list_models()), []
    for name in IMAGE_BACKBONES.names():
        ours = name not in known and IMAGE_BACKBONES.is_built_in(name)  # others are not imported
        family = ours and _takes_name(IMAGE_BACKBONES[name])
        own.append(f"{name}:{HINT}" if family else name)
    # A name that is registered here stands before timm's of the same name.
    every = dict.fromkeys([*own, *timm.list_models()])
    return [name for name in every if matches(name, pattern)]
