"""NUS-WIDE: Flickr photographs, their tags and 81 concepts (Chua et al., CIVR 2009)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from crosshash.data.dataset import Labels, PairedDataset
from crosshash.data.load import DATASETS
from crosshash.data.paper_protocols import choose_protocol
from crosshash.data.protocol import Protocol
from crosshash.data.readers._binary_table import Ones, read_ones
from crosshash.data.readers._official import (
    check_on_missing,
    first_folder,
    present,
    read_lines,
    warn_counts,
)
from crosshash.files import locate
from crosshash.images import ImageFiles

COUNTS = {"images": 269_648, "concepts": 81, "tags": 1_000}
# Pairs by the number of concepts and whether tagless ones stay.
PAIRS = {(10, True): 186_577, (21, True): 195_834, (21, False): 190_421}
# What each paper takes: the number of most frequent concepts, and whether tagless pairs stay, which
# none of them says: it follows from their numbers of pairs, or from their authors' code.
CHOICES = {
    "amgfh": (10, True),
    "mdffh": (21, True),
    "dmsfh": (21, False),
    "hfah": (21, True),
    "dcmh": (21, True),
    "djsrh": (10, True),
    "dchmt": (21, True),
    "mith": (21, False),
}


@DATASETS.register("nuswide")
def nuswide(
    root: str | Path = "nuswide",
    *,
    classes: int | None = None,
    keep_tagless: bool | None = None,
    protocol: str | Path = "amgfh",
    query: int | None = None,
    train: int | None = None,
    seed: int = 0,
    on_missing: Literal["raise", "skip"] = "raise",
) -> tuple[PairedDataset, Protocol]:
    """Read the photographs that have one of the most frequent concepts.

    The official files: ``ImageList/Imagelist.txt``, ``NUS_WID_Tags/AllTags1k.txt`` and
    ``TagList1k.txt``, ``ConceptsList/Concepts81.txt``, ``Groundtruth/AllLabels/Labels_*.txt`` and
    the images in ``Flickr/`` or ``images/``, in their directories or all in one. The most
    frequent concepts are counted over all 269,648 photographs, ties by the order of the list of
    concepts, which is also the order of the labels. A pair's text is its tags among the official
    1,000, in the order of their list, with one space between. Pairs are in the order of the list of
    images; their ids are its paths, with forward slashes.

    HFAH gives no split; its protocol has the sizes of DCMH's. DCHMT leaves out pairs by a list of
    its own; its protocol here has the others' pairs.

    Args:
        root: The folder, as given or below ``CROSSHASH_DATA``.
        classes: How many of the most frequent concepts; default: as in the paper of ``protocol``.
        keep_tagless: Whether pairs without any of the 1,000 tags stay, with a blank text; default:
            as in the paper of ``protocol``.
        protocol: A paper (``"amgfh"``, ``"djsrh"``: 10 concepts, 186,577 pairs; ``"mdffh"``,
            ``"hfah"``, ``"dcmh"``, ``"dchmt"``: 21, 195,834; ``"dmsfh"``, ``"mith"``: 21 without
            tagless pairs, 190,421) or a protocol file.
        query: Queries, in place of the paper's number.
        train: Training pairs, in place of the paper's number.
        seed: Draws the sets.
        on_missing: ``"skip"`` leaves out pairs without their image, and counts them.

    Warns:
        UserWarning: Images, concepts, tags or pairs are not as many as the papers have.

    Raises:
        FileNotFoundError: A folder or an official file is missing, or an image.
        ValueError: A file is not in the official format, the files disagree on the number of
            images, or an option is out of its range.
    """
    check_on_missing(on_missing)
    classes, keep_tagless = _choice(protocol, classes, keep_tagless)
    folder = locate(root)
    ids = _ids(folder)
    truth, concepts, total = _labels(folder, classes, len(ids))
    words = tag_list(folder)
    tags = _tags(folder, len(words), len(ids))

    labelled = truth.any(axis=1)
    tagless = tags.counts == 0
    kept = labelled if keep_tagless else labelled & ~tagless
    rows = np.flatnonzero(kept)
    images, names = _images(folder, [ids[row] for row in rows])
    there = present(images, names, on_missing)
    name = f"nuswide-tc{classes}" + ("" if keep_tagless else "-tagged")
    counts = {
        "images": (len(ids), COUNTS["images"]),
        "concepts": (total, COUNTS["concepts"]),
        "tags": (len(words), COUNTS["tags"]),
    }
    if (classes, keep_tagless) in PAIRS:
        counts["pairs"] = (int(there.sum()), PAIRS[classes, keep_tagless])
    warn_counts(name, counts)

    dropped = {f"none of the {classes} concepts": int((~labelled).sum())}
    if not keep_tagless:
        dropped["no tag"] = int((labelled & tagless).sum())
    skipped = [f"{names[place]}: no such image" for place in np.flatnonzero(~there)]
    rows, places = rows[there], np.flatnonzero(there)
    dataset = PairedDataset(
        name=name,
        ids=[ids[row] for row in rows],
        images=ImageFiles([f"{images}/{names[place]}" for place in places]),
        texts=tags.join(words, rows),
        labels=truth[rows],
        label_names=concepts,
        skipped=skipped,
        dropped=dropped,
        blank="allow" if keep_tagless else "raise",
    )
    chosen = choose_protocol(
        dataset.ids, dataset=name, protocol=protocol, query=query, train=train, seed=seed
    )
    return dataset, chosen


def tag_list(root: str | Path = "nuswide") -> list[str]:
    """The 1,000 official tags, in the order of the columns of ``AllTags1k.txt``.

    Args:
        root: The folder of :func:`nuswide`.

    Raises:
        FileNotFoundError: ``NUS_WID_Tags/TagList1k.txt`` is missing.
    """
    path = _official(locate(root), "NUS_WID_Tags", "TagList1k.txt")
    return ["".join(line.split()) for line in read_lines(path, "NUS-WIDE's list of 1,000 tags")]


def _choice(
    protocol: str | Path, classes: int | None, keep_tagless: bool | None
) -> tuple[int, bool]:
    paper = CHOICES.get(str(protocol))
    if paper is None and (classes is None or keep_tagless is None):
        raise ValueError(
            f"protocol {str(protocol)!r} does not say which pairs it is for: give classes= (10, 21 "
            "or 81) and keep_tagless= beside it"
        )
    if classes is None and paper is not None:
        classes = paper[0]
    if keep_tagless is None and paper is not None:
        keep_tagless = paper[1]
    if not classes or classes < 1:
        raise ValueError(f"classes is a number of concepts, such as 10, 21 or 81; got {classes}")
    return classes, bool(keep_tagless)


def _official(folder: Path, part: str, name: str) -> Path:
    """Where a file lies: in its part of the distribution, that in ``NUS-WIDE/``, or flat."""
    places = (folder / part, folder / "NUS-WIDE" / part, folder)
    return next((place / name for place in places if (place / name).exists()), places[0] / name)


def _ids(folder: Path) -> list[str]:
    path = _official(folder, "ImageList", "Imagelist.txt")
    lines = read_lines(path, "NUS-WIDE's list of images (ImageList.zip)")
    names = [line.replace("\\", "/") for line in lines]
    for name in names:
        if name.startswith("/") or ".." in name.split("/"):
            raise ValueError(f"{path}: the image {name!r} would lie outside of the data set")
    return names


def _labels(folder: Path, classes: int, n: int) -> tuple[Labels, list[str], int]:
    """Labels (n, classes) of the most frequent concepts, their names, and how many there are."""
    path = _official(folder, "ConceptsList", "Concepts81.txt")
    concepts = read_lines(path, "NUS-WIDE's list of concepts (ConceptsList.zip)")
    for concept in concepts:
        if "/" in concept or "\\" in concept:
            raise ValueError(f"{path}: {concept!r} is no concept; its name is that of a file")
    if classes > len(concepts):
        raise ValueError(f"{path}: has {len(concepts)} concepts, cannot take classes={classes}")
    truth = np.empty((len(concepts), n), dtype=np.uint8)
    for row, concept in enumerate(concepts):
        file = _official(folder, "Groundtruth/AllLabels", f"Labels_{concept}.txt")
        what = f"the ground truth of the concept {concept!r} (Groundtruth.zip)"
        marks = read_ones(file, 1, what).counts
        _same_length(file, len(marks), n)
        truth[row] = marks
    frequency = truth.sum(axis=1, dtype=np.int64)
    chosen = np.sort(np.argsort(-frequency, kind="stable")[:classes])
    return np.ascontiguousarray(truth[chosen].T), [concepts[row] for row in chosen], len(concepts)


def _tags(folder: Path, width: int, n: int) -> Ones:
    path = _official(folder, "NUS_WID_Tags", "AllTags1k.txt")
    tags = read_ones(path, width, "NUS-WIDE's table of tags (NUS_WID_Tags.zip)")
    _same_length(path, len(tags), n)
    return tags


def _same_length(path: Path, lines: int, n: int) -> None:
    if lines != n:
        raise ValueError(
            f"{path}: {lines:,} lines for the {n:,} images of Imagelist.txt; the files are of two "
            "versions or cut short, unpack them again"
        )


def _images(folder: Path, ids: list[str]) -> tuple[Path, list[str]]:
    """The folder of images, and each image's path in it: with its directory, or without."""
    places = [folder / "Flickr", folder / "images"]
    base = first_folder(places, "NUS-WIDE's images belong there (its authors send them on request)")
    directories = {name.rpartition("/")[0] for name in ids}
    if any((base / directory).is_dir() for directory in directories):
        return base, ids
    flat = [name.rpartition("/")[2] for name in ids]
    if len(set(flat)) < len(flat):
        raise ValueError(
            f"{base}: {len(flat) - len(set(flat))} images have the same name in two directories; "
            "keep the directories of Imagelist.txt"
        )
    return base, flat
