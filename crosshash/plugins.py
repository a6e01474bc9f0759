"""Parts that users wrote, in files and modules that they name; importing one registers them."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crosshash.registry import PluginError


def import_parts(names: Sequence[str | Path], base: str | Path | None = None) -> None:
    """Import files and modules, so that the parts they register can be looked up.

    This runs their code: give it only what the user of this process has named, never what a
    checkpoint says. What is imported already is not run again, nor is the script that runs.

    A file is imported under its own name without ``.py``, and its folder is added to the end of
    ``sys.path``, so that worker processes and pickles find it, and it finds the files beside it.

    Args:
        names: Python files (``my_parts.py``) or dotted modules (``my_package.parts``).
        base: Folder that relative files are in; default: the working directory.

    Raises:
        FileNotFoundError: There is no such file.
        PluginError: It fails while it runs, with the line; another module has its name; or there
            is no such module.
    """
    if isinstance(names, (str, Path)):
        raise TypeError(f"imports: expected a list of files and modules, got {names!r}")
    for name in names:
        if str(name).endswith(".py"):
            _import_file(Path(base or "", name).expanduser().resolve())
        else:
            _import(str(name), str(name))


def missing_parts(experiment: Mapping[str, Any]) -> str:
    """What helps where a part of a trained model is not registered.

    Args:
        experiment: The config that the model carries; its ``imports`` are told, not followed.
    """
    names = [str(name) for name in experiment.get("imports") or []]
    trained = f"this model was trained with imports {names}" if names else "if it is one's own"
    return f"{trained}: pass imports=[…] to crosshash.load, or --import on the command line"


def _import_file(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"imports: no Python file {path}")
    import __main__  # the script that runs has registered its parts under this name

    if Path(getattr(__main__, "__file__", None) or "").resolve() == path:
        return
    folder = str(path.parent)
    added = folder not in sys.path
    if added:
        sys.path.append(folder)  # last, so that nothing beside it takes the place of a library
    importlib.invalidate_caches()
    found = importlib.util.find_spec(path.stem)
    if found is None or found.origin is None or Path(found.origin).resolve() != path:
        if added:
            sys.path.remove(folder)
        other = getattr(found, "origin", None) or "another package"
        raise PluginError(f"imports: {path} has the name of {other}; rename the file")
    _import(path.stem, str(path))


def _import(name: str, what: str) -> None:
    try:
        importlib.import_module(name)
    except Exception as error:
        raise PluginError(
            f"imports: {what} cannot be imported: {type(error).__name__}: {error}{_place(error)}"
        ) from error


def _place(error: Exception) -> str:
    """Where it went wrong: the last line that ran in the file whose import failed."""
    if isinstance(error, SyntaxError):
        return f" ({error.filename}, line {error.lineno})" if error.filename else ""
    ours = (__file__, importlib.__file__ or "<", "<frozen")
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not frame.filename.startswith(ours)]
    last = [frame for frame in theirs if frame.filename == theirs[0].filename][-1:]
    return "".join(f" ({frame.filename}, line {frame.lineno})" for frame in last)
