"""Files and folders written beside their place and renamed: a reader sees all or nothing."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import TypeVar

if sys.platform != "win32":
    import fcntl

T = TypeVar("T")
# Full, over a quota, too large a file, read-only: none of which reading meets.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
# What is being written is named ".<name>.<random>.crosshash-partial"; an old folder that makes
# place, where two names cannot be exchanged, the same with the other ending.
_PARTIAL, _OLD = ".crosshash-partial", ".crosshash-old"


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it there when the block ends well.

    A symbolic link stays one: what it leads to is replaced. What a killed process left half
    written in that folder is removed.

    Raises:
        OSError: The disk is full or cannot be written, whichever library met it; names the target.
    """
    target = _followed(path)
    with _partial(target, folder=False) as temporary:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(target)


@contextmanager
def atomic_folder(path: str | Path, *, holds: Sequence[str], what: str) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; put it in its place when the block ends well.

    A folder that stands there is exchanged for the new one in one step, where the system can. Where
    it cannot, the old one is kept aside until the new one is in place, and comes back if that
    fails, or in :func:`read_whole` if the process is killed in between. Of two writers the later
    one's folder stays.

    Args:
        path: The folder; a symbolic link stays one, and what it leads to is replaced.
        holds: Patterns of the names that a folder of this kind has.
        what: What the folder is, for errors: "an index".

    Raises:
        FileExistsError: As :func:`check_replaceable`, before and after the block.
    """
    target = _followed(path)
    check_replaceable(target, holds=holds, what=what)
    with _partial(target, folder=True) as temporary:
        recover(target)
        yield temporary
        temporary.chmod(0o755)
        for file in temporary.rglob("*"):  # some writers make private files
            file.chmod(0o755 if file.is_dir() else 0o644)
        check_replaceable(target, holds=holds, what=what)
        _put_in_place(temporary, target)


def check_replaceable(folder: str | Path, *, holds: Sequence[str], what: str) -> None:
    """Refuse a place where writing a folder would delete what is none of ours.

    Raises:
        FileExistsError: It is a file, or a folder with other names than ``holds``.
    """
    path = Path(folder)
    try:
        names = sorted(entry.name for entry in path.iterdir())
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise FileExistsError(f"{path} is a file; {what} is saved to a folder") from None
    others = [name for name in names if not any(fnmatch(name, pattern) for pattern in holds)]
    if others:
        raise FileExistsError(
            f"{path} holds other files ({', '.join(others[:3])}{', …' * (len(others) > 3)}), "
            f"and saving replaces the folder; choose a new folder for {what}"
        )


def read_whole(folder: str | Path, read: Callable[[Path], T]) -> T:
    """What ``read(folder)`` gives, from files of one writing.

    Where the folder was replaced in the meantime, it is read again. One that a killed writer had
    put aside comes back first.
    """
    path = _followed(folder)
    for attempt in range(20):
        if not path.exists():
            recover(path)
        before = _identity(path)
        try:
            found = read(Path(folder))
        except Exception as error:
            if before is None:
                recover(path)  # a writer was between two renames, or there is no such folder
            same = _identity(path) == before
            # Two writers can be between renames one after the other, and a new folder can have the
            # number and, within a tick of the clock, the time of the one that it replaced.
            gone = isinstance(error, FileNotFoundError) and attempt < 8
            if attempt == 19 or (same and not gone):
                raise
            if same:
                time.sleep(0.001 * 2**attempt)  # longer than a busy machine keeps a writer waiting
        else:
            if _identity(path) == before:
                break
    return found


def recover(target: Path) -> None:
    """Bring back a folder that a killed writer had put aside; remove what is left of such.

    Of use before a test of whether a folder is there; :func:`read_whole` does it itself.
    """
    if not target.parent.is_dir():
        return
    left = _named(target.parent, f".{target.name}.", _OLD)
    for path in sorted(left, key=lambda path: _identity(path) or (0, 0, 0), reverse=True):
        if target.exists():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):  # another process was faster
                path.rename(target)


def _followed(path: str | Path) -> Path:
    given = Path(path)
    return given.resolve() if given.is_symlink() else given


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


@contextmanager
def _partial(target: Path, *, folder: bool) -> Iterator[Path]:
    """A new path beside the target, which no other process takes for left over; removed after."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in _named(target.parent, "", _PARTIAL):
        _remove_abandoned(left)
    path, handle = _claimed(target, folder)
    while handle is None:  # another process, which was clearing up, was faster
        path, handle = _claimed(target, folder)
    try:
        yield path
    except Exception as error:
        if code := _disk_error(error):
            raise OSError(code, f"cannot be written ({os.strerror(code)})", str(target)) from error
        raise
    finally:
        _remove(path)
        if handle >= 0:
            os.close(handle)


def _disk_error(error: BaseException | None) -> int | None:
    """Which fault of the disk an error is of; libraries in C++ and Rust name it in their texts."""
    while error is not None:
        for code in _DISK:
            if getattr(error, "errno", None) == code or os.strerror(code) in str(error):
                return code
        error = error.__cause__ or error.__context__
    return None


def _claimed(target: Path, folder: bool) -> tuple[Path, int | None]:
    """A new file or folder and the handle by which it is locked, -1 where folders have none."""
    start = f".{target.name}."
    if folder:
        path = Path(tempfile.mkdtemp(_PARTIAL, start, target.parent))
        if sys.platform == "win32":
            return path, -1
        try:
            handle = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return path, None
    else:
        handle, name = tempfile.mkstemp(_PARTIAL, start, target.parent)
        path = Path(name)
    if _locked(handle) is not False and path.exists():
        return path, handle
    os.close(handle)
    return path, None


def _named(folder: Path, start: str, end: str) -> list[Path]:
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries]
    return [folder / name for name in names if name.startswith(start) and name.endswith(end)]


def _locked(handle: int) -> bool | None:
    """Take the lock on an open file or folder; None where there are no locks."""
    if sys.platform == "win32" or handle < 0:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # such as folders on a network file system
        return None
    return True


def _remove_abandoned(path: Path) -> None:
    """Remove what no living process writes; where that cannot be known, leave it."""
    if sys.platform == "win32":
        return
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        if _locked(handle):
            _remove(path)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _put_in_place(new: Path, target: Path) -> None:
    """Rename a folder to the target; what stood there is at ``new`` or gone afterwards."""
    while True:
        if not target.exists():
            try:
                new.rename(target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                continue  # another writer was faster
            return
        if _exchanged(new, target):
            return
        aside = new.with_suffix(_OLD)
        with suppress(FileNotFoundError):  # another writer was faster
            target.rename(aside)
        try:
            new.rename(target)
        except BaseException as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                shutil.rmtree(aside, ignore_errors=True)  # another writer's has taken the place
                continue
            if aside.exists():
                aside.rename(target)
            raise
        shutil.rmtree(aside, ignore_errors=True)  # only now: until here it is the one copy
        return


def _exchanged(one: Path, other: Path) -> bool:
    """Give two paths each other's names in one step; False where the system cannot."""
    if sys.platform == "win32":
        return False
    library = ctypes.CDLL(None)
    names = os.fsencode(one), os.fsencode(other)
    here, swap = -100, 2  # AT_FDCWD; RENAME_EXCHANGE on Linux, RENAME_SWAP on macOS
    if hasattr(library, "renameat2"):
        return bool(library.renameat2(here, names[0], here, names[1], swap) == 0)
    if hasattr(library, "renamex_np"):
        return bool(library.renamex_np(*names, swap) == 0)
    return False


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
