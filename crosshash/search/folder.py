"""The embedded engine: segments that do not change, a log of what came since, and merging."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crosshash.codes import Packed
from crosshash.search.files import Files, open_files
from crosshash.search.ids import told_missing, told_twice
from crosshash.search.log import Change
from crosshash.search.manifest import check_metadata
from crosshash.search.parts import Parts
from crosshash.search.postings import Rows
from crosshash.search.recent import Recent
from crosshash.search.segment import Segment, build, merged
from crosshash.search.structures import SMALLEST, Structure, check_options

Some = list[tuple[Segment | Recent, Rows]]
RECENT = 65_536
"""Ids that are kept in the log before its items become a segment."""
_TRIES = 20  # of opening what another process merges


class FolderEngine(Parts):
    """Codes in memory, or in a folder that is mapped into it.

    New items go to a log and are searched in memory; of every 65,536 a segment is made, which is
    written once, and segments of about one size are merged, so that an item is written a few times
    in all and a search meets few segments. A removed item is struck out of its segment and leaves
    its room when that is merged. One process writes at a time; others read what was there when they
    opened it, until they :meth:`refresh`.

    Args:
        bits: Code length.
        files: The folder's files; None: nothing is written.

    Attributes:
        folder: Where its changes are kept, or None.
    """

    def __init__(self, bits: int, files: Files | None = None) -> None:
        super().__init__(bits)
        self.uri = "an index in memory" if files is None else f"faiss:{files.folder}"
        self._files = files
        self.folder = None if files is None else files.folder.resolve()
        self._info: dict[str, Any] = {}
        self._kind: tuple[str, dict[str, int]] = ("flat", {})
        self._logged = 0  # ids in the log
        if files is not None:
            self._read(files)

    @classmethod
    def open(
        cls, folder: Path, bits: int | None = None, *, verify: bool = False, detached: bool = False
    ) -> FolderEngine:
        """The index of a folder, made where there is none and ``bits`` says of which length.

        Args:
            folder: Its folder.
            bits: Code length, to be that of what is there; None: whatever is there.
            verify: Compare the digest of each file, which reads all of it.
            detached: Changes stay in memory.

        Raises:
            FileNotFoundError: Nothing is there, and ``bits`` is None.
            CorruptIndexError: Its files are damaged or do not belong together.
            ValueError: Codes there have another length, or the format is of another version.
        """
        for _ in range(_TRIES):
            files = open_files(folder, None if detached else bits, verify=verify)
            if bits not in (None, files.manifest.bits):
                raise ValueError(
                    f"{folder} holds codes of {files.manifest.bits} bits, not of {bits}; leave "
                    "bits out, or choose another folder"
                )
            engine = cls(files.manifest.bits, files)
            if not files.replaced():
                break  # else the log that was read may have become a segment meanwhile
        if detached:
            engine._files = engine.folder = None
        return engine

    def read_info(self) -> dict[str, Any]:
        """What is remembered of the whole index."""
        return dict(self._info)

    def insert(
        self,
        codes: Packed,
        ids: Sequence[str],
        metadata: Sequence[dict[str, Any] | None] | None,
        *,
        replace: bool = False,
    ) -> None:
        """Append items; with ``replace`` those that are there are taken out first."""
        self._begin()
        there = [id_ for id_, known in zip(ids, self.known(ids), strict=True) if known]
        if there and not replace:
            raise ValueError(told_twice(ids, set(there)))
        self._change(Change(there, ids, codes, as_texts(metadata)))

    def delete(self, ids: Sequence[str]) -> None:
        """Take items out."""
        self._begin()
        known = self.known(ids)
        if missing := [id_ for id_, there in zip(ids, known, strict=True) if not there]:
            raise LookupError(told_missing(missing))
        self._change(Change(removed=ids))

    def write_info(self, info: Mapping[str, Any]) -> None:
        """Replace what is remembered."""
        check_metadata(dict(info))
        self._begin()
        if self._files is not None:
            self._files.commit(self._files.manifest.with_(metadata=dict(info)))
        self._info = dict(info)

    def compact(self, kind: str | None = None, **options: Any) -> None:
        """Merge all items into one segment, without what was removed.

        Args:
            kind: How its codes are found: ``flat``, ``mih``, ``ivf`` or ``hnsw``
                (``search.structures``); None: as before. Below 50,000 codes all are scanned.
            options: Of that kind.
        """
        if kind is None and options:
            raise TypeError(f"compacting without a kind takes no options, got {sorted(options)}")
        wanted = self._kind if kind is None else (kind, options)
        checked = (wanted[0], check_options(*wanted))
        self._begin()
        self._seal(merge=False)
        self._merge(0, checked)
        self._kind = checked

    def refresh(self) -> bool:
        """See what another process wrote since; whether there was anything."""
        if self._files is None or not self._files.changed():
            return False
        new = FolderEngine.open(self._files.folder, self.bits)
        self._files.close()
        vars(self).update(vars(new))
        return True

    def close(self) -> None:
        """Give back the log and the right to write."""
        if self._files is not None:
            self._files.close()

    def export(self, folder: Path, info: Mapping[str, Any]) -> None:
        """Write all items as one segment to an empty folder."""
        rows: Some = [(part, part.rows_left()) for part in self._parts if part.left]
        files = open_files(folder, self.bits)
        segments = [Segment(merged(rows))] if rows else []
        files.commit(files.manifest.with_(metadata=dict(info)))
        files.merge(0, segments)
        files.close()

    # How

    def _begin(self) -> None:
        """Take the right to write, and see what others wrote before."""
        if self._files is not None and self._files.start_writing():
            self._read(self._files)

    def _read(self, files: Files) -> None:
        """Take over what the files hold."""
        self._segments, self._info = files.segments(), dict(files.manifest.metadata)
        self._recent, self._logged = Recent(self.bits // 8), 0
        kinds = [(one.kind, one.options) for one in files.manifest.parts if one.kind != "flat"]
        self._kind = kinds[0] if kinds else ("flat", {})
        for change in files.log.read(self.bits // 8):
            self._apply(change)

    def _change(self, change: Change) -> None:
        # Room is made before: once a change is written, nothing can fail that would deny it.
        if self._logged + len(change.ids) + len(change.removed) > RECENT:
            self._seal()
        if len(change.ids) > RECENT:
            self._change_much(change)
            return
        if self._files is not None:
            self._files.log.append(change)
        self._apply(change)

    def _apply(self, change: Change) -> None:
        self._logged += len(change.ids) + len(change.removed)
        if change.removed:
            self._strike(change.removed)
        if change.codes is not None and len(change.ids):
            self._recent.add(change.codes, change.ids, change.texts)

    def _strike(self, ids: Sequence[str]) -> None:
        for part in self._parts:
            rows = part.rows_of(ids)
            part.remove(rows[rows >= 0])

    def _change_much(self, change: Change) -> None:
        """A change that is a segment of its own: it is written once, and not to the log."""
        assert change.codes is not None
        raw = [id_.encode("utf-8", "surrogatepass") for id_ in change.ids]
        new = Segment(build(change.codes, raw, change.texts))
        found = [segment.rows_of(change.removed) for segment in self._segments]
        gone = [rows[rows >= 0] for rows in found]
        if self._files is not None:
            new = self._files.extend(new, gone)
        for segment, rows in zip(self._segments, gone, strict=True):
            segment.remove(rows)
        self._segments.append(new)

    def _seal(self, *, merge: bool = True) -> None:
        """Make a segment of the items in the log."""
        rows = self._recent.rows_left()
        segments = [Segment(merged([(self._recent, rows)]))] if len(rows) else []
        if self._files is not None:
            segments = self._files.seal(self._segments, segments)
        self._segments += segments
        self._recent, self._logged = Recent(self.bits // 8), 0
        if merge:
            self._merge_tail()

    def _merge_tail(self) -> None:
        """Merge the last segments, each with what comes after it if that has half its items."""
        first, after = len(self._segments), 0
        for number in reversed(range(len(self._segments))):
            part = self._segments[number]
            if part.structure is not None or part.left > 2 * after > 0:
                break
            first, after = number, after + part.left
        if first < len(self._segments) - 1:
            self._merge(first, ("flat", {}))

    def _merge(self, first: int, kind: tuple[str, dict[str, int]]) -> None:
        rows: Some = [(one, one.rows_left()) for one in self._segments[first:] if one.left]
        segments = [Segment(merged(rows))] if rows else []
        for segment in segments:
            if kind[0] != "flat" and len(segment.postings.codes) >= SMALLEST:
                codes = segment.postings.codes
                segment.structure = Structure.build(kind[0], codes, kind[1])
        if self._files is not None:
            segments = self._files.merge(first, segments)
        self._segments[first:] = segments


def as_texts(metadata: Sequence[dict[str, Any] | None] | None) -> list[bytes] | None:
    """Metadata as JSON texts, empty for none; None where no item has any."""
    if metadata is None or not any(one is not None for one in metadata):
        return None
    return [
        b"" if one is None else json.dumps(one, allow_nan=False).encode("ascii") for one in metadata
    ]
