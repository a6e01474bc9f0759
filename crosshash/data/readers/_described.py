"""What metadata files say of each picture of a folder, as an index keeps it and filters by it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from crosshash.data.readers._metadata import (
    FILES,
    LABEL_COLUMNS,
    SEPARATOR,
    TEXT_COLUMNS,
    check_inside,
    inside,
    rows_of,
)

_TRUTH = {"true": True, "false": False}
_WHOLE = re.compile(r"-?(0|[1-9]\d{0,17})")  # not 007, and no digits by the thousand
_DECIMAL = re.compile(r"-?(0|[1-9]\d{0,17})\.\d{1,18}")


def folder_metadata(root: str | Path) -> dict[str, dict[str, Any]]:
    r"""What the ``metadata.csv`` and ``metadata.jsonl`` files below a folder say of its pictures.

    Every column but ``file_name`` is kept under its name: texts, numbers, truth values, and lists
    of these. A CSV file has texts alone, so that labels (``labels``, ``label``) are separated by
    ``|``, a column in which every cell is a number is one of numbers, likewise of ``true`` and
    ``false``, and an empty cell is left out. Where several rows name a picture, as one for each
    caption, their values are put together, each once.

    Args:
        root: The folder; each file's rows name pictures relative to it.

    Returns:
        A mapping of names to values for each picture, under its path relative to ``root``; empty
        where there is no such file. Whether the pictures are there is not looked at.

    Raises:
        ValueError: A file cannot be read, a row has no ``file_name`` or one that leads out of the
            folder, or a file is a link that does.

    Example:
        >>> rows = "file_name,text,labels\nsnow.jpg,two dogs run through the snow,dog|snow"
        >>> _ = Path("metadata.csv").write_text(rows)
        >>> folder_metadata(".")["snow.jpg"]
        {'text': 'two dogs run through the snow', 'labels': ['dog', 'snow']}
    """
    folder = Path(root)
    real = folder.resolve()
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(path for name in FILES for path in folder.rglob(name) if path.is_file()):
        check_inside(real, path, str(path))
        parent = PurePosixPath(path.parent.relative_to(folder).as_posix())
        for file, values in _values_of(path):
            _merge(found.setdefault(str(parent / file), {}), values)
    return found


def _values_of(path: Path) -> Iterable[tuple[PurePosixPath, dict[str, Any]]]:
    """The picture of each row, with what the row says of it."""
    files: list[PurePosixPath] = []
    told: list[dict[str, Any]] = []
    for where, row in rows_of(path):
        if "file_name" not in row:
            raise ValueError(f"{where}: no column file_name; it has {', '.join(row)}")
        files.append(inside(row.pop("file_name"), where))
        told.append(row)
    plain = _of_text(told) if path.suffix == ".csv" else map(_of_json, told)
    return zip(files, plain, strict=True)


def _of_json(row: dict[str, Any]) -> dict[str, Any]:
    """The values that a filter can compare, and lists of them."""
    return {name: value for name, value in row.items() if name.strip() and _is_plain(value)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return not any(isinstance(one, (list, dict)) for one in value)
    return value is not None and not isinstance(value, dict)


def _of_text(rows: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Values of texts, by what all texts of a column can be read as."""
    found: list[dict[str, Any]] = [{} for _ in rows]
    for name in filter(str.strip, rows[0] if rows else ()):
        separated = name in LABEL_COLUMNS
        parts = [row[name].split(SEPARATOR) if separated else [row[name]] for row in rows]
        cells = [[part.strip() for part in cell if part.strip()] for cell in parts]
        read = str if name in TEXT_COLUMNS else _kind({one for cell in cells for one in cell})
        for values, cell in zip(found, cells, strict=True):
            if cell:
                values[name] = _alone([read(part) for part in cell])
    return found


def _kind(parts: set[str]) -> Callable[[str], Any]:
    """What reads all of a column's texts."""
    if all(part.lower() in _TRUTH for part in parts):
        return lambda part: _TRUTH[part.lower()]
    if all(_WHOLE.fullmatch(part) or _DECIMAL.fullmatch(part) for part in parts):
        return lambda part: float(part) if "." in part else int(part)
    return str


def _alone(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values


def _merge(held: dict[str, Any], values: dict[str, Any]) -> None:
    """Put a further row's values to those of the first."""
    for name, value in values.items():
        if held.setdefault(name, value) != value:
            both = _as_list(held[name])
            held[name] = [*both, *(one for one in _as_list(value) if one not in both)]


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
