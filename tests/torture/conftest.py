from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest


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
