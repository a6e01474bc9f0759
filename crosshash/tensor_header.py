"""The header of a safetensors file, read and compared with the bytes that are there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crosshash.untrusted import parse_json

HEADER_BYTES = 16 << 20
_AXES = 32
# Bytes of a number of each type; those of less than a byte are not read.
WIDTHS = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 8),
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A tensor as the header declares it: its type, such as ``"F32"``, and its axes."""

    kind: str
    shape: tuple[int, ...]


def read_entries(path: Path) -> dict[str, Entry]:
    """Names, types and shapes of a safetensors file, without its tensors.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The header is too large or damaged, or the file has not the bytes that its
            header declares; the message begins with the path.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 2 <= length <= min(HEADER_BYTES, size - 8):
            raise ValueError(
                f"{path}: its header of {length} bytes is not in a safetensors file of {size} "
                f"bytes (at most {HEADER_BYTES} are read)"
            )
        content = file.read(length)
    where = f"{path}: its header"
    entries = parse_json(content, where)
    if not isinstance(entries, dict):
        raise ValueError(f"{where} is no object, but {type(entries).__name__}")
    entries.pop("__metadata__", None)
    declared: dict[str, Entry] = {}
    total = 0
    for name, entry in entries.items():
        try:
            declared[name], count = _declared(entry)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{where} cannot be read at {name!r} ({error!r})") from None
        total += count
    if total != size - 8 - length:
        raise ValueError(
            f"{path}: its header declares {total} bytes of tensors, but {size - 8 - length} are "
            "there"
        )
    return declared


def _declared(entry: Mapping[str, Any]) -> tuple[Entry, int]:
    kind, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
    whole = all(type(number) is int and number >= 0 for number in (*shape, start, stop))
    if len(shape) > _AXES or not whole:
        raise ValueError(f"shape {shape[:_AXES]}, offsets {start} and {stop}")
    if math.prod(shape) * WIDTHS[kind] != stop - start:
        raise ValueError(f"shape {shape} does not take the bytes {start} to {stop}")
    return Entry(kind, tuple(shape)), stop - start
