"""What a folder of an index consists of: ``index.json``, read with every doubt."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from crosshash.codes import check_bits
from crosshash.files import atomic_file
from crosshash.search.engine import CorruptIndexError
from crosshash.search.log import sync_folder
from crosshash.search.structures import check_options
from crosshash.untrusted import JSON_BYTES, parse_json, read_json

FORMAT = "crosshash-index"
VERSION = 2
HEADER_FILE = "index.json"
LOCK_FILE = "write.lock"
# Names that a folder of an index may hold; saving replaces it if it has no others.
FILES = (
    *(HEADER_FILE, LOCK_FILE, "segment-*", "log-*", "removed-*", "structure-*"),
    *("index.faiss", "ids.safetensors"),  # of the first version of the format
    ".*.crosshash-partial",
)
WHAT = "an index"
_NAME = re.compile(r"(segment|log|removed|structure)-\d{6,12}(\.safetensors|\.faiss)?")


@dataclass(frozen=True)
class Part:
    """A segment's files.

    Attributes:
        file: The segment.
        count: Its items, with those that were removed.
        removed: The file of the rows that were removed, or None.
        structure: The file of its search structure, or None.
        kind: What that is.
        options: With which options it was built.
    """

    file: str
    count: int
    removed: str | None = None
    structure: str | None = None
    kind: str = "flat"
    options: dict[str, int] = field(default_factory=dict)

    def files(self) -> list[str]:
        """All its files."""
        return [one for one in (self.file, self.removed, self.structure) if one is not None]


@dataclass(frozen=True)
class Manifest:
    """The state of an index but for its log.

    Attributes:
        bits: Code length k.
        parts: Segments, in order of insertion.
        log: The file of the changes after them.
        number: The last number in a file's name.
        metadata: What is remembered of the index.
        sha256: Digest of each segment's files.
    """

    bits: int
    parts: tuple[Part, ...] = ()
    log: str = "log-000001"
    number: int = 1
    metadata: dict[str, Any] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)

    def files(self) -> set[str]:
        """Names of all files that the index needs."""
        return {self.log, *(name for part in self.parts for name in part.files())}

    def with_(self, **changes: Any) -> Manifest:
        """The same with other fields, and digests of its own files only."""
        changed = replace(self, **changes)
        names = changed.files()
        kept = {name: value for name, value in changed.sha256.items() if name in names}
        return replace(changed, sha256=kept)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put a state in the place of the last one, on the disk when this returns.

    Raises:
        TypeError: ``metadata`` cannot be written as JSON and read back the same.
    """
    check_metadata(manifest.metadata)
    header = {"format": FORMAT, "version": VERSION, **asdict(manifest)}
    write_header(folder / HEADER_FILE, header)


def write_header(path: Path, header: dict[str, Any]) -> None:
    """Put a JSON object in the place of a file, on the disk when this returns."""
    text = json.dumps(header, indent=2, allow_nan=False) + "\n"
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8") as f:
        f.write(text)
        f.flush()
        os.fsync(f.fileno())
    sync_folder(path.parent)


def check_metadata(metadata: Any, what: str = "index.metadata") -> None:
    """TypeError, which names ``what``, unless a mapping comes back from JSON as it is."""
    try:
        text = json.dumps(metadata, allow_nan=False)
        # With the header around it, which reading takes for one mapping more.
        same = parse_json(f'{{"metadata": {text}}}', what)["metadata"] == metadata
        if len(text) > JSON_BYTES // 2:  # written with indents, it must still be read
            raise ValueError(f"{len(text):,} characters, and at most {JSON_BYTES // 2:,} are kept")
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"{what} cannot be saved as JSON: {error}") from error
    if not same:
        raise TypeError(
            f"{what} would not come back from JSON as it is: "
            f"use lists for tuples and strings for keys, got {metadata!r}"
        )


def read_manifest(folder: Path) -> Manifest:
    """The state of a folder, checked.

    Raises:
        FileNotFoundError: There is none.
        CorruptIndexError: It is damaged.
        ValueError: It was written by another version of the format.
    """
    path = folder / HEADER_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{folder}: no saved index here ({HEADER_FILE} is missing)")
    try:
        header = read_json(path)
    except ValueError as error:
        raise CorruptIndexError(path, str(error).removeprefix(f"{path}: ")) from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise CorruptIndexError(path, f"not the header of a crosshash index (format {FORMAT!r})")
    if header.get("version") != VERSION:
        raise ValueError(
            f"{path}: format version {header.get('version')!r}, this crosshash reads {VERSION}; "
            "build the index anew with `crosshash index`, or use the version that wrote it"
        )
    try:
        return _checked(header)
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptIndexError(path, f"not the header of an index ({error})") from error


def _checked(header: dict[str, Any]) -> Manifest:
    fields: dict[str, Any] = {"number": int, "metadata": dict, "sha256": dict, "log": str}
    for name, kind in {"bits": int, "parts": list, **fields}.items():
        # A bool is an int too, and no number of bits.
        if not isinstance(header.get(name), kind) or isinstance(header[name], bool):
            raise ValueError(f"{name!r} is missing or no {kind.__name__}")
    parts = tuple(Part(**part) for part in header["parts"])
    manifest = Manifest(
        check_bits(header["bits"]), parts, **{name: header[name] for name in fields}
    )
    for name in manifest.files():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of an index's file")
    for part in parts:
        if type(part.count) is not int or part.count < 1:
            raise ValueError(f"{part.file} is said to have {part.count!r} items")
        if not isinstance(part.kind, str) or not isinstance(part.options, dict):
            raise ValueError(f"{part.file} is said to be {part.kind!r} with {part.options!r}")
        check_options(part.kind, part.options)
        if (part.structure is None) != (part.kind == "flat"):
            raise ValueError(f"{part.file} is {part.kind} with the structure {part.structure}")
        if missing := set(part.files()) - header["sha256"].keys():
            raise ValueError(f"no digest of {', '.join(sorted(missing))}")
    return manifest
