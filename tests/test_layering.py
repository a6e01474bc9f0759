"""Imports go down only, folders of one floor do not meet, and heavy packages wait to be used."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import crosshash

ROOT = Path(crosshash.__file__).parent
FLOORS = [
    {"_lazy", "_version", "registry", "plugins", "config", "overlays", "sections", "settings"}
    | {"codes", "similarity", "files", "images", "rgb", "stored_picture"}
    | {"needs", "untrusted", "tensor_header", "matlab", "yaml_files"},
    {"layers", "losses", "backbones"},
    {"model"},
    {"algorithms"},
    {"methods"},
    {"training", "retrieval", "data", "reports"},
    {"search"},
    {"hub", "encoding"},
    {"serve"},
    {"__init__", "__main__", "cli", "demo", "environment"} | {"auditing", "experiment", "scoring"},
]
DOOR = len(FLOORS) - 1
HEAVY = {"accelerate", "datasets", "faiss", "huggingface_hub", "lancedb", "matplotlib", "numba"}
HEAVY |= {"pyarrow", "scipy", "sklearn", "timm", "torch_geometric", "transformers", "typer"}
FILES = sorted(ROOT.rglob("*.py"))


def part(module: str) -> str:
    """The folder or file of the package in which a module is: data of ``crosshash.data.load``."""
    names = module.split(".")
    return names[1] if len(names) > 1 else "__init__"


def floor(name: str) -> int:
    found = [number for number, names in enumerate(FLOORS) if name in names]
    assert found, f"crosshash/{name} stands on no floor: add it to FLOORS and to the design"
    return found[0]


def module_name(path: Path, root: Path = ROOT) -> str:
    names = ["crosshash", *path.relative_to(root).with_suffix("").parts]
    return ".".join(names[:-1] if names[-1] == "__init__" and len(names) > 2 else names)


MODULES = {module_name(path): path for path in FILES}


def nodes(tree: ast.AST, *, types: bool = True, functions: bool = True) -> Iterator[ast.AST]:
    """All nodes in a tree; if asked, without the insides of TYPE_CHECKING blocks or functions."""
    yield tree
    if isinstance(tree, ast.If) and not types and "TYPE_CHECKING" in ast.unparse(tree.test):
        inner: list[ast.AST] = list(tree.orelse)
    elif isinstance(tree, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) and not functions:
        inner = []
    else:
        inner = list(ast.iter_child_nodes(tree))
    for node in inner:
        yield from nodes(node, types=types, functions=functions)


def imports(
    source: str, module: str, *, package: bool = False, types: bool = True
) -> Iterator[tuple[str, int]]:
    """Dotted names of all modules imported anywhere in a file, with their lines."""
    for node in nodes(ast.parse(source), types=types):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = module.split(".")
            start = base[: len(base) - node.level + package] if node.level else []
            target = ".".join([*start, *([node.module] if node.module else [])])
            for alias in node.names:  # "from crosshash import codes" is of crosshash.codes
                inner = f"{target}.{alias.name}"
                yield inner if inner in MODULES else target, node.lineno


def at_import(source: str) -> Iterator[tuple[str, int]]:
    """Top packages imported as soon as the file is, outside of functions and TYPE_CHECKING."""
    for node in nodes(ast.parse(source), types=False, functions=False):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.split(".")[0], node.lineno
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module).split(".")[0], node.lineno


def offences(path: Path) -> list[str]:
    module = module_name(path)
    own, told = part(module), []
    for target, line in imports(path.read_text(), module, package=path.name == "__init__.py"):
        if target.split(".")[0] != "crosshash" or part(target) == own:
            continue
        other = part(target)
        if floor(other) > floor(own):
            told.append(f"{path.name}:{line} imports {target}, from a higher floor")
        elif floor(other) == floor(own) and floor(own) not in (0, DOOR):
            told.append(f"{path.name}:{line} imports {target}, of the same floor")
    return told


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_only(path: Path) -> None:
    if path == ROOT / "__init__.py":
        pytest.skip("its imports are the public names, for type checkers only")
    assert not offences(path)


def reaches_up(source: str, module: str) -> list[str]:
    """What a file reaches by a string: modules of higher floors, and whatever is loaded."""
    own, told = part(module), []
    for node in ast.walk(ast.parse(source)):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.modules":
            told.append(f"{module}:{line} reads sys.modules")
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        names = re.fullmatch(r"crosshash\.(\w+)(\.\w+)*", node.value)
        known = names and any(names[1] in level for level in FLOORS)
        if names and known and floor(names[1]) > floor(own):
            told.append(f"{module}:{line} names {node.value}, of a higher floor")
    return told


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_reaches_up_by_a_string(path: Path) -> None:
    assert not reaches_up(path.read_text(), module_name(path))


def test_reaching_up_by_a_string_is_found() -> None:
    registry = 'HUB = Registry("hub action", "crosshash.hub", "crosshash_hub")'
    read = 'version = sys.modules["crosshash"].__version__'
    assert reaches_up(registry, "crosshash.model.hash_model")
    assert reaches_up(read, "crosshash.retrieval.record")
    assert not reaches_up(registry, "crosshash.experiment")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_packages_are_imported_where_they_are_used(path: Path) -> None:
    allowed = {"typer"} if path.parent == ROOT / "cli" else set()
    found = [f"{path.name}:{line} {name}" for name, line in at_import(path.read_text())]
    assert not [entry for entry in found if entry.split()[1] in HEAVY - allowed]


def test_every_part_of_the_package_stands_on_a_floor() -> None:
    for path in FILES:
        floor(part(module_name(path)))


def test_modules_import_each_other_in_no_circle() -> None:
    graph: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        package = path.name == "__init__.py"
        names = imports(path.read_text(), module, package=package, types=False)
        graph[module] = {name for name, _ in names if name in MODULES} - {module}
    graph["crosshash.__init__"] = set()  # its imports wait until a name is used
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " -> ".join([*way, module])
        if module not in done:
            for target in sorted(graph[module]):
                visit(target, (*way, module))
            done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import crosshash.data.readers.wiki", "crosshash.data.readers.wiki"),
        ("from crosshash.data.readers import wiki", "crosshash.data.readers.wiki"),
        ("from crosshash.data import Protocol", "crosshash.data"),
        ("from crosshash import codes", "crosshash.codes"),
        ("from ..data.readers.wiki import x", "crosshash.data.readers.wiki"),
        ("from . import heads", "crosshash.layers.heads"),
        ("def f():\n    from crosshash.hub.load import load", "crosshash.hub.load"),
        ("if TYPE_CHECKING:\n    import crosshash.hub", "crosshash.hub"),
    ],
)
def test_the_reader_of_imports_misses_none(source: str, expected: str) -> None:
    assert [name for name, _ in imports(source, "crosshash.layers.graph")] == [expected]


def test_the_reader_of_early_imports_tells_early_from_late() -> None:
    source = (
        "import os\nif TYPE_CHECKING:\n    import timm\nelse:\n    import re\n"
        "class A:\n    import json\n    def f(self):\n        import faiss\n"
        "try:\n    from numba import njit\nexcept ImportError:\n    pass\n"
    )
    assert {name for name, _ in at_import(source)} == {"os", "re", "json", "numba"}


def test_the_rooms_of_data_can_be_seen_at_a_glance() -> None:
    rooms = [
        p for p in (ROOT / "data").iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()
    ]
    assert len(rooms) <= 12, sorted(path.name for path in rooms)
