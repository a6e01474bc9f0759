"""Published files: where they are, what they must be, and what was found."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from crosshash.files import atomic_file
from crosshash.untrusted import read_json

Progress = Callable[[str, int, "int | None"], None]


class DownloadError(OSError):
    """A file that could not be fetched; says which, why and what to do."""


class ChecksumError(DownloadError):
    """A file that came whole and is not the one expected."""


@dataclass(frozen=True)
class Remote:
    """A file at an address.

    Args:
        url: Its ``http`` or ``https`` address.
        size: Bytes, where they are published.
        checksum: ``"md5:…"`` or ``"sha256:…"``, where one is published.
        holds: What it is, in a few words.
        folder: Where an archive is unpacked, below the root; ``"."`` is the root itself.
    """

    url: str
    size: int | None = None
    checksum: str | None = None
    holds: str = ""
    folder: str = "."

    def __post_init__(self) -> None:
        kind, _, digits = (self.checksum or "md5:" + 32 * "0").partition(":")
        length = {"md5": 32, "sha256": 64}.get(kind)
        if length is None or not re.fullmatch(f"[0-9a-f]{{{length}}}", digits):
            raise ValueError(
                f"{self.url}: the checksum is 'md5:' or 'sha256:' with its lower-case hexadecimal "
                f"digits, got {self.checksum!r}"
            )
        if urlsplit(self.url).scheme not in ("http", "https") or not self.name:
            raise ValueError(f"{self.url!r} is not the http or https address of a file")

    @property
    def name(self) -> str:
        """The file's name."""
        return Path(unquote(urlsplit(self.url).path)).name


@dataclass(frozen=True)
class Fetched:
    """A file that is there, whole.

    Attributes:
        path: Where.
        size: Bytes.
        sha256: Of its bytes.
        verified: Whether a published checksum was there to compare with, and agreed.
    """

    path: Path
    size: int
    sha256: str
    verified: bool


def checked(remote: Remote, path: Path, progress: Progress | None = None) -> Fetched:
    """Size and checksums of a file that should be whole.

    Raises:
        ChecksumError: It is not the file that was published.
    """
    kind, _, expected = (remote.checksum or "sha256:").partition(":")
    digests = {name: hashlib.new(name, usedforsecurity=False) for name in {kind, "sha256"}}
    size, total = path.stat().st_size, 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            total += len(block)
            for digest in digests.values():
                digest.update(block)
            if progress is not None:
                progress(f"checking {remote.name}", total, size)
    found = digests[kind].hexdigest()
    wrong_size = remote.size is not None and size != remote.size
    if wrong_size or (expected and found != expected):
        raise ChecksumError(
            f"{path}: {size:,} bytes with {kind} {found}; published are "
            + (f"{remote.size:,} bytes" if remote.size is not None else "")
            + (" with " if remote.size is not None and expected else "")
            + (f"{kind} {expected}" if expected else "")
            + "; it is damaged or another version"
        )
    return Fetched(path, size, digests["sha256"].hexdigest(), bool(expected))


def check_space(folder: str | Path, needed: int, what: str) -> None:
    """Refuse to begin what the disk has no room for.

    Raises:
        DownloadError: The folder's disk has fewer than ``needed`` bytes free.
    """
    place = Path(folder).absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed:
        raise DownloadError(
            f"{folder}: {what} needs {needed / 1e9:.2f} GB and the disk has {free / 1e9:.2f} GB "
            "free; make room or choose another folder"
        )


def record(fetched: Fetched, remote: Remote, path: str | Path) -> None:
    """Add a fetched file, and its SHA-256, to a JSON file that lists such files by name."""
    entry = {
        "url": remote.url,
        "size": fetched.size,
        "sha256": fetched.sha256,
        "published": remote.checksum,
    }
    listed = {**recorded(path), remote.name: entry}
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(listed, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def recorded(path: str | Path) -> dict[str, dict[str, Any]]:
    """What :func:`record` wrote; empty where there is no such file.

    Raises:
        ValueError: The file is damaged.
    """
    path = Path(path)
    if not path.is_file():
        return {}
    try:
        return {str(name): dict(entry) for name, entry in read_json(path).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path}: not a list of downloads ({error}); remove this file: what is unpacked is "
            "then fetched again"
        ) from None
