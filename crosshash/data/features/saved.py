"""Data sets of Hugging Face's ``datasets``, saved on disk or by their names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def load_saved(path: Path, what: str) -> Any:
    """The table in a folder that ``save_to_disk`` wrote.

    Args:
        path: The folder.
        what: What it is called in errors.

    Raises:
        ImportError: ``datasets`` is not installed.
        ValueError: It has several parts, or cannot be read.
    """
    datasets = _datasets(
        f"{what}: {path} is a folder; one that Hugging Face's datasets wrote needs them"
    )
    table = datasets.load_from_disk(str(path))
    if isinstance(table, Mapping):
        raise ValueError(
            f"{what}: {path} has the parts {', '.join(table)}; give the folder of one of them"
        )
    return table


def load_named(name: str, split: str | None) -> Any:
    """The table of a data set on the Hugging Face Hub, or in its cache.

    No code of the data set is run: versions of ``datasets`` that would are refused.

    Args:
        name: ``organisation/name``.
        split: Which part of it; may be left out where there is one.

    Raises:
        ImportError: ``datasets`` is not installed, or is older than 4.0.
        ValueError: It has several parts, and none is named.
    """
    datasets = _datasets(f"{name} is a data set of the Hugging Face Hub, which needs datasets")
    if int(datasets.__version__.partition(".")[0]) < 4:
        raise ImportError(
            f"datasets {datasets.__version__} may run code of a data set; version 4 does not: "
            "pip install 'datasets>=4'"
        )
    table = datasets.load_dataset(name, split=split)
    if not isinstance(table, Mapping):
        return table
    if len(table) > 1:
        raise ValueError(f"{name} has the parts {', '.join(table)}; choose one with --split")
    return next(iter(table.values()))


def _datasets(why: str) -> Any:
    try:
        import datasets
    except ImportError:
        raise ImportError(f"{why}: pip install datasets") from None
    return datasets
