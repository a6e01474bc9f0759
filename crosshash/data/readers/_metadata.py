"""Rows of ``metadata.csv`` and ``metadata.jsonl`` in the Hugging Face imagefolder convention."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from crosshash.untrusted import parse_json

FILES = ("metadata.csv", "metadata.jsonl")
TEXT_COLUMNS = ("text", "caption", "captions")
LABEL_COLUMNS = ("labels", "label")
SEPARATOR = "|"
_LINE = 1 << 20
# Folder names and values of the column ``split``, and what each one means here.
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation", "query"), "test"),
    **dict.fromkeys(("retrieval", "database"), "retrieval"),
}


@dataclass
class Entry:
    """One image, with what its rows say.

    Attributes:
        where: File and line of the first row, for messages.
        file: Path of the image, relative to the root.
        captions: Captions in the order of the rows.
        labels: Names, or the 0/1 values of a vector.
        split: ``train``, ``validation``, ``test``, ``retrieval`` or None.
    """

    where: str
    file: PurePosixPath
    captions: list[str]
    labels: list[str] | list[int]
    split: str | None


@dataclass(frozen=True)
class _Columns:
    text: str
    label: str | None
    separated: bool  # labels are one string with separators, as CSV has no lists


def read_metadata(
    root: Path, *, text_column: str | None, label_column: str | None, follow_links: bool = False
) -> tuple[list[Entry], bool]:
    """All images that the metadata of a folder names, in the order of their first rows.

    Returns:
        The entries, and whether there is a label column.

    Raises:
        FileNotFoundError: The folder is empty or has no metadata file.
        ValueError: A metadata file or one of its rows is not in the convention, or the file is a
            link that leads out of the folder, and ``follow_links`` is False.
    """
    entries: dict[PurePosixPath, Entry] = {}
    labelled = False
    for path, folder_split in _metadata_files(root):
        if not follow_links:
            check_inside(root.resolve(), path, str(path))
        columns: _Columns | None = None
        for where, row in rows_of(path):
            if columns is None:
                columns = _columns(path, row, text_column, label_column)
                labelled = labelled or columns.label is not None
            entry = _entry(where, row, columns, path.parent.relative_to(root), folder_split)
            _merge(entries.setdefault(entry.file, entry), entry)
        if columns is None:
            raise ValueError(f"{path}: no rows; write one row per image")
    return list(entries.values()), labelled


def check_inside(root: Path, path: Path, where: str) -> None:
    """Refuse a file that links lead to a place outside of a folder.

    Args:
        root: The folder, with no link in its path.
        path: The file, below the folder by its name.
        where: What names it, for the message.

    Raises:
        ValueError: It is elsewhere.
    """
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(root):
        raise ValueError(
            f"{where}: {path} is reached by a link to {real}, outside of the folder; put the file "
            "itself there, or allow such links by the option follow_links"
        )


def _metadata_files(root: Path) -> list[tuple[Path, str | None]]:
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: not a folder; give the folder with {' or '.join(FILES)}")
    found: list[tuple[Path, str | None]] = [(path, None) for path in _present(root)]
    for folder in sorted(path for path in root.iterdir() if _is_split_folder(path)):
        for path in _present(folder):
            found.append((path, _split(folder.name, f"{folder}: the folder's name")))
    if not found:
        held = sorted(path.name for path in root.iterdir())
        holds = f"it holds {', '.join(held[:3])}{', …' if len(held) > 3 else ''}"
        raise FileNotFoundError(
            f"{root}: {holds if held else 'the folder is empty'}; expected the images and "
            f"{' or '.join(FILES)} with the columns file_name and text, in the folder itself or in "
            "its folders train and test"
        )
    parents = [path.parent for path, _ in found]
    if len(set(parents)) < len(parents) or (len(parents) > 1 and root in parents):
        raise ValueError(
            f"{root}: {len(found)} metadata files "
            f"({', '.join(str(path.relative_to(root)) for path, _ in found[:3])}); keep one for "
            "the whole folder, or one in each split folder"
        )
    return found


def _is_split_folder(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")  # not .cache and the like


def _present(folder: Path) -> list[Path]:
    return [folder / name for name in FILES if (folder / name).is_file()]


def rows_of(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a metadata file, each with its file and line for messages.

    Raises:
        ValueError: It cannot be read as what its suffix says, or a row is none.
    """
    try:
        # utf-8-sig: spreadsheet programs begin a CSV file with a byte-order mark.
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from (_csv_rows if path.suffix == ".csv" else _json_rows)(path, file)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text ({error}); save it as UTF-8") from error
    except csv.Error as error:
        raise ValueError(f"{path}: cannot be read as CSV ({error})") from error


def _csv_rows(path: Path, file: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    reader = csv.DictReader(file)
    for row in reader:
        where = f"{path}, line {reader.line_num}"
        if None in row or None in row.values():
            width = len(reader.fieldnames or ())
            raise ValueError(
                f"{where}: the row does not have the header's {width} columns; put text with "
                "commas in double quotes"
            )
        yield where, dict(row)


def _json_rows(path: Path, file: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    number = 0
    while line := file.readline(_LINE + 1):
        number += 1
        where = f"{path}, line {number}"
        if len(line) > _LINE:
            raise ValueError(f"{where}: longer than {_LINE:,} characters; write one row per line")
        if not line.strip():
            continue
        row = parse_json(line, where)
        if not isinstance(row, dict):
            raise ValueError(f"{where}: expected a JSON object with file_name and text")
        yield where, row


def _columns(path: Path, row: dict[str, Any], text: str | None, label: str | None) -> _Columns:
    if "file_name" not in row:
        raise ValueError(f"{path}: no column file_name; it has {', '.join(row)}")
    text = _column(path, row, text, TEXT_COLUMNS, "text_column")
    if text is None:
        raise ValueError(
            f"{path}: no column {', '.join(TEXT_COLUMNS[:-1])} or {TEXT_COLUMNS[-1]}; it has "
            f"{', '.join(row)}; name the texts' column by the option text_column"
        )
    label = _column(path, row, label, LABEL_COLUMNS, "label_column")
    return _Columns(text, label, separated=path.suffix == ".csv")


def _column(
    path: Path, row: dict[str, Any], asked: str | None, usual: Sequence[str], option: str
) -> str | None:
    if asked is not None:
        if asked not in row:
            raise ValueError(
                f"{path}: no column {asked!r} (option {option}); it has {', '.join(row)}"
            )
        return asked
    present = [name for name in usual if name in row]
    if len(present) > 1:
        raise ValueError(
            f"{path}: columns {' and '.join(present)}: choose one by the option {option}"
        )
    return present[0] if present else None


def _entry(
    where: str,
    row: dict[str, Any],
    columns: _Columns,
    folder: Path,
    folder_split: str | None,
) -> Entry:
    for column in ("file_name", columns.text, columns.label):
        if column is not None and column not in row:
            raise ValueError(f"{where}: no {column}; every row has the first row's columns")
    file = PurePosixPath(folder.as_posix()) / inside(row["file_name"], where)
    split = folder_split
    if "split" in row:
        split = _split(row["split"], f"{where}: split")
    elif split is None and len(file.parts) > 1:
        split = SPLITS.get(file.parts[0].lower())  # as Hugging Face: the image's folder tells
    return Entry(
        where=where,
        file=file,
        captions=_captions(row[columns.text], f"{where} ({file}): {columns.text}"),
        labels=[]
        if columns.label is None
        else _labels(row[columns.label], where, columns.separated),
        split=split,
    )


def inside(name: Any, where: str) -> PurePosixPath:
    """A row's ``file_name`` as a path; ValueError unless it stays below the metadata's folder."""
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"{where}: file_name is {name!r}; it is the path of an image")
    windows, posix = PureWindowsPath(name), PurePosixPath(name)
    if windows.anchor or posix.is_absolute() or ".." in windows.parts:
        raise ValueError(
            f"{where}: file_name {name!r} leads out of the folder; give a path below the folder "
            "of the metadata file, without '..'"
        )
    return posix


def _split(name: Any, where: str) -> str:
    if not isinstance(name, str) or name.strip().lower() not in SPLITS:
        raise ValueError(f"{where} {name!r} is no split; known: {', '.join(SPLITS)}")
    return SPLITS[name.strip().lower()]


def _captions(value: Any, where: str) -> list[str]:
    captions = value if isinstance(value, list) else [value]
    if not captions or not all(isinstance(text, str) and text.strip() for text in captions):
        raise ValueError(
            f"{where} is {value!r}; expected a caption of at least one word, or a list of them"
        )
    return captions


def _labels(value: Any, where: str, separated: bool) -> list[str] | list[int]:
    if value is None:
        return []
    if isinstance(value, str):
        parts = value.split(SEPARATOR) if separated else [value]
        return [part.strip() for part in parts if part.strip()]
    if isinstance(value, int) and not isinstance(value, bool):
        return [str(value)]
    if isinstance(value, list):
        if all(isinstance(label, str) and label.strip() for label in value):
            return [label.strip() for label in value]
        if all(isinstance(label, (bool, int, float)) and label in (0, 1) for label in value):
            return [int(label) for label in value]
    raise ValueError(
        f"{where}: the labels are {value!r}; expected a list of names or a vector of 0 and 1"
    )


def _merge(first: Entry, entry: Entry) -> None:
    if first is entry:
        return
    if entry.split != first.split or (entry.labels and entry.labels != first.labels):
        raise ValueError(
            f"{entry.where}: {entry.file} has another split or other labels than at {first.where}; "
            "repeated rows add captions only"
        )
    first.captions.extend(entry.captions)
