"""Files and folders written beside their place and renamed: a reader sees all or nothing."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it there when the block ends well."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; put it in its place when the block ends well.

    A folder that stands there already is kept aside until the new one is in place, and comes back
    if the rename fails.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    aside = temporary.with_name(temporary.name + ".old")
    try:
        yield temporary
        temporary.chmod(0o755)
        for file in temporary.rglob("*"):  # some writers make private files
            file.chmod(0o755 if file.is_dir() else 0o644)
        if target.exists():
            target.rename(aside)
        try:
            temporary.rename(target)
        except BaseException:
            if aside.exists():
                aside.rename(target)
            raise
        shutil.rmtree(aside, ignore_errors=True)  # only now: until here it is the one copy
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def locate(path: str | Path) -> Path:
    """Find a data path: as given, else below the folder in ``CROSSHASH_DATA``.

    Raises:
        FileNotFoundError: It is at neither place; the message names both.
    """
    given = Path(path).expanduser()
    if given.exists():
        return given
    base = os.environ.get("CROSSHASH_DATA")
    if base and not given.is_absolute() and (Path(base) / given).exists():
        return Path(base) / given
    places = [str(given.absolute())] + ([str(Path(base) / given)] if base else [])
    raise FileNotFoundError(
        f"{path}: not found at {' or '.join(places)}; give its path, or "
        "set CROSSHASH_DATA to the folder that holds it"
    )
