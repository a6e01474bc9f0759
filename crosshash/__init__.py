"""Cross-modal hashing: photographs and texts as short binary codes that find each other."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from crosshash.experiment import evaluate as evaluate
    from crosshash.experiment import train as train
    from crosshash.hub.load import list_models as list_models
    from crosshash.hub.load import load as load
    from crosshash.methods.build import create as create
    from crosshash.retrieval.index import Index as Index

# Public name -> the module that has it; a name's module is imported when the name is first used.
_LAZY = {
    "Index": "crosshash.retrieval.index",
    "create": "crosshash.methods.build",
    "evaluate": "crosshash.experiment",
    "list_models": "crosshash.hub.load",
    "load": "crosshash.hub.load",
    "train": "crosshash.experiment",
}

__all__ = ["Index", "__version__", "create", "evaluate", "list_models", "load", "train"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'crosshash' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
