"""The files of an index's folder, and how each state takes the place of the last one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from crosshash.codes import check_bits
from crosshash.files import atomic_file, check_replaceable, recover, sha256
from crosshash.search.engine import CorruptIndexError
from crosshash.search.log import Log, sync_folder
from crosshash.search.manifest import (
    FILES,
    HEADER_FILE,
    LOCK_FILE,
    WHAT,
    Manifest,
    Part,
    read_manifest,
    write_manifest,
)
from crosshash.search.postings import Rows
from crosshash.search.segment import Segment, open_segment
from crosshash.search.structures import Structure

_TRIES = 20  # of reading a folder in which another process merges segments


class Files:
    """A folder's files.

    Each change of segments is: new files are written, ``index.json`` is replaced, which is the
    moment of the change, and files that it does not name any more are deleted. Killed in between,
    a process leaves the old state or the new one, and files too many, which the next one to write
    deletes.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: Any = None
        self._read()

    def _read(self) -> None:
        header = self._header()  # before it is read, so that a later one is told from it
        self.manifest = read_manifest(self.folder)
        self.log = Log(self.folder / self.manifest.log)
        self._seen = (*header, self._logged())

    def segments(self) -> list[Segment]:
        """Its segments, mapped; CorruptIndexError where a file is damaged."""
        return [self._open(part) for part in self.manifest.parts]

    def changed(self) -> bool:
        """Whether another process wrote since, which none can while this one writes."""
        return self._lock is None and self._state() != self._seen

    def replaced(self) -> bool:
        """Whether the state is another one since it was read, so that its log may be gone."""
        return self._header() != self._seen[:-1]

    def start_writing(self) -> bool:
        """Take the right to write, which one process has; whether the state is another one now.

        Raises:
            BlockingIOError: Another has it.
        """
        if self._lock is not None:
            return False
        from filelock import FileLock, Timeout

        lock = FileLock(self.folder / LOCK_FILE)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise BlockingIOError(
                f"{self.folder}: another process or another index writes to it; one writes at a "
                "time, until it is closed"
            ) from None
        changed = self.changed()
        self._lock = lock
        if changed:
            self._read()
        self._clean()
        return changed

    def commit(self, manifest: Manifest) -> None:
        """Make a state the folder's."""
        write_manifest(self.folder, manifest)
        if manifest.log != self.manifest.log:
            self.log.close()
            self.log = Log(self.folder / manifest.log)
        self.manifest = manifest
        self._clean()
        self._seen = self._state()

    def seal(self, old: Sequence[Segment], new: Sequence[Segment]) -> list[Segment]:
        """Replace the log by new segments and by what it removed from old ones."""
        manifest = self.manifest
        parts = []
        for part, segment in zip(manifest.parts, old, strict=True):
            rows = _removed(segment)
            manifest, changed = self._struck(manifest, part, rows)
            parts.append(changed)
        manifest, written = self._write(manifest, new)
        number = manifest.number + 1
        state = manifest.with_(parts=(*parts, *written), log=f"log-{number:06}", number=number)
        self.commit(state)
        return [self._open(part) for part in written]

    def extend(self, new: Segment, gone: Sequence[Rows]) -> Segment:
        """Append a segment, and strike rows out of each of the others."""
        manifest, segments = self.manifest, self.segments()
        parts = []
        for part, segment, rows in zip(manifest.parts, segments, gone, strict=True):
            manifest, changed = self._struck(manifest, part, np.union1d(_removed(segment), rows))
            parts.append(changed)
        manifest, written = self._write(manifest, [new])
        self.commit(manifest.with_(parts=(*parts, *written)))
        return self._open(written[0])

    def merge(self, first: int, new: Sequence[Segment]) -> list[Segment]:
        """Replace the segments from a number on."""
        manifest, written = self._write(self.manifest, new)
        self.commit(manifest.with_(parts=(*manifest.parts[:first], *written)))
        return [self._open(part) for part in written]

    def close(self) -> None:
        """Give back the log and the right to write."""
        self.log.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def verify(self) -> None:
        """Compare all files with their digests; CorruptIndexError for the first that differs."""
        for name in sorted(self.manifest.files() - {self.manifest.log}):
            self._check(name)

    def _state(self) -> tuple[int, ...]:
        return (*self._header(), self._logged())

    def _header(self) -> tuple[int, ...]:
        try:
            header = (self.folder / HEADER_FILE).stat()
        except FileNotFoundError:
            return ()
        return header.st_ino, header.st_mtime_ns, header.st_size

    def _logged(self) -> int:
        try:
            return self.log.path.stat().st_size
        except FileNotFoundError:
            return 0

    def _there(self, name: str) -> Path:
        path = self.folder / name
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing from the index; copy the folder again")
        return path

    def _check(self, name: str) -> None:
        path = self.folder / name
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is missing from the index; copy the whole folder again"
            )
        if sha256(path) != self.manifest.sha256[name]:
            raise CorruptIndexError(path, f"its contents differ from {HEADER_FILE}'s")

    def _open(self, part: Part) -> Segment:
        path = self.folder / part.file
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is missing from the index; copy the whole folder again"
            )
        tensors = open_segment(path, self.manifest.bits, part.count)
        segment = Segment(tensors)
        if part.removed is not None:
            self._check(part.removed)
            segment.remove(_read_rows(self.folder / part.removed, part.count))
        if part.structure is not None:
            self._check(part.structure)
            place, codes = self.folder / part.structure, tensors["codes"]
            segment.structure = Structure.load(place, part.kind, codes, part.options)
        return segment

    def _write(
        self, manifest: Manifest, segments: Sequence[Segment]
    ) -> tuple[Manifest, list[Part]]:
        """Write segments and their structures; the state with their digests, and their parts."""
        parts = []
        for segment in segments:
            manifest, name = self._new(manifest, "segment", ".safetensors", segment.save)
            part = Part(name, len(segment))
            if (structure := segment.structure) is not None:
                manifest, name = self._new(manifest, "structure", ".faiss", structure.save)
                part = replace(part, structure=name, kind=structure.kind, options=structure.options)
            parts.append(part)
        return manifest, parts

    def _struck(self, manifest: Manifest, part: Part, rows: Rows) -> tuple[Manifest, Part]:
        """The part with these rows removed, written where they are others than before."""
        from safetensors.numpy import save_file

        before = 0
        if part.removed is not None:
            before = len(_read_rows(self.folder / part.removed, part.count))
        if len(rows) == before:
            return manifest, part
        tensors = {"rows": rows.astype(np.uint32)}
        manifest, name = self._new(
            manifest, "removed", ".safetensors", lambda path: save_file(tensors, path)
        )
        return manifest, replace(part, removed=name)

    def _new(self, manifest: Manifest, kind: str, end: str, write: Any) -> tuple[Manifest, str]:
        """A new file, on the disk when this returns."""
        number = manifest.number + 1
        name = f"{kind}-{number:06}{end}"
        with atomic_file(self.folder / name) as temporary:
            write(temporary)
            handle = os.open(temporary, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        sync_folder(self.folder)
        digests = {**manifest.sha256, name: sha256(self.folder / name)}
        return replace(manifest, number=number, sha256=digests), name

    def _clean(self) -> None:
        """Delete files of earlier states."""
        needed = {HEADER_FILE, LOCK_FILE, *self.manifest.files()}
        for path in self.folder.iterdir():
            if path.name not in needed and path.match("*-[0-9][0-9][0-9][0-9][0-9][0-9]*"):
                with suppress(OSError):  # a system that does not delete what is mapped
                    path.unlink()


def open_files(folder: str | Path, bits: int | None = None, *, verify: bool = False) -> Files:
    """The files of a folder, made where there are none and ``bits`` says of which length.

    Raises:
        FileNotFoundError: There are none, and ``bits`` is None.
        FileExistsError: It is a file, or holds other files.
        CorruptIndexError: Files are damaged.
    """
    path = Path(folder)
    recover(path)
    if bits is not None and not (path / HEADER_FILE).exists():
        new = Manifest(check_bits(bits))
        check_replaceable(path, holds=FILES, what=WHAT)
        path.mkdir(parents=True, exist_ok=True)
        write_manifest(path, new)
    for attempt in range(_TRIES):
        files = Files(path)
        try:
            if verify:
                files.verify()
            files.segments()
        except FileNotFoundError:
            if attempt == _TRIES - 1 or not files.changed():
                raise
        else:
            break
    return files


def _removed(segment: Segment) -> Rows:
    none = np.empty(0, dtype=np.int64)
    return none if segment.removed is None else np.flatnonzero(segment.removed)


def _read_rows(path: Path, count: int) -> Rows:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        rows = load_file(path)["rows"]
    except (SafetensorError, LookupError) as error:
        raise CorruptIndexError(path, f"no list of rows ({error})") from error
    if rows.dtype != np.uint32 or rows.ndim != 1 or (len(rows) and int(rows.max()) >= count):
        raise CorruptIndexError(path, f"its rows are not of a segment of {count}")
    return rows.astype(np.int64)
