"""Weights of image backbones: files, and those that come with the package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from crosshash.config import bundled
from crosshash.files import locate

_SUFFIX = ".safetensors"


def weight_file(path: str | Path) -> Path:
    """The file that an option ``weights`` names.

    Args:
        path: The name of weights that come with the package, such as ``"shapes-resnet10t"``, or
            what ``crosshash.files.locate`` takes. The former come first: what a recipe names is
            the same in every folder.

    Raises:
        FileNotFoundError: There is no such file; names the weights that come with the package.
    """
    shipped = {file.stem: file for file in sorted((bundled("zoo") / "weights").glob(f"*{_SUFFIX}"))}
    if str(path) in shipped:
        return shipped[str(path)]
    try:
        return locate(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"weights: {error}; or say 'pretrained' or 'random', or name weights that come with "
            f"the package: {', '.join(shipped) or 'none are there'}"
        ) from None


def load_weight_file(module: nn.Module, path: str | Path, *, drop: Sequence[str] = ()) -> None:
    """Load a safetensors file into a module; every tensor must find its place.

    Args:
        module: Takes the weights; floating tensors are cast to its type.
        path: As :func:`weight_file` takes it.
        drop: Names of submodules that the module has lost (its classifier); their tensors in the
            file are left out.

    Raises:
        FileNotFoundError: There is no such file; names the weights that come with the package.
        ValueError: It is no safetensors file, or tensors are missing, left over or of another
            shape; the message names them.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = weight_file(path)
    try:
        found = load_file(file)
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{file}: not a safetensors file ({error}); convert the weights with "
            "safetensors.torch.save_file"
        ) from error
    prefixes = tuple(f"{name}." for name in drop)
    found = {key: value for key, value in found.items() if not key.startswith(prefixes)}
    wanted = module.state_dict()
    # Files written by tools that keep parameters only lack this counter, which eval never reads.
    missing = [k for k in wanted if k not in found and not k.endswith("num_batches_tracked")]
    problems = {
        "missing": missing,
        "unexpected": [k for k in found if k not in wanted],
        "of another shape": [
            f"{k} {tuple(found[k].shape)}, expected {tuple(wanted[k].shape)}"
            for k in wanted
            if k in found and found[k].shape != wanted[k].shape
        ],
    }
    told = [f"{kind}: {_some(names)}" for kind, names in problems.items() if names]
    if told:
        raise ValueError(
            f"{file} does not fit {type(module).__name__}; tensors {'; '.join(told)}. Give the "
            "file of this very architecture, with the same image size and model options"
        )
    module.load_state_dict(found, strict=False)


def _some(names: Sequence[str], most: int = 5) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
