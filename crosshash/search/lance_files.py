"""The folder of an index in LanceDB: its table, the file that says what holds, and who writes."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from crosshash.search.engine import CorruptIndexError
from crosshash.search.lance_state import State, read_state, write_state
from crosshash.search.log import sync_folder

_FORM = "lancedb:FOLDER?table=NAME"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}", re.ASCII)
_SECONDS = 10  # of waiting for another that makes the same index
_TRIES = 20  # of reading what another compacts
_LAST = (1 << 64) - 1  # from which LanceDB counts down in the names of its versions


@dataclass(frozen=True)
class Held:
    """An index as it is at one time, whatever is written meanwhile.

    Attributes:
        state: What it is.
        table: Its items, in the version that holds.
    """

    state: State
    table: Any


class LanceFiles:
    """A table of a LanceDB folder, ``NAME.lance``, and beside it ``NAME.crosshash.json``.

    LanceDB makes each commit whole, writes nothing to the disk for certain, and cannot make several
    one. So a change is: the commits; their files, written to the disk; then the state, replaced
    by one that names the last version, which is the moment of the change. Cut off before, what
    came after the version that holds is undone by the next to write.

    Args:
        uri: ``lancedb:FOLDER``, with ``?table=NAME`` for another than ``crosshash``.

    Attributes:
        uri: Where it is.
        folder: LanceDB's folder.
        name: The table's name.
        state: The file of the state.

    Raises:
        ValueError: It is no such URI.
        FileExistsError: The folder is a file.
        ModuleNotFoundError: The extra ``lancedb`` is not installed.
    """

    def __init__(self, uri: str) -> None:
        place, mark, asked = uri.removeprefix("lancedb:").removeprefix("//").partition("?")
        self.name = asked.removeprefix("table=") if mark else "crosshash"
        known = not mark or asked.startswith("table=")
        if not place or not known or not _NAME.fullmatch(self.name):
            raise ValueError(
                f"an index in LanceDB is {_FORM}, where the folder's name has no '?' and a table "
                f"is named by letters, digits and '_'; got {uri!r}"
            )
        self.uri = f"lancedb:{place}{mark}{asked}"
        self.folder = Path(place)
        self.state = self.folder / f"{self.name}.crosshash.json"
        if self.folder.exists() and not self.folder.is_dir():
            raise FileExistsError(f"{self.folder} is a file; LanceDB keeps tables in a folder")
        try:
            import lancedb
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"{self.uri}: LanceDB needs its package: pip install 'crosshash[lancedb]' "
                f"({error})",
                name=error.name,
            ) from error
        self._library: Any = lancedb
        self._connection: Any = None
        self._lock: Any = None
        self._synced: set[tuple[Path, int, int]] = set()

    @property
    def connection(self) -> Any:
        """LanceDB's connection, which makes the folder."""
        if self._connection is None:
            self._connection = self._library.connect(self.folder)
        return self._connection

    def read(self) -> Held:
        """The index as it is now.

        Raises:
            FileNotFoundError: There is none.
            CorruptIndexError: Its files are damaged, or not all there.
        """
        for _ in range(_TRIES):
            state = self._read_state()
            try:
                return self.hold(state)
            except (ValueError, RuntimeError) as error:
                failed = error
            if self._read_state() == state:
                break  # else another has compacted it meanwhile
        if isinstance(failed, RuntimeError):
            return self._repaired(state, failed)
        try:
            latest = self.connection.open_table(self.name)
        except ValueError as error:
            raise CorruptIndexError(self.uri, f"its table is missing ({error})") from error
        if latest.version < state.version:
            raise CorruptIndexError(
                self.uri, f"its table is of version {latest.version}, the state of {state.version}"
            )
        # Only compacting deletes the version that holds, and by then nothing else was changed.
        return self.hold(replace(state, version=latest.version))

    def hold(self, state: State) -> Held:
        """The index in a state, whose version has to be there."""
        return Held(state, self.connection.open_table(self.name, version=state.version))

    def start_writing(self, *, wait: bool = False) -> bool:
        """Take the right to write, which one has at a time; False: it was taken before.

        Raises:
            BlockingIOError: Another has it.
        """
        if self._lock is not None:
            return False
        from filelock import FileLock, Timeout

        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / f"{self.name}.lock")
        try:
            lock.acquire(timeout=_SECONDS if wait else 0)
        except Timeout:
            raise BlockingIOError(
                f"{self.uri}: another process or another index writes to it; one writes at a time, "
                "until it is closed"
            ) from None
        self._lock = lock
        self._synced = set(self._files())
        return True

    def commit(self, state: State) -> Held:
        """Let a state hold, on the disk when this returns."""
        new = set(self._files()) - self._synced
        for path, *_ in new:
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        above = {folder for path, *_ in new for folder in path.parents}
        for folder in above - set(self.folder.parents):
            sync_folder(folder)
        held = self.hold(state)
        write_state(self.state, state)
        self._synced |= new
        return held

    def stop_writing(self) -> None:
        """Give back the right to write."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @contextmanager
    def told(self) -> Iterator[None]:
        """LanceDB's errors in a line that begins with the place.

        Raises:
            OSError: The disk is full or cannot be written.
            RuntimeError: Anything else of which it complains.
        """
        try:
            yield
        except RuntimeError as error:
            text = " ".join(str(error).split())[:500]
            if "Not found" in text:
                text += "; has another compacted it meanwhile? refresh() and ask again"
            kind = OSError if "(os error" in text else RuntimeError
            raise kind(f"{self.uri}: {text}") from None

    def _read_state(self) -> State:
        try:
            return read_state(self.state)
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{self.uri}: there is no index here ({self.state.name} is missing); make one with "
                "its bits, or name another folder or table"
            ) from None

    def _repaired(self, state: State, error: RuntimeError) -> Held:
        """The index without later versions, one of which is not whole and keeps all from opening.

        The system may leave such a one where it ends before a change is written to the disk.
        """
        mine = self.start_writing()
        try:
            for path in (self.folder / f"{self.name}.lance" / "_versions").glob("*.manifest"):
                if path.stem.isdigit() and _LAST - int(path.stem) > state.version:
                    path.unlink()
            self._connection = None  # which remembers what it read
            return self.hold(state)
        except (ValueError, RuntimeError):
            raise CorruptIndexError(self.uri, f"its table is damaged ({error})") from error
        finally:
            if mine:
                self.stop_writing()

    def _files(self) -> Iterator[tuple[Path, int, int]]:
        """The table's files, each as it was written last: one of them is written anew each time."""
        for path in (self.folder / f"{self.name}.lance").rglob("*"):
            try:
                found = path.stat()
            except FileNotFoundError:  # LanceDB's hint of the latest version, being renamed
                continue
            if stat.S_ISREG(found.st_mode):
                yield path, found.st_ino, found.st_mtime_ns
