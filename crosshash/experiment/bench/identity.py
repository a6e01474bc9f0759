"""What a run is known by: its config, the contents of its data, and the code."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import crosshash
from crosshash.config import ExperimentConfig
from crosshash.data.dataset import PairedDataset
from crosshash.data.protocol import Protocol
from crosshash.experiment.assembly import read_data
from crosshash.experiment.bench.kept_digests import KEPT, identity_of_data
from crosshash.experiment.bench.suite import ASIDE
from crosshash.methods.build import METHODS
from crosshash.plugins import import_parts

# What decides a figure: not how it is shown, served, stored or searched.
_FOLDERS = (
    *("algorithms", "backbones", "data", "layers", "losses", "model"),
    *("retrieval", "training"),
)
_FILES = (
    *("codes", "images", "rgb", "similarity"),
    *(f"experiment/{name}" for name in ("assembly", "evaluation", "preparation", "run")),
)
_METHODS = "crosshash.methods"
_DIGITS = 32


def config_digest(config: ExperimentConfig) -> str:
    """Of all settings that decide a figure, and the contents of one's own parts (``imports``).

    Where the data lies, how many processes read it, the device, and what the paper prints are no
    part of it.
    """
    values = config.model_dump(mode="json", exclude={"paper", "limits", "imports"})
    values["data"].pop("root")
    for name in ASIDE:
        values["training"].pop(name)
    files = [Path(entry) for entry in config.imports if entry.endswith(".py")]
    own = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    modules = [entry for entry in config.imports if not entry.endswith(".py")]
    return _digest([json.dumps(values, sort_keys=True), *own, *modules])


@cache
def code_digest(method: str) -> str:
    """Of the version and of the package's code that decides a method's figures, without comments.

    Of other methods only what it imports of them is part of it.
    """
    root = Path(crosshash.__file__).parent
    files = [root / f"{name}.py" for name in _FILES]
    files += [file for part in _FOLDERS for file in sorted((root / part).rglob("*.py"))]
    files += method_files(METHODS[method].__module__)
    named = (f"{file.relative_to(root).as_posix()}\0{_code(file)}" for file in files)
    return _digest([crosshash.__version__, *named])


def method_files(module: str) -> list[Path]:
    """Files of :mod:`crosshash.methods` by which a method of this module learns.

    Its own, those that they import, and theirs; of a method from elsewhere, or where one imports
    the whole package, all.
    """
    root = Path(crosshash.__file__).parent / "methods"
    every = [file for file in sorted(root.rglob("*.py")) if file != root / "__init__.py"]
    parts: dict[str, list[Path]] = {}
    for file in every:
        parts.setdefault(file.relative_to(root).with_suffix("").parts[0], []).append(file)
    wanted, found = [module], set[str]()
    while wanted:
        name = wanted.pop()
        part = name.removeprefix(f"{_METHODS}.").split(".")[0]
        if not name.startswith(f"{_METHODS}.") or part not in parts:
            return every
        if part not in found:
            found.add(part)
            wanted += [other for file in parts[part] for other in _imported(file)]
    return [file for part in sorted(found) for file in parts[part]]


class DataDigests:
    """Digests of data sets, each read once for all runs that have it.

    Args:
        store: The folder in which those of pictures are kept for the next time; None: nowhere.
    """

    def __init__(self, store: Path | None = None) -> None:
        self._known: dict[str, str] = {}
        self._kept = None if store is None else store / KEPT

    def __call__(self, config: ExperimentConfig) -> str:
        """Of a config's pairs and of its split.

        Raises:
            FileNotFoundError: The data is not there.
        """
        place = config.data.model_dump(mode="json", include={"name", "root", "options", "holdout"})
        key = json.dumps([place, config.imports], sort_keys=True)
        if key not in self._known:
            import_parts(config.imports)
            dataset, protocol = read_data(config)
            told = json.dumps(identity_of_data(dataset, self._kept), sort_keys=True)
            self._known[key] = _digest([told, protocol.digest(dataset.ids)])
        return self._known[key]


def run_key(config: ExperimentConfig, data: str) -> str:
    """The name of a run's record, hexadecimal.

    Args:
        config: Of the run, resolved.
        data: From :class:`DataDigests`.
    """
    return _digest([config_digest(config), data, code_digest(config.method)])


def compared_digest(dataset: PairedDataset, protocol: Protocol) -> str:
    """Of the queries and the searched pairs, whose figures may be compared.

    Splits that only train on other pairs have the same.
    """
    labels = b"" if dataset.labels is None else dataset.labels.tobytes()
    ids = [[str(dataset.ids[row]) for row in rows] for rows in (protocol.query, protocol.retrieval)]
    return _digest([json.dumps(ids), hashlib.sha256(labels).hexdigest()])


def _imported(file: Path) -> list[str]:
    """Modules of methods, and ``crosshash.methods`` itself, that a file imports."""
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return [name for name in names if name == _METHODS or name.startswith(f"{_METHODS}.")]


def _code(file: Path) -> str:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body: Any = getattr(node, "body", None)
        if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) or not body:
            continue
        first = body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            body[:1] = []  # a docstring
    return ast.unparse(tree)


def _digest(parts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()[:_DIGITS]
