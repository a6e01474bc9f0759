"""Flickr8k: photographs with five captions each (Hodosh, Young & Hockenmaier, JAIR 2013)."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from crosshash.data.dataset import PairedDataset
from crosshash.data.load import DATASETS
from crosshash.data.protocol import Protocol
from crosshash.files import locate
from crosshash.images import ImageFiles

_SETS = ("query", "retrieval", "train")


@DATASETS.register("flickr8k")
def flickr8k(
    root: str | Path = "flickr8k", *, images: str = "pixels"
) -> tuple[PairedDataset, Protocol]:
    """Read 8,091 photographs, their captions and 24 concept labels.

    The folder holds ``images/``, ``captions.csv`` (image, caption), ``labels.csv`` (image, one
    0/1 column per concept; its rows are the order of the pairs), ``splits.csv`` (image, query,
    retrieval, train) and, for ``images="features"``, ``mobilenetv2_features.npy`` (8091, 1280).
    The 73 photographs without a concept are in no set of the split.

    Args:
        root: The folder, as given or below ``CROSSHASH_DATA``.
        images: ``"pixels"``: the JPEG files; ``"features"``: pooled MobileNetV2 features.

    Raises:
        FileNotFoundError: The folder or a file of it is missing.
        ValueError: ``images`` is unknown, or the files disagree with each other.
    """
    if images not in ("pixels", "features"):
        raise ValueError(f"images={images!r} is unknown; use 'pixels' or 'features'")
    folder = locate(root)
    header, rows = _table(folder / "labels.csv")
    names = [row[0] for row in rows]
    try:
        labels = np.array([row[1:] for row in rows], dtype=np.int64)
    except ValueError as error:
        raise ValueError(f"{folder / 'labels.csv'}: labels are 0 or 1 ({error})") from None
    captions: dict[str, list[str]] = {name: [] for name in names}
    for name, caption in _table(folder / "captions.csv", ("image", "caption"))[1]:
        _known(captions, name, folder / "captions.csv").append(caption)
    dataset = PairedDataset(
        name="flickr8k",
        ids=names,
        images=_files(folder, names) if images == "pixels" else _features(folder),
        texts=list(captions.values()),
        labels=labels,
        label_names=header[1:],
    )
    return dataset, _protocol(folder / "splits.csv", dataset)


def _table(path: Path, columns: tuple[str, ...] = ()) -> tuple[list[str], list[list[str]]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: this file of the flickr8k folder is missing")
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = list(csv.reader(file)) or [[]]
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


def _files(folder: Path, names: list[str]) -> ImageFiles:
    directory = folder / "images"
    there = {path.name for path in directory.iterdir()} if directory.is_dir() else set()
    missing = [name for name in names if name not in there]
    if missing:
        raise FileNotFoundError(
            f"{directory}: {len(missing)} of {len(names)} photographs are missing, the first is "
            f"{missing[0]}; unpack the images again or use images='features'"
        )
    return ImageFiles([directory / name for name in names])


def _features(folder: Path) -> Any:
    path = folder / "mobilenetv2_features.npy"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: the features are missing; use images='pixels'")
    return np.load(path, allow_pickle=False)


def _protocol(path: Path, dataset: PairedDataset) -> Protocol:
    sets: dict[str, list[int]] = {part: [] for part in _SETS}
    order = {name: index for index, name in enumerate(dataset.ids)}
    for name, *marks in _table(path, ("image", *_SETS))[1]:
        index = _known(order, name, path)
        for part, mark in zip(_SETS, marks, strict=True):
            if mark not in ("0", "1"):
                raise ValueError(f"{path}: {part} of {name!r} is {mark!r}; it is 0 or 1")
            if mark == "1":
                sets[part].append(index)
    protocol = Protocol("flickr8k", *(np.array(sets[part], dtype=np.int64) for part in _SETS))
    protocol.check(len(dataset), dataset.ids)
    return protocol
