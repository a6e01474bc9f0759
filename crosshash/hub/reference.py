"""Frozen backbones kept as a reference to their public home instead of as tensors."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from crosshash.backbones.image.clip import ClipImage
from crosshash.backbones.image.timm_models import TimmBackbone
from crosshash.backbones.sources import hub_name
from crosshash.backbones.text.clip import ClipText
from crosshash.backbones.text.static import StaticText
from crosshash.backbones.text.transformer import TransformerText
from crosshash.files import sha256
from crosshash.hub.download import COMMIT, REPOSITORY, fetch_file, verify_file
from crosshash.hub.errors import CheckpointError
from crosshash.hub.limits import read_header
from crosshash.model.hash_model import HashModel

FILE = "model.safetensors"


class Reference(BaseModel):
    """Where the weights of a frozen part are, and what they are.

    Attributes:
        repository: On the Hugging Face Hub.
        revision: The commit.
        file: A safetensors file at the repository's root.
        sha256: Of the file.
        size: Of the file, in bytes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    repository: str = Field(pattern=f"^{REPOSITORY.pattern}$")
    revision: str = Field(pattern=f"^{COMMIT.pattern}$")
    file: str = Field(default=FILE, pattern=r"^[\w.-]+\.safetensors$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(gt=0)


def read_references(values: Any, where: Path) -> dict[str, Reference]:
    """The references of a config, checked.

    Raises:
        CheckpointError: They do not keep to the schema.
    """
    try:
        return {str(part): Reference.model_validate(value) for part, value in values.items()}
    except (ValidationError, AttributeError) as error:
        raise CheckpointError(f"{where}: references: {error}") from None


def fetch_reference(reference: Reference) -> Path:
    """The referenced file, downloaded where the cache lacks it, and verified.

    Raises:
        HubError: It cannot be fetched.
        CheckpointError: It is another file.
    """
    path = fetch_file(reference.repository, reference.file, reference.revision)
    verify_file(path, reference.sha256, reference.size, reference.repository)
    return path


def count_elements(path: Path) -> int:
    """How many numbers a safetensors file holds."""
    return sum(math.prod(entry.shape) for entry in read_header(path).values())


def referenced_tensors(path: Path, prefix: str, wanted: Iterable[str]) -> dict[str, Tensor]:
    """Tensors of a part from its public file, under the names that the model has for them.

    Args:
        path: The safetensors file.
        prefix: Of the part's names in the model, such as ``"backbones.image."``.
        wanted: Names in the model; those that the file lacks are left out.
    """
    from safetensors import safe_open

    found: dict[str, Tensor] = {}
    with safe_open(str(path), framework="pt") as file:
        available = set(file.keys())
        for name in wanted:
            if name.startswith(prefix):
                source = _source(name[len(prefix) :], available)
                if source is not None:
                    found[name] = file.get_tensor(source)
    return found


def _source(name: str, available: set[str]) -> str | None:
    """A part's tensor in the file: as it is, without our ``model.``, or below its base's name."""
    plain = name.removeprefix("model.")
    bases = sorted({key.partition(".")[0] for key in available})
    for candidate in (plain, name, *(f"{base}.{plain}" for base in bases)):
        if candidate in available:
            return candidate
    return None


def make_references(model: HashModel) -> tuple[dict[str, dict[str, Any]], set[str]]:
    """References for the frozen parts that have weights, and the tensors that need not be stored.

    What differs from the public file, such as a counter that it lacks, stays in the checkpoint.

    Args:
        model: Its frozen parts are compared with their homes, bit by bit.

    Raises:
        ValueError: Nothing is frozen, a part has no public home, or its weights are others.
        HubError: The home's file cannot be fetched.
    """
    state = model.state_dict()
    references: dict[str, dict[str, Any]] = {}
    omitted: set[str] = set()
    for part in sorted(model.frozen):
        prefix = "text." if part == "text" else f"backbones.{part}."
        own = {name: value for name, value in state.items() if name.startswith(prefix)}
        if not own:
            continue
        repository = _home(model, part)
        path = fetch_file(repository, FILE)
        public = referenced_tensors(path, prefix, own)
        same = {name for name, value in public.items() if _equal(value, own[name])}
        large = [name for name in own if own[name].ndim > 1]
        if not large or not same.issuperset(large):
            raise ValueError(
                f"the weights of {part!r} are not those of {repository} "
                f"({len(same)} of {len(own)} tensors are the same); save it with backbones='full'"
            )
        commit = next((name for name in path.parts if COMMIT.fullmatch(name)), "")
        references[part] = Reference(
            repository=repository, revision=commit, sha256=sha256(path), size=path.stat().st_size
        ).model_dump()
        omitted |= same
    if not references:
        raise ValueError(
            "no frozen part of this model has weights, so there is nothing to store by reference; "
            "save it with backbones='full'"
        )
    return references, omitted


def _equal(public: Tensor, own: Tensor) -> bool:
    return public.shape == own.shape and torch.equal(public.to(own.dtype), own.cpu())


def _home(model: HashModel, part: str) -> str:
    module = model.text if part == "text" else model.backbone(part)
    repository = ""
    if isinstance(module, TimmBackbone):
        repository = str(module.model.pretrained_cfg.get("hf_hub_id") or "")
    elif isinstance(module, (TransformerText, ClipText, ClipImage, StaticText)):
        repository = hub_name(module.name)
    # timm may name a folder inside a repository; a reference is to a file at its root.
    if not REPOSITORY.fullmatch(repository):
        raise ValueError(
            f"the weights of {part!r} ({module.name}) have no public home as safetensors; save the "
            "model with backbones='full'"
        )
    return repository
