"""Sources that need no list: picture files and folders, texts, and a file of vectors."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crosshash.data.features.vectors import read_vectors
from crosshash.encoding.items import Item, Kind, Source
from crosshash.images import SUFFIXES, ImageFiles

_SAMPLED = 1000


class PictureFiles(Source):
    """Picture files, and all below folders in the order of their names; ids are their paths.

    Raises:
        FileNotFoundError: A path is not there.
        ValueError: One is an address.
    """

    kind: Kind = "image"
    form = "pictures"
    title = "picture files"
    seen = True

    def __init__(self, given: Sequence[str]) -> None:
        self.given = given
        self.paths = ImageFiles(given).paths
        for path in self.paths:
            if not path.exists() and not path.is_symlink():
                raise FileNotFoundError(f"{path}: no such file or folder")

    def __iter__(self) -> Iterator[Item]:
        for path in self.paths:
            if path.is_dir():
                yield from _below(str(path))
            else:
                yield _file(str(path))

    def read(self, item: Item) -> Path:
        """The picture's path."""
        return Path(item.id)


class Texts(Source):
    """Texts as they are; ids too, as in a ``.npz`` file of codes."""

    kind: Kind = "text"
    form = "texts"
    title = "texts"

    def __init__(self, given: Sequence[str]) -> None:
        self.given = given

    def __iter__(self) -> Iterator[Item]:
        return (Item(text, number) for number, text in enumerate(self.given))

    def read(self, item: Item) -> str:
        """The text."""
        return self.given[int(item.place)]

    def describe(self) -> dict[str, Any]:
        """Without the texts themselves, which are the ids."""
        return {"what": self.title, "given": []}


class Vectors(Source):
    """Rows of a file, as :func:`~crosshash.data.read_vectors` takes it; ids are their numbers."""

    form = "vectors"
    title = "vectors"

    def __init__(self, given: str, kind: Kind) -> None:
        self.given = [given]
        self.kind = kind
        self.array = read_vectors(given, given)
        if self.array.ndim != 2:
            raise ValueError(f"{given}: vectors are rows (n, d), got the shape {self.array.shape}")

    def __iter__(self) -> Iterator[Item]:
        return (Item(str(row), row) for row in range(len(self.array)))

    def read(self, item: Item) -> Any:
        """The row itself."""
        return self.array[item.place]

    def rows(self, items: Sequence[Item]) -> npt.NDArray[Any]:
        """Vectors (n, d), ``float32`` where they are whole numbers."""
        found = np.asarray(self.array[[item.place for item in items]])
        return found if found.dtype.kind == "f" else found.astype(np.float32)

    def stamp(self) -> str:
        """Shape, type and a digest of a thousand rows: all would take as long as encoding them."""
        count, width = self.array.shape
        rows = np.unique(np.linspace(0, max(count - 1, 0), min(_SAMPLED, count)).astype(np.int64))
        seen = np.ascontiguousarray(self.array[rows])
        return f"{count} {width} {seen.dtype} {hashlib.sha256(seen.tobytes()).hexdigest()}"


def _below(folder: str) -> Iterator[Item]:
    """Pictures below a folder, depth first, each folder in the order of names."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        # No Path, of which a million are slow; spelled as one all the same.
        path = entry.name if folder == "." else os.path.join(folder, entry.name)  # noqa: PTH118
        if entry.is_dir(follow_symlinks=False):
            yield from _below(path)
        elif os.path.splitext(entry.name)[1].lower() in SUFFIXES and not entry.is_dir():  # noqa: PTH122
            yield _file(path)


def _file(path: str) -> Item:
    """A file by its path and size, by which a changed one is told."""
    try:
        size = os.stat(path).st_size  # noqa: PTH116
    except OSError:  # such as a link to nothing, which is rejected when its turn comes
        size = -1
    return Item(path, size)
