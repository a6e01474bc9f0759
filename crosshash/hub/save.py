"""Writing a checkpoint folder with its card, all or nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from crosshash.backbones.round_trip import check_round_trip
from crosshash.backbones.tuning import merge_lora
from crosshash.data.dataset import PairedDataset
from crosshash.files import atomic_folder, sha256
from crosshash.hub.card import card
from crosshash.hub.checkpoint import CARD, files_of, folder_names
from crosshash.hub.golden import write_golden
from crosshash.hub.limits import check_config
from crosshash.hub.reference import make_references
from crosshash.hub.seal import CONFIG, sealed
from crosshash.hub.upgrade import FORMAT_VERSION
from crosshash.model.hash_model import HashModel


def save(
    model: HashModel,
    folder: str | Path,
    *,
    dtype: torch.dtype | None = None,
    backbones: Literal["full", "reference"] = "full",
    golden: tuple[Any, Any] | None = None,
) -> None:
    """Write a checkpoint folder that :func:`crosshash.load` reads, with its card.

    Args:
        model: What to write, with its ``info``; adapters (``lora``) become part of its weights.
        folder: Made, or replaced where it holds nothing but a checkpoint.
        dtype: Store floating tensors in this type, such as ``torch.float16``; codes may then
            differ in a few bits from those of the model in memory.
        backbones: ``"reference"`` leaves the weights of frozen backbones at their public home,
            timm's or transformers' repository on the Hub, and stores which they are.
        golden: Images and texts to store with their codes, as
            :func:`~crosshash.hub.golden.write_golden` takes them; the model's weights must be
            exact in ``dtype``.

    Raises:
        FileExistsError: The folder holds other files, which replacing it would delete.
        ValueError: A frozen backbone has other weights than its public home, or none.

    Example:
        >>> import crosshash
        >>> model = crosshash.load("amgfh-shapes-64")
        >>> save(model, "my-model")
        >>> again = crosshash.load("my-model")
        >>> bool((again.encode_text("a red star") == model.encode_text("a red star")).all())
        True
    """
    from safetensors.torch import save_file

    if backbones not in ("full", "reference"):
        raise ValueError(f"backbones={backbones!r}: use 'full' or 'reference'")
    merge_lora(model)
    references: dict[str, Any] = {}
    omitted: set[str] = set()
    if backbones == "reference":
        references, omitted = make_references(model)
    state = {
        name: value.detach().cpu().contiguous()
        for name, value in model.state_dict().items()
        if name not in omitted
    }
    if dtype is not None:
        state = {n: v.to(dtype) if v.is_floating_point() else v for n, v in state.items()}
    config = {
        "format_version": FORMAT_VERSION,
        **model.describe(),
        "references": references,
    }
    with atomic_folder(folder, holds=folder_names(), what="a checkpoint") as path:
        save_file(state, str(path / "model.safetensors"), metadata={"format": "pt"})
        _write_json(path / "info.json", asdict(model.info))
        model.text.save_assets(path)
        if golden is not None:
            write_golden(model, path, *golden)
        _write_json(path / CONFIG, sealed(config, {n: sha256(path / n) for n in files_of(path)}))
        (path / CARD).write_text(card(model, Path(folder).name), encoding="utf-8")


def round_weights(model: HashModel) -> torch.dtype | None:
    """Round the weights to half precision in place, if they all fit.

    Returns:
        The ``dtype`` with which :func:`save` stores them exactly.
    """
    floating = [value for value in model.state_dict().values() if value.is_floating_point()]
    if not all(bool(value.half().isfinite().all()) for value in floating):
        return None
    for value in floating:
        value.copy_(value.half().float())
    return torch.float16


def check_savable(model: HashModel, pairs: PairedDataset) -> None:
    """Refuse, before it is trained, a model that a checkpoint could not hold.

    Args:
        model: May have encoders of a user's own; those of the package are known to be loaded again.
        pairs: A few, which go through the encoders.

    Raises:
        RoundTripError: An encoder would come back as another one, or not at all.
        CheckpointError: An option of an encoder or of the network is a path, or another that no
            checkpoint may have.
    """
    for slot in model.slots:
        check_round_trip(model.backbone(slot), pairs.images)
    texts = pairs.texts if isinstance(pairs.texts, np.ndarray) else pairs.captions()
    check_round_trip(model.text, texts)
    check_config(model.describe(), Path("checkpoint") / "config.json")


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
