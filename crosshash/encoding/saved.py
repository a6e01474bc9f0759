"""Tables of Hugging Face's ``datasets`` as sources."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crosshash.data.features.saved import load_named, load_saved
from crosshash.encoding.items import Item, Kind, RejectedError, Source, checked_text, is_file
from crosshash.encoding.tables import Columns
from crosshash.images import ImageFiles

HUB = "hf:"
_STATE = "state.json"
_PARTS = "dataset_dict.json"
_ROWS = 1000


def is_saved(given: str) -> bool:
    """Whether it is a folder that ``save_to_disk`` wrote, or ``hf:`` and a name."""
    return given.startswith(HUB) or any(is_file(Path(given, name)) for name in (_STATE, _PARTS))


class SavedTable(Source):
    """The rows of a data set; without a column of ids these are the numbers of the rows.

    Args:
        given: A folder that ``save_to_disk`` wrote, or ``hf:organisation/name``.
        kind: Whether pictures or texts are meant.
        columns: Which columns; that of pictures holds pictures, or paths, of which relative ones
            are relative to the folder.
        split: Which part of a data set of the Hub.

    Raises:
        ImportError: ``datasets`` is not installed.
        ValueError: A column is not there; or the data set has several parts, and none is named.
    """

    title = "rows of a data set"

    def __init__(self, given: str, kind: Kind, columns: Columns, split: str | None = None) -> None:
        self.given = [given]
        self.kind = kind
        self.form = "pictures" if kind == "image" else "texts"
        self.split = split
        named = given.startswith(HUB)
        self.folder = Path() if named else Path(given)
        table = load_named(given[len(HUB) :], split) if named else load_saved(self.folder, given)
        self.value = columns.value(kind)
        self.id = columns.check(list(table.column_names), kind, given)
        if type(table.features[self.value]).__name__ == "Image":
            # Encoded as they are stored: they are decoded as all pictures are here.
            table = table.cast_column(self.value, type(table.features[self.value])(decode=False))
        self.table = table.with_format(None)

    def __iter__(self) -> Iterator[Item]:
        if self.id is None:
            yield from (Item(str(row), row) for row in range(len(self.table)))
            return
        ids = self.table.select_columns([self.id])
        for start in range(0, len(ids), _ROWS):
            for row, id_ in enumerate(ids[start : start + _ROWS][self.id], start):
                good = isinstance(id_, (str, int)) and not isinstance(id_, bool) and id_ != ""
                fault = "" if good else f"its id is {id_!r}, and no string or whole number"
                yield Item(str(id_) if good else f"row {row}", row, fault)

    def read(self, item: Item) -> bytes | Path | str:
        """The picture's bytes or path, or the text.

        Raises:
            RejectedError: The row has none.
        """
        value = self.table[item.place][self.value]
        if self.kind == "text":
            return checked_text(value)
        if isinstance(value, dict) and value.get("bytes") is not None:
            return bytes(value["bytes"])
        path = value.get("path") if isinstance(value, dict) else value
        if not isinstance(path, str):
            raise RejectedError("the row has no picture")
        try:
            return self.folder / ImageFiles([path]).paths[0]
        except ValueError as error:
            raise RejectedError(str(error)) from None

    def stamp(self) -> str:
        """The fingerprint that ``datasets`` gives the table."""
        return str(getattr(self.table, "_fingerprint", ""))

    def describe(self) -> dict[str, Any]:
        """With the columns and the part."""
        chosen = {self.kind: self.value, "id": self.id, "split": self.split}
        return {**super().describe(), **chosen}
