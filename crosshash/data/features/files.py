"""Arrays by name in MATLAB, NumPy and safetensors files; nothing in a file is ever executed."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

NUMBERS = "numbers"
_HDF5 = b"\x89HDF\r\n\x1a\n"


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
        if self.kind != NUMBERS:
            raise ValueError(
                f"{self.path}: {self.name} is {self.kind}; only arrays of numbers are read: save "
                "the numbers alone, as .npy or .mat"
            )
        form = _format(self.path)
        array = np.asarray(_guarded(form, lambda: form.read(self.path, self.name), self.path))
        if array.shape != self.shape or array.dtype.kind not in "biuf":
            raise ValueError(
                f"{self.path}: {self.name} is {array.dtype} of shape {array.shape}; expected real "
                f"numbers of the shape that the file states, {self.shape}"
            )
        return array


def list_variables(path: str | Path) -> list[Variable]:
    """The arrays of a file, in its order; of each only name, shape and kind are read.

    Reads MATLAB files up to version 7 and of version 7.3, other HDF5 files, ``.npy``, ``.npz`` and
    ``.safetensors``. A variable that MATLAB wrote into an HDF5 file is stored with its axes
    reversed; they are put right. Arrays without MATLAB's mark, as h5py writes them, are as they
    are.

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: It is an HDF5 file, and h5py is not installed.
        ValueError: The format is not one of these, or the file is damaged.
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
    read: Callable[[Path, str], Any]


def _guarded(form: _Format, action: Callable[[], Any], path: Path) -> Any:
    try:
        return action()
    except (ImportError, MemoryError):
        raise
    except Exception as error:
        # The readers fail with many kinds of exception; all mean a damaged file here.
        raise ValueError(f"{path}: cannot be read as {form.title} ({error})") from error


def _format(path: Path) -> _Format:
    suffix = path.suffix.lower()
    if suffix in (".mat", ".h5", ".hdf5"):
        with path.open("rb") as file:
            start = file.read(520)
        if suffix != ".mat" or _HDF5 in (start[:8], start[512:]):
            return _Format("an HDF5 (MATLAB 7.3) file", _list_hdf5, _read_hdf5)
        return _Format("a MATLAB file", _list_matlab, _read_matlab)
    if suffix not in _BY_SUFFIX:
        raise ValueError(
            f"{path}: the format {suffix or 'without suffix'} is unknown; known: "
            f"{', '.join(sorted(SUFFIXES))}"
        )
    return _BY_SUFFIX[suffix]


# Up to version 7.


def _list_matlab(path: Path) -> list[Variable]:
    from scipy.io import whosmat

    _check_length(path)
    numbers = ("double", "single", "logical", "sparse")
    return [
        Variable(
            path,
            name,
            tuple(shape),
            NUMBERS if kind in numbers or kind.lstrip("u").startswith("int") else f"a {kind} array",
        )
        for name, shape, kind in whosmat(path)
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


def _read_matlab(path: Path, name: str) -> Any:
    from scipy.io import loadmat

    value = loadmat(path, variable_names=[name])[name]
    return value.astype(np.float32).toarray() if hasattr(value, "toarray") else value


# Version 7.3, and HDF5 in general.


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise ImportError(
            "MATLAB files of version 7.3 (HDF5) need h5py: pip install 'crosshash[matlab]' (or "
            "save them in MATLAB with '-v7')"
        ) from None
    return h5py


def _list_hdf5(path: Path) -> list[Variable]:
    h5py = _h5py()
    variables = []
    with h5py.File(path, "r") as file:
        for name in file:
            # A link into another file would read what the user has not named.
            link = file.get(name, getlink=True)
            if name.startswith("#"):
                continue  # where MATLAB keeps the contents of its cell arrays
            if not isinstance(link, h5py.HardLink):
                variables.append(Variable(path, name, (), "a link to elsewhere"))
                continue
            item = file[name]
            mark = _mark(item)
            if "MATLAB_sparse" in item.attrs and isinstance(item, h5py.Group):
                shape = (int(item.attrs["MATLAB_sparse"]), len(item["jc"]) - 1)
                variables.append(Variable(path, name, shape))
            elif not isinstance(item, h5py.Dataset):
                variables.append(Variable(path, name, (), f"a {mark or 'group'}"))
            elif "MATLAB_empty" in item.attrs or item.shape is None:
                variables.append(Variable(path, name, (0,), "an empty array"))
            elif item.is_virtual or item.external:
                variables.append(Variable(path, name, item.shape, "a link to elsewhere"))
            elif item.dtype.kind not in "biuf" or mark in ("char", "cell", "struct"):
                kind = f"a {mark or item.dtype} array"
                variables.append(Variable(path, name, item.shape, kind))
            else:
                variables.append(Variable(path, name, item.shape[::-1] if mark else item.shape))
    return variables


def _read_hdf5(path: Path, name: str) -> Any:
    h5py = _h5py()
    with h5py.File(path, "r") as file:
        item = file[name]
        if isinstance(item, h5py.Dataset):
            array = item[()]
            return array.T if _mark(item) else array
        from scipy.sparse import csc_matrix

        columns = item["jc"][()]
        rows, values = (item[part][()] if part in item else np.zeros(0) for part in ("ir", "data"))
        shape = (int(item.attrs["MATLAB_sparse"]), len(columns) - 1)
        matrix = csc_matrix((values.astype(np.float32), rows.astype(np.int64), columns), shape)
        matrix.check_format(full_check=True)
        return matrix.toarray()


def _mark(item: Any) -> str:
    mark = item.attrs.get("MATLAB_class", b"")
    return mark.decode("ascii", "replace") if isinstance(mark, bytes) else str(mark)


# NumPy and safetensors.


def _list_npy(path: Path) -> list[Variable]:
    with path.open("rb") as file:
        return [_header(path, path.stem, file)]


def _read_npy(path: Path, name: str) -> Any:
    # Mapped: what is too large for the memory is read row by row.
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _list_npz(path: Path) -> list[Variable]:
    variables = []
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            if member.endswith(".npy"):
                with archive.open(member) as file:
                    variables.append(_header(path, member[: -len(".npy")], file))
    return variables


def _read_npz(path: Path, name: str) -> Any:
    with np.load(path, allow_pickle=False) as archive:
        return archive[name]


def _header(path: Path, name: str, file: Any) -> Variable:
    version = np.lib.format.read_magic(file)
    # Versions 2 and 3 differ in the names of fields, which no array of numbers has.
    old = version == (1, 0)
    read: Any = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.kind in "biuf":
        return Variable(path, name, shape)
    kind = "pickled Python objects" if dtype.hasobject else f"an array of {dtype}"
    return Variable(path, name, shape, kind)


def _list_safetensors(path: Path) -> list[Variable]:
    from safetensors import safe_open

    variables = []
    with safe_open(path, framework="np") as file:
        for name in file.keys():  # noqa: SIM118 - it is no mapping
            part = file.get_slice(name)
            kind = part.get_dtype()
            known = kind == "BOOL" or (kind[0] in "IUF" and not kind.startswith("F8"))
            shape = tuple(part.get_shape())
            other = f"of the type {kind}, which NumPy does not have"
            variables.append(Variable(path, name, shape, NUMBERS if known else other))
    return variables


def _read_safetensors(path: Path, name: str) -> Any:
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        return file.get_tensor(name)


_BY_SUFFIX = {
    ".npy": _Format("a NumPy file", _list_npy, _read_npy),
    ".npz": _Format("a NumPy archive", _list_npz, _read_npz),
    ".safetensors": _Format("a safetensors file", _list_safetensors, _read_safetensors),
}
SUFFIXES = frozenset((".mat", ".h5", ".hdf5", *_BY_SUFFIX))
