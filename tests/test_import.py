from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import crosshash

ROOT = Path(crosshash.__file__).parent
HEAVY = ["accelerate", "faiss", "matplotlib", "numpy", "timm", "torch", "transformers", "typer"]


def python(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT.parent)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=True,
    )
    return result.stdout


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = python("import sys, json, crosshash; print(json.dumps(list(sys.modules)))")
    assert "crosshash" in json.loads(loaded)
    assert not {name.split(".")[0] for name in json.loads(loaded)} & set(HEAVY)


def test_importing_the_package_is_quick() -> None:
    code = "import time; t = time.perf_counter(); import crosshash; print(time.perf_counter() - t)"
    assert min(float(python(code)) for _ in range(3)) < 0.3


def test_the_config_edge_needs_no_torch() -> None:
    assert python("import sys, crosshash.config; print('torch' in sys.modules)").strip() == "False"


def test_every_public_name_is_there() -> None:
    for name in crosshash.__all__:
        assert getattr(crosshash, name) is not None
    assert set(crosshash.__all__) <= set(dir(crosshash))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'crosshash' has no attribute 'lod'"):
        crosshash.lod  # noqa: B018


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_files_stay_short_enough_to_read(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines < 350, f"{path.name} has {lines} lines: split it (the design says about 300)"
