"""From the arrays of a feature file to rows of pairs: which axis counts them, and which type."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from crosshash.data.features.files import Variable, read_variables

Array = npt.NDArray[Any]
Orientation = Literal["auto", "rows", "columns"]
Group = Mapping[str, Variable]  # the variables of images, texts or labels, by part of the split
MOST_CLASSES = 10_000


def listed(variables: Iterable[Variable]) -> str:
    """Names and shapes, for messages."""
    return ", ".join(map(str, variables)) or "nothing"


def pairs_in_columns(
    found: Mapping[str, Group], orientation: Orientation, place: Path
) -> dict[str, bool]:
    """For images, texts and labels, whether a pair is a column (the last axis) and not a row.

    MATLAB files have both. A reading fits when all arrays of a part have the same number of pairs,
    and all parts the same widths. One that takes all arrays alike goes before a mixed one.

    Raises:
        ValueError: No reading fits, or several do.
    """
    for variable in itertools.chain.from_iterable(group.values() for group in found.values()):
        if len(variable.shape) not in (1, 2, 4):
            raise ValueError(
                f"{variable.path}: {variable} has {len(variable.shape)} axes; features have two, "
                "pictures four"
            )
    flat = {
        role: all(len(item.shape) == 1 for item in group.values()) for role, group in found.items()
    }
    ways = {"auto": (False, True), "rows": (False,), "columns": (True,)}[orientation]
    readings = [
        dict(zip(found, reading, strict=True))
        for reading in itertools.product(*((False,) if flat[role] else ways for role in found))
    ]
    fitting = [reading for reading in readings if _fits(found, reading)]
    alike = [one for one in fitting if len({one[role] for role in found if not flat[role]}) <= 1]
    for chosen in (fitting, alike):
        if len(chosen) == 1:
            return chosen[0]
    shapes = "; ".join(f"{role}s: {listed(group.values())}" for role, group in found.items())
    if fitting:
        raise ValueError(
            f"{place}: pairs may be rows or columns ({shapes}); set orientation='rows' or "
            "orientation='columns'"
        )
    raise ValueError(
        f"{place}: images, texts and labels do not have the same number of pairs, or parts have "
        f"different widths ({shapes}; orientation={orientation!r}); choose variables that belong "
        "together"
    )


def _fits(found: Mapping[str, Group], columns: Mapping[str, bool]) -> bool:
    counts: dict[str, set[int]] = {}
    for role, group in found.items():
        widths = set()
        for part, variable in group.items():
            shape = variable.shape
            counts.setdefault(part, set()).add(shape[-1] if columns[role] else shape[0])
            widths.add(shape[:-1] if columns[role] else shape[1:])
        if len(widths) > 1:
            return False
    return all(len(numbers) == 1 for numbers in counts.values())


def read_rows(group: Group, columns: bool) -> dict[str, Array]:
    """The arrays with pairs as the first axis; a vector becomes a matrix of one column."""
    arrays = dict(zip(group, read_variables(list(group.values())), strict=True))
    return {
        part: array[:, None] if array.ndim == 1 else np.moveaxis(array, -1, 0) if columns else array
        for part, array in arrays.items()
    }


def as_features(array: Array, variable: Variable, *, pixels: bool) -> Array:
    """Features as ``float32`` (n, d), or pictures as ``uint8`` (n, h, w, 3).

    Raises:
        ValueError: There are four axes, and these are no pictures or ``pixels`` is false.
    """
    if array.ndim == 2:
        with np.errstate(over="ignore"):  # infinite values are refused with the pair's name
            return np.ascontiguousarray(array, dtype=np.float32)
    if pixels and array.dtype == np.uint8 and 3 in (array.shape[1], array.shape[3]):
        return array if array.shape[3] == 3 else np.moveaxis(array, 1, -1)
    raise ValueError(
        f"{variable.path}: {variable} of {array.dtype} has four axes; "
        + ("pictures are uint8 with three channels" if pixels else "texts are features (n, d)")
    )


def as_labels(arrays: Mapping[str, Array], place: str) -> tuple[dict[str, Array], list[str]]:
    """Label rows of each part: a 0/1 matrix as it is, one column of class numbers as one-hot.

    Returns:
        The labels, and the class numbers as names where there are any.

    Raises:
        ValueError: The class numbers are no whole numbers, or too many to be classes.
    """
    if any(array.ndim != 2 or array.shape[1] != 1 for array in arrays.values()):
        # One type in all parts, so that equal pairs have equal bytes.
        return {part: array.astype(np.float32) for part, array in arrays.items()}, []
    classes = np.unique(np.concatenate([array[:, 0] for array in arrays.values()]))
    if not np.isfinite(classes).all() or (classes != np.floor(classes)).any():
        raise ValueError(f"{place}: one column of labels holds class numbers, which are whole")
    if len(classes) > MOST_CLASSES:
        raise ValueError(
            f"{place}: {len(classes):,} different class numbers in one column; more than "
            f"{MOST_CLASSES:,} are names of pairs, not of classes: set label_key= to the labels"
        )
    hot = {part: (array == classes).astype(np.uint8) for part, array in arrays.items()}
    return hot, [str(int(number)) for number in classes]
