"""The state a training resumes from, in one file written after epochs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from crosshash.backbones.base import digest_of
from crosshash.files import atomic_file
from crosshash.training.files import STATE

CHECKSUM = "sha256"
_ANEW = "remove it to start training anew"


@dataclass
class Best:
    """The best network so far by a monitored figure; higher is better.

    Attributes:
        value: The figure.
        epoch: After how many epochs, 0 for none yet.
        net: The network's learned state.
        codes: The codes B that were learned for the training rows with it, ``int8`` (n, k).
    """

    value: float = -math.inf
    epoch: int = 0
    net: dict[str, Tensor] | None = None
    codes: Tensor | None = None


@dataclass
class Progress:
    """How far a training has come.

    Attributes:
        epoch: The next, 0 for the first; below it, passes of preliminary phases that are left.
        best: The best network so far.
        stopped: Whether a callback has ended the training.
        history: A line of figures for each epoch that is done.
        preliminary: A line of figures for each pass of a preliminary phase that is done.
    """

    epoch: int
    best: Best = field(default_factory=Best)
    stopped: bool = False
    history: list[dict[str, float]] = field(default_factory=list)
    preliminary: list[dict[str, float]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For the state's file."""
        return {**vars(self), "best": vars(self.best)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Progress:
        """From what :meth:`as_dict` gave."""
        return cls(**{**values, "best": Best(**values["best"])})


def learned_state(module: nn.Module, frozen: set[str]) -> dict[str, Tensor]:
    """A copy of the state, without the frozen parts: they are rebuilt from their weights."""
    return {
        name: value.detach().cpu().clone()
        for name, value in module.state_dict().items()
        if not name.startswith(tuple(frozen))
    }


def restore_state(module: nn.Module, state: Mapping[str, Tensor], frozen: set[str]) -> None:
    """Put :func:`learned_state` back, strictly.

    Raises:
        ValueError: Tensors are missing, left over or of another shape; names them.
    """
    try:
        result = module.load_state_dict(dict(state), strict=False)
    except RuntimeError as error:  # torch names the shapes
        raise ValueError(f"the saved state does not fit the model: {error}; {_ANEW}") from error
    missing = [name for name in result.missing_keys if not name.startswith(tuple(frozen))]
    if missing or result.unexpected_keys:
        raise ValueError(
            f"the saved state does not fit the model: missing {missing}, "
            f"unexpected {list(result.unexpected_keys)}"
        )


def write_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Write the state beside its place and rename it, so that a kill leaves the old one."""
    # A file of Python's: torch's own does not say what was wrong with the disk.
    with atomic_file(folder / STATE) as path, path.open("wb") as file:
        torch.save({**state, CHECKSUM: _checksum(state)}, file)


def _checksum(state: Mapping[str, Any]) -> str:
    tensors: list[tuple[str, Tensor]] = []

    def described(value: Any, name: str) -> Any:
        if isinstance(value, Tensor):
            tensors.append((name, value))
            return name
        if isinstance(value, Mapping):
            return [[repr(key), described(v, f"{name}.{key}")] for key, v in value.items()]
        if isinstance(value, (list, tuple)):
            return [described(v, f"{name}.{place}") for place, v in enumerate(value)]
        return repr(value)

    return digest_of(described(state, ""), tensors)


def read_state(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """The state in ``folder``, or None where training has not got through a pass or an epoch.

    Args:
        folder: Where the training writes.
        settings: What the training that wants to resume was given.

    Raises:
        ValueError: The state cannot be read, is damaged, or was made with other settings or data;
            names them.
    """
    path = folder / STATE
    if not path.exists():
        return None
    try:
        # weights_only: tensors and plain containers, no code from the file.
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        whole = state.pop(CHECKSUM) == _checksum(state)
    except Exception as error:
        raise ValueError(f"{path}: cannot be read ({error!r}); {_ANEW}") from error
    if not whole:
        raise ValueError(f"{path}: is damaged (its checksum differs); {_ANEW}")
    then, now = json.loads(state["settings"]), json.loads(json.dumps(settings))
    different = sorted(key for key in {*then, *now} if then.get(key) != now.get(key))
    if different:
        changes = ", ".join(f"{key}: {then.get(key)!r} -> {now.get(key)!r}" for key in different)
        raise ValueError(
            f"{folder} holds a training with other settings ({changes}); resume it with its own "
            "settings, or choose another output folder"
        )
    return state
