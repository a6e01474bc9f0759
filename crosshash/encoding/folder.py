"""A folder of codes: what ``codes.json`` says, the parts and their rejects, written and read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from crosshash.codes import Packed, check_bits
from crosshash.data.features.parquet import import_parquet
from crosshash.files import atomic_file, check_replaceable
from crosshash.untrusted import check_unpacked, read_json

FORMAT = "crosshash-codes"
VERSION = 1
HEADER_FILE = "codes.json"
_PART, _REJECTS = "part-{:06d}.parquet", "rejects-{:06d}.jsonl"
_HOLDS = (HEADER_FILE, "part-*.parquet", "rejects-*.jsonl", ".*.crosshash-partial")
_COLUMNS = ["id", "code"]


@dataclass(frozen=True)
class Header:
    """What a folder of codes says of itself, in ``codes.json``.

    Attributes:
        bits: Length of the codes.
        kind: ``"image"`` or ``"text"``.
        model: The name by which the model was loaded.
        model_digest: :func:`crosshash.model.digest.model_digest` of it.
        dtype: ``"fp32"`` or ``"bf16"``, in which it was run.
        allow_unknown: Whether texts without a known word are codes and no rejects.
        items: Of the source, with those that are rejected.
        items_per_part: Of each part but the last.
        source_digest: Over all items' ids, places and sizes, in their order.
        source: What it is and what it was called by, for people.
    """

    bits: int
    kind: str
    model: str
    model_digest: str
    dtype: str
    allow_unknown: bool
    items: int
    items_per_part: int
    source_digest: str
    source: dict[str, Any] = field(default_factory=dict)

    @property
    def parts(self) -> int:
        """How many parts there are to be."""
        return -(-self.items // self.items_per_part)

    def size(self, number: int) -> int:
        """Items of a part, with those that are rejected."""
        return min(self.items_per_part, self.items - number * self.items_per_part)


def part_path(folder: Path, number: int) -> Path:
    """Where a part's codes are; there if, and only if, the part is finished."""
    return folder / _PART.format(number)


def rejects_path(folder: Path, number: int) -> Path:
    """Where a part's rejects are, an object with ``id`` and ``reason`` in each line."""
    return folder / _REJECTS.format(number)


def open_folder(folder: Path, header: Header) -> None:
    """Begin a folder of codes, or go on with the one that is there.

    Raises:
        FileExistsError: It holds other files.
        ValueError: It was begun with another model, source or setting; names which.
    """
    check_replaceable(folder, holds=_HOLDS, what="a folder of codes")
    path = folder / HEADER_FILE
    if not path.is_file():
        if folder.is_dir() and any(folder.glob("part-*.parquet")):
            raise ValueError(
                f"{folder} has parts of codes and no {HEADER_FILE}, which says of which model; put "
                "it back, or choose a new folder"
            )
        text = json.dumps({"format": FORMAT, "version": VERSION, **asdict(header)}, indent=2)
        with atomic_file(path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    # Read in any case: of two that begin at once, the later one's stands.
    _check_same(folder, read_header(folder), header)


def read_header(folder: str | Path) -> Header:
    """``codes.json`` of a folder of codes.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is damaged, or of a later version.
    """
    path = Path(folder) / HEADER_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{folder}: no folder of codes ({HEADER_FILE} is missing)")
    found = read_json(path)
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ValueError(f"{path}: not what a folder of codes says (format {FORMAT!r})")
    if found.get("version") != VERSION:
        raise ValueError(
            f"{path}: format version {found.get('version')!r}, this crosshash reads {VERSION}; "
            "upgrade crosshash, or encode anew"
        )
    kinds: Mapping[str, type] = {"str": str, "int": int, "bool": bool, "dict[str, Any]": dict}
    values: dict[str, Any] = {}
    for entry in fields(Header):
        value, kind = found.get(entry.name), kinds[str(entry.type)]
        if type(value) is not kind:
            raise ValueError(f"{path}: {entry.name!r} is missing or no {kind.__name__}")
        values[entry.name] = value
    header = Header(**values)
    check_bits(header.bits)
    if header.items < 1 or header.items_per_part < 1 or header.kind not in ("image", "text"):
        raise ValueError(
            f"{path}: {header.items} items in parts of {header.items_per_part} of kind "
            f"{header.kind!r}; expected at least 1 of each, of 'image' or 'text'"
        )
    return header


def is_codes_folder(folder: str | Path) -> bool:
    """Whether a path is a folder with ``codes.json``."""
    return Path(folder, HEADER_FILE).is_file()


def write_part(
    folder: Path,
    number: int,
    ids: Sequence[str],
    codes: Packed,
    rejects: Sequence[tuple[str, str]],
) -> None:
    """Write a part, its rejects first, so that a part that is there is finished.

    Args:
        folder: Of :func:`open_folder`.
        number: Of the part.
        ids: n of them.
        codes: ``uint8`` (n, k/8).
        rejects: Ids and reasons.
    """
    import pyarrow

    parquet = import_parquet("a folder of codes")
    with atomic_file(rejects_path(folder, number)) as path, path.open("wb") as file:
        for id_, reason in rejects:
            line = json.dumps({"id": id_, "reason": reason})
            file.write(f"{line}\n".encode())
        _on_disk(file)
    count, width = codes.shape
    packed = pyarrow.py_buffer(np.ascontiguousarray(codes))
    column = pyarrow.FixedSizeBinaryArray.from_buffers(pyarrow.binary(width), count, [None, packed])
    table = pyarrow.table([pyarrow.array(ids, pyarrow.string()), column], names=_COLUMNS)
    with atomic_file(part_path(folder, number)) as path, path.open("wb") as file:
        parquet.write_table(table, file, use_dictionary=False)
        _on_disk(file)


def read_codes(folder: str | Path) -> Iterator[tuple[list[str], Packed]]:
    """Ids and packed codes ``uint8`` (n, k/8) of a finished folder, part by part, in order.

    Raises:
        FileNotFoundError: It is no folder of codes, or parts are missing: ``crosshash encode`` was
            stopped, or goes on.
        ImportError: pyarrow is not installed.
        ValueError: A file is damaged.
    """
    place = Path(folder)
    header = read_header(place)
    missing = [n for n in range(header.parts) if not part_path(place, n).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder}: {len(missing)} of {header.parts} parts are not there, the first is "
            f"{part_path(place, missing[0]).name}; finish it by the command that began it"
        )
    return (_read_part(place, header, number) for number in range(header.parts))


def count_part(folder: Path, header: Header, number: int) -> tuple[int, int]:
    """Codes and rejects of a finished part.

    Raises:
        ValueError: They are not the part's items; the file is damaged.
    """
    with _opened(folder, header, number) as file:
        codes = int(file.metadata.num_rows)
    with rejects_path(folder, number).open("rb") as lines:
        rejects = sum(1 for _ in lines)
    if codes + rejects != header.size(number):
        raise ValueError(
            f"{part_path(folder, number)}: {codes} codes and {rejects} rejects of "
            f"{header.size(number)} items; delete it, and run the command that made it again"
        )
    return codes, rejects


def _read_part(folder: Path, header: Header, number: int) -> tuple[list[str], Packed]:
    path = part_path(folder, number)
    with _opened(folder, header, number) as file:
        groups = range(file.metadata.num_row_groups)
        unpacked = sum(file.metadata.row_group(group).total_byte_size for group in groups)
        check_unpacked(unpacked, path.stat().st_size, str(path))
        table = file.read(columns=_COLUMNS, use_threads=False)
    if any(table[name].null_count for name in _COLUMNS):
        raise ValueError(f"{path}: an id or a code is missing; encode it anew")
    chunks = table["code"].chunks
    codes = [np.frombuffer(b"".join(chunk.to_pylist()), dtype=np.uint8) for chunk in chunks]
    joined = np.concatenate(codes) if codes else np.empty(0, np.uint8)
    return table["id"].to_pylist(), joined.reshape(len(table), header.bits // 8)


def _opened(folder: Path, header: Header, number: int) -> Any:
    """A part's Parquet file, whose columns and number of rows are checked."""
    import pyarrow

    path = part_path(folder, number)
    parquet = import_parquet(str(path))
    try:
        file = parquet.ParquetFile(path)
    except pyarrow.ArrowException as error:
        raise ValueError(
            f"{path}: cannot be read as Parquet ({error}); delete it, and run the command that "
            "made it again"
        ) from None
    expected = {"id": "string", "code": f"fixed_size_binary[{header.bits // 8}]"}
    found = dict(zip(file.schema_arrow.names, map(str, file.schema_arrow.types), strict=True))
    if found != expected or file.metadata.num_rows > header.size(number):
        file.close()
        raise ValueError(
            f"{path}: {file.metadata.num_rows} rows of {found}; expected at most "
            f"{header.size(number)} of {expected}"
        )
    return file


def _check_same(folder: Path, there: Header, asked: Header) -> None:
    """Refuse to mix codes of two models, sources or settings."""
    told = {
        "model_digest": "another model",
        "bits": "codes of another length",
        "kind": "another kind of item",
        "dtype": "another --dtype",
        "allow_unknown": "the other setting of --allow-unknown",
        "items_per_part": "parts of another size",
        "items": "another source, or the source has changed since",
        "source_digest": "another source, or the source has changed since",
    }
    for name, what in told.items():
        old, new = getattr(there, name), getattr(asked, name)
        if old != new:
            old, new = (str(value)[:12] for value in (old, new))
            raise ValueError(
                f"{folder} was begun with {what}: {name} is {old} there and {new} now; run the "
                "same command to go on, or choose a new folder"
            )


def _on_disk(file: Any) -> None:
    """Not only handed to the system: a name must not appear before its contents do."""
    file.flush()
    os.fsync(file.fileno())
