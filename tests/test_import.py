from __future__ import annotations

import ast
import importlib
import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import crosshash

ROOT = Path(crosshash.__file__).parent
HEAVY = ["accelerate", "faiss", "matplotlib", "numpy", "timm", "torch", "transformers", "typer"]


def python(code: str, *arguments: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments],
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


ENCODE = """
import sys, json, numpy as np, crosshash
for name in sys.argv[1:]:
    model = crosshash.load(name)
    features = np.ones((1, model.text.dim), np.float32)
    model.encode_text(features if model.text.name == "features" else "a red circle")
    model.encode_image(np.ones((1, 128), np.float32) if "wiki" in name else np.zeros((9, 9, 3)))
print(json.dumps([name.split(".")[0] for name in sys.modules]))
"""
UNNEEDED = ["accelerate", "faiss", "matplotlib", "scipy", "sklearn", "torch_geometric"]


@pytest.mark.parametrize(
    ("models", "unneeded"),
    [
        (
            ["amgfh-wiki-64", "mdffh-wiki-64", "dmsfh-wiki-64", "hfah-wiki-64"],
            [*UNNEEDED, "timm", "torchvision", "transformers"],
        ),
        (["amgfh-shapes-64", "hfah-shapes-64"], [*UNNEEDED, "transformers"]),
    ],
)
def test_encoding_imports_only_what_a_model_needs(models: list[str], unneeded: list[str]) -> None:
    loaded = set(json.loads(python(ENCODE, *models)))
    assert "torch" in loaded
    assert not loaded & set(unneeded)


@pytest.mark.parametrize(
    "code",
    [
        "import crosshash; assert len(crosshash.list_models()) > 50",
        "from crosshash.cli import app; app(['models', 'wiki', '--json'], standalone_mode=False)",
    ],
)
def test_listing_the_models_needs_no_torch(code: str) -> None:
    shown = python(f"{code}; import sys; print('loaded', 'torch' in sys.modules)")
    assert shown.splitlines()[-1] == "loaded False"


def rooms() -> list[str]:
    """Packages that show names of their modules lazily."""
    files = (path for path in ROOT.rglob("__init__.py") if "attach(" in path.read_text())
    return sorted(".".join(("crosshash", *path.relative_to(ROOT).parts[:-1])) for path in files)


def init_of(room: str) -> ast.Module:
    return ast.parse(Path(str(importlib.import_module(room).__file__)).read_text())


@pytest.mark.parametrize("room", rooms())
def test_every_public_name_of_a_room_is_there(room: str) -> None:
    package = importlib.import_module(room)
    if room == "crosshash.serve":
        pytest.importorskip("fastapi")  # an extra's
    for name in package.__all__:
        assert getattr(package, name) is not None
    assert set(package.__all__) <= set(dir(package))
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    # A module takes the place of a name once it is imported.
    assert not modules & set(package.__all__)


@pytest.mark.parametrize("room", rooms())
def test_editors_are_told_the_names_that_there_are(room: str) -> None:
    (block,) = (node for node in init_of(room).body if isinstance(node, ast.If))
    told = {
        (node.module, alias.asname)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    (call,) = (node for node in ast.walk(block) if isinstance(node, ast.Call))
    table = ast.literal_eval(call.args[1])
    lazy = {(module, name) for module, names in table.items() for name in names}
    for keyword in call.keywords:
        lazy |= {(room, name) for name in ast.literal_eval(keyword.value)}
    assert told == lazy


def test_type_checkers_read_the_annotations_of_the_package() -> None:
    assert (ROOT / "py.typed").is_file()  # the mark without which they take all for Any


def test_every_room_can_be_reached_and_has_names() -> None:
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"cli"}
    assert folders <= set(dir(crosshash))
    for name in set(dir(crosshash)) - {"__version__"}:
        assert getattr(crosshash, name) is not None


def test_importing_a_room_loads_none_of_its_blocks() -> None:
    names = ", ".join(room for room in rooms() if room != "crosshash")
    loaded = json.loads(python(f"import sys, json, {names}; print(json.dumps(list(sys.modules)))"))
    assert {"crosshash.layers", "crosshash.methods"} <= set(loaded)
    assert not {name.split(".")[0] for name in loaded} & set(HEAVY)


def test_names_of_rooms_are_found_where_the_package_alone_is_imported() -> None:
    code = (
        "import crosshash\n"
        "print(crosshash.layers.MultiScaleText.__name__, crosshash.losses.bank_nll.__name__)\n"
        "print(crosshash.methods.AMGFH is crosshash.methods.METHODS['amgfh'])"
    )
    assert python(code).split() == ["MultiScaleText", "bank_nll", "True"]


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'crosshash' has no attribute 'lod'"):
        crosshash.lod  # noqa: B018


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_files_stay_short_enough_to_read(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines < 350, f"{path.name} has {lines} lines: split it (the design says about 300)"
