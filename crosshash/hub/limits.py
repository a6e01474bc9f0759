"""What is allowed in a checkpoint that others wrote, checked before anything is built from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from crosshash.hub.errors import CheckpointError
from crosshash.retrieval.calibration import KEY, read_calibration
from crosshash.tensor_header import read_entries
from crosshash.untrusted import is_unicode

# Elements that building a network may take beside its weights: the picture on which a backbone
# measures its widths, tables that are computed.
SPARE_ELEMENTS = 1 << 25
SPARE_TENSORS = 20_000  # likewise; layers without number take time, not memory
_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
# Options with which libraries below read files, reach the network or run what they find there.
_NEVER = {
    "assets", "cache_dir", "checkpoint_path", "pretrained", "pretrained_cfg",
    "pretrained_cfg_overlay", "trust_remote_code", "vocabulary",
}  # fmt: skip
_FACTORIES = {
    torch.arange, torch.empty, torch.empty_like, torch.empty_strided, torch.eye, torch.full,
    torch.linspace, torch.ones, torch.rand, torch.randint, torch.randn, torch.zeros,
}  # fmt: skip
_REPEATERS = {torch.Tensor.repeat, torch.Tensor.tile, torch.tile}


@dataclass(frozen=True)
class Declared:
    """A tensor as the header of a safetensors file declares it."""

    dtype: torch.dtype
    shape: tuple[int, ...]


def read_header(path: Path) -> dict[str, Declared]:
    """Names, types and shapes of a safetensors file, without its tensors.

    Raises:
        CheckpointError: The header is too large or damaged, or the file has not the bytes that its
            header declares.
    """
    try:
        entries = read_entries(path)
    except ValueError as error:
        raise CheckpointError(f"{error}; fetch or save it anew") from None
    for name, entry in entries.items():
        if entry.kind not in _TYPES:
            raise CheckpointError(
                f"{path}: its header has {name!r} of the type {entry.kind!r}, which no checkpoint "
                f"has; known are {', '.join(_TYPES)}"
            )
    return {name: Declared(_TYPES[entry.kind], entry.shape) for name, entry in entries.items()}


def check_config(config: Mapping[str, Any], where: Path) -> None:
    """Refuse a config whose options would read other files, reach the network or are no numbers.

    Raises:
        CheckpointError: Names the key.
    """
    # The name of a transformer says where it came from; what is read is in the checkpoint.
    for slot, spec in config["backbones"].items():
        inside = isinstance(spec.get("architecture"), Mapping)
        told = {key: value for key, value in spec.items() if not (inside and key == "name")}
        _check_options(told, f"backbones.{slot}", where)
    _check_options(config["text"], "text", where, paths=True)
    _check_options(config["network"], "network", where)


def _check_options(value: Any, key: str, where: Path, *, paths: bool = False) -> None:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name in _NEVER or (name == "weights" and inner != "random"):
                raise CheckpointError(
                    f"{where}: {key}.{name} is not allowed in a checkpoint, whose weights and "
                    "words are its own files"
                )
            _check_options(inner, f"{key}.{name}", where, paths=paths)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            _check_options(inner, f"{key}.{place}", where, paths=paths)
    elif isinstance(value, float) and not math.isfinite(value):
        raise CheckpointError(f"{where}: {key} is a finite number, got {value}")
    elif isinstance(value, str) and not paths and (set(value) & set("/\\:") or value[:1] == "."):
        raise CheckpointError(f"{where}: {key} may not be a path or address, got {value!r}")


def check_info(info: Mapping[str, Any], where: Path) -> None:
    """Refuse an ``info.json`` whose parts are not what cards, manifests and tables take them for.

    Raises:
        CheckpointError: Names the key.
    """
    places = {
        "label_names": (list, "a list of strings"),
        "figures": (dict, "an object"),
        "figures.record": (dict, "an object"),
        "figures.i2t": (dict, "an object"),
        "figures.t2i": (dict, "an object"),
        "figures.nested": (dict, "an object"),
        "figures.calibration_error": (dict, "an object"),
        "experiment": (dict, "an object"),
        "experiment.data": (dict, "an object"),
        "experiment.paper": (dict, "an object"),
        "experiment.seed": (int, "a whole number"),
    }
    for place, (kind, words) in places.items():
        part, _, key = place.partition(".")
        value = (info.get(part) or {}).get(key) if key else info.get(part)
        if value is not None and not isinstance(value, kind):
            raise CheckpointError(
                f"{where}: {place} is {words}, got {type(value).__name__}; save it anew"
            )
    calibration = (info.get("figures") or {}).get(KEY)
    if calibration is not None:
        try:
            read_calibration(calibration)
        except ValueError as error:
            raise CheckpointError(f"{where}: figures.{error}; save it anew") from None
    for label in info.get("label_names") or []:
        if not isinstance(label, str) or not is_unicode(label):
            raise CheckpointError(f"{where}: label_names are strings, got {label!r}; save it anew")


class AllocationLimit(TorchFunctionMode):
    """While it is entered, no more tensors are made, and of no more elements, than it allows.

    A few numbers in a config can ask for more memory than there is; the network that they describe
    has no more elements than the checkpoint's files hold.
    """

    def __init__(self, limit: int, *, tensors: int = SPARE_TENSORS) -> None:
        super().__init__()
        self.left = limit
        self.tensors = tensors

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Size what a function would make before it does."""
        kwargs = kwargs or {}
        memory = torch.device(kwargs.get("device") or "cpu").type != "meta"
        if func in _FACTORIES and kwargs.get("out") is None and memory:
            plain = {k: v for k, v in kwargs.items() if k not in ("generator", "pin_memory")}
            self._take(func(*args, **{**plain, "device": "meta"}).numel())
        elif func in _REPEATERS:
            self._take(func(args[0].to("meta"), *args[1:], **kwargs).numel())
        return func(*args, **kwargs)

    def _take(self, count: int) -> None:
        self.left -= count
        self.tensors -= 1
        if self.left < 0 or self.tensors < 0:
            raise CheckpointError(
                "its config.json describes a network with more elements than its files hold"
            )
