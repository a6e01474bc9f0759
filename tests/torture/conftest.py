from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def _module(name: str) -> ModuleType:
    full = f"crosshash_torture_{name}"
    if full not in sys.modules:
        spec = importlib.util.spec_from_file_location(full, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[full] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[full])
    return sys.modules[full]


@pytest.fixture(scope="session")
def mutate() -> ModuleType:
    """The module ``mutate.py`` beside this file."""
    return _module("mutate")


@pytest.fixture(scope="session")
def kills() -> ModuleType:
    """The module ``kills.py`` beside this file."""
    return _module("kills")
