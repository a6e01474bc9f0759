"""Flickr8k: photographs with five captions each (Hodosh, Young & Hockenmaier, JAIR 2013)."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crosshash.data.dataset import PairedDataset
from crosshash.data.features.files import list_variables
from crosshash.data.load import DATASETS
from crosshash.data.protocol import Protocol
from crosshash.data.readers._official import file_names, first_folder, read_lines
from crosshash.files import locate
from crosshash.images import ImageFiles

_SETS = ("query", "retrieval", "train")
# The sets that a pair is in, by its mark in the table that comes with the package.
_MARKS: dict[str, tuple[str, ...]] = {
    "": (),
    "query": ("query",),
    "retrieval": ("retrieval",),
    "train": ("retrieval", "train"),
}
# Labels and split by the photographs' numbers at Flickr, with which the official names begin.
_SHIPPED = Path(__file__).with_name("flickr8k.csv.gz")
# Where the archives are unpacked side by side, and where each into a folder of its name. The first
# spelling is the authors'.
_PHOTOGRAPHS = ("Flicker8k_Dataset", "Flickr8k_Dataset/Flicker8k_Dataset", "Flickr8k_Dataset")
_CAPTIONS = ("Flickr8k.token.txt", "Flickr8k_text/Flickr8k.token.txt")


class _Tables(NamedTuple):
    names: list[str]  # of the photographs' files, in the order of the pairs
    captions: dict[str, list[str]]  # by those names
    labels: npt.NDArray[np.int64]  # (n, c)
    label_names: list[str]
    sets: dict[str, list[int]]  # rows
    photographs: Path


@DATASETS.register("flickr8k")
def flickr8k(
    root: str | Path = "flickr8k", *, images: str = "pixels", train: str = "split"
) -> tuple[PairedDataset, Protocol]:
    """Read 8,091 photographs, their captions and 24 concept labels.

    The folder is one of two, which give the same pairs, labels and split:

    - the official archives, unpacked: ``Flicker8k_Dataset/`` and ``Flickr8k.token.txt``; labels and
      split come with the package;
    - tables: ``images/``, ``captions.csv`` (image, caption), ``labels.csv`` (image, one 0/1 column
      per concept; its rows are the order of the pairs), ``splits.csv`` (image, query, retrieval,
      train) and, for ``images="features"``, ``mobilenetv2_features.npy`` (8091, 1280).

    The 73 photographs without a concept are in no set of the split.

    Args:
        root: The folder, as given or below ``CROSSHASH_DATA``. With ``labels.csv`` it is one of
            tables.
        images: ``"pixels"``: the JPEG files; ``"features"``: pooled MobileNetV2 features.
        train: ``"split"``: the 5,000 pairs of the split train; ``"searched"``: all 7,018 that are
            searched, for a model that is to be used and not compared.

    Raises:
        FileNotFoundError: The folder or a file of it is missing.
        ValueError: ``images`` or ``train`` is unknown, or the files disagree with each other.
    """
    if images not in ("pixels", "features"):
        raise ValueError(f"images={images!r} is unknown; use 'pixels' or 'features'")
    if train not in ("split", "searched"):
        raise ValueError(f"train={train!r} is unknown; use 'split' or 'searched'")
    folder = locate(root)
    tables = _of_tables(folder) if (folder / "labels.csv").is_file() else _official(folder)
    dataset = PairedDataset(
        name="flickr8k",
        ids=tables.names,
        images=_files(tables) if images == "pixels" else _features(folder),
        texts=list(tables.captions.values()),
        labels=tables.labels,
        label_names=tables.label_names,
    )
    query, retrieval, trained = (np.array(tables.sets[part], dtype=np.int64) for part in _SETS)
    if train == "searched":
        trained = retrieval
    protocol = Protocol("flickr8k", query, retrieval, trained)
    protocol.check(len(dataset), dataset.ids)
    return dataset, protocol


def _official(folder: Path) -> _Tables:
    """The authors' archives, with the labels and the split of the package."""
    with gzip.open(_SHIPPED, "rt", encoding="ascii", newline="") as file:
        (*_, concepts), *rows = csv.reader(file)
    label_names = concepts.split("|")
    labels = np.array([[c in named.split("|") for c in label_names] for *_, named in rows])
    sets = {
        part: [row for row, (_, mark, _) in enumerate(rows) if part in _MARKS[mark]]
        for part in _SETS
    }
    path, found = _tokens(folder)
    by_number = {name.partition("_")[0]: name for name in found}
    known = [by_number[number] for number, *_ in rows if number in by_number]
    if not len(known) == len(rows) == len(found):
        raise ValueError(
            f"{path}: captions of {len(found):,} photographs, of which {len(known):,} are among "
            f"the {len(rows):,} of Flickr8k; the file is damaged or of another data set: unpack "
            "it again"
        )
    photographs = first_folder(
        [folder / name for name in _PHOTOGRAPHS], "unpack the archive of the photographs there"
    )
    captions = {name: found[name] for name in known}
    return _Tables(known, captions, labels.astype(np.int64), label_names, sets, photographs)


def _tokens(folder: Path) -> tuple[Path, dict[str, list[str]]]:
    """Captions of each photograph, from lines ``name.jpg#0<TAB>caption``; and the file's path."""
    places = [folder / name for name in _CAPTIONS]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise FileNotFoundError(
            f"{folder}: neither labels.csv nor the official {_CAPTIONS[0]} is there; "
            "docs/data/flickr8k.md says which files belong into the folder"
        )
    captions: dict[str, list[str]] = {}
    for number, line in enumerate(read_lines(path, "the file of captions"), start=1):
        key, tab, caption = line.partition("\t")
        name, mark, _ = key.rpartition("#")
        if not tab or not mark:
            raise ValueError(
                f"{path}: line {number} is {line[:60]!r}; expected name.jpg#0, a tab, a caption"
            )
        # The authors' file has five captions of "….jpg.1", a photograph that they do not give.
        if name.endswith(".jpg"):
            captions.setdefault(name, []).append(caption.strip())
    return path, captions


def _of_tables(folder: Path) -> _Tables:
    """Tables in place of the authors' files."""
    header, rows = _table(folder / "labels.csv")
    names = [row[0] for row in rows]
    try:
        labels = np.array([row[1:] for row in rows], dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{folder / 'labels.csv'}: labels are 0 or 1 ({error})") from None
    captions: dict[str, list[str]] = {name: [] for name in names}
    for name, caption in _table(folder / "captions.csv", ("image", "caption"))[1]:
        _known(captions, name, folder / "captions.csv").append(caption)
    sets = _marked(folder / "splits.csv", {name: row for row, name in enumerate(names)})
    return _Tables(names, captions, labels, header[1:], sets, folder / "images")


def _marked(path: Path, order: dict[str, int]) -> dict[str, list[int]]:
    sets: dict[str, list[int]] = {part: [] for part in _SETS}
    for name, *marks in _table(path, ("image", *_SETS))[1]:
        index = _known(order, name, path)
        for part, mark in zip(_SETS, marks, strict=True):
            if mark not in ("0", "1"):
                raise ValueError(f"{path}: {part} of {name!r} is {mark!r}; it is 0 or 1")
            if mark == "1":
                sets[part].append(index)
    return sets


def _table(path: Path, columns: tuple[str, ...] = ()) -> tuple[list[str], list[list[str]]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: this file of the flickr8k folder is missing")
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = list(csv.reader(file)) or [[]]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as CSV in UTF-8 ({error})") from None
    if columns and tuple(header) != columns:
        raise ValueError(f"{path}: the columns are {', '.join(columns)}, got {', '.join(header)}")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise ValueError(f"{path}: row {number} has {len(row)} columns, not {len(header)}")
    return header, rows


def _known(table: dict[str, Any], name: str, path: Path) -> Any:
    if name not in table:
        raise ValueError(f"{path}: {name!r} is not in labels.csv; the files are of two versions")
    return table[name]


def _files(tables: _Tables) -> ImageFiles:
    there = file_names(tables.photographs)
    missing = [name for name in tables.names if name not in there]
    if missing:
        raise FileNotFoundError(
            f"{tables.photographs}: {len(missing)} of {len(tables.names)} photographs are missing, "
            f"the first is {missing[0]}; unpack the images again or use images='features'"
        )
    return ImageFiles([tables.photographs / name for name in tables.names])


def _features(folder: Path) -> Any:
    path = folder / "mobilenetv2_features.npy"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: the features are missing; use images='pixels'")
    (variable,) = list_variables(path)
    return variable.read()
