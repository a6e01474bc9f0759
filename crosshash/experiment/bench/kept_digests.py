"""The digest of a data set's pictures, kept in a file, so that a plan need not read them all."""

from __future__ import annotations

import copy
import hashlib
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

import crosshash
from crosshash.data.dataset import PairedDataset
from crosshash.experiment.identity import data_identity
from crosshash.files import atomic_file
from crosshash.images import ImageFiles, ImageSubset
from crosshash.untrusted import read_json

KEPT = "digests.json"
_SETTLED = 2 * 10**9  # nanoseconds: a file changed again within a clock's tick has the same times
_FILE = TypeAdapter(dict[str, str])


def identity_of_data(dataset: PairedDataset, kept: Path | None) -> dict[str, Any]:
    """:func:`~crosshash.experiment.identity.data_identity`, without reading pictures once more.

    The digest of the pictures is taken from a file while each picture's file has the path, size,
    inode and times (of its contents and of its entry, which no program sets back) that it had when
    it was read. Ids, texts and labels are read each time, and so are pictures in memory.

    Args:
        dataset: Pairs.
        kept: The file, made where it is not there; None: everything is read.
    """
    now = time.time_ns()
    paths = _picture_files(dataset)
    if kept is None or not paths:
        return data_identity(dataset)
    stats = [path.stat() for path in paths]
    stamps = [
        [str(path.absolute()), s.st_size, s.st_ino, s.st_mtime_ns, s.st_ctime_ns]
        for path, s in zip(paths, stats, strict=True)
    ]
    told = json.dumps([crosshash.__version__, dataset.ids, stamps])
    key = hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()
    known = _read(kept)
    if key in known:
        rest = copy.copy(dataset)
        rest.images = np.zeros((1, 1), dtype=np.float32)
        return {**data_identity(rest), "images": known[key]}
    found = data_identity(dataset)
    if max(max(s.st_mtime_ns, s.st_ctime_ns) for s in stats) < now - _SETTLED:
        _write(kept, {**known, key: found["images"]})
    return found


def _picture_files(dataset: PairedDataset) -> list[Path]:
    """The files of a data set's pictures, in its order; none where they are not all files."""
    images = dataset.images
    if isinstance(images, ImageSubset) and isinstance(images.source, ImageFiles):
        return [images.source.paths[row] for row in images.rows]
    return images.paths if isinstance(images, ImageFiles) else []


def _read(path: Path) -> dict[str, str]:
    try:
        return _FILE.validate_python(read_json(path))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        warnings.warn(f"{path}: no digests ({error}); pictures are read again", stacklevel=4)
        return {}


def _write(path: Path, known: dict[str, str]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as temporary:
            temporary.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    except OSError as error:  # as in a folder that one may only read
        warnings.warn(f"{path}: digests are not kept ({error})", stacklevel=4)
