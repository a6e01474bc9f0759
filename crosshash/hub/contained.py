"""Files of a checkpoint that others wrote: names that stay in its folder, JSON of bounded size."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from crosshash import untrusted
from crosshash.hub.errors import CheckpointError

_SNAPSHOT = re.compile(r"models--[\w.-]+")


def safe_name(name: str) -> str:
    """A relative path that stays in its folder on every system.

    Raises:
        CheckpointError: It is absolute, goes up, or is spelt in another way than its plain one.
    """
    path = PurePosixPath(name)
    windows = PureWindowsPath(name)
    plain = name == path.as_posix() and not {"..", "."} & set(path.parts) and name.isprintable()
    if not plain or path.is_absolute() or windows.drive or windows.root or "\\" in name:
        raise CheckpointError(
            f"{name!r} is no name of a file in a checkpoint; expected one such as 'config.json'"
        )
    return name


def contained(folder: Path, name: str) -> Path:
    """The file of that name in the folder, wherever symbolic links lead it inside.

    In a snapshot of huggingface_hub's cache, files are links to the cache's blobs; these count as
    inside.

    Raises:
        CheckpointError: A link leads out of the folder, or the name does.
        FileNotFoundError: There is no such file.
    """
    path = folder / safe_name(name)
    real = Path(os.path.realpath(path))
    roots = [Path(os.path.realpath(folder)), *_blobs(folder)]
    if not any(real.is_relative_to(root) for root in roots):
        raise CheckpointError(
            f"{path} is a link to {real}, outside of the checkpoint; put the file itself there"
        )
    if not real.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    return path


def _blobs(folder: Path) -> list[Path]:
    """Where huggingface_hub keeps the contents of a snapshot folder; empty for other folders."""
    snapshot = Path(os.path.realpath(folder))
    repository = snapshot.parent.parent
    if snapshot.parent.name != "snapshots" or not _SNAPSHOT.fullmatch(repository.name):
        return []
    # The second is the store that newer versions share among repositories.
    return [repository / "blobs", repository.parent / "blobs"]


def read_json(path: Path, *, limit: int = untrusted.JSON_BYTES) -> Any:
    """Parse a JSON file of bounded size and depth; figures in it may be NaN.

    Raises:
        CheckpointError: It is too large or no JSON.
    """
    try:
        return untrusted.read_json(path, limit=limit, finite=False)
    except ValueError as error:
        raise CheckpointError(f"{error}; fetch or save it anew") from None


def read_object(path: Path) -> dict[str, Any]:
    """Parse a JSON file that holds an object; raises as :func:`read_json`."""
    values = read_json(path)
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: expected a JSON object, got {type(values).__name__}")
    return values
