"""Vectors of one's own as an array, whatever holds them: arrays, files, a table's column."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crosshash.data.features.arrays import listed
from crosshash.data.features.files import NUMBERS, SUFFIXES, list_variables
from crosshash.data.features.parquet import import_parquet
from crosshash.data.features.saved import load_saved

PARQUET = (".parquet", ".pq")


def read_vectors(source: Any, what: str = "vectors") -> npt.NDArray[Any]:
    """An array of numbers, from wherever it is.

    Args:
        source: An array (NumPy, torch, a nested list); the column of a data set of Hugging Face's
            ``datasets``; or a path: ``.npy``, ``.npz``, ``.safetensors``, ``.mat``, HDF5 or
            ``.parquet``, or a folder that ``datasets`` wrote (``save_to_disk``). ``path:name``
            chooses an array, or a column, of several.
        what: What it is called in errors.

    Returns:
        The numbers in their own type; of rows that differ in length, nothing.

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: A Parquet file without pyarrow, or a folder without ``datasets``.
        ValueError: The numbers are none, or it is not clear which are meant; names what is there.
    """
    if isinstance(source, (str, Path)):
        path, name = _named(source, what)
        values = _folder(path, name, what) if path.is_dir() else _file(path, name, what)
    else:
        values = source
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if values.dtype.itemsize == 2 else values  # NumPy has no bfloat16
    elif isinstance(values, Mapping):
        raise ValueError(
            f"{what}: got a table of {', '.join(map(str, values))}; give one of its columns"
        )
    elif not hasattr(values, "__array__"):
        values = list(values)  # the column of a data set, which is read row by row
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{what}: the rows are not all of one length ({error})") from None
    if array.dtype.kind == "O" and array.ndim == 1 and len(array):  # a table's column of arrays
        array = _stacked(array, what)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{what}: expected numbers, got {array.dtype} of shape {array.shape}")
    return array


def is_vector_file(path: str | Path) -> bool:
    """Whether a path, with or without ``:name``, is by its suffix a file of vectors."""
    return _suffix(path) in SUFFIXES or _suffix(path) in PARQUET


def _suffix(path: str | Path) -> str:
    text = str(path)
    whole = Path(text).suffix.lower()
    return whole if ":" not in whole else Path(text.rpartition(":")[0]).suffix.lower()


def _named(source: str | Path, what: str) -> tuple[Path, str | None]:
    path = Path(source)
    if path.exists():
        return path, None
    before, colon, name = str(source).rpartition(":")
    if colon and before and Path(before).exists():
        return Path(before), name
    raise FileNotFoundError(f"{what}: there is no file {source}")


def _file(path: Path, name: str | None, what: str) -> Any:
    if path.suffix.lower() in PARQUET:
        return _parquet(path, name, what)
    found = list_variables(path)
    if name is not None:
        chosen = [item for item in found if item.name == name]
    else:
        chosen = [item for item in found if item.kind == NUMBERS]
        # A pickle is refused by its reader, with the reason.
        chosen = found if not chosen and len(found) == 1 else chosen
    if len(chosen) != 1:
        raise ValueError(
            f"{what}: {path} has {listed(found)}; choose one, as in {path}:"
            f"{found[0].name if found else 'name'}"
        )
    return chosen[0].read()


def _parquet(path: Path, name: str | None, what: str) -> Any:
    parquet = import_parquet(f"{what}: {path}")
    columns = parquet.read_schema(path).names
    column = _column(columns, name, path, what)
    return _stacked(parquet.read_table(path, columns=[column])[column].to_pylist(), what)


def _folder(path: Path, name: str | None, what: str) -> Any:
    table = load_saved(path, what)
    return table.with_format("numpy")[_column(list(table.column_names), name, path, what)]


def _column(columns: list[str], name: str | None, path: Path, what: str) -> str:
    if name is None and len(columns) == 1:
        return columns[0]
    if name not in columns:
        shown = ", ".join(columns) or "none"
        raise ValueError(
            f"{what}: {path} has the columns {shown}; choose one, as in {path}:{columns[0]}"
            if columns
            else f"{what}: {path} has no column"
        )
    return name


def _stacked(rows: Any, what: str) -> npt.NDArray[Any]:
    parts = [np.asarray(row) for row in rows]
    shapes = {part.shape for part in parts}
    if len(shapes) != 1:
        raise ValueError(f"{what}: the rows are not all of one length, but of {sorted(shapes)[:4]}")
    return np.stack(parts)
