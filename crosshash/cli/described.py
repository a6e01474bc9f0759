"""What an index is to keep of pictures besides their codes: what metadata files say of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

_SHOWN = 5


class Described(NamedTuple):
    """What is said of pictures.

    Attributes:
        of: Metadata of each path that has a row.
        files: Whether there is any metadata file.
        lost: Paths that rows name and where there is no file.
    """

    of: dict[str, dict[str, Any]]
    files: bool
    lost: list[str]

    def metadata(self, ids: Iterable[str]) -> list[dict[str, Any] | None] | None:
        """Of each id, None for one without a row; None where there is no metadata file at all."""
        return [self.of.get(id_) for id_ in ids] if self.files else None


def described(items: Sequence[str], paths: Iterable[Path]) -> Described:
    """What the metadata files in the folders among ``items`` say of pictures.

    Args:
        items: Files and folders of images, as the command was given them.
        paths: The pictures that were found there.

    Raises:
        ValueError: A metadata file is not in the convention.
    """
    from crosshash.data import folder_metadata

    found: dict[str, dict[str, Any]] = {}
    for folder in filter(Path.is_dir, map(Path, items)):
        try:
            told = folder_metadata(folder)
        except ValueError as error:
            raise ValueError(f"{error}; --no-metadata leaves it unread") from None
        found |= {str(folder / file): values for file, values in told.items()}
    there = set(map(str, paths))
    lost = [path for path in found if path not in there and not Path(path).is_file()]
    return Described(found, bool(found), lost)


def told_lost(lost: Sequence[str]) -> list[str]:
    """A line on rows whose pictures are missing, and the first of their names."""
    from crosshash.reports.tables import visible

    if not lost:
        return []
    more = [f"… and {len(lost) - _SHOWN} more"] if len(lost) > _SHOWN else []
    names = [*map(visible, lost[:_SHOWN]), *more]
    what = "row of metadata without its picture"
    if len(lost) > 1:
        what = "rows of metadata without their pictures"
    return ["\n  ".join([f"{len(lost)} {what}:", *names])]
