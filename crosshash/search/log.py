"""The log of changes that are not in a segment yet: written before they are acknowledged."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from crosshash.codes import Packed
from crosshash.search.engine import CorruptIndexError
from crosshash.untrusted import parse_json

_HEAD = struct.Struct("<QI")  # bytes of a record, and their CRC-32
_MARK = b"crosshash-log-1\n"
_LONGEST = 1 << 32


@dataclass(frozen=True)
class Change:
    """Ids to take out, then items to add.

    Attributes:
        removed: Ids that are there.
        ids: Ids of the new items, n.
        codes: (n, k/8) packed.
        texts: n metadata as JSON, empty for none; None: no item has any.
    """

    removed: Sequence[str] = ()
    ids: Sequence[str] = ()
    codes: Packed | None = None
    texts: Sequence[bytes] | None = None


class Log:
    """A file of changes, each a record with its length and checksum.

    A record that was cut short, by a kill or as zeros by a loss of power, was not acknowledged: it
    is left out, and overwritten. One that is damaged otherwise is an error, since what follows
    would be lost.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: Any = None

    def read(self, width: int) -> Iterator[Change]:
        """Changes in order, of codes of ``width`` bytes; CorruptIndexError for a damaged one."""
        try:
            content = memoryview(self.path.read_bytes())
        except FileNotFoundError:
            return
        for start, stop in self._records(content):
            yield self._change(content[start:stop], width)

    def append(self, change: Change) -> None:
        """Write a change, to the disk; on an error what was written of it is taken back."""
        header: dict[str, Any] = {"removed": list(change.removed), "ids": list(change.ids)}
        if change.texts is not None:
            header["metadata"] = [text.decode("ascii") for text in change.texts]
        head = json.dumps(header).encode("ascii")
        codes = b"" if change.codes is None else change.codes.tobytes()
        payload = b"%d\n%b%b" % (len(head), head, codes)
        file = self._opened()
        end = file.tell()
        try:
            file.write(_HEAD.pack(len(payload), crc32(payload)) + payload)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            file.seek(end)
            file.truncate()
            raise

    def close(self) -> None:
        """Give the file back."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> Any:
        """The file, behind its last whole record."""
        if self._file is None:
            new = not self.path.exists()
            file = self.path.open("w+b" if new else "r+b", buffering=0)
            content = memoryview(file.read())
            if len(content) < len(_MARK):
                file.seek(0)
                file.write(_MARK)
                file.truncate()
            else:
                end = max((stop for _, stop in self._records(content)), default=len(_MARK))
                file.seek(end)
                file.truncate()
            os.fsync(file.fileno())
            if new:
                sync_folder(self.path.parent)
            self._file = file
        return self._file

    def _records(self, content: memoryview) -> Iterator[tuple[int, int]]:
        """Where the payload of each whole record begins and ends."""
        if bytes(content[: len(_MARK)]) != _MARK[: len(content)]:
            raise CorruptIndexError(self.path, "this is no log of a crosshash index")
        place = len(_MARK)
        while place + _HEAD.size <= len(content):
            length, checksum = _HEAD.unpack_from(content, place)
            start, stop = place + _HEAD.size, place + _HEAD.size + length
            if length > _LONGEST:
                raise CorruptIndexError(self.path, f"a record of {length} bytes at byte {place}")
            if not length or stop > len(content):
                return
            if crc32(content[start:stop]) != checksum:
                raise CorruptIndexError(self.path, f"the record at byte {place} is damaged")
            yield start, stop
            place = stop

    def _change(self, payload: memoryview, width: int) -> Change:
        try:
            digits = bytes(payload[:20]).split(b"\n", 1)[0]
            begin = len(digits) + 1
            end = begin + int(digits)
            header = parse_json(bytes(payload[begin:end]), self.path)
            ids, removed, texts = header["ids"], header["removed"], header.get("metadata")
            codes = np.frombuffer(payload[end:], dtype=np.uint8).reshape(len(ids), width)
            strings = [*ids, *removed, *(texts or [])]
            if not all(isinstance(one, str) for one in strings):
                raise ValueError("ids and metadata are texts")
            if texts is not None and len(texts) != len(ids):
                raise ValueError(f"{len(texts)} metadata of {len(ids)} items")
        except (ValueError, LookupError, TypeError) as error:
            raise CorruptIndexError(self.path, f"a record cannot be read ({error})") from error
        raw = None if texts is None else [text.encode("ascii") for text in texts]
        return Change(removed, ids, codes, raw)


def sync_folder(folder: Path) -> None:
    """Have the system write a folder's names to the disk, where it can."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
