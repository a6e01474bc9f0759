"""Lists of pictures or texts: CSV, JSON lines and Parquet, row by row."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from crosshash.data.features.parquet import import_parquet
from crosshash.data.features.vectors import PARQUET
from crosshash.encoding.items import Item, Kind, RejectedError, Source, checked_text
from crosshash.images import ImageFiles
from crosshash.untrusted import parse_json

CSV, LINES = (".csv",), (".jsonl", ".ndjson")
_ROWS = 1024
_LINE_BYTES = 4 << 20
_MISSING = "the row has no such value"


class Columns(NamedTuple):
    """Which columns of a table are meant; None where the user did not say.

    Attributes:
        image: Of pictures' paths, by default ``image``.
        text: Of texts, by default ``text``.
        id: Of ids; by default ``id`` where there is one.
    """

    image: str | None = None
    text: str | None = None
    id: str | None = None

    def value(self, kind: Kind) -> str:
        """The column to encode."""
        return (self.image if kind == "image" else self.text) or kind

    def check(self, names: list[str], kind: Kind, where: str) -> str | None:
        """The column of ids, None for none.

        Raises:
            ValueError: A column that is meant is not there; names those that are.
        """
        value = self.value(kind)
        for name, option in ((value, kind), (self.id, "id")):
            if name is not None and name not in names:
                raise ValueError(
                    f"{where} has no column {name!r}, but {', '.join(names) or 'none at all'}; "
                    f"name the one that is meant with --{option}-column"
                )
        return self.id or ("id" if "id" in names else None)


class Table(Source):
    """Pictures or texts that a list names; relative paths are relative to the list.

    Without a column of ids, the id of a picture is its path as it is written, and that of a text
    the number of its row.

    Args:
        path: ``.csv``, with a first row of names; ``.jsonl``, an object in each line; ``.parquet``.
        kind: Whether pictures or texts are meant.
        columns: Which columns.

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: A Parquet file, and pyarrow is not installed.
        ValueError: A column is not there or, in Parquet, holds no strings.
    """

    def __init__(self, path: Path, kind: Kind, columns: Columns) -> None:
        if not path.is_file():
            raise FileNotFoundError(f"{path}: there is no such list")
        self.given = [str(path)]
        self.path = path
        self.kind = kind
        self.form = "pictures" if kind == "image" else "texts"
        self.suffix = path.suffix.lower()
        self.title = f"rows of a {self.suffix} list"
        self.value = columns.value(kind)
        self.id = columns.check(self._names(), kind, str(path))

    def __iter__(self) -> Iterator[Item]:
        return (self._item(row, values) for row, values in enumerate(self._rows()))

    def read(self, item: Item) -> Path | str:
        """The picture's path, or the text.

        Raises:
            RejectedError: There is none, or an address in place of a path.
        """
        text = checked_text(item.place)
        if self.kind == "text":
            return text
        try:
            return self.path.parent / ImageFiles([text]).paths[0]
        except ValueError as error:
            raise RejectedError(str(error)) from None

    def describe(self) -> dict[str, Any]:
        """With the columns."""
        return {**super().describe(), self.kind: self.value, "id": self.id}

    def _item(self, row: int, values: Mapping[str, Any] | str) -> Item:
        if isinstance(values, str):
            return Item(f"{self.path.name} row {row}", row, values)
        value = values.get(self.value)
        fallback = value if self.kind == "image" and isinstance(value, str) else str(row)
        found = fallback if self.id is None else values.get(self.id)
        if isinstance(found, bool) or not isinstance(found, (str, int)) or found == "":
            fault = f"its id, column {self.id!r}, is {found!r}, and no string or whole number"
            return Item(f"{self.path.name} row {row}", value, fault)
        return Item(str(found), value, "" if isinstance(value, str) else _MISSING)

    def _names(self) -> list[str]:
        if self.suffix in PARQUET:
            schema = import_parquet(str(self.path)).read_schema(self.path)
            kinds = dict(zip(schema.names, map(str, schema.types), strict=True))
            kind = kinds.get(self.value, "string")
            if kind not in ("string", "large_string"):
                raise ValueError(
                    f"{self.path}: the column {self.value!r} is {kind}, and a list names paths or "
                    "texts in strings; pictures inside of Parquet are read by datasets, from a "
                    "folder that it saved"
                )
            return list(kinds)
        if self.suffix in CSV:
            with self._opened() as file:
                names = next(csv.reader(file), [])
            if len(set(names)) < len(names):
                raise ValueError(f"{self.path}: two columns of its first row have one name")
            return names
        first = next((row for row in self._lines() if not isinstance(row, str)), None)
        if first is None:
            raise ValueError(f"{self.path}: no line of it is a JSON object")
        return list(first)

    def _opened(self) -> TextIO:
        # What is no UTF-8 is rejected with its row, and stops no other.
        return self.path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")

    def _rows(self) -> Iterator[Mapping[str, Any] | str]:
        """Each row by its columns; a string says what is wrong with one."""
        if self.suffix in PARQUET:
            return self._parquet()
        return self._csv() if self.suffix in CSV else self._lines()

    def _csv(self) -> Iterator[Mapping[str, Any] | str]:
        with self._opened() as file:
            rows = csv.reader(file)
            try:
                names = next(rows, [])
                for values in rows:
                    if not values:  # an empty line
                        continue
                    if len(values) == len(names):
                        yield dict(zip(names, values, strict=True))
                    else:
                        yield f"{len(values)} values where the first row names {len(names)}"
            except csv.Error as error:  # after which nothing tells where a row begins
                yield f"the file cannot be read on from line {rows.line_num} ({error})"

    def _lines(self) -> Iterator[Mapping[str, Any] | str]:
        with self.path.open("rb") as file:
            number = 0
            while line := file.readline(_LINE_BYTES):
                number += 1
                if not line.endswith(b"\n") and len(line) == _LINE_BYTES:
                    while line and not line.endswith(b"\n"):
                        line = file.readline(_LINE_BYTES)
                    yield f"line {number} is longer than {_LINE_BYTES:,} bytes"
                elif line.strip():
                    yield _parsed(line, f"line {number}")

    def _parquet(self) -> Iterator[Mapping[str, Any] | str]:
        with import_parquet(str(self.path)).ParquetFile(self.path) as file:
            wanted = [name for name in (self.value, self.id) if name is not None]
            columns = list(dict.fromkeys(wanted))
            for batch in file.iter_batches(batch_size=_ROWS, columns=columns):
                yield from batch.to_pylist()


def _parsed(line: bytes, where: str) -> Mapping[str, Any] | str:
    try:
        values = parse_json(line, where)
    except ValueError as error:
        return str(error)
    return values if isinstance(values, dict) else f"{where} is no object"
