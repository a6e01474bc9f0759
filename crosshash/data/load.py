"""Data sets by their names."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from crosshash.config import checked_arguments
from crosshash.data.dataset import PairedDataset
from crosshash.data.protocol import Protocol
from crosshash.registry import Registry

Reader = Callable[..., tuple[PairedDataset, Protocol]]

DATASETS: Registry[Reader] = Registry("data set", "crosshash.data.readers", "crosshash_dataset")


def load_dataset(
    name: str, /, root: str | os.PathLike[str] | None = None, **options: Any
) -> tuple[PairedDataset, Protocol]:
    """Read a data set by its name, its options checked and its protocol too.

    Args:
        name: As it is registered.
        root: Its folder; default: the name, as given or below ``CROSSHASH_DATA``.
        options: Keyword arguments of its reader.

    Returns:
        The pairs, and which of them are queries, searched, and trained on.

    Raises:
        LookupError: The data set is unknown.
        ConfigError: An option is.
        FileNotFoundError: The data is not there.

    Example:
        >>> dataset, protocol = load_dataset("shapes", n=20, seed=7)
        >>> len(dataset), len(protocol.query)
        (20, 3)
    """
    reader = DATASETS[name]
    checked = checked_arguments(reader, options, f"options of {name}")
    dataset, protocol = reader(name if root is None else root, **checked)
    protocol.check(len(dataset), dataset.ids)
    return dataset, protocol


def list_datasets() -> list[str]:
    """Names that :func:`load_dataset` takes.

    Example:
        >>> "shapes" in list_datasets()
        True
    """
    return DATASETS.names()
