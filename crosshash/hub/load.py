"""Models by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from crosshash.hub.checkpoint import read_checkpoint
from crosshash.hub.golden import check_golden, has_golden
from crosshash.hub.manifest import list_models
from crosshash.hub.resolve import locate_model, named_length
from crosshash.model.hash_model import HashModel
from crosshash.model.prefix import shortened
from crosshash.plugins import import_parts

__all__ = ["list_models", "load"]


def load(
    name: str | Path,
    *,
    revision: str | None = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    verify: bool = True,
    bits: int | None = None,
    imports: Sequence[str | Path] = (),
) -> HashModel:
    """A trained model, ready to encode.

    Args:
        name: A name of the zoo (``crosshash models`` lists them); ``hf:organisation/name``, any
            repository on the Hugging Face Hub, with ``@revision`` if wanted; or a checkpoint
            folder, or that of a run, which has one in it.
        revision: Commit, branch or tag of what comes from the Hub; default: the commit in the
            model's manifest, or the main branch.
        device: Where to put the model, such as ``"cuda"``; default: the CPU.
        dtype: Floating type of the weights, to which inputs are brought; default: float32.
        verify: Compare every file with its SHA-256 in ``config.json``, and the model's codes with
            the golden ones, where they are stored; False skips it, for files that you changed.
        bits: Load a nested model as one of a shorter length, which has no other codes; default: all
            bits, or those of a short name, as ``photos-64``.
        imports: Python files or modules with parts of one's own that the model is built from. They
            are run; what a checkpoint says it was trained with is told, never imported by itself.

    Raises:
        ValueError: torch does not see that device, or the type is not floating; nothing is read. Or
            the model has no codes of that length.
        LookupError: There is no such name and no such folder, with the nearest names; or the model
            is a recipe that must be trained, with the command.
        HubError: Files cannot be fetched: no connection, no such repository, no access.
        CheckpointError: The files are not the published ones, or do not make a model, or it gives
            other codes.
        FileNotFoundError: A file is missing in the folder, or there is no such file to import.
        PluginError: What is to be imported fails.

    Example:
        >>> model = load("amgfh-shapes-64")  # comes with the package
        >>> model.encode_text(["a star at night", "a red circle"]).shape  # 64 bits in 8 bytes
        (2, 8)
    """
    place = _usable("cpu" if device is None else device)
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ValueError(f"dtype is a floating type such as torch.float16, got {dtype!r}")
    import_parts(imports)
    folder = locate_model(name, revision)
    model = read_checkpoint(folder, verify=verify)
    if verify and has_golden(folder):
        check_golden(model, folder)
    length = named_length(name) if bits is None else bits
    model = model if length is None else shortened(model, length)
    return model.to(device=place, dtype=dtype)


def _usable(device: str | torch.device) -> torch.device:
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f"there is no kind of device {device!r}: use 'cpu', 'cuda', 'cuda:1' or 'mps'"
        ) from error
    try:
        torch.empty(0, device=place)
    # Where torch is built without support of the device, it fails an assertion.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"torch can use no device {str(place)!r} here: use 'cpu', or see that the device, its "
            "driver and a torch built for it are there"
        ) from error
    return place
