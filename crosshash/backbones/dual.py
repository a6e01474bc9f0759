"""One half of a dual encoder of transformers: the tower of one side, with its projection.

Any model of transformers that has ``get_image_features`` and ``get_text_features`` over the parts
``vision_model`` and ``text_model`` is a dual encoder here: CLIP, MetaCLIP 2, SigLIP, AltCLIP,
ChineseCLIP, VisionTextDualEncoder and others. A half is that model without the other side's parts,
so that its features are the model's own, and its tensors have the names of the public file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from crosshash.backbones.open_clip import refuse_open_clip
from crosshash.backbones.sources import read_model, read_model_config

Side = Literal["image", "text"]
# How the names of a side's parts begin, in all of these models.
_PARTS: dict[Side, tuple[str, ...]] = {"image": ("vision", "visual"), "text": ("text",)}
# What transformers keeps in a config that does not change the network.
_NOTES = {"architectures", "dtype", "id2label", "label2id", "transformers_version", "torch_dtype"}


def read_architecture(name: str, side: Side, source: str, *, offline: bool) -> Any:
    """The config, as transformers has it, of a dual encoder.

    Args:
        name: For messages.
        side: Which half will be built.
        source: A folder or a name on the Hub.
        offline: Read the folder only.

    Raises:
        FileNotFoundError: There is no such folder, and no such name on the Hub.
        ValueError: It is no dual encoder of transformers, or open_clip's.
    """
    refuse_open_clip(name, source)
    folder = Path(source)
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{name}: no config.json of transformers in {folder}")
    config = read_model_config(name, source, offline=offline)
    _check_dual(name, side, config)
    return config


def described(config: Any) -> dict[str, Any]:
    """A config as plain JSON from which :func:`from_description` makes it again."""
    return {
        key: described(value) if isinstance(value, Mapping) else value
        for key, value in (config if isinstance(config, Mapping) else config.to_dict()).items()
        if not key.startswith("_") and key not in _NOTES
    }


def from_description(name: str, side: Side, values: Mapping[str, Any]) -> Any:
    """The config, as transformers has it, from what :func:`described` gave.

    Raises:
        ValueError: It describes no dual encoder.
    """
    from transformers import AutoConfig

    plain = dict(values)
    try:
        config = AutoConfig.for_model(str(plain.pop("model_type", "")), **plain)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: architecture describes no model ({error})") from error
    _check_dual(name, side, config)
    return config


def _check_dual(name: str, side: Side, config: Any) -> None:
    from transformers import MODEL_MAPPING

    kind = config.model_type
    if not (hasattr(config, "text_config") and hasattr(config, "vision_config")):
        texts = hasattr(config, "vocab_size")
        model = name.partition(":")[2]
        told = f"{name}: {kind!r} is a model of {'texts' if texts else 'pictures'} alone"
        instead = f"hf:{model} as text encoder" if texts else "a timm model as image backbone"
        raise ValueError(
            f"{told}, but clip: takes a dual encoder of both, such as "
            f"clip:openai/clip-vit-base-patch32; use {instead}"
        )
    model_class = MODEL_MAPPING.get(type(config), None)
    needed = ("get_image_features", "get_text_features")
    if not all(hasattr(model_class, method) for method in needed):
        raise ValueError(
            f"{name}: {kind!r} has no towers that give features of pictures and of texts by "
            "themselves; take a dual encoder such as clip:openai/clip-vit-base-patch32"
        )
    if side == "image" and kind == "siglip2":
        raise ValueError(
            f"{name}: this SigLIP 2 takes pictures of any shape (NaFlex), not of one size; take "
            "one with a fixed resolution, such as clip:google/siglip2-base-patch16-224"
        )


def build_half(name: str, side: Side, config: Any, source: str | None) -> Any:
    """The half of a dual encoder, in float32 and eval mode.

    Args:
        name: For messages.
        side: Which half.
        config: transformers' config of the whole.
        source: The folder or the Hub's name of its weights; None: random ones, without memory for
            the other half.

    Raises:
        FileNotFoundError: There are no safetensors weights.
        ValueError: The weights do not fill this half; or the model has no parts of these names.
    """
    from transformers import AutoModel

    if source is None:
        with torch.device("meta"):
            model = AutoModel.from_config(config, trust_remote_code=False)
    else:
        model = read_model(name, source, config, part=_PARTS[side])
    kept = [part for part, _ in model.named_children() if part.startswith(_PARTS[side])]
    if f"{'vision' if side == 'image' else 'text'}_model" not in kept:
        raise ValueError(
            f"{name}: {config.model_type!r} has not the parts vision_model and text_model of a "
            "dual encoder"
        )
    if source is None:
        for part in kept:
            getattr(model, part).to_empty(device="cpu")
        model.initialize_weights()  # the other half, on no device, is passed over
    for part in [*dict(model.named_children()), *dict(model.named_parameters(recurse=False))]:
        if part not in kept:
            delattr(model, part)
    # A checkpoint may be in half precision; types are the trainer's choice, not the file's.
    return model.float().eval()


def pooled_feature(output: Any, normalize: bool) -> Tensor:
    """The feature (n, d) that ``get_image_features`` and ``get_text_features`` give.

    Args:
        output: What transformers returns, whose ``pooler_output`` is the projected feature.
        normalize: Bring it to length 1.
    """
    pooled: Tensor = output.pooler_output
    return functional.normalize(pooled, dim=-1) if normalize else pooled
