"""Reading a checkpoint folder, strictly, and writing one with its card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from crosshash.backbones import create_text_encoder
from crosshash.files import atomic_folder
from crosshash.hub.card import card
from crosshash.methods.base import FORMAT_VERSION, HashModel, ModelInfo
from crosshash.methods.build import build_model

FILES = ("config.json", "info.json", "model.safetensors")


class CheckpointError(ValueError):
    """A checkpoint folder that cannot be loaded; the message says why."""


def write_checkpoint(
    model: HashModel, folder: str | Path, *, dtype: torch.dtype | None = None
) -> None:
    """Write the model's files and its card (``README.md``), all or nothing.

    Args:
        model: What to write, with its ``info``.
        folder: Made or replaced.
        dtype: Type in which floating tensors are stored; default: as they are.
    """
    with atomic_folder(folder) as path:
        model.write(path, dtype=dtype)
        (path / "README.md").write_text(card(model, Path(folder).name), encoding="utf-8")


def read_checkpoint(folder: str | Path) -> HashModel:
    """Build the model of a checkpoint folder and load its weights, strictly.

    Returns:
        The model in eval mode, in float32, on the CPU.

    Raises:
        FileNotFoundError: The folder, or a file of it, is not there.
        CheckpointError: A file cannot be read, is of another format version, or tensors are
            missing, left over or of another shape; names them.
    """
    path = Path(folder)
    if not path.is_dir():
        raise FileNotFoundError(f"no checkpoint folder {path}")
    for name in FILES:
        if not (path / name).is_file():
            raise FileNotFoundError(
                f"{path} is no whole checkpoint: {name} is missing (expected {', '.join(FILES)})"
            )
    config, info = _read_json(path / "config.json"), _read_json(path / "info.json")
    version = config.get("format_version")
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: format version {version!r}, this crosshash reads {FORMAT_VERSION}; "
            "use the crosshash that wrote it, or save it anew"
        )
    try:
        model = build_model(
            config["method"],
            bits=config["bits"],
            images={s: {**spec, **_unweighted(spec)} for s, spec in config["images"].items()},
            text=create_text_encoder(**config["text"], assets=path),
            network=config["network"],
            frozen=config["frozen"],
        )
        model.info = ModelInfo(**info)
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}/config.json does not describe a model: {error!r}") from error
    _load_weights(model, path / "model.safetensors")
    return model.eval()


def _unweighted(spec: dict[str, Any]) -> dict[str, Any]:
    # The checkpoint has the weights: nothing is downloaded for what is overwritten at once.
    return {} if spec["name"] == "features" else {"weights": "random"}


def _load_weights(model: HashModel, path: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found = load_file(str(path))
    except SafetensorError as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); fetch or save it anew") from None
    wanted = model.state_dict()
    problems = {
        "missing": sorted(set(wanted) - set(found)),
        "unexpected": sorted(set(found) - set(wanted)),
        "of another shape": [
            f"{name} {tuple(found[name].shape)} instead of {tuple(value.shape)}"
            for name, value in wanted.items()
            if name in found and found[name].shape != value.shape
        ],
    }
    told = [f"{kind}: {', '.join(names)}" for kind, names in problems.items() if names]
    if told:
        raise CheckpointError(f"{path} does not fit its config.json; tensors {'; '.join(told)}")
    model.load_state_dict(found)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path}: not valid JSON ({error}); fetch or save it anew") from None
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: expected a JSON object, got {type(values).__name__}")
    return values
