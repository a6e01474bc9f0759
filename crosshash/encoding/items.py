"""What is encoded: items that a source names in order, and reads when their turn comes."""

from __future__ import annotations

import errno
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy.typing as npt
from PIL import Image as PILImage

from crosshash.images import CorruptImageError, ImageSource
from crosshash.stored_picture import decode, digest

Kind = Literal["image", "text"]
# Of one text, and of one picture's file: more is taken for a mistake, and rejected unread.
TEXT_BYTES = 1 << 20
PICTURE_BYTES = 256 << 20
# Of the disk, the network or the process, and none of the picture's; not every system has them all.
_PASSING = (
    "EIO ESTALE ETIMEDOUT ENOTCONN EHOSTDOWN ENETDOWN ENETUNREACH EREMOTEIO EMFILE ENFILE ENOMEM"
)


class RejectedError(ValueError):
    """An item that cannot be encoded, while the others can; the message is the reason."""


class Item(NamedTuple):
    """One thing to encode.

    Attributes:
        id: What the codes' folder calls it.
        place: Where its source finds it. Its ``repr`` is the same whenever the source is, since it
            is part of what tells a changed source.
        fault: Why it cannot be encoded, where that is seen before it is read.
    """

    id: str
    place: Any
    fault: str = ""


class Source(ABC):
    """Items in a fixed order, named without being read.

    Attributes:
        kind: What the codes are of.
        form: What :meth:`read` gives.
        title: What it is called in ``codes.json``: "tar shards".
        given: What the user named.
        seen: Whether the items' files were there when they were listed, so that one that is gone
            is no corrupt input.
    """

    kind: Kind
    form: Literal["pictures", "texts", "vectors"]
    title: str
    given: Sequence[str]
    seen: bool = False

    @abstractmethod
    def __iter__(self) -> Iterator[Item]:
        """All items, the same ones in the same order each time; memory does not grow with them."""

    @abstractmethod
    def read(self, item: Item) -> Any:
        """A picture's file, as its path or its bytes; or a text.

        Raises:
            RejectedError: It cannot be read; says why.
        """

    def rows(self, items: Sequence[Item]) -> npt.NDArray[Any]:
        """The vectors (n, d) of some items, where ``form`` is ``"vectors"``."""
        raise TypeError(f"{self.title} hold no vectors")

    def stamp(self) -> str:
        """What changes with the source, besides its items."""
        return ""

    def __str__(self) -> str:
        more = ", …" if len(self.given) > 3 else ""
        return f"{', '.join(self.given[:3])}{more} ({self.title})"

    def describe(self) -> dict[str, Any]:
        """For ``codes.json``: what it is and what it was called by."""
        return {"what": self.title, "given": list(self.given)}


class Pictures(ImageSource):
    """Some items of a source as pictures; whatever is wrong with one is a corrupt picture's error.

    Args:
        source: Its ``form`` is ``"pictures"``.
        items: Those without a fault.
    """

    def __init__(self, source: Source, items: Sequence[Item]) -> None:
        self.source = source
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def open(self, index: int, *, size: tuple[int, int] | None = None) -> PILImage.Image:
        """The picture in RGB, upright and on white.

        Raises:
            CorruptImageError: It cannot be decoded; or it is not there, in a list.
            OSError: The disk failed or went away, so that nothing is known of the picture.
        """
        name = self.name(index)
        try:
            return decode(self._stored(index), name, size)
        except FileNotFoundError:
            if self.source.seen:  # else all the rest is rejected when a disk goes away
                raise FileNotFoundError(
                    f"{name} was there when {self.source.title} were listed, and is gone; run the "
                    "same command again or, if it is to be gone, encode to a new folder"
                ) from None
            raise CorruptImageError(name, "there is no such file") from None
        except CorruptImageError as error:
            cause = error.__cause__
            if isinstance(cause, OSError) and _is_passing(cause):
                raise cause from None
            raise

    def digest(self, index: int) -> bytes:
        """SHA-256 of the file's bytes, or of its name where :meth:`open` will refuse it."""
        name = self.name(index)
        try:
            return digest(self._stored(index), name)
        except (CorruptImageError, FileNotFoundError):
            return hashlib.sha256(name.encode()).digest()

    def name(self, index: int) -> str:
        """The item's id."""
        return self.items[index].id

    def _stored(self, index: int) -> bytes | Path:
        item = self.items[index]
        try:
            stored: bytes | Path = self.source.read(item)
        except RejectedError as error:
            raise CorruptImageError(item.id, str(error)) from None
        return stored


def _is_passing(error: OSError) -> bool:
    return errno.errorcode.get(error.errno or 0) in _PASSING.split()


def checked_text(value: Any) -> str:
    """A text that a source found, from UTF-8 bytes or a string.

    Raises:
        RejectedError: It is none, or too long.
    """
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise RejectedError(f"it is no UTF-8 ({error.reason} at byte {error.start})") from None
    if not isinstance(value, str):
        what = "nothing" if value is None else f"a {type(value).__name__}"
        raise RejectedError(f"there is {what} in place of a text")
    if len(value) > TEXT_BYTES:
        raise RejectedError(f"{len(value):,} characters, and at most {TEXT_BYTES:,} are read")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RejectedError(f"it is no valid Unicode, at character {error.start}") from None
    return value


def is_file(name: str | Path) -> bool:
    """Whether it is a file's path; a text, which may be too long for one, is none."""
    return _is(Path(name).is_file)


def is_folder(name: str | Path) -> bool:
    """Whether it is a folder's path; a text, which may be too long for one, is none."""
    return _is(Path(name).is_dir)


def _is(asked: Callable[[], bool]) -> bool:
    try:
        return asked()
    except OSError:
        return False
