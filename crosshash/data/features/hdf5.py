"""MATLAB files of version 7.3 and other HDF5 files, by h5py; links out of them are not followed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crosshash.untrusted import check_unpacked


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise ImportError(
            "MATLAB files of version 7.3 (HDF5) need h5py: pip install 'crosshash[matlab]' (or "
            "save them in MATLAB with '-v7')"
        ) from None
    return h5py


def list_hdf5(path: Path) -> list[tuple[str, tuple[int, ...], str]]:
    """Name, shape and kind of each variable; the kind of arrays of numbers is the empty string.

    Raises:
        ImportError: h5py is not installed.
        Exception: Whatever h5py fails with; the file is damaged.
    """
    h5py = _h5py()
    variables: list[tuple[str, tuple[int, ...], str]] = []
    with h5py.File(path, "r") as file:
        for name in file:
            # A link into another file would read what the user has not named.
            link = file.get(name, getlink=True)
            if name.startswith("#"):
                continue  # where MATLAB keeps the contents of its cell arrays
            if not isinstance(link, h5py.HardLink):
                variables.append((name, (), "a link to elsewhere"))
                continue
            item = file[name]
            mark = _mark(item)
            if "MATLAB_sparse" in item.attrs and isinstance(item, h5py.Group):
                shape = (int(item.attrs["MATLAB_sparse"]), len(item["jc"]) - 1)
                variables.append((name, shape, ""))
            elif not isinstance(item, h5py.Dataset):
                variables.append((name, (), f"a {mark or 'group'}"))
            elif "MATLAB_empty" in item.attrs or item.shape is None:
                variables.append((name, (0,), "an empty array"))
            elif item.is_virtual or item.external:
                variables.append((name, item.shape, "a link to elsewhere"))
            elif item.dtype.kind not in "biuf" or mark in ("char", "cell", "struct"):
                kind = f"a {mark or item.dtype} array"
                variables.append((name, item.shape, kind))
            else:
                variables.append((name, item.shape[::-1] if mark else item.shape, ""))
    return variables


def read_hdf5(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """The arrays of those names; sparse matrices are dense ``float32``.

    Raises:
        ImportError: h5py is not installed.
        Exception: Whatever h5py and scipy fail with; the file is damaged.
        ValueError: An array would be far larger than the file.
    """
    h5py = _h5py()
    size = path.stat().st_size
    with h5py.File(path, "r") as file:
        return {name: _array(h5py, file[name], name, size) for name in names}


def _array(h5py: Any, item: Any, name: str, size: int) -> Any:
    # What was never written takes no place in the file, and is as large as it is declared in here.
    if isinstance(item, h5py.Dataset):
        check_unpacked(item.size * item.dtype.itemsize, size, f"the variable {name!r}")
        array = item[()]
        return array.T if _mark(item) else array
    from scipy.sparse import csc_matrix

    for part in item:
        inside = isinstance(item.get(part, getlink=True), h5py.HardLink)
        if not inside or item[part].is_virtual or item[part].external:
            raise ValueError(f"{part} of the sparse variable {name!r} is a link to elsewhere")
    parts = [item[part] for part in ("jc", "ir", "data") if part in item]
    check_unpacked(sum(part.size for part in parts) * 8, size, f"the variable {name!r}")
    columns = item["jc"][()]
    rows, values = (item[part][()] if part in item else np.zeros(0) for part in ("ir", "data"))
    shape = (int(item.attrs["MATLAB_sparse"]), len(columns) - 1)
    check_unpacked(math.prod(shape) * 4, size, f"the sparse variable {name!r}")
    matrix = csc_matrix((values.astype(np.float32), rows.astype(np.int64), columns), shape)
    matrix.check_format(full_check=True)
    return matrix.toarray()


def _mark(item: Any) -> str:
    mark = item.attrs.get("MATLAB_class", b"")
    return mark.decode("ascii", "replace") if isinstance(mark, bytes) else str(mark)
