"""Pictures of items, scaled down: from below one folder only, wherever links lead."""

from __future__ import annotations

import os
from functools import lru_cache
from io import BytesIO
from pathlib import Path

from PIL import Image as PILImage

from crosshash.images import ImageFiles
from crosshash.serve.errors import Refused
from crosshash.stored_picture import check_regular

SIZES = (32, 1280)
"""Smallest and largest longer side of a picture that is asked for, in pixels."""
KEPT = 1_000
"""Scaled pictures that are kept in memory, of some 20 kB each."""

# What Pillow and our own reading raise on a file that is no picture, or too large a one.
_UNREADABLE = (OSError, SyntaxError, ValueError, PILImage.DecompressionBombError)


class Pictures:
    """Scales the pictures to which ids lead, without what cameras write beside the pixels.

    An id is a path as ``crosshash index`` writes it, from the folder in which the service was
    started or, where there is no such file, from ``root``.

    Args:
        root: The folder; None: no picture is shown.
        max_pixels: Of a file.
    """

    def __init__(self, root: Path | None, max_pixels: int) -> None:
        self._root = None if root is None else root.resolve()
        self._max_pixels = max_pixels
        self._scaled = lru_cache(maxsize=KEPT)(self._scale)

    def read(self, id_: str, size: int) -> bytes:
        """A JPEG file of at most ``size`` pixels a side; 404 where none may be shown."""
        path = self._find(id_)
        if path is None:
            raise Refused(404, "this item has no picture that is shown here")
        try:
            stat = path.stat()
            return self._scaled(path, stat.st_mtime_ns, stat.st_size, size)
        except _UNREADABLE:
            raise Refused(404, "the item's picture cannot be read") from None

    def _find(self, id_: str) -> Path | None:
        """The file itself, without links, if it is below the folder."""
        if self._root is None:
            return None
        for start in ("", str(self._root)):
            try:
                path = Path(os.path.realpath(os.path.join(start, id_)))  # noqa: PTH118
                if path.is_relative_to(self._root) and path.is_file():
                    return path
            except (OSError, ValueError):  # a name that is too long, or has a zero byte
                continue
        return None

    def _scale(self, path: Path, _modified: int, _bytes: int, size: int) -> bytes:
        check_regular(path, path.name)
        with PILImage.open(path) as image:
            pixels = image.width * image.height
        if pixels > self._max_pixels:
            raise Refused(404, f"the item's picture has more than {self._max_pixels:,} pixels")
        picture = ImageFiles([path]).open(0, size=(size, size)).copy()
        picture.thumbnail((size, size), PILImage.Resampling.LANCZOS)
        buffer = BytesIO()
        picture.info = {}
        picture.save(buffer, "JPEG", quality=85, optimize=True, progressive=True)
        return buffer.getvalue()
