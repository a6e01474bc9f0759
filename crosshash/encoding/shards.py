"""Tar shards in WebDataset's form, read in the order of the stream; nothing is ever extracted."""

from __future__ import annotations

import re
import struct
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from crosshash.encoding.items import (
    PICTURE_BYTES,
    TEXT_BYTES,
    Item,
    Kind,
    RejectedError,
    Source,
    checked_text,
    is_file,
    is_folder,
)
from crosshash.images import SUFFIXES

TAR = ".tar"
_COMPRESSED = (".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MOST_SHARDS = 1_000_000
# A name or an extended header may say that it is as large as the file, and would be read at once.
_HEADER_BYTES = 1 << 20
# What the reader of a damaged or hostile header fails with.
_DAMAGED = (tarfile.TarError, ValueError, OverflowError, LookupError, RecursionError, struct.error)


class TarShards(Source):
    """Pictures, or texts (``.txt``), of tar files in WebDataset's form.

    A member ``folder/0001.jpg`` has the key ``folder/0001``: its name up to the first dot of the
    last part. What follows that dot says what it is; other suffixes (``.json``, ``.seg.png``) are
    other parts of the sample, which are not read. The id is the key where there is one shard, and
    ``shard/key`` with the shard's name before ``.tar`` where there are several, since nothing keeps
    the same key out of two of them.

    Args:
        given: What the user named.
        paths: The shards, in the order in which they are read.
        kind: Whether pictures or texts are meant.

    Raises:
        FileNotFoundError: A shard is not there.
        ValueError: Two have the same name.
    """

    title = "tar shards"
    seen = True

    def __init__(self, given: Sequence[str], paths: Sequence[Path], kind: Kind) -> None:
        self.given = given
        self.paths = list(paths)
        self.kind = kind
        self.form = "pictures" if kind == "image" else "texts"
        for path in self.paths:
            if not path.is_file():
                raise FileNotFoundError(f"{path}: there is no such shard")
        name, count = Counter(path.stem for path in self.paths).most_common(1)[0]
        if count > 1:
            raise ValueError(
                f"{count} shards are named {name}{TAR}, and ids have the shard's name before the "
                "key; rename them, or encode them to folders of their own"
            )

    def __iter__(self) -> Iterator[Item]:
        for number, path in enumerate(self.paths):
            start = f"{path.stem}/" if len(self.paths) > 1 else ""
            try:
                for member in _members(path):
                    item = self._item(number, member, start)
                    if item is not None:
                        yield item
            except _DAMAGED as error:
                reason = f"the shard cannot be read on from here ({error})"
                yield Item(path.name, (number, -1, 0), reason)

    def read(self, item: Item) -> bytes | str:
        """The member's bytes, or its text.

        Raises:
            RejectedError: The file ends before it does; or a text is no UTF-8.
        """
        number, offset, size = item.place
        with self.paths[number].open("rb") as file:
            file.seek(offset)
            content = file.read(size)
        if len(content) < size:
            raise RejectedError(f"the shard ends after {len(content):,} of its {size:,} bytes")
        return content if self.kind == "image" else checked_text(content)

    def _item(self, number: int, member: tarfile.TarInfo, start: str) -> Item | None:
        folder, slash, name = member.name.rpartition("/")
        key, _, suffix = name.partition(".")
        wanted = SUFFIXES if self.kind == "image" else (".txt",)
        if f".{suffix.lower()}" not in wanted or member.isdir():
            return None
        most = PICTURE_BYTES if self.kind == "image" else TEXT_BYTES
        fault = ""
        if not member.isreg() or member.sparse is not None:
            fault = f"it is {_what(member)} in the tar file, which is not followed"
        elif member.size > most:
            fault = f"{member.size:,} bytes, and at most {most:,} are read"
        return Item(
            f"{start}{folder}{slash}{key}", (number, member.offset_data, member.size), fault
        )


def tar_paths(given: str, *, text: bool) -> list[Path] | None:
    """The shards that one argument names; None where it names none.

    Args:
        given: A ``.tar`` file, such names with braces (``a-{000..010}.tar``), or a folder of them.
        text: Texts are meant, so that pictures beside shards mean nothing.

    Raises:
        ValueError: They are compressed; the braces count down; or the folder has shards and
            pictures.
    """
    lower = given.lower()
    path = Path(given)
    if lower.endswith(_COMPRESSED):
        raise ValueError(
            f"{given}: a compressed tar file has no place from which to go on; unpack it to a .tar "
            "(as with gunzip), which pictures hardly lengthen"
        )
    if lower.endswith(TAR) and not is_folder(path):
        return [path] if is_file(path) else [Path(name) for name in _expanded(given)]
    if not is_folder(path):
        return None
    inside = sorted(path.iterdir(), key=lambda entry: entry.name)
    shards = [entry for entry in inside if entry.suffix.lower() == TAR and entry.is_file()]
    pictures = [entry for entry in inside if entry.suffix.lower() in SUFFIXES]
    if shards and pictures and not text:
        raise ValueError(
            f"{given} has shards ({shards[0].name}) and pictures ({pictures[0].name}); name the "
            "ones that are meant, or put them into folders of their own"
        )
    return shards or None


def _expanded(given: str) -> Iterator[str]:
    """``a-{08..10}.tar`` as ``a-08.tar``, ``a-09.tar``, ``a-10.tar``; several braces nest."""
    found = _BRACES.search(given)
    if found is None:
        yield given
        return
    first, last = found[1], found[2]
    if not 0 <= int(last) - int(first) < _MOST_SHARDS:
        raise ValueError(
            f"{given}: {found[0]} is from {int(first):,} to {int(last):,}; write the smaller "
            f"number first, and name at most {_MOST_SHARDS:,} shards"
        )
    width = len(first) if first.startswith("0") else 0
    for number in range(int(first), int(last) + 1):
        yield from _expanded(f"{given[: found.start()]}{number:0{width}}{given[found.end() :]}")


class _Bounded:
    """A file of which no header can read without end."""

    def __init__(self, file: IO[bytes]) -> None:
        self.seek, self.tell = file.seek, file.tell
        self._file = file

    def read(self, size: int) -> bytes:
        if size > _HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self._file.read(max(size, 0))


def _members(path: Path) -> Iterator[tarfile.TarInfo]:
    """A tar file's members, in order.

    Raises:
        tarfile.TarError: It is damaged, as where the reader would take that for its end.
    """
    with path.open("rb") as file:
        source: Any = _Bounded(file)
        with tarfile.open(fileobj=source, mode="r:") as opened:
            tar: Any = opened
            before = -1
            while (member := tar.next()) is not None:
                if tar.offset <= before or member.size < 0:
                    raise tarfile.ReadError(f"the entry {member.name!r} goes backwards")
                before = tar.offset
                yield member
                tar.members.clear()  # else it remembers them all
            end = tar.offset
        file.seek(end)
        if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
            raise tarfile.ReadError(f"no entry is at byte {end:,}, where one should be")


def _what(member: tarfile.TarInfo) -> str:
    if member.issym() or member.islnk():
        return f"a link to {member.linkname}"
    if member.isfifo():
        return "a pipe"
    return "a device" if member.isdev() else "no plain file"
