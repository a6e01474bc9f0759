"""Splits that share pairs, by id and by what the pairs contain."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np

from crosshash.auditing.finding import Finding, fault, note
from crosshash.data.dataset import PairedDataset
from crosshash.data.protocol import DISJOINT, Protocol

# Queries with the image of a searched or trained pair that are a data set's own blemish: wiki
# has 3 of 693.
_BLEMISH = 0.01


def check_splits(dataset: PairedDataset, protocol: Protocol) -> list[Finding]:
    """Pairs in two sets that must be disjoint, or twice in one set, by their ids."""
    found = []
    sets = protocol.sets()
    for part, rows in sets.items():
        twice = len(rows) - len(np.unique(rows))
        if twice:
            told = f"{twice:,} of {len(rows):,} pairs of the {part} set come more than once"
            found.append(fault("splits", told, "list each pair once"))
    for one, other in DISJOINT:
        if one not in sets or other not in sets:
            continue
        shared = np.intersect1d(sets[one], sets[other])
        if len(shared):
            ids = ", ".join(repr(dataset.ids[row]) for row in shared[:3])
            found.append(
                fault(
                    "splits",
                    f"{len(shared):,} of {len(sets[one]):,} {one} pairs are in the {other} set "
                    f"too ({ids}{', …' if len(shared) > 3 else ''})",
                    f"draw the split once and keep it in a file; take them out of the {other} set",
                )
            )
    return found


def check_content(
    dataset: PairedDataset, protocol: Protocol, captions: str = "first"
) -> list[Finding]:
    """Queries whose image, text or both are those of a searched or trained pair.

    Both sides alike are a fault, as are images of more than a hundredth of the queries; fewer
    images, and texts alone, which repeat in any language, are a note.
    """
    images, texts = image_digests(dataset), text_digests(dataset, captions)
    known = np.union1d(protocol.retrieval, protocol.train)
    # Pairs in both sets by their ids are another check's.
    query = np.setdiff1d(protocol.query, known)
    sides = {
        "image and text": [image + text for image, text in zip(images, texts, strict=True)],
        "image": images,
        "text": texts,
    }
    found: list[Finding] = []
    for side, digests in sides.items():
        there = Counter(digests[row] for row in known)
        same = [int(row) for row in query if digests[row] in there]
        if not same:
            continue
        few = side == "text" or (side == "image" and len(same) <= _BLEMISH * len(query))
        found.append(
            (note if few else fault)(
                "content",
                f"{len(same):,} of {len(query):,} queries have the {side} of a searched or trained "
                f"pair, such as {dataset.ids[same[0]]!r}",
                "leave copies out before the split is drawn"
                if not few
                else "nothing, if the data set is published so; say it beside the figures",
            )
        )
    return found


def image_digests(dataset: PairedDataset) -> list[bytes]:
    """SHA-256 of each image's contents: its file, or its row of features."""
    if isinstance(dataset.images, np.ndarray):
        return [hashlib.sha256(row.tobytes()).digest() for row in dataset.images]
    return [dataset.images.digest(row) for row in range(len(dataset))]


def text_digests(dataset: PairedDataset, captions: str = "first") -> list[bytes]:
    """SHA-256 of each pair's text, by that caption policy, or of its row of features."""
    if isinstance(dataset.texts, np.ndarray):
        return [hashlib.sha256(row.tobytes()).digest() for row in dataset.texts]
    return [hashlib.sha256(text.encode()).digest() for text in dataset.captions(captions)]
