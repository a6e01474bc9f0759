"""MIRFLICKR-25K: Flickr photographs with their tags (Huiskes & Lew, ACM MIR 2008)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from crosshash.data.dataset import Labels, PairedDataset
from crosshash.data.load import DATASETS
from crosshash.data.paper_protocols import choose_protocol
from crosshash.data.protocol import Protocol
from crosshash.data.readers._official import (
    check_on_missing,
    file_names,
    first_folder,
    present,
    read_lines,
    warn_counts,
)
from crosshash.files import locate
from crosshash.images import ImageFiles

NAME = "mirflickr25k"
CONCEPTS = (
    "animals",
    "baby",
    "bird",
    "car",
    "clouds",
    "dog",
    "female",
    "flower",
    "food",
    "indoor",
    "lake",
    "male",
    "night",
    "people",
    "plant_life",
    "portrait",
    "river",
    "sea",
    "sky",
    "structures",
    "sunset",
    "transport",
    "tree",
    "water",
)
COUNTS = {"images": 25_000, "common tags": 1_386, "pairs": 20_015}
# "At least 20" is on how often a tag occurs in the collection, not on a photograph's tags.
FEWEST_USES = 20
_ANNOTATIONS = ("mirflickr25k_annotations_v080", "annotations")


@DATASETS.register("mirflickr")
def mirflickr(
    root: str | Path = "mirflickr",
    *,
    tags: Literal["common", "all"] = "common",
    protocol: str | Path = "amgfh",
    query: int | None = None,
    train: int | None = None,
    seed: int = 0,
    on_missing: Literal["raise", "skip"] = "raise",
    annotations: str | Path | None = None,
) -> tuple[PairedDataset, Protocol]:
    """Read the 20,015 of 25,000 photographs that have a common tag and one of 24 concepts.

    The official files: ``im1.jpg`` …, ``meta/tags/tags1.txt`` …, ``doc/common_tags.txt`` (all in
    the folder itself or in its ``mirflickr/``) and the annotations v080, one list of image numbers
    for each concept. Their ``_r1`` lists (clear cases only) are not used. A pair's text is its tags
    with one space between. Pairs are in the order of the image numbers, concepts by alphabet.

    HFAH has all 25,000 pairs and gives no split; its protocol here has the pairs of the others and
    the sizes of DCMH's split. DCHMT has all pairs with a label, with or without a common tag; its
    protocol here has the pairs of the others as well.

    Args:
        root: The folder, as given or below ``CROSSHASH_DATA``.
        tags: Which of its tags are a pair's text: ``"common"``, those of :func:`common_tags`, or
            ``"all"``. Which pairs are kept does not depend on it.
        protocol: A paper (``"amgfh"``, ``"mdffh"``, ``"dmsfh"``, ``"hfah"``, ``"dcmh"``,
            ``"djsrh"``, ``"dchmt"``, ``"mith"``) or a protocol file.
        query: Queries, in place of the paper's number.
        train: Training pairs, in place of the paper's number.
        seed: Draws the sets.
        on_missing: ``"skip"`` leaves out pairs without their image, and counts them.
        annotations: Folder of the annotations; default: ``mirflickr25k_annotations_v080`` in the
            root, in its ``mirflickr/`` or beside the root, or ``annotations`` in the root.

    Warns:
        UserWarning: Images, common tags or pairs are not as many as the papers have.

    Raises:
        FileNotFoundError: A folder or an official file is missing, or an image.
        ValueError: A file is not in the official format, or an option is unknown.
    """
    if tags not in ("common", "all"):
        raise ValueError(f"tags={tags!r} is unknown; use 'common' or 'all'")
    check_on_missing(on_missing)
    folder = locate(root)
    base = _base(folder)
    common = frozenset(common_tags(folder))
    concepts = _concepts(folder, base, annotations)
    numbers = _numbers(base, concepts)
    own = [_tags(base, number) for number in numbers]
    known = [[tag for tag in group if tag in common] for group in own]
    labels = _labels(numbers, concepts)

    tagged = np.array([bool(group) for group in known], dtype=np.bool_)
    labelled = labels.any(axis=1)
    rows = np.flatnonzero(tagged & labelled)
    names = [f"im{numbers[row]}.jpg" for row in rows]
    images = _image_folder(base)
    there = present(images, names, on_missing)
    warn_counts(
        NAME,
        {
            what: (found, COUNTS[what])
            for what, found in (
                ("images", len(numbers)),
                ("common tags", len(common)),
                ("pairs", int(there.sum())),
            )
        },
    )
    texts = known if tags == "common" else own
    kept = [name for name, here in zip(names, there, strict=True) if here]
    dataset = PairedDataset(
        name=NAME,
        ids=kept,
        images=ImageFiles([f"{images}/{name}" for name in kept]),
        texts=[" ".join(texts[row]) for row in rows[there]],
        labels=labels[rows[there]],
        label_names=CONCEPTS,
        skipped=[
            f"{name}: no such image" for name, here in zip(names, there, strict=True) if not here
        ],
        dropped={
            "no common tag": int((~tagged).sum()),
            "no label": int((tagged & ~labelled).sum()),
        },
    )
    chosen = choose_protocol(
        dataset.ids, dataset=NAME, protocol=protocol, query=query, train=train, seed=seed
    )
    return dataset, chosen


def common_tags(root: str | Path = "mirflickr") -> tuple[str, ...]:
    """The 1,386 tags that occur at least 20 times in the collection, most frequent first.

    They are counted over all 25,000 photographs, queries included.

    Args:
        root: The folder of :func:`mirflickr`.

    Raises:
        FileNotFoundError: ``doc/common_tags.txt`` is missing.
        ValueError: A line of it is not a tag and a number.
    """
    path = _base(locate(root)) / "doc" / "common_tags.txt"
    found = []
    for line in read_lines(path, "MIRFLICKR's list of common tags (in mirflickr25k.zip)"):
        tag, *rest = line.split()
        if len(rest) != 1 or not re.fullmatch(r"[0-9]{1,18}", rest[0]):
            raise ValueError(f"{path}: a line is a tag and how often it occurs, got {line!r}")
        if int(rest[0]) >= FEWEST_USES:
            found.append(tag)
    return tuple(dict.fromkeys(found))


def _base(folder: Path) -> Path:
    """The folder with ``meta/`` and ``doc/``."""
    places = [place / "meta" / "tags" for place in (folder, folder / "mirflickr")]
    what = "unpack mirflickr25k.zip there (its meta/tags/ has one file of tags for each image)"
    return first_folder(places, what).parent.parent


def _image_folder(base: Path) -> Path:
    """``base``, or its ``images/`` where that is the one with pictures."""
    inside = base / "images"
    if inside.is_dir() and not _numbered(base, r"im(\d+)\.jpg"):
        return inside
    return base


def _concepts(folder: Path, base: Path, given: str | Path | None) -> dict[str, list[int]]:
    """Image numbers of each concept."""
    if given is not None:
        place = locate(given)
    else:
        inside = [
            parent / name for name in _ANNOTATIONS for parent in dict.fromkeys((folder, base))
        ]
        place = first_folder(
            [*inside, folder.resolve().parent / _ANNOTATIONS[0]],
            f"unpack {_ANNOTATIONS[0]}.zip there, or give its folder with annotations=",
        )
    concepts = {}
    for concept in CONCEPTS:
        path = place / f"{concept}.txt"
        lines = read_lines(path, f"the list of the concept {concept!r} (annotations v080)")
        try:
            concepts[concept] = [int(line) for line in lines]
        except ValueError as error:
            raise ValueError(f"{path}: a line is the number of an image ({error})") from None
    return concepts


def _numbers(base: Path, concepts: dict[str, list[int]]) -> list[int]:
    """Numbers of all photographs, ascending; each needs its file of tags."""
    numbers = _numbered(base / "meta" / "tags", r"tags(\d+)\.txt")
    named = _numbered(_image_folder(base), r"im(\d+)\.jpg").union(*concepts.values())
    lacking = sorted(named - numbers)
    if lacking:
        raise FileNotFoundError(
            f"{base / 'meta' / 'tags'}: {len(lacking):,} files of tags are missing, the first is "
            f"tags{lacking[0]}.txt (an image without tags has an empty one); unpack "
            "mirflickr25k.zip again"
        )
    return sorted(numbers)


def _numbered(folder: Path, pattern: str) -> set[int]:
    matches = (re.fullmatch(pattern, name) for name in file_names(folder))
    return {int(match[1]) for match in matches if match}


def _tags(base: Path, number: int) -> list[str]:
    """A photograph's tags in their order, each once."""
    path = base / "meta" / "tags" / f"tags{number}.txt"
    # A tag is one word: Flickr's own cleaned tags have no spaces, and neither do these.
    return list(dict.fromkeys("".join(line.split()) for line in read_lines(path, "a file of tags")))


def _labels(numbers: list[int], concepts: dict[str, list[int]]) -> Labels:
    rows = {number: row for row, number in enumerate(numbers)}
    labels: npt.NDArray[np.uint8] = np.zeros((len(numbers), len(CONCEPTS)), dtype=np.uint8)
    for column, concept in enumerate(CONCEPTS):
        labels[[rows[number] for number in concepts[concept]], column] = 1
    return labels
