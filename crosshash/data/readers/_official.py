"""Official distributions: text files read as they are, missing pictures and odd counts named."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt


def first_folder(places: Sequence[Path], what: str) -> Path:
    """The first of some folders that exists.

    Raises:
        FileNotFoundError: None does; the message names them and says ``what`` to do.
    """
    for place in places:
        if place.is_dir():
            return place
    others = "".join(f" or {place}" for place in places[1:])
    raise FileNotFoundError(f"{places[0]}{others}: no such folder; {what}")


def read_lines(path: Path, what: str) -> list[str]:
    """Lines of a text file, stripped, without the blank ones.

    Lines end in LF or CRLF. The text is UTF-8 or, where it is not, Latin-1.

    Raises:
        FileNotFoundError: The file is missing; the message says ``what`` it is.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: {what} is missing") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    # Not splitlines(), which takes some Latin-1 characters for the end of a line.
    return [line.strip() for line in text.split("\n") if line.strip()]


def file_names(folder: Path) -> set[str]:
    """Names of what lies in a folder; none if there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return set()


def check_on_missing(on_missing: str) -> None:
    """Refuse anything but ``"raise"`` and ``"skip"``."""
    if on_missing not in ("raise", "skip"):
        raise ValueError(f"on_missing={on_missing!r} is unknown; use 'raise' or 'skip'")


def present(folder: Path, names: Sequence[str], on_missing: str) -> npt.NDArray[np.bool_]:
    """Which pictures are there, by one listing of each directory that ``names`` lead to.

    Args:
        folder: What ``names`` are relative to.
        names: n paths with forward slashes.
        on_missing: ``"raise"``, or ``"skip"`` to get the mask.

    Returns:
        (n,) booleans.

    Raises:
        FileNotFoundError: A picture is missing and ``on_missing`` is ``"raise"``.
    """
    listed: dict[str, set[str]] = {}
    there = np.empty(len(names), dtype=np.bool_)
    for row, name in enumerate(names):
        parent, _, file = name.rpartition("/")
        if parent not in listed:
            listed[parent] = file_names(folder / parent)
        there[row] = file in listed[parent]
    missing = np.flatnonzero(~there)
    if len(missing) and on_missing == "raise":
        raise FileNotFoundError(
            f"{folder}: {len(missing):,} of {len(names):,} images are missing, the first is "
            f"{names[missing[0]]}; unpack the images again, or leave those pairs out and count "
            "them with on_missing='skip' (figures are then not those of the papers' pairs)"
        )
    return there


def warn_counts(name: str, counts: Mapping[str, tuple[int, int]]) -> None:
    """Warn once where what was found is not what the papers have.

    Args:
        name: The data set.
        counts: For each kind of thing the number found and the papers' number.
    """
    differ = [
        f"{found:,} {what} (the papers have {expected:,})"
        for what, (found, expected) in counts.items()
        if found != expected
    ]
    if differ:
        warnings.warn(
            f"data set {name!r}: found {', '.join(differ)}; figures from it do not compare with "
            "published ones",
            stacklevel=3,
        )
