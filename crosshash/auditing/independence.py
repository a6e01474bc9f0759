"""Whether an item's code is its own: alone, in any batch and order, and beside any partner."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from crosshash.auditing.codes import given_codes
from crosshash.auditing.finding import Finding, fault
from crosshash.auditing.subject import Subject
from crosshash.codes import unpack

CHECKED = ("repeatable", "alone", "batch size", "shuffled", "partner")
ALONE = 16  # items that are encoded alone; of all that are given, evenly
_SMALL, _COMPANY = 7, 5
# Rounding of sums in another order, in units of the type's last place; measured on our models, a
# picture's values differ by up to 1e-6 where they are about 1.
_PLACES = 64
_LEAST = 1e-6

_Rows = npt.NDArray[np.int64]
_BATCH = (
    "model.eval(): BatchNorm in train mode, or attention and graphs over the rows of a batch, make "
    "a code of its company; a code at test time is of its item alone"
)
_MEND = {
    "repeatable": "put the network into eval mode (model.eval(), no dropout), and fix what is "
    "drawn at random: the caption of a pair, a crop",
    "alone": _BATCH,
    "batch size": _BATCH,
    "shuffled": "let nothing but the item go into its code: no attention, graph or statistics "
    "over the rows of a batch, and no position in it",
    "partner": "encode the image without the text and the text without the image: at test time a "
    "query has no partner, and a pair's own one is the answer that is looked for",
}


@dataclass(frozen=True, eq=False)
class _Sides:
    """Image and text codes of some rows as numbers, float64 (n, k) each, and their tolerance."""

    values: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
    tolerance: float

    def rows(self, rows: _Rows) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        return self.values[0][rows], self.values[1][rows]


def check_independence(
    subject: Subject,
    images: Any,
    texts: Any,
    *,
    seed: int = 0,
    tolerance: float | None = None,
) -> tuple[list[Finding], dict[str, str]]:
    """Encode the same pairs in several ways and compare the codes.

    Args:
        subject: The encoder.
        images: n images as it takes them, at least 8.
        texts: Their n texts.
        seed: Of the order in which they are shuffled.
        tolerance: How far values may differ; signs and packed codes may never. Default: 64 units
            in the last place of the codes' type, at their mean size, at least 1e-6.

    Returns:
        The findings; and the checks that could not be made, with the reason.

    Raises:
        ValueError: There are too few pairs, or the encoder fails on all of them together.
    """
    count = len(images)
    if count < 8:
        raise ValueError(f"{count} pairs are too few to be shuffled and parted; give at least 8")
    whole = _sides(subject(images, texts), tolerance)
    every = np.arange(count, dtype=np.int64)
    again = _sides(subject(images, texts), tolerance)
    if told := _difference(whole, again.values, every, every):
        # Whatever follows would differ for this reason alone.
        why = "the codes are not repeatable"
        return [fault("repeatable", told, _MEND["repeatable"])], dict.fromkeys(CHECKED[1:], why)
    order = np.random.default_rng(seed).permutation(count)
    partners = np.roll(every, 1)
    ways: dict[str, Iterable[tuple[_Rows, _Rows]]] = {
        "alone": _parts(every[np.linspace(0, count - 1, min(ALONE, count)).astype(int)], 1),
        "batch size": _parts(every, _SMALL),
        "shuffled": [(order, order), *_parts(order, _COMPANY)],
        "partner": [(every, partners), (partners[::-1], every[::-1])],
    }
    found = []
    for check, batches in ways.items():
        try:
            told = _compare(subject, whole, images, texts, batches)
        except ValueError as error:  # it took all of them together
            told = str(error)
        if told:
            found.append(fault(check, told, _MEND[check]))
    return found, {}


def _compare(
    subject: Subject,
    whole: _Sides,
    images: Any,
    texts: Any,
    batches: Iterable[tuple[_Rows, _Rows]],
) -> str:
    """What differs most between the whole batch and others; empty where nothing does."""
    for image_rows, text_rows in batches:
        codes = subject(_take(images, image_rows), _take(texts, text_rows))
        told = _difference(whole, _sides(codes, 0.0).values, image_rows, text_rows)
        if told:
            return told
    return ""


def _difference(whole: _Sides, other: Any, image_rows: _Rows, text_rows: _Rows) -> str:
    told = []
    for side, place, rows in (("image", 0, image_rows), ("text", 1, text_rows)):
        before, after = whole.values[place][rows], other[place]
        if before.shape != after.shape:
            told.append(f"{side} codes of {after.shape[1]} bits, and {before.shape[1]} before")
            continue
        apart = ~(np.abs(before - after) <= whole.tolerance)  # NaN is another one
        if apart.any():
            flipped = (before >= 0) != (after >= 0)
            items = int(apart.any(axis=1).sum())
            most = np.nanmax(np.abs(before - after))
            told.append(
                f"{side} codes of {items} of {len(rows)} items differ: {flipped.mean():.1%} of "
                f"their bits, values by up to {most:.2g} (allowed {whole.tolerance:.1g})"
            )
    return "; ".join(told)


def _sides(codes: tuple[Any, Any], tolerance: float | None) -> _Sides:
    """Codes as numbers, copied: an encoder may fill the same buffer again."""
    values, allowed = [], 0.0
    for side in codes:
        is_tensor = hasattr(side, "is_floating_point")
        given = given_codes(side)
        packed = given.raw.dtype == np.uint8
        numbers = unpack(np.ascontiguousarray(given.raw)) if packed else given.raw
        values.append(np.array(numbers, dtype=np.float64))
        if given.form == "real" and given.raw.dtype.kind == "f":
            step = torch.finfo(side.dtype).eps if is_tensor else np.finfo(given.raw.dtype).eps
            size = float(np.sqrt(np.nanmean(values[-1] ** 2)))
            allowed = max(allowed, _LEAST, _PLACES * float(step) * size)
    return _Sides((values[0], values[1]), allowed if tolerance is None else tolerance)


def _parts(rows: _Rows, size: int) -> list[tuple[_Rows, _Rows]]:
    return [(rows[i : i + size], rows[i : i + size]) for i in range(0, len(rows), size)]


def _take(items: Any, rows: _Rows) -> Any:
    return items[rows] if isinstance(items, np.ndarray) else [items[row] for row in rows]
