"""One stored picture, a file or a file's bytes: what is refused unopened, and how it is decoded."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from filelock import FileLock
from PIL import Image as PILImage
from PIL import UnidentifiedImageError

from crosshash.files import sha256
from crosshash.rgb import is_sideways, to_rgb

LARGE = 16_000_000  # pixels; some 50 MB in RGB, and up to 200 MB while they are decoded
# Not pixels: EPS runs Ghostscript, WMF asks the system to draw.
_PROGRAMS = ("EPS", "WMF")
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)


class CorruptImageError(ValueError):
    """A file that is there but cannot be decoded as a picture.

    Attributes:
        name: Which one.
        reason: Why, as the decoder says it.
        hint: What to do about it; whoever offers a way of leaving pictures out names it here.
    """

    def __init__(self, name: str, reason: str, hint: str = "") -> None:
        super().__init__(name, reason, hint)
        self.name = name
        self.reason = reason
        self.hint = hint or "replace or remove it, or leave such pictures out"

    def __str__(self) -> str:
        return f"{self.name}: cannot be read as an image ({self.reason}); {self.hint}"


def decode(stored: bytes | Path, name: str, size: tuple[int, int] | None) -> PILImage.Image:
    """The picture in RGB, upright and on white (:func:`crosshash.rgb.to_rgb`).

    Args:
        stored: A file's bytes, or its path.
        name: What errors call it.
        size: Width and height, of the upright picture, below which it need not be: a JPEG file is
            decoded at a half, a quarter or an eighth where that is no smaller; another of more than
            16 million pixels is reduced by a whole number at once.

    Raises:
        FileNotFoundError: The file is not there.
        CorruptImageError: It is no regular file, or no whole picture, or has more pixels, after
            the scaling, than ``PIL.Image.MAX_IMAGE_PIXELS``.
    """
    if isinstance(stored, Path):
        check_regular(stored, name)
    try:
        with PILImage.open(BytesIO(stored) if isinstance(stored, bytes) else stored) as image:
            if image.format in _PROGRAMS:
                raise ValueError(f"{image.format} is drawn by other programs, which are not run")
            if size is not None:
                # Does nothing where the file is no JPEG.
                image.draft("RGB", size[::-1] if is_sideways(image) else size)
            limit = PILImage.MAX_IMAGE_PIXELS
            if limit is not None and image.width * image.height > limit:
                raise ValueError(_too_many(f"{image.width} x {image.height} pixels are", limit))
            with _turn(image.width * image.height) as large:
                picture = to_rgb(image)
                if large and size is not None:
                    factor = min(picture.width // size[0], picture.height // size[1])
                    picture = picture.reduce(factor) if factor > 1 else picture
            return picture
    except FileNotFoundError:
        raise FileNotFoundError(f"{name}: no such image file") from None
    except UnidentifiedImageError as error:
        raise CorruptImageError(name, "it is in no known format") from error
    except PILImage.DecompressionBombError as error:  # Pillow's own limit, before any scaling
        limit = 2 * (PILImage.MAX_IMAGE_PIXELS or 0)
        raise CorruptImageError(name, _too_many("its pixels are", limit)) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise CorruptImageError(name, str(error)) from error


@contextmanager
def _turn(pixels: int) -> Iterator[bool]:
    """Wait until no other thread or process of this user decodes a large picture; whether this is.

    With many workers, a folder of large pictures would otherwise take all memory.
    """
    if pixels <= LARGE:
        yield False
        return
    user = os.getuid() if hasattr(os, "getuid") else ""
    with FileLock(Path(tempfile.gettempdir()) / f"crosshash-{user}-large-picture.lock"):
        yield True


def _too_many(what: str, limit: int) -> str:
    return f"{what} more than {limit:,}; scale it down, or raise PIL.Image.MAX_IMAGE_PIXELS"


def digest(stored: bytes | Path, name: str) -> bytes:
    """SHA-256 of the file's bytes; raises as :func:`decode` for what is no file."""
    if isinstance(stored, bytes):
        return hashlib.sha256(stored).digest()
    check_regular(stored, name)
    return bytes.fromhex(sha256(stored))


def check_regular(path: Path, name: str) -> None:
    """Refuse what would block or never end when it is opened, without opening it.

    Raises:
        FileNotFoundError: There is nothing.
        CorruptImageError: It is a folder, a pipe, a socket, a device or a link to nothing.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if path.is_symlink():
            gone = f"it is a link to {path.readlink()}, which is not there"
            raise CorruptImageError(name, gone) from None
        raise FileNotFoundError(f"{name}: no such image file") from None
    except (OSError, ValueError) as error:  # a circle of links, a name that is too long
        raise CorruptImageError(name, str(error)) from error
    if not stat.S_ISREG(mode):
        kind = next((kind for is_kind, kind in _KINDS if is_kind(mode)), "a device")
        raise CorruptImageError(name, f"it is {kind}, not a file")
