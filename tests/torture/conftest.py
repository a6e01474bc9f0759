from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

import crosshash
from crosshash.model.hash_model import HashModel


def _module(name: str) -> ModuleType:
    folder = str(Path(__file__).parent)
    if folder not in sys.path:
        sys.path.append(folder)  # processes that are started get it as well
    return importlib.import_module(name)


@pytest.fixture(scope="session")
def mutate() -> ModuleType:
    """The module ``mutate.py`` beside this file."""
    return _module("mutate")


@pytest.fixture(scope="session")
def kills() -> ModuleType:
    """The module ``kills.py`` beside this file."""
    return _module("kills")


@pytest.fixture(scope="session")
def make_model() -> Callable[..., HashModel]:
    """A small model over vectors of 6 and bags of words, by seed."""

    def make(seed: int = 0, width: int = 8, **network: object) -> HashModel:
        torch.manual_seed(seed)
        return crosshash.create(
            "dcmh",
            bits=16,
            backbones={"name": "features", "dim": 6},
            texts=["a red circle", "a blue square on grass", "a square"],
            image_hidden=[width],
            text_hidden=[width],
            **network,
        ).eval()

    return make
