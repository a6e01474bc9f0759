"""A folder of one's own images and texts, in the Hugging Face imagefolder convention."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from crosshash.data.dataset import Labels, PairedDataset
from crosshash.data.load import DATASETS
from crosshash.data.protocol import Indices, Protocol
from crosshash.data.readers._metadata import Entry, check_inside, read_metadata
from crosshash.files import locate
from crosshash.images import PROBE, CorruptImageError, ImageFiles
from crosshash.registry import nearest

QUERY_FRACTION = 0.1


@DATASETS.register("imagefolder")
def imagefolder(
    root: str | Path,
    *,
    text_column: str | None = None,
    label_column: str | None = None,
    label_names: Sequence[str] | None = None,
    on_corrupt: str = "raise",
    check_images: bool = True,
    follow_links: bool = False,
    query: int | float | None = None,
    train: int | float | None = None,
    seed: int = 0,
) -> tuple[PairedDataset, Protocol]:
    """Read images with ``metadata.csv`` or ``metadata.jsonl``.

    Columns of a metadata file (UTF-8):

    * ``file_name``: path of the image, relative to the metadata file, without ``..``.
    * ``text``, ``caption`` or ``captions``: a caption; in JSON lines also a list of captions.
      Rows that repeat a ``file_name`` add captions.
    * ``labels`` or ``label``, optional: names; a list in JSON lines, separated by ``|`` in CSV.
      JSON lines may also have vectors of 0 and 1, all of one width.
    * ``split``, optional: ``train`` (trains, and is searched), ``retrieval`` (is only searched),
      ``test`` (the queries) or ``validation`` (for model selection).

    Splits may also be folders (``train/``, ``test/``, …), with one metadata file each or one above
    them. Without splits, or with training pairs only, a protocol is drawn at random.

    In a config, and for ``crosshash train``, an option is ``data.options.<name>``.

    Args:
        root: The folder, as given or below ``CROSSHASH_DATA``.
        text_column: Column of the captions, where it has another name.
        label_column: Column of the labels, where it has another name.
        label_names: All labels in the order of their columns; other names are then errors. By
            default, the names that occur, sorted.
        on_corrupt: ``"raise"`` at an image that cannot be decoded, or ``"skip"``: leave its pair
            out and say so in ``dataset.skipped``.
        check_images: Decode every image once, here; otherwise a corrupt one is found when used.
        follow_links: Read through symbolic links that lead out of the folder; by default they are
            refused, as whoever made the folder would choose which files are read.
        query: Number, or fraction, of the pairs that a random protocol makes queries; one tenth by
            default.
        train: Number, or fraction, of the other pairs that train; all of them by default.
        seed: Seed of the random protocol.

    Raises:
        FileNotFoundError: The folder, its metadata or an image is missing; the folder is empty.
        CorruptImageError: An image cannot be decoded, and ``on_corrupt`` is ``"raise"``.
        ValueError: The metadata or an option is wrong; the message has file and line.
    """
    if on_corrupt not in ("raise", "skip"):
        raise ValueError(f"the option on_corrupt is 'raise' or 'skip', got {on_corrupt!r}")
    if on_corrupt == "skip" and not check_images:
        raise ValueError(
            "the option on_corrupt 'skip' needs check_images, which finds the damaged ones"
        )
    folder = locate(root)
    entries, labelled = read_metadata(
        folder, text_column=text_column, label_column=label_column, follow_links=follow_links
    )
    real = folder.resolve()
    for entry in entries:
        if not (folder / entry.file).is_file():
            raise FileNotFoundError(
                f"{entry.where}: no image {str(entry.file)!r} in {folder}; add it or remove the row"
            )
        if not follow_links:
            check_inside(real, folder / entry.file, entry.where)
    skipped: list[str] = []
    if check_images:
        entries, skipped = _readable(folder, entries, on_corrupt)
    labels, names = _label_matrix(entries, label_names) if labelled else (None, ())
    dataset = PairedDataset(
        name=folder.resolve().name,
        ids=[str(entry.file) for entry in entries],
        images=ImageFiles([folder / entry.file for entry in entries]),
        texts=[entry.captions for entry in entries],
        labels=labels,
        label_names=names,
        skipped=skipped,
    )
    protocol = _protocol(dataset.name, entries, query, train, seed)
    protocol.check(len(dataset), dataset.ids)
    return dataset, protocol


def _readable(folder: Path, entries: list[Entry], on_corrupt: str) -> tuple[list[Entry], list[str]]:
    """The entries whose images decode, and a line on each of the others."""
    source = ImageFiles([folder / entry.file for entry in entries])

    def check(index: int) -> CorruptImageError | None:
        try:
            source.open(index, size=PROBE)
        except CorruptImageError as error:
            error.hint = (
                "replace or remove it, or leave such pairs out by the data set's option "
                "on_corrupt=skip (data.options.on_corrupt=skip in a config)"
            )
            return error
        return None

    kept: list[Entry] = []
    skipped: list[str] = []
    # Pillow decodes outside the interpreter lock; each thread holds a picture.
    with ThreadPoolExecutor(min(8, (os.cpu_count() or 1) + 2)) as pool:
        for entry, error in zip(entries, pool.map(check, range(len(entries))), strict=True):
            if error is None:
                kept.append(entry)
            elif on_corrupt == "raise":
                raise error
            else:
                skipped.append(f"{entry.file}: {error.reason}")
    if not kept:
        raise ValueError(f"{folder}: none of {len(entries)} images can be decoded ({skipped[0]})")
    return kept, skipped


def _label_matrix(
    entries: list[Entry], label_names: Sequence[str] | None
) -> tuple[Labels, tuple[str, ...]]:
    vectors = [entry for entry in entries if entry.labels and isinstance(entry.labels[0], int)]
    if vectors:
        width = len(label_names) if label_names is not None else len(vectors[0].labels)
        source = "the option label_names" if label_names is not None else vectors[0].where
        for entry in entries:
            if len(entry.labels) != width or not isinstance(entry.labels[0], int):
                raise ValueError(
                    f"{entry.where}: the labels are {entry.labels!r}, expected a vector of {width} "
                    f"values 0 or 1 as in {source}"
                )
        matrix = np.array([entry.labels for entry in entries], dtype=np.uint8)
        return matrix, tuple(label_names or ())
    names = label_names
    if names is None:
        names = sorted({str(label) for entry in entries for label in entry.labels})
    if not names:
        raise ValueError("the label column is empty in every row; fill it in or remove it")
    columns = {label: column for column, label in enumerate(names)}
    matrix = np.zeros((len(entries), len(names)), dtype=np.uint8)
    for row, entry in enumerate(entries):
        for label in entry.labels:
            if label not in columns:
                raise ValueError(
                    f"{entry.where}: label {label!r} is not in label_names; "
                    f"{nearest(str(label), columns)}"
                )
            matrix[row, columns[str(label)]] = 1
    return matrix, tuple(names)


def _protocol(
    name: str,
    entries: list[Entry],
    query: int | float | None,
    train: int | float | None,
    seed: int,
) -> Protocol:
    splits = {entry.split for entry in entries}
    if splits in ({None}, {"train"}):
        n = len(entries)
        queries = _count(QUERY_FRACTION if query is None else query, n, "query")
        training = _count(1.0 if train is None else train, n - queries, "train")
        drawn = f"{name}/random-{seed}"
        return Protocol.random(n, query=queries, train=training, seed=seed, name=drawn)
    if None in splits:
        lone = next(entry for entry in entries if entry.split is None)
        raise ValueError(
            f"{lone.where}: {lone.file} is in no split, others are; give every image one"
        )
    if query is not None or train is not None:
        raise ValueError(f"{name!r} has its own splits; leave out the options query and train")
    for part, split in (("query", "test"), ("train", "train")):
        if split not in splits:
            raise ValueError(
                f"{name!r}: splits {', '.join(sorted(map(str, splits)))} but no pair in {split!r}; "
                f"mark the {part} pairs as {split!r}, or give no splits at all"
            )

    def rows(*names: str) -> Indices:
        return np.flatnonzero([entry.split in names for entry in entries])

    return Protocol(
        name=name,
        query=rows("test"),
        retrieval=rows("train", "retrieval"),
        train=rows("train"),
        validation=rows("validation") if "validation" in splits else None,
    )


def _count(size: int | float, of: int, option: str) -> int:
    if isinstance(size, float):
        if not 0 < size <= 1:
            raise ValueError(
                f"the option {option} is a number of pairs, or a fraction in (0, 1], got {size}"
            )
        return max(1, round(size * of))
    return size
