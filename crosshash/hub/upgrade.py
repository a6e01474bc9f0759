"""Checkpoints of older formats, brought up to the present one in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crosshash.hub.errors import CheckpointError

FORMAT_VERSION = 4  # the last of the steps below leads here


@dataclass
class Contents:
    """What a step may change.

    Attributes:
        config: Of ``config.json``.
        info: Of ``info.json``.
        tensors: For each tensor's name in the file the name that it has in the model.
    """

    config: dict[str, Any]
    info: dict[str, Any]
    tensors: dict[str, str]


def _from_1(contents: Contents) -> None:
    """Version 2 knows backbones by reference, and how a bag of words splits its texts."""
    contents.config["references"] = {}
    if contents.config["text"].get("name") == "bow":
        contents.config["text"].setdefault("tokens", "words")


def _from_2(contents: Contents) -> None:
    """Version 3 says ``backbones`` for ``images``, and in experiments ``algorithm`` too."""
    contents.config["backbones"] = contents.config.pop("images")
    for stored, name in contents.tensors.items():
        if name.startswith("images."):
            contents.tensors[stored] = "backbones." + name.removeprefix("images.")
    experiment = contents.info.get("experiment") or {}
    for old, new in (("image", "backbones"), ("objective", "algorithm")):
        if old in experiment:
            experiment[new] = experiment.pop(old)


def _from_3(contents: Contents) -> None:
    """Version 4 is sealed; an older checkpoint has no digests of its files."""
    contents.config["sha256"] = None


# From the version of the key to the next one; a new format adds one step and changes no old one.
STEPS: dict[int, Callable[[Contents], None]] = {1: _from_1, 2: _from_2, 3: _from_3}


def upgrade(contents: Contents, where: Path, *, to: int = FORMAT_VERSION) -> None:
    """Bring a checkpoint's contents to the format version ``to``, step by step, in place.

    Raises:
        CheckpointError: The version is newer than this crosshash reads, or none.
    """
    version = contents.config.get("format_version")
    if type(version) is not int or version < 1:
        raise CheckpointError(
            f"{where}: config.json has the format version {version!r}, expected a number up to {to}"
        )
    if version > to:
        raise CheckpointError(
            f"{where}: format version {version}, this crosshash reads up to {to}; update it with "
            "`pip install -U crosshash`"
        )
    for step in range(version, to):
        try:
            STEPS[step](contents)
        except (KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{where}: config.json cannot be brought from format version {step} to {step + 1} "
                f"({error!r}); save it anew with the crosshash that wrote it"
            ) from None
        contents.config["format_version"] = step + 1
