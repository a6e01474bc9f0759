"""The Wikipedia benchmark: article sections with a picture (Rasiwasia et al., ACM MM 2010)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from crosshash.data.dataset import PairedDataset
from crosshash.data.features.files import list_variables, read_variables
from crosshash.data.load import DATASETS
from crosshash.data.protocol import Protocol
from crosshash.files import locate

CLASSES = (
    "art",
    "biology",
    "geography",
    "history",
    "literature",
    "media",
    "music",
    "royalty",
    "sport",
    "warfare",
)
_WIDTHS = {"I": 128, "T": 10, "L": len(CLASSES)}


@DATASETS.register("wiki")
def wiki(root: str | Path = "wiki") -> tuple[PairedDataset, Protocol]:
    """Read 2,866 pairs of 128-d SIFT histograms and 10-d topics, each of one of ten classes.

    The official split: the 693 test pairs are the queries; the 2,173 training pairs train a model
    and are searched.

    Args:
        root: ``wikiData.mat`` or the folder that holds it, as given or below ``CROSSHASH_DATA``.

    Raises:
        FileNotFoundError: The file is missing.
        ValueError: The file is no MATLAB file, or lacks a matrix, or one has the wrong shape.
    """
    path = locate(root)
    if path.is_dir():
        path = path / "wikiData.mat"
        if not path.is_file():
            raise FileNotFoundError(f"{path}: the file of the wiki data set is missing")
    names = [f"{kind}_{part}" for kind in _WIDTHS for part in ("tr", "te")]
    variables = {variable.name: variable for variable in list_variables(path)}
    lacking = [name for name in names if name not in variables]
    if lacking:
        raise ValueError(f"{path}: the matrices {', '.join(lacking)} are missing")
    found = read_variables([variables[name] for name in names])
    matrices = dict(zip(names, found, strict=True))
    for name in names:
        shape, rows = matrices[name].shape, len(matrices[f"I_{name[2:]}"])
        if shape != (rows, _WIDTHS[name[0]]):
            raise ValueError(
                f"{path}: {name} has the shape {shape}, expected {(rows, _WIDTHS[name[0]])}"
            )
    images, texts, labels = (
        np.concatenate([matrices[f"{kind}_tr"], matrices[f"{kind}_te"]]) for kind in _WIDTHS
    )
    first, n = len(matrices["I_tr"]), len(images)
    dataset = PairedDataset(
        name="wiki",
        ids=[f"train-{i:04d}" for i in range(first)] + [f"test-{i:04d}" for i in range(n - first)],
        images=images,
        texts=texts,
        labels=labels,
        label_names=CLASSES,
    )
    train = np.arange(first, dtype=np.int64)
    protocol = Protocol("wiki", np.arange(first, n, dtype=np.int64), train, train)
    protocol.check(n, dataset.ids)
    return dataset, protocol
