"""Which source the arguments of ``encode`` mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crosshash.data.features.parquet import import_parquet
from crosshash.data.features.vectors import PARQUET, is_vector_file
from crosshash.encoding.given import PictureFiles, Texts, Vectors
from crosshash.encoding.items import Kind, Source, is_file, is_folder
from crosshash.encoding.saved import HUB, SavedTable, is_saved
from crosshash.encoding.shards import TarShards, tar_paths
from crosshash.encoding.tables import CSV, LINES, Columns, Table


def open_source(
    given: str | Path | Sequence[str | Path],
    *,
    text: bool = False,
    columns: Columns | None = None,
    split: str | None = None,
) -> Source:
    """The source that some names mean.

    Args:
        given: Image files and folders of them; tar shards, a folder of these, or braces
            (``a-{000..010}.tar``); one list (``.csv``, ``.jsonl``, ``.parquet``); one file of
            vectors; one folder that ``datasets`` saved, or ``hf:organisation/name``; or texts.
        text: Texts are meant, or vectors of texts.
        columns: Of a list or a data set.
        split: Part of a data set of the Hub.

    Raises:
        FileNotFoundError: One is not there.
        ImportError: It needs a package that is not installed.
        ValueError: They are of several kinds, or options are of another kind than they are.
    """
    names = [str(given)] if isinstance(given, (str, Path)) else [str(name) for name in given]
    kind: Kind = "text" if text else "image"
    source = _tables(names, kind, columns or Columns(), split) or _others(names, kind)
    if columns and any(columns) and not isinstance(source, (Table, SavedTable)):
        raise ValueError(
            f"{names[0]} is no list and no data set, and has no columns; leave out --image-column, "
            "--text-column and --id-column"
        )
    if split is not None and not names[0].startswith(HUB):
        raise ValueError(f"--split is of data sets of the Hub (hf:organisation/name): {names[0]}")
    return source


def _tables(names: list[str], kind: Kind, columns: Columns, split: str | None) -> Source | None:
    """A list or a data set, which has columns and stands alone."""
    for name in names:
        # A text that ends so, and is no file, is a text.
        is_list = Path(name).suffix.lower() in (*CSV, *LINES) and (kind == "image" or is_file(name))
        saved = is_saved(name)
        if not (is_list or saved or _is_parquet_list(name, kind, columns)):
            continue
        if len(names) > 1:
            raise ValueError(f"{name} is a list or a data set; give it alone")
        return SavedTable(name, kind, columns, split) if saved else Table(Path(name), kind, columns)
    return None


def _is_parquet_list(name: str, kind: Kind, columns: Columns) -> bool:
    """Whether a Parquet file is a list; where not, it is one of vectors."""
    path = Path(name)
    if path.suffix.lower() not in PARQUET or not is_file(name):
        return False
    asked = columns.image if kind == "image" else columns.text
    return asked is not None or kind in import_parquet(name).read_schema(path).names


def _others(names: list[str], kind: Kind) -> Source:
    shards = [tar_paths(name, text=kind == "text") for name in names]
    if any(shards):
        if not all(shards):
            other = next(name for name, found in zip(names, shards, strict=True) if not found)
            raise ValueError(f"{other} is no tar shard, and others are; encode it by itself")
        paths = [path for found in shards if found for path in found]
        return TarShards(names, list(dict.fromkeys(paths)), kind)
    vectors = [name for name in names if is_vector_file(name)]
    if vectors and len(names) > 1:
        raise ValueError(f"{vectors[0]} is a file of vectors; give it alone")
    if vectors:
        return Vectors(vectors[0], kind)
    if kind == "image":
        return PictureFiles(names)
    folder = next(filter(is_folder, names), None)
    if folder is not None:
        raise ValueError(
            f"{folder} is a folder and has no tar shards; texts are given as they are, in shards, "
            "or in a list (.csv, .jsonl, .parquet)"
        )
    return Texts(names)
