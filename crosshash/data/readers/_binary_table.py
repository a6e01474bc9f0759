"""Text files of 0 and 1, read in blocks; only the ones are kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_BLOCK = 1 << 23
_NEWLINE, _ONE = ord("\n"), ord("1")
_SPACES = b" \t\r\n"


class Ones:
    """Where the ones of a table (n, width) are.

    Args:
        counts: (n,) ones in each row.
        columns: Their columns, row after row, ascending in each.
    """

    def __init__(
        self, counts: npt.NDArray[np.int64], columns: npt.NDArray[np.signedinteger[Any]]
    ) -> None:
        self.counts = counts
        self.columns = columns

    def __len__(self) -> int:
        return len(self.counts)

    def join(self, words: list[str], rows: npt.NDArray[np.int64]) -> list[str]:
        """For each of the rows the words of its columns, one space between."""
        ends = np.cumsum(self.counts)
        flat = np.array(words, dtype=object)[self.columns].tolist()
        starts = (ends - self.counts)[rows].tolist()
        return [" ".join(flat[a:b]) for a, b in zip(starts, ends[rows].tolist(), strict=True)]


def read_ones(path: Path, width: int, what: str) -> Ones:
    """Read lines of ``width`` digits 0 or 1, with spaces or tabs between and at the end.

    Memory is that of a block and of the ones, whatever the size of the file. Blank lines are
    passed over.

    Args:
        path: The file; its lines end in LF or CRLF.
        width: Digits in a line.
        what: What the file is, for messages.

    Raises:
        FileNotFoundError: The file is missing.
        ValueError: A line has another number of digits, or something that is no 0 or 1.
    """
    counts = [np.zeros(0, dtype=np.int64)]
    columns = [np.zeros(0, dtype=np.int32)]
    line = 0
    try:
        for block in _blocks(path):
            ones, lines = _ones(block, width, path, line)
            line += lines
            counts.append(ones.counts)
            columns.append(ones.columns)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: {what} is missing") from None
    return Ones(np.concatenate(counts), np.concatenate(columns))


def _blocks(path: Path) -> Iterator[bytes]:
    """Whole lines, a few megabytes at a time."""
    rest = b""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            cut = block.rfind(b"\n") + 1
            if cut:
                yield rest + block[:cut]
                rest = block[cut:]
            else:
                rest += block
                if len(rest) > _BLOCK:
                    raise ValueError(f"{path}: no end of line in {len(rest):,} characters")
    if rest:
        yield rest + b"\n"


def _ones(block: bytes, width: int, path: Path, before: int) -> tuple[Ones, int]:
    """Ones of whole lines, and the number of lines."""
    characters = np.frombuffer(block, dtype=np.uint8)
    digits = (characters & 0xFE) == ord("0")  # "0" and "1" differ in the last bit
    ends = np.flatnonzero(characters == _NEWLINE)
    wrong = ~digits
    for space in _SPACES:
        wrong &= characters != space
    wrong[1:] |= digits[1:] & digits[:-1]  # such as 10 or 01
    if wrong.any():
        line = int(np.searchsorted(ends, np.flatnonzero(wrong)[0]))
        raise ValueError(
            f"{path}, line {before + line + 1}: values are 0 or 1 with spaces between, got "
            f"{_shown(block, ends, line)}"
        )
    held = np.diff(np.cumsum(digits, dtype=np.int32)[ends], prepend=0)
    uneven = np.flatnonzero((held != width) & (held != 0))
    if len(uneven):
        line = int(uneven[0])
        raise ValueError(
            f"{path}, line {before + line + 1}: {held[line]} values, expected {width}: "
            f"{_shown(block, ends, line)}"
        )
    places = np.flatnonzero(characters[digits] == _ONE)
    counts = np.bincount(places // width, minlength=int((held > 0).sum()))
    return Ones(counts.astype(np.int64), (places % width).astype(np.int32)), len(ends)


def _shown(block: bytes, ends: npt.NDArray[np.int64], line: int) -> str:
    start = int(ends[line - 1]) + 1 if line else 0
    text = block[start : int(ends[line])].decode("latin-1").strip()
    return repr(text if len(text) <= 40 else text[:40] + "…")
