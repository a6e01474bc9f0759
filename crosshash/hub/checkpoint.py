"""Reading a checkpoint folder, strictly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from crosshash.backbones import create_text_encoder, takes_weights
from crosshash.backbones.base import ASSETS
from crosshash.files import read_whole
from crosshash.hub.contained import contained, read_json, read_object
from crosshash.hub.errors import CheckpointError
from crosshash.hub.limits import (
    SPARE_ELEMENTS,
    SPARE_TENSORS,
    AllocationLimit,
    Declared,
    check_config,
    check_info,
    read_header,
)
from crosshash.hub.reference import (
    Reference,
    count_elements,
    fetch_reference,
    read_references,
    referenced_tensors,
)
from crosshash.hub.seal import CONFIG, check_seal
from crosshash.hub.upgrade import Contents, upgrade
from crosshash.methods.build import build_model
from crosshash.model.hash_model import HashModel, ModelInfo
from crosshash.plugins import missing_parts
from crosshash.untrusted import JSON_BYTES

FILES = ("config.json", "info.json", "model.safetensors")
OPTIONAL = ("golden.json", "golden.safetensors", *ASSETS)  # what it may have beside: patterns
CARD = "README.md"
ASSET_BYTES = 128 << 20  # tokenizers of many languages take some 20 MB


def folder_names() -> list[str]:
    """Patterns of the names that a checkpoint's folder has, its card's included."""
    return [*FILES, CARD, *(pattern.partition("/")[0] for pattern in OPTIONAL)]


def files_of(folder: Path) -> list[str]:
    """Names of the checkpoint's files in a folder, without its card, sorted; its config may lack.

    Raises:
        CheckpointError: One of them is a link out of the folder.
        FileNotFoundError: Another file that every checkpoint has is missing.
    """
    optional = {path.relative_to(folder).as_posix() for p in OPTIONAL for path in folder.glob(p)}
    config = {CONFIG} if (folder / CONFIG).exists() else set()
    names = sorted({*FILES, *optional} - {CONFIG} | config)
    for name in names:
        contained(folder, name)
    return names


def read_checkpoint(folder: str | Path, *, verify: bool = True) -> HashModel:
    """Build the model of a checkpoint folder and load its weights, strictly.

    No file is unpickled and no code of the folder run; what a file declares is checked before
    memory is taken for it. Older format versions are brought up to the present one. A folder that
    is replaced meanwhile is read again, so that all files are of one model.

    Args:
        folder: Of the checkpoint.
        verify: Compare every file with its SHA-256 in config.json; checkpoints of formats before 4
            have none.

    Returns:
        The model in eval mode, in float32, on the CPU.

    Raises:
        FileNotFoundError: The folder, or a file of it, is not there.
        CheckpointError: A file cannot be read, is not as it was saved, leads out of the folder, is
            of a newer format version, or tensors are missing, left over, of another shape or type
            or not finite; names them.
        HubError: Weights that are stored by reference cannot be fetched.
    """
    return read_whole(folder, partial(_read, verify=verify))


def _read(path: Path, *, verify: bool) -> HashModel:
    if not path.is_dir():
        raise FileNotFoundError(f"no checkpoint folder {path}")
    for name in FILES:
        if not (path / name).is_file():
            raise FileNotFoundError(
                f"{path} is no whole checkpoint: {name} is missing (expected {', '.join(FILES)})"
            )
    names = files_of(path)
    config = read_object(path / "config.json")
    weights = path / "model.safetensors"
    header = read_header(weights)
    contents = Contents(config, read_object(path / "info.json"), {name: name for name in header})
    original = dict(config)
    upgrade(contents, path)
    check_info(contents.info, path / "info.json")
    for name in names:
        if name not in FILES and name.endswith(".json"):  # bounded before an encoder reads it
            read_json(path / name, limit=JSON_BYTES if "/" not in name else ASSET_BYTES)
    try:
        references = read_references(config["references"], path / "config.json")
        check_config(config, path / "config.json")
        public = {part: fetch_reference(reference) for part, reference in references.items()}
        elements = sum(math.prod(entry.shape) for entry in header.values())
        elements += sum(count_elements(file) for file in public.values())
        model = _build(path, config, contents.info, elements, len(header) + len(public) * 1000)
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}/config.json does not describe a model: {error!r}") from error
    _load_weights(model, weights, header, contents.tensors, references, public)
    if verify:  # last: what a file lacks says more than that it differs
        check_seal(path, original, names)
    return model.eval()


def _build(
    path: Path, config: dict[str, Any], info: dict[str, Any], elements: int, tensors: int
) -> HashModel:
    try:
        with AllocationLimit(2 * elements + SPARE_ELEMENTS, tensors=50 * tensors + SPARE_TENSORS):
            model = build_model(
                config["method"],
                bits=config["bits"],
                backbones={s: _unweighted(spec) for s, spec in config["backbones"].items()},
                text=create_text_encoder(**config["text"], assets=path),
                network=config["network"],
                frozen=config["frozen"],
                nested=config.get("nested", ()),  # of no use to a model of one length
            )
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except Exception as error:  # libraries raise what they like on a config of nonsense
        if isinstance(error, (KeyError, MemoryError)):
            raise
        hint = ""
        if type(error) is LookupError:  # of a registry
            hint = f"; {missing_parts(info.get('experiment') or {})}"
        raise CheckpointError(f"{path}: its model cannot be built: {error}{hint}") from error
    model.info = ModelInfo(**info)
    return model


def _unweighted(spec: dict[str, Any]) -> dict[str, Any]:
    # The checkpoint has the weights: nothing is downloaded for what is overwritten at once.
    return {**spec, "weights": "random"} if takes_weights(spec["name"]) else spec


def _load_weights(
    model: HashModel,
    path: Path,
    header: Mapping[str, Declared],
    names: Mapping[str, str],
    references: Mapping[str, Reference],
    public: Mapping[str, Path],
) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    wanted = model.state_dict()
    declared = {new: header[old] for old, new in names.items()}
    fetched: dict[str, Tensor] = {}
    for part in references:
        if part not in model.frozen:
            raise CheckpointError(f"{path.parent}: {part!r} is by reference, but is not frozen")
        prefix = "text." if part == "text" else f"backbones.{part}."
        lacking = [name for name in wanted if name not in declared]
        fetched.update(referenced_tensors(public[part], prefix, lacking))
    declared.update({n: Declared(v.dtype, tuple(v.shape)) for n, v in fetched.items()})
    _compare(path, wanted, declared)
    try:
        found = load_file(str(path))
    except SafetensorError as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); fetch or save it anew") from None
    state = {**{names[n]: value for n, value in found.items()}, **fetched}
    bad = sorted(n for n, v in state.items() if v.is_floating_point() and not v.isfinite().all())
    if bad:
        raise CheckpointError(
            f"{path}: NaN or infinite numbers in {_some(bad)}; fetch or save it anew"
        )
    model.load_state_dict(state)


def _compare(path: Path, wanted: Mapping[str, Tensor], declared: Mapping[str, Declared]) -> None:
    """Raise on tensors that are missing, left over, or of another shape or kind of number."""
    both = [(n, declared[n], value) for n, value in wanted.items() if n in declared]
    problems = {
        "missing": sorted(set(wanted) - set(declared)),
        "unexpected": sorted(set(declared) - set(wanted)),
        "of another shape": [
            f"{name} {entry.shape} instead of {tuple(value.shape)}"
            for name, entry, value in both
            if entry.shape != tuple(value.shape)
        ],
        "of another type": [
            f"{name} {entry.dtype} instead of {value.dtype}"
            for name, entry, value in both
            # Floating numbers may be stored in fewer bits; other types are what they mean.
            if entry.dtype.is_floating_point != value.is_floating_point()
            or (not value.is_floating_point() and entry.dtype != value.dtype)
        ],
    }
    told = [f"{kind}: {_some(names)}" for kind, names in problems.items() if names]
    if told:
        raise CheckpointError(f"{path} does not fit its config.json; tensors {'; '.join(told)}")


def _some(names: list[str], most: int = 8) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
