"""MATLAB files up to version 7, read in a process of their own, which a bad file may end.

scipy's reader follows what a file says of itself in compiled code. A crafted file can make it write
outside of its memory; here that is the memory of a process that has nothing else in it.
"""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from crosshash.untrusted import DEPTH, check_unpacked, unpacked_limit

Array = npt.NDArray[Any]
_NUMBERS = "biufc"
# What the reader needs beside what the file holds: its own libraries, and copies on the way.
_SPARE_BYTES = 1 << 30
_COPIES = 3


class MatlabVersionError(ValueError):
    """The file is of version 7.3, which is HDF5."""


def list_matlab(path: Path) -> list[tuple[str, tuple[int, ...], str]]:
    """Name, shape and MATLAB's class of each variable, in the file's order.

    Raises:
        MatlabVersionError: The file is of version 7.3.
        ValueError: It is damaged; what is wrong, without the file's name.
    """
    with _reader(path, None) as (found, _):
        return [(str(name), tuple(map(int, shape)), str(kind)) for name, shape, kind in found]


def read_matlab(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """The variables of those names that the file has.

    Numbers and booleans are arrays in the file's type, sparse matrices dense ``float32``, texts
    strings (of several rows, the first), cell arrays lists, and struct arrays lists of
    dictionaries. What else MATLAB has is None.

    Raises:
        MatlabVersionError: The file is of version 7.3.
        ValueError: It is damaged, or would take far more memory than it is large; what is wrong,
            without the file's name.
    """
    with _reader(path, names) as (found, stream):
        arrays = [_receive(stream, *header) for header in found["arrays"]]
        return {str(name): _rebuilt(value, arrays) for name, value in found["values"].items()}


@contextmanager
def _reader(path: Path, names: Sequence[str] | None) -> Iterator[tuple[Any, IO[bytes]]]:
    """The answer of a process that reads the file, and the stream of the arrays after it."""
    # It imports from where this process does, and not from the folder it happens to be in.
    code = f"import sys; sys.path[:] = {sys.path!r}; from crosshash.matlab import serve; serve()"
    request = json.dumps({"path": str(path.absolute()), "names": names})
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=told,
        )
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            with stdin:
                stdin.write(request.encode("ascii"))
            answer = json.loads(stdout.readline())
            if "error" in answer:
                kind = MatlabVersionError if answer["version"] else ValueError
                raise kind(answer["error"])
            yield answer["found"], stdout
        except (json.JSONDecodeError, EOFError, BrokenPipeError):
            told.seek(0)
            raise ValueError(_end_of(process.wait(), told.read())) from None
        finally:
            process.kill()
            stdout.close()
            process.wait()


def _end_of(status: int, told: bytes) -> str:
    last = (told.decode("utf-8", "replace").strip().splitlines() or [""])[-1]
    if status >= 0:
        return f"its reader ended with status {status}: {last}"
    name = signal.Signals(-status).name
    return (
        f"its reader was ended by {name}: the file is damaged, was made to do harm, or is too "
        "large for the memory; save it anew, or its numbers alone as .npy"
    )


def _receive(stream: IO[bytes], kind: str, shape: Sequence[int], order: Any) -> Array:
    array: Array = np.empty(tuple(shape), np.dtype(kind), order)
    if array.size:
        left = _bytes_of(array)
        while left:
            count = stream.readinto(left)  # type: ignore[attr-defined]
            if not count:
                raise EOFError
            left = left[count:]
    return array


def _bytes_of(array: Array) -> memoryview:
    """The memory of an array that is contiguous in either order, and not empty."""
    rows: Any = array if array.flags.c_contiguous else array.T
    return memoryview(rows).cast("B")


def _rebuilt(value: Any, arrays: Sequence[Array]) -> Any:
    if isinstance(value, list):
        return [_rebuilt(entry, arrays) for entry in value]
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return arrays[value["array"]]
    return {name: _rebuilt(entry, arrays) for name, entry in value["record"].items()}


# In the process that reads


def serve() -> None:
    """Answer the request on standard input: a line of JSON, and the bytes of the arrays after it.

    Called in a process of its own. Errors are told in the answer; what ends the process is not.
    """
    import os

    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no part of the answer
    _respond(json.load(sys.stdin), out)


def _respond(request: dict[str, Any], out: IO[bytes]) -> None:
    arrays: list[Array] = []
    try:
        answer: dict[str, Any] = {"found": _answer(Path(request["path"]), request["names"], arrays)}
    except NotImplementedError as error:  # scipy's, of version 7.3
        answer = {"error": str(error), "version": True}
    except MemoryError:
        told = "it takes far more memory than a file of its size should"
        answer = {"error": told, "version": False}
    except Exception as error:  # noqa: BLE001  (scipy fails with many kinds; all are told)
        answer = {"error": str(error) or type(error).__name__, "version": False}
    out.write(json.dumps(answer).encode("ascii") + b"\n")
    for array in arrays if "found" in answer else ():
        if array.size:
            out.write(_bytes_of(array))
    out.flush()


def _answer(path: Path, names: Sequence[str] | None, arrays: list[Array]) -> Any:
    from scipy.io import loadmat, whosmat

    size = path.stat().st_size
    _limit_memory(_COPIES * unpacked_limit(size) + _SPARE_BYTES)
    listed = whosmat(path, appendmat=False)
    if names is None:
        return listed
    for name, shape, kind in listed:
        if name in names:
            width = 4 if kind in ("single", "sparse", "int32", "uint32") else 8
            width = 1 if kind in ("int8", "uint8", "logical", "char") else width
            check_unpacked(math.prod(shape) * width, size, f"the variable {name!r}")
    loaded = loadmat(path, appendmat=False, variable_names=list(names))
    values = {name: _plain(loaded[name], arrays) for name in names if name in loaded}
    headers = [(a.dtype.str, a.shape, "C" if a.flags.c_contiguous else "F") for a in arrays]
    return {"values": values, "arrays": headers}


def _limit_memory(size: int) -> None:
    """Let the process take ``size`` bytes more than it has, where the system can be told so."""
    try:
        import resource
    except ImportError:  # Windows
        return
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        pages = 0
    most = pages * resource.getpagesize() + size
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or most < hard:
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def _plain(value: Any, arrays: list[Array], depth: int = 0) -> Any:
    """A value of scipy's as JSON, its arrays put aside; nothing in it is followed unchecked."""
    if depth > DEPTH:
        raise ValueError(f"cells and structs are nested deeper than {DEPTH}")
    if hasattr(value, "toarray"):
        value = _dense(value)
    if not isinstance(value, np.ndarray):
        return None
    if value.dtype.kind == "U":
        return str(value.ravel()[0]) if value.size else ""
    if value.dtype.names:
        return [
            {"record": {n: _plain(entry[n], arrays, depth + 1) for n in value.dtype.names}}
            for entry in value.ravel()
        ]
    if value.dtype.kind == "O":
        return [_plain(entry, arrays, depth + 1) for entry in value.ravel()]
    if value.dtype.kind not in _NUMBERS:
        return None
    contiguous = value.flags.c_contiguous or value.flags.f_contiguous
    arrays.append(value if contiguous else np.ascontiguousarray(value))
    return {"array": len(arrays) - 1}


def _dense(matrix: Any) -> Array:
    """A sparse matrix as ``float32``, its indices checked first: scipy takes them as they are."""
    compressed = matrix.tocsc() if matrix.format == "coo" else matrix
    compressed.check_format(full_check=True)
    dense: Array = compressed.astype(np.float32).toarray()
    return dense
