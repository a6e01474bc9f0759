"""Models by name: the zoo's manifests and the folders they point to."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from crosshash.config import bundled
from crosshash.files import sha256
from crosshash.hub.checkpoint import CheckpointError, read_checkpoint
from crosshash.methods.base import HashModel
from crosshash.registry import nearest


class Manifest(BaseModel):
    """One model of the zoo: ``zoo/<name>.yaml``.

    Attributes:
        status: ``"local"``: its folder comes with the package; ``"recipe"``: only its config
            does, and it must be trained.
        folder: Of a local model, relative to ``zoo/``.
        files: SHA-256 of each file in the folder.
        config: Name of the config that trains it.
        figures: Measured, with the command that measures them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    method: str
    dataset: str
    bits: int
    status: Literal["local", "recipe"]
    folder: str | None = None
    files: dict[str, str] = {}
    config: str
    licence: str = "Apache-2.0"
    figures: dict[str, Any] = {}


def list_models(pattern: str = "") -> list[Manifest]:
    """The zoo's models, sorted by name; those whose name contains ``pattern``."""
    manifests = [read_manifest(path) for path in sorted(bundled("zoo").glob("*.yaml"))]
    return [manifest for manifest in manifests if pattern in manifest.name]


def read_manifest(path: Path) -> Manifest:
    """Read one manifest.

    Raises:
        ValueError: It does not keep to the schema; names the file and the keys.
    """
    try:
        return Manifest.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (ValidationError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: {error}") from None


def load(
    name: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
) -> HashModel:
    """A trained model, ready to encode.

    Args:
        name: A name of the zoo (``crosshash models`` lists them), or a checkpoint folder.
        device: Where to put the model.
        dtype: Type of the weights; default: float32.

    Raises:
        LookupError: There is no such name and no such folder; has the nearest names.
        CheckpointError: The files are not the published ones, or do not make a model.
    """
    model = read_checkpoint(_locate(name))
    return model.to(device=device, dtype=dtype)


def _locate(name: str | Path) -> Path:
    folder = Path(name)
    if folder.is_dir():
        return folder
    manifests = {manifest.name: manifest for manifest in list_models()}
    manifest = manifests.get(str(name))
    if manifest is None:
        raise LookupError(
            f"no model {str(name)!r}: it is no folder and not in the zoo, "
            f"{nearest(str(name), manifests)}"
        )
    if manifest.status == "recipe" or manifest.folder is None:
        raise LookupError(
            f"{manifest.name} has no published weights yet; train it with "
            f"`crosshash train {manifest.config}`"
        )
    folder = bundled("zoo") / manifest.folder
    for file, expected in manifest.files.items():
        if not (folder / file).is_file() or sha256(folder / file) != expected:
            raise CheckpointError(
                f"{folder / file} is not the file of {manifest.name} (its SHA-256 differs); "
                "install crosshash anew"
            )
    return folder
