"""MS COCO: photographs with five captions and instances of 80 categories (Lin et al., 2014)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crosshash.data.dataset import PairedDataset
from crosshash.data.load import DATASETS
from crosshash.data.paper_protocols import choose_protocol
from crosshash.data.protocol import Protocol
from crosshash.data.readers._official import check_on_missing, present, warn_counts
from crosshash.files import locate
from crosshash.images import ImageFiles
from crosshash.untrusted import read_json

# Images of each part, and how many of them have an instance. The 123,287 of both years are the same
# photographs; 122,218 of them have an instance.
OFFICIAL: dict[tuple[int, str], tuple[int, int]] = {
    (2017, "train"): (118_287, 117_266),
    (2017, "val"): (5_000, 4_952),
    (2014, "train"): (82_783, 82_081),
    (2014, "val"): (40_504, 40_137),
}
# What is kept of the JSON objects. Outlines and boxes are dropped while the file is parsed: they
# are nine tenths of it, and as Python objects would fill gigabytes.
_LISTS = ("images", "annotations", "categories")
_KEYS = {*_LISTS, "id", "image_id", "category_id", "caption", "file_name", "name"}
_FILE_BYTES = 4 << 30  # the largest official one has 0.5 GB
_Record = Mapping[str, Any]


@DATASETS.register("coco")
def coco(
    root: str | Path = "coco",
    *,
    year: int = 2017,
    parts: str | Sequence[str] = ("train", "val"),
    unlabelled: str = "keep",
    on_missing: str = "raise",
    protocol: str = "amgfh",
    query: int | None = None,
    train: int | None = None,
    seed: int = 0,
) -> tuple[PairedDataset, Protocol]:
    """Read the official folder: ``annotations/`` and ``train2017/``, ``val2017/`` (or ``…2014/``).

    A pair is named by its image id in twelve digits, which is the same in both years. Pairs are in
    the order of the parts, ``train`` before ``val``, and of the image ids in each. Captions are in
    the order of their annotation ids, so the first one is that with the lowest. A label holds where
    the image has an instance of the category, crowds included; labels are in the order of the
    category ids. Warns where the number of pairs is not the papers'.

    Args:
        root: The folder, as given or below ``CROSSHASH_DATA``.
        year: 2017 or 2014.
        parts: ``"train"``, ``"val"`` or both; their pairs form one set, which the protocol splits.
        unlabelled: ``"keep"`` images without an instance (123,287 pairs, as AMGFH), or ``"drop"``
            them (122,218 pairs).
        on_missing: ``"raise"`` when an image file is missing, or ``"skip"`` its pair and count it.
        protocol: A paper's name or a protocol file, as :func:`choose_protocol` takes it.
        query: Queries, in place of the paper's number.
        train: Training pairs, in place of the paper's number.
        seed: Draws the protocol.

    Raises:
        FileNotFoundError: The folder, an annotation file, or (unless skipped) an image is missing.
        LookupError: The protocol is unknown.
        ValueError: An option has no such value, an annotation file is damaged, the files disagree,
            or the pairs are too few for the protocol.
    """
    chosen = _check_options(year, parts, unlabelled, on_missing)
    folder = locate(root)
    names: list[str] | None = None
    ids: list[str] = []
    paths: list[Path] = []
    texts: list[list[str]] = []
    rows: list[npt.NDArray[np.uint8]] = []
    skipped: list[str] = []
    uncaptioned = without_label = 0
    for part in chosen:
        files, captions, labels, categories = _read_part(folder, f"{part}{year}")
        if names is not None and categories != names:
            raise ValueError(f"{folder}: the parts have different categories; they do not match")
        names = categories
        kept: list[int] = []
        for image in sorted(files):
            if not captions[image]:
                uncaptioned += 1
            elif unlabelled == "drop" and not labels[image].any():
                without_label += 1
            else:
                kept.append(image)
        directory = _image_folder(folder, f"{part}{year}")
        there = present(directory, [files[image] for image in kept], on_missing)
        for image, here in zip(kept, there, strict=True):
            if not here:
                skipped.append(f"{directory / files[image]}: no such image")
                continue
            ids.append(f"{image:012d}")
            paths.append(directory / files[image])
            texts.append(captions[image])
            rows.append(labels[image])
    if not ids:
        raise ValueError(f"{folder}: no image is left of {', '.join(chosen)} {year}")
    dropped = {"no caption": uncaptioned, "no label": without_label}
    dataset = PairedDataset(
        name="coco",
        ids=ids,
        images=ImageFiles(paths),
        texts=texts,
        labels=np.stack(rows),
        label_names=names or (),
        skipped=skipped,
        dropped={reason: count for reason, count in dropped.items() if count},
    )
    expected = sum(OFFICIAL[year, part][unlabelled == "drop"] for part in chosen)
    warn_counts("coco", {f"pairs in {' + '.join(chosen)} {year}": (len(dataset), expected)})
    split = choose_protocol(
        dataset.ids, dataset="coco", protocol=protocol, query=query, train=train, seed=seed
    )
    split.check(len(dataset), dataset.ids)
    return dataset, split


def _check_options(
    year: int, parts: str | Sequence[str], unlabelled: str, on_missing: str
) -> tuple[str, ...]:
    if year not in (2014, 2017):
        raise ValueError(f"year={year} is unknown; use 2017 or 2014")
    if unlabelled not in ("keep", "drop"):
        raise ValueError(f"unlabelled={unlabelled!r} is unknown; use 'keep' or 'drop'")
    check_on_missing(on_missing)
    given = (parts,) if isinstance(parts, str) else tuple(parts)
    if not given or not set(given) <= {"train", "val"}:
        raise ValueError(f"parts={list(given)} are unknown; use 'train', 'val' or both")
    return tuple(part for part in ("train", "val") if part in given)


def _read_part(
    folder: Path, part: str
) -> tuple[dict[int, str], dict[int, list[str]], dict[int, npt.NDArray[np.uint8]], list[str]]:
    """File name, captions and label row of each image of a part, and the category names."""
    source = folder / "annotations" / f"captions_{part}.json"
    content = _load(source, _LISTS[:2])
    files: dict[int, str] = {}
    for image in _records(content, "images", {"id": int, "file_name": str}, source):
        if "/" in image["file_name"]:
            raise ValueError(
                f"{source}: the file name {image['file_name']!r} leads into another folder; "
                "expected plain names"
            )
        if files.setdefault(image["id"], image["file_name"]) != image["file_name"]:
            raise ValueError(f"{source}: image id {image['id']} comes twice, with two files")
    captions: dict[int, list[str]] = {image: [] for image in files}
    wanted = {"id": int, "image_id": int, "caption": str}
    texts = _records(content, "annotations", wanted, source)
    for text in sorted(texts, key=lambda record: int(record["id"])):
        if text["caption"].strip():
            _of_image(captions, text, source).append(text["caption"].strip())

    source = folder / "annotations" / f"instances_{part}.json"
    content = _load(source, _LISTS)
    listed = {image["id"] for image in _records(content, "images", {"id": int}, source)}
    if listed != files.keys():
        raise ValueError(
            f"{source}: {len(listed - files.keys())} images are not in captions_{part}.json, and "
            f"{len(files.keys() - listed)} of that file are not here; both must be of one release"
        )
    categories = _records(content, "categories", {"id": int, "name": str}, source)
    names = {record["id"]: record["name"] for record in categories}
    if not names:
        raise ValueError(f"{source}: no categories")
    columns = {category: column for column, category in enumerate(sorted(names))}
    labels = {image: np.zeros(len(columns), dtype=np.uint8) for image in files}
    for instance in _records(content, "annotations", {"image_id": int, "category_id": int}, source):
        category = instance["category_id"]
        if category not in columns:
            raise ValueError(
                f"{source}: an instance is of category {category}, which is not listed"
            )
        _of_image(labels, instance, source)[columns[category]] = 1
    return files, captions, labels, [names[category] for category in sorted(names)]


def _load(path: Path, lists: Sequence[str]) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: this annotation file is missing; unpack annotations_trainval*.zip of the "
            "same year into the folder, or choose other year= and parts="
        )
    try:
        content = read_json(path, limit=_FILE_BYTES, hook=_needed)
    except ValueError as error:
        raise ValueError(f"{error}; unpack the annotations again") from None
    if not isinstance(content, dict) or not all(isinstance(content.get(k), list) for k in lists):
        raise ValueError(f"{path}: no COCO annotations; expected the lists {', '.join(lists)}")
    return content


def _needed(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key in _KEYS}


def _records(
    content: Mapping[str, Any], kind: str, fields: Mapping[str, type], path: Path
) -> list[_Record]:
    records: list[_Record] = content[kind]
    for place, record in enumerate(records):
        if not isinstance(record, dict) or not all(
            type(record.get(field)) is wanted for field, wanted in fields.items()
        ):
            raise ValueError(
                f"{path}: entry {place} of {kind!r} is {str(record)[:100]}; expected "
                + ", ".join(f"{field} ({wanted.__name__})" for field, wanted in fields.items())
            )
    return records


def _of_image(table: Mapping[int, Any], record: _Record, path: Path) -> Any:
    if record["image_id"] not in table:
        raise ValueError(f"{path}: an annotation is of image {record['image_id']}, not listed")
    return table[record["image_id"]]


def _image_folder(folder: Path, part: str) -> Path:
    beside = folder / "images" / part  # as some tools unpack it
    return beside if beside.is_dir() and not (folder / part).is_dir() else folder / part
