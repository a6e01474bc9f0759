"""Methods assembled from names and options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from crosshash.algorithms.phases import Algorithm
from crosshash.backbones import create_image_backbone, create_text_encoder
from crosshash.backbones.base import TextEncoder
from crosshash.codes import check_nested
from crosshash.config import checked_arguments
from crosshash.model.hash_model import HashModel
from crosshash.registry import Registry

METHODS: Registry[type[Algorithm]] = Registry("method", "crosshash.methods", "crosshash_method")


def build_model(
    method: str,
    *,
    bits: int,
    backbones: Mapping[str, Mapping[str, Any]],
    text: TextEncoder,
    network: Mapping[str, Any],
    frozen: Iterable[str] = (),
    nested: Iterable[int] = (),
) -> HashModel:
    """A method's network.

    Args:
        method: Registered name.
        bits: K, a multiple of 8.
        backbones: For each slot the ``name`` and options of a backbone.
        text: A text encoder that is fitted.
        network: Keyword arguments of the method's network.
        frozen: Slots, and ``"text"``, that are not trained.
        nested: Lengths below ``bits``, ascending, at which the first bits are to be codes as well.

    Raises:
        LookupError: A name is unknown; the message has the nearest.
        ConfigError: ``network`` has unknown keys or values of the wrong type.
        ValueError: ``bits`` or ``nested`` are no such lengths.
    """
    kind = METHODS[method].Network
    options = checked_arguments(kind, network, "network")
    built = {slot: create_image_backbone(**spec) for slot, spec in backbones.items()}
    model: HashModel = kind(built, text, bits, **options)
    model.method = method
    model.options = dict(network)
    model.nested = check_nested(nested, bits)
    for part in frozen:
        model.freeze(part)
    return model


def create(
    method: str,
    *,
    bits: int = 64,
    nested: Sequence[int] = (),
    backbones: str | Mapping[str, Any] = "resnet18",
    text: str | Mapping[str, Any] = "bow",
    texts: Sequence[str] | None = None,
    frozen: bool = True,
    **network: Any,
) -> HashModel:
    """An untrained model, as the first step of an experiment of one's own.

    Args:
        method: ``"amgfh"``, or another registered method.
        bits: Length of the codes, a multiple of 8.
        nested: Lengths below, at which the first bits are to be codes as well; see
            :class:`~crosshash.algorithms.nested.Nested`, which trains them.
        backbones: A backbone's name; or its ``name`` and options; or such for each slot.
        text: A text encoder's name, or its ``name`` and options.
        texts: Texts of the training set, from which ``bow`` learns its vocabulary.
        frozen: Leave the image backbones' weights as they are.
        network: Further arguments of the method's network.

    Raises:
        LookupError: A name is unknown; the message has the nearest.
        ValueError: ``bow`` has no ``texts`` to learn from; an argument is wrong.

    Example:
        >>> model = create("amgfh", bits=32, backbones={"name": "resnet18", "weights": "random"},
        ...                texts=["a red circle", "a blue square"])
        >>> model.encode_text("a blue circle", output="signs").shape
        (1, 32)
    """
    slots: Mapping[str, Any]
    if isinstance(backbones, str) or "name" in backbones:
        slots = dict.fromkeys(METHODS[method].Network.slots, backbones)
    else:
        slots = backbones
    named = {
        slot: {"name": value} if isinstance(value, str) else value for slot, value in slots.items()
    }
    encoder = create_text_encoder(**({"name": text} if isinstance(text, str) else dict(text)))
    if not encoder.fitted:
        if texts is None:
            raise ValueError(
                f"text encoder {encoder.name!r} learns from the training texts: pass texts=[…]"
            )
        encoder.fit(texts)
    return build_model(
        method,
        bits=bits,
        backbones=named,
        text=encoder,
        network=network,
        frozen=slots if frozen else (),
        nested=nested,
    )


def list_methods() -> list[str]:
    """Names of the methods, as ``method:`` in a config takes them.

    Example:
        >>> "amgfh" in list_methods()
        True
    """
    return METHODS.names()
