"""Append-only safetensors shards: tensors found by the digests of what they were computed from."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from crosshash.files import atomic_file

Chunks = Iterator[Mapping[str, Tensor]]
Write = Callable[[list[bytes], Mapping[str, Tensor]], None]
DIGEST_BYTES = 32  # SHA-256
_KEYS = "keys"


class Rows:
    """Tensors of n rows that are filled piece by piece; maps of texts get the longest's length.

    Args:
        count: n.
    """

    def __init__(self, count: int) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._filled = torch.zeros(count, dtype=torch.bool)

    def put(self, places: Sequence[int], tensors: Mapping[str, Tensor]) -> None:
        """Fill the rows at ``places`` from tensors with as many rows."""
        rows = torch.tensor(places, dtype=torch.int64)
        for name, part in tensors.items():
            if name not in self.tensors:
                shape = (len(self._filled), *part.shape[1:])
                self.tensors[name] = torch.empty(shape, dtype=part.dtype)
            self.tensors[name], part = _of_one_length([self.tensors[name], part])
            self.tensors[name][rows] = part
        self._filled[rows] = True

    def missing(self) -> list[int]:
        """Rows not filled yet, in order."""
        found: list[int] = torch.nonzero(~self._filled)[:, 0].tolist()
        return found


class Shards:
    """The safetensors files of one encoder: digests (m, 32) beside tensors of m rows.

    Args:
        folder: Where they are; made when the first is written.
        names: The tensors to read and write. Files with more are read too.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder = folder
        self.names = tuple(names)

    def read(self, rows: Mapping[bytes, int]) -> Iterator[tuple[list[int], dict[str, Tensor]]]:
        """Rows that are stored: their places, and the tensors. Broken shards are set aside."""
        from safetensors import SafetensorError

        left = dict(rows)
        for path in sorted(self.folder.glob("*.safetensors")):
            if not left:
                return
            try:
                found = self._read_one(path, left)
            except FileNotFoundError:  # another process has set it aside
                continue
            except (SafetensorError, ValueError) as error:
                aside = path.with_suffix(".corrupt")
                with suppress(FileNotFoundError):
                    path.replace(aside)
                warnings.warn(
                    f"a shard of the feature cache is broken ({error}); it is now {aside} and its "
                    "features are computed again",
                    RuntimeWarning,
                    stacklevel=4,
                )
                continue
            if found is not None:
                yield found

    def _read_one(
        self, path: Path, left: dict[bytes, int]
    ) -> tuple[list[int], dict[str, Tensor]] | None:
        from safetensors import safe_open

        with safe_open(path, "pt") as file:
            if not set(self.names) <= set(file.keys()):
                return None  # a shard without the map, say
            digests = [row.tobytes() for row in _verified(file, _KEYS).numpy()]
            inside = [row for row, digest in enumerate(digests) if digest in left]
            if not inside:
                return None
            tensors = {name: _verified(file, name)[inside] for name in self.names}
        # Taken out of what is left, since two processes may have stored the same item.
        return [left.pop(digests[row]) for row in inside], tensors

    @contextmanager
    def writing(self, most_items: int, most_bytes: int) -> Iterator[Write]:
        """Yield a function that stores rows; what it holds at the end, or an error, is written."""
        digests: list[bytes] = []
        held: list[Mapping[str, Tensor]] = []
        size = 0

        def flush() -> None:
            nonlocal size
            if digests:
                tensors = {
                    name: torch.cat(_of_one_length([part[name] for part in held]))
                    for name in self.names
                }
                self._save(digests, tensors)
            digests.clear()
            held.clear()
            size = 0

        def write(keys: list[bytes], tensors: Mapping[str, Tensor]) -> None:
            nonlocal size
            whole = ~torch.isnan(tensors[self.names[0]]).flatten(1).any(dim=1)
            digests.extend(key for key, ok in zip(keys, whole.tolist(), strict=True) if ok)
            held.append({name: tensors[name][whole] for name in self.names})
            size += sum(part.nbytes for part in held[-1].values())
            if len(digests) >= most_items or size >= most_bytes:
                flush()

        try:
            yield write
        finally:
            flush()

    def _save(self, digests: list[bytes], tensors: dict[str, Tensor]) -> None:
        from safetensors.torch import save_file

        keys = torch.frombuffer(bytearray(b"".join(digests)), dtype=torch.uint8)
        content = {_KEYS: keys.reshape(-1, DIGEST_BYTES), **tensors}
        sums = {name: _checksum(tensor) for name, tensor in content.items()}
        label = hashlib.sha256("".join(f"{n}{sums[n]}" for n in sorted(sums)).encode()).hexdigest()
        with atomic_file(self.folder / f"{label[:32]}.safetensors") as path:
            save_file(content, path, metadata=sums)


def _of_one_length(parts: Sequence[Tensor]) -> list[Tensor]:
    """Maps of texts (n, c, 1, l) with zeros up to the longest; other tensors as they are."""
    if any(part.ndim != 4 or part.shape[2] != 1 for part in parts):
        return list(parts)
    longest = max(part.shape[3] for part in parts)
    return [
        functional.pad(part, (0, longest - part.shape[3])) if part.shape[3] < longest else part
        for part in parts
    ]


def cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """The tensor on the CPU in another floating type.

    Raises:
        ValueError: A value is too large for the type.
    """
    cast = tensor.to("cpu", dtype)
    if bool(torch.isinf(cast).any()):
        raise ValueError(f"features overflow {dtype}; use FeatureCache(dtype=torch.float32)")
    return cast.contiguous()


def _verified(file: Any, name: str) -> Tensor:
    tensor: Tensor = file.get_tensor(name)
    if (file.metadata() or {}).get(name) != _checksum(tensor):
        raise ValueError(f"the checksum of {name!r} is wrong")
    return tensor


def _checksum(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.reshape(-1).view(torch.uint8).numpy().data).hexdigest()
