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
from crosshash.plugins import import_parts

# What decides a figure: not how it is shown, served, stored or searched.
_FOLDERS = (
    *("algorithms", "backbones", "data", "layers", "losses", "methods", "model"),
    *("retrieval", "training"),
)
_FILES = (
    *("codes", "images", "rgb", "similarity"),
    *(f"experiment/{name}" for name in ("assembly", "evaluation", "preparation", "run")),
)
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
def code_digest() -> str:
    """Of the version and of the package's code that decides a figure, without its comments."""
    root = Path(crosshash.__file__).parent
    files = [root / f"{name}.py" for name in _FILES]
    files += [file for part in _FOLDERS for file in sorted((root / part).rglob("*.py"))]
    named = (f"{file.relative_to(root).as_posix()}\0{_code(file)}" for file in files)
    return _digest([crosshash.__version__, *named])


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
    return _digest([config_digest(config), data, code_digest()])


def compared_digest(dataset: PairedDataset, protocol: Protocol) -> str:
    """Of the queries and the searched pairs, whose figures may be compared.

    Splits that only train on other pairs have the same.
    """
    labels = b"" if dataset.labels is None else dataset.labels.tobytes()
    ids = [[str(dataset.ids[row]) for row in rows] for rows in (protocol.query, protocol.retrieval)]
    return _digest([json.dumps(ids), hashlib.sha256(labels).hexdigest()])


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
