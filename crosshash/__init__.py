"""Cross-modal hashing: photographs and texts as short binary codes that find each other."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__: str

if TYPE_CHECKING:
    from crosshash.backbones import list_backbones as list_backbones
    from crosshash.data.load import list_datasets as list_datasets
    from crosshash.data.load import load_dataset as load_dataset
    from crosshash.experiment import evaluate as evaluate
    from crosshash.experiment import train as train
    from crosshash.hub.load import load as load
    from crosshash.hub.manifest import list_models as list_models
    from crosshash.hub.publish import publish as publish
    from crosshash.hub.save import save as save
    from crosshash.methods.build import create as create
    from crosshash.methods.build import list_methods as list_methods
    from crosshash.model.hash_model import HashModel as HashModel
    from crosshash.retrieval.index import Index as Index

# Public name -> the module that has it; a name's module is imported when the name is first used.
_LAZY = {
    "HashModel": "crosshash.model.hash_model",
    "Index": "crosshash.retrieval.index",
    "create": "crosshash.methods.build",
    "evaluate": "crosshash.experiment",
    "list_backbones": "crosshash.backbones",
    "list_datasets": "crosshash.data.load",
    "list_methods": "crosshash.methods.build",
    "list_models": "crosshash.hub.manifest",
    "load": "crosshash.hub.load",
    "load_dataset": "crosshash.data.load",
    "publish": "crosshash.hub.publish",
    "save": "crosshash.hub.save",
    "train": "crosshash.experiment",
}
# Folders whose names are what users compose; imported when they are first named.
_ROOMS = (
    "algorithms",
    "backbones",
    "codes",
    "config",
    "data",
    "hub",
    "layers",
    "losses",
    "methods",
    "model",
    "reports",
    "retrieval",
    "training",
)

__all__ = [  # noqa: RUF022  (sorted by what they are for)
    "load",
    "save",
    "publish",
    "create",
    "train",
    "evaluate",
    "load_dataset",
    "Index",
    "HashModel",
    "list_models",
    "list_methods",
    "list_datasets",
    "list_backbones",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in _ROOMS:
        return importlib.import_module(f"crosshash.{name}")
    if name == "__version__":
        from importlib.metadata import version

        return version("crosshash")
    raise AttributeError(f"module 'crosshash' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_ROOMS])
