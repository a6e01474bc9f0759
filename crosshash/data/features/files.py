"""Arrays by name in MATLAB, NumPy and safetensors files; nothing in a file is ever executed."""

from __future__ import annotations

import io
import math
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crosshash.data.features.hdf5 import list_hdf5, read_hdf5
from crosshash.matlab import list_matlab, read_matlab
from crosshash.tensor_header import read_entries
from crosshash.untrusted import check_unpacked

NUMBERS = "numbers"
_HDF5 = b"\x89HDF\r\n\x1a\n"
# NumPy takes headers of up to 10,000 characters; ten bytes or more stand before them.
_HEADER_BYTES = 12_000


@dataclass(frozen=True)
class Variable:
    """What a file says about one of its arrays, before it is read.

    Attributes:
        path: The file.
        name: Its name in the file; of a ``.npy`` file, the file's name without the suffix.
        shape: Its axes, as MATLAB and NumPy print them.
        kind: ``"numbers"``, or what else it is.
    """

    path: Path
    name: str
    shape: tuple[int, ...]
    kind: str = NUMBERS

    def __str__(self) -> str:
        shape = " × ".join(map(str, self.shape)) or "a single value"
        return f"{self.name} ({shape}{'' if self.kind == NUMBERS else ', ' + self.kind})"

    def read(self) -> npt.NDArray[Any]:
        """The array, dense, in the file's type; sparse matrices become ``float32``.

        Raises:
            ValueError: The file is damaged, or the variable is no array of numbers.
        """
        return read_variables([self])[0]


def read_variables(variables: Sequence[Variable]) -> list[npt.NDArray[Any]]:
    """The arrays of several variables, as :meth:`Variable.read` gives each; files are read once.

    Raises:
        ValueError: A file is damaged, or a variable is no array of numbers.
    """
    for item in variables:
        if item.kind != NUMBERS:
            raise ValueError(
                f"{item.path}: {item.name} is {item.kind}; only arrays of numbers are read: save "
                "the numbers alone, as .npy or .mat"
            )
    found: dict[Path, dict[str, Any]] = {}
    for path in dict.fromkeys(item.path for item in variables):
        names = [item.name for item in variables if item.path == path]
        found[path] = _read_file(path, names)
    arrays = []
    for item in variables:
        array = np.asarray(found[item.path][item.name])
        if array.shape != item.shape or array.dtype.kind not in "biuf":
            raise ValueError(
                f"{item.path}: {item.name} is {array.dtype} of shape {array.shape}; expected real "
                f"numbers of the shape that the file states, {item.shape}"
            )
        arrays.append(array)
    return arrays


def _read_file(path: Path, names: Sequence[str]) -> dict[str, Any]:
    form = _format(path)
    values: dict[str, Any] = _guarded(form, lambda: form.read(path, names), path)
    for name in names:
        if name not in values:
            raise ValueError(f"{path}: it lists {name} and does not have it; the file is damaged")
    return values


def list_variables(path: str | Path) -> list[Variable]:
    """The arrays of a file, in its order; of each only name, shape and kind are read.

    Reads MATLAB files up to version 7 and of version 7.3, other HDF5 files, ``.npy``, ``.npz`` and
    ``.safetensors``. A variable that MATLAB wrote into an HDF5 file is stored with its axes
    reversed; they are put right. Arrays without MATLAB's mark, as h5py writes them, are as they
    are.

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: It is an HDF5 file, and h5py is not installed.
        ValueError: The format is not one of these, the file is damaged, or it states sizes that are
            not its own.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    form = _format(path)
    found: list[Variable] = _guarded(form, lambda: form.list(path), path)
    return found


class _Format(NamedTuple):
    title: str
    list: Callable[[Path], list[Variable]]
    read: Callable[[Path, Sequence[str]], dict[str, Any]]


def _guarded(form: _Format, action: Callable[[], Any], path: Path) -> Any:
    try:
        return action()
    except ImportError:
        raise
    except MemoryError as error:
        raise ValueError(
            f"{path}: its arrays do not fit into the memory ({error}); save them in parts"
        ) from error
    except Exception as error:
        # The readers fail with many kinds of exception; all mean a damaged file here.
        raise ValueError(f"{path}: cannot be read as {form.title} ({error})") from error


def _format(path: Path) -> _Format:
    suffix = path.suffix.lower()
    if suffix in (".mat", ".h5", ".hdf5"):
        with path.open("rb") as file:
            start = file.read(520)
        if suffix != ".mat" or _HDF5 in (start[:8], start[512:]):
            return _Format("an HDF5 (MATLAB 7.3) file", _list_hdf5, read_hdf5)
        return _Format("a MATLAB file", _list_matlab, read_matlab)
    if suffix not in _BY_SUFFIX:
        raise ValueError(
            f"{path}: the format {suffix or 'without suffix'} is unknown; known: "
            f"{', '.join(sorted(SUFFIXES))}"
        )
    return _BY_SUFFIX[suffix]


# Up to version 7.


def _list_matlab(path: Path) -> list[Variable]:
    _check_length(path)
    numbers = ("double", "single", "logical", "sparse")
    return [
        Variable(
            path,
            name,
            shape,
            NUMBERS if kind in numbers or kind.lstrip("u").startswith("int") else f"a {kind} array",
        )
        for name, shape, kind in list_matlab(path)
    ]


def _check_length(path: Path) -> None:
    # whosmat jumps from one variable to the next and takes a file that was cut off for a whole one.
    with path.open("rb") as file:
        order = file.read(128)[126:]
        if order not in (b"IM", b"MI"):
            return  # of version 4, which has no such header
        end, size = 128, path.stat().st_size
        while end + 8 <= size:
            file.seek(end + 4)
            end += 8 + int.from_bytes(file.read(4), "little" if order == b"IM" else "big")
    if end != size:
        raise ValueError(f"the file has {size} bytes where its last variable needs {end}")


# Version 7.3, and HDF5 in general.


def _list_hdf5(path: Path) -> list[Variable]:
    return [Variable(path, name, shape, kind or NUMBERS) for name, shape, kind in list_hdf5(path)]


# NumPy and safetensors.


def _list_npy(path: Path) -> list[Variable]:
    with path.open("rb") as file:
        return [_header(path, path.stem, file, path.stat().st_size)]


def _read_npy(path: Path, names: Sequence[str]) -> dict[str, Any]:
    # Mapped: what is too large for the memory is read row by row.
    return {name: np.load(path, mmap_mode="r", allow_pickle=False) for name in names}


def _list_npz(path: Path) -> list[Variable]:
    with zipfile.ZipFile(path) as archive:
        members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        # Reading a member stops at the size that the archive states for it.
        stated = sum(info.file_size for info in members)
        check_unpacked(stated, path.stat().st_size, "the archive")
        for name, times in Counter(info.filename for info in members).items():
            if times > 1:
                raise ValueError(f"it has {name!r} twice")
        variables = []
        for info in members:
            with archive.open(info) as file:
                name = info.filename[: -len(".npy")]
                variables.append(_header(path, name, file, info.file_size))
    return variables


def _read_npz(path: Path, names: Sequence[str]) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in names}


def _header(path: Path, name: str, file: Any, size: int) -> Variable:
    """What the header of an array of ``size`` bytes says, compared with these."""
    start = io.BytesIO(file.read(_HEADER_BYTES))  # a header states its own length, up to 4 GB
    try:
        old = np.lib.format.read_magic(start) == (1, 0)
        # Versions 2 and 3 differ in the names of fields, which no array of numbers has.
        formats: Any = np.lib.format
        read = formats.read_array_header_1_0 if old else formats.read_array_header_2_0
        shape, _, dtype = read(start)
    except Exception as error:
        # NumPy has Python parse it, and lets through whatever that fails with.
        raise ValueError(
            f"the header of {name} is not a shape and a type in at most 10,000 characters"
        ) from error
    if dtype.kind not in "biuf":
        kind = "pickled Python objects" if dtype.hasobject else f"an array of {dtype}"
        return Variable(path, name, shape, kind)
    declared, there = math.prod(shape) * dtype.itemsize, size - start.tell()
    if declared != there or any(axis < 0 for axis in shape):
        raise ValueError(
            f"{name} is declared as {dtype} of shape {shape}, {declared:,} bytes, and has {there:,}"
        )
    return Variable(path, name, shape)


def _list_safetensors(path: Path) -> list[Variable]:
    variables = []
    for name, entry in read_entries(path).items():
        known = entry.kind == "BOOL" or (entry.kind[0] in "IUF" and not entry.kind.startswith("F8"))
        other = f"of the type {entry.kind}, which NumPy does not have"
        variables.append(Variable(path, name, entry.shape, NUMBERS if known else other))
    return variables


def _read_safetensors(path: Path, names: Sequence[str]) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        return {name: file.get_tensor(name) for name in names}


_BY_SUFFIX = {
    ".npy": _Format("a NumPy file", _list_npy, _read_npy),
    ".npz": _Format("a NumPy archive", _list_npz, _read_npz),
    ".safetensors": _Format("a safetensors file", _list_safetensors, _read_safetensors),
}
SUFFIXES = frozenset((".mat", ".h5", ".hdf5", *_BY_SUFFIX))
