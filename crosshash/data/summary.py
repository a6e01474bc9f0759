"""What is in a data set: counts, labels, lengths of texts, and pictures that cannot be used."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from crosshash.data.dataset import PairedDataset
from crosshash.data.protocol import Protocol
from crosshash.images import PROBE, CorruptImageError, ImageFiles, ImageSource, ImageSubset

_WORD = re.compile(r"\w+")


def describe(dataset: PairedDataset, protocol: Protocol) -> dict[str, Any]:
    """Counts of pairs, texts and labels, what was left out and why, and the split.

    The words are those of the first captions of the training pairs, in lower case; a vocabulary
    that is learnt from the training set is a part of them.
    """
    left_out = len(dataset.skipped) + sum(dataset.dropped.values())
    values: dict[str, Any] = {
        "name": dataset.name,
        "found": len(dataset) + left_out,
        **{key: count for key, count in dataset.summary().items() if not key.startswith("dropped")},
        "skipped": len(dataset.skipped),
        "dropped": dict(dataset.dropped),
    }
    if dataset.text_kind == "captions":
        lists = dataset.texts
        words: set[str] = set()
        for row in protocol.train:
            words.update(_WORD.findall(lists[row][0].lower()))
        values["training_words"] = len(words)
    values["protocol"] = protocol.name
    values["sets"] = protocol.counts()
    values["split_sha256"] = protocol.digest(dataset.ids)
    return values


def label_frequencies(dataset: PairedDataset) -> list[dict[str, Any]]:
    """For each label, most frequent first: its name, its pairs and their share of all pairs."""
    if dataset.labels is None:
        return []
    counts = dataset.labels.sum(axis=0, dtype=np.int64)
    names = dataset.label_names or tuple(str(column) for column in range(len(counts)))
    order = np.argsort(-counts, kind="stable")
    return [
        {"label": names[c], "pairs": int(counts[c]), "share": float(counts[c] / len(dataset))}
        for c in order
    ]


def text_lengths(dataset: PairedDataset) -> dict[str, float]:
    """Smallest, median, mean and largest number of words of a text, and texts of a pair.

    Of text features, which have no words, the numbers of values that are not 0.
    """
    if isinstance(dataset.texts, np.ndarray):
        lengths = np.count_nonzero(dataset.texts, axis=1)
        each = 1.0
    else:
        lengths = np.array([len(text.split()) for text in dataset.all_captions()])
        each = len(lengths) / len(dataset)
    return {
        "least": int(lengths.min()),
        "median": float(np.median(lengths)),
        "mean": float(lengths.mean()),
        "most": int(lengths.max()),
        "texts_per_pair": each,
    }


def unusable_pictures(
    dataset: PairedDataset,
    *,
    decode: bool = False,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] | None = None,
) -> list[str]:
    """What is wrong with pictures, one line for each; empty where all is well.

    Args:
        dataset: Features pass, and pictures in memory too unless ``decode`` is set.
        decode: Decode every picture, which finds damaged files; otherwise files need only exist.
        progress: Wraps the results as they come; gets their number too.
    """
    if isinstance(dataset.images, np.ndarray):
        return []
    source = dataset.images
    found = _decode_problem if decode else _file_problem
    with ThreadPoolExecutor(min(8, (os.cpu_count() or 1) + 2)) as pool:
        results: Iterable[str | None] = pool.map(
            lambda row: found(source, row), range(len(dataset))
        )
        if progress is not None:
            results = progress(results, len(dataset))
        return [problem for problem in results if problem is not None]


def _file_problem(source: ImageSource, row: int) -> str | None:
    if isinstance(source, ImageSubset):  # a subset of a subset is one of the whole
        row = int(source.rows[row])
        source = source.source
    if isinstance(source, ImageFiles) and not source.paths[row].is_file():
        return f"{source.paths[row]}: no such image file"
    return None


def _decode_problem(source: ImageSource, row: int) -> str | None:
    try:
        source.open(row, size=PROBE)
    except CorruptImageError as error:
        return f"{error.name}: {error.reason}"
    except (OSError, ValueError) as error:
        return str(error)
    return None
