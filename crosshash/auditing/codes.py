"""The codes themselves: their form, values, length, bits and order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from crosshash.auditing.finding import Finding, fault, note
from crosshash.codes import pack, to_array, unpack

Form = Literal["packed", "signs", "real", "bits"]
_MANY = 0.001  # share of exact zeros from which they are no accident of rounding
_DEAD = 0.5  # share of constant bits from which codes are no codes of that length


@dataclass(frozen=True, eq=False)
class Given:
    """Codes of one side as they came, and as numbers.

    Attributes:
        form: ``packed``, ``signs``, ``real`` or ``bits`` (0 and 1, unpacked).
        raw: As they came, an array (n, k) or (n, k/8).
        values: (n, k): signs as ±1 (0 where it was 0), or reals.
    """

    form: Form
    raw: npt.NDArray[Any]
    values: npt.NDArray[Any]

    @property
    def bits(self) -> int:
        """Code length k."""
        return int(self.values.shape[1])

    @property
    def signs(self) -> npt.NDArray[np.int8]:
        """(n, k) in {-1, +1}; of 0 it is +1."""
        return np.where(self.values >= 0, 1, -1).astype(np.int8)


def given_codes(codes: Any) -> Given:
    """Codes as they came, with their form; ``uint8`` is packed unless all of it is 0 and 1.

    Raises:
        ValueError: They are no numbers.
    """
    raw = to_array(codes)
    if raw.dtype.kind not in "buif":
        raise ValueError(f"codes are numbers, got {raw.dtype}")
    small = raw.dtype.kind == "b" or bool(((raw == 0) | (raw == 1)).all())
    # A single byte may be 0 or 1 by chance; a code is of more bytes than that.
    if raw.dtype == np.uint8 and not (small and raw.shape[1] >= 8):
        return Given("packed", raw, unpack(np.ascontiguousarray(raw)))
    if small and bool((raw == 0).any()):
        return Given("bits", raw, raw.astype(np.int8) * np.int8(2) - np.int8(1))
    signed = bool(np.isin(raw, (-1, 0, 1)).all())
    return Given("signs" if signed else "real", raw, raw)


def check_form(images: Given, texts: Given, bits: int | None) -> list[Finding]:
    """Values, length, and whether both sides are one and the same.

    Args:
        images: Codes of all images.
        texts: Of all texts.
        bits: Length that they are to have; None: not known.
    """
    found: list[Finding] = []
    for side, codes in (("image", images), ("text", texts)):
        found += _values(side, codes)
    told = f"{images.bits} bits of images, {texts.bits} of texts"
    if images.bits != texts.bits:
        found.append(fault("length", told, "give both sides one hash head width"))
    elif bits is not None and images.bits != bits:
        found.append(fault("length", f"{told}, where {bits} are said", "say the length they have"))
    elif images.bits % 8:
        found.append(
            fault("length", f"{images.bits} bits", "choose 16, 32, 64 or 128: whole bytes")
        )
    if images.raw.shape == texts.raw.shape and np.array_equal(images.raw, texts.raw):
        found.append(
            fault(
                "two arrays",
                f"image and text codes of all {len(images.raw):,} pairs are equal",
                "keep them in two buffers (not one tensor under two names); as it is, both "
                "directions have one MAP",
            )
        )
    return found


def _values(side: str, codes: Given) -> list[Finding]:
    found = []
    values = codes.values
    if codes.form == "bits":
        found.append(
            fault(
                "values",
                f"{side} codes are 0 and 1 ({codes.raw.dtype})",
                "turn them into signs, 2 * codes - 1, or pack them with crosshash.codes.pack",
            )
        )
    elif codes.form == "signs" and (values == 0).any():
        found.append(
            fault(
                "values",
                f"{(values == 0).sum():,} of {values.size:,} values of {side} codes are 0, a third "
                "value beside -1 and +1",
                "sign(0) must be +1: such codes cannot be packed, and metric and index disagree "
                "(crosshash.codes.sign)",
            )
        )
    elif codes.form == "real":
        found += _reals(side, codes)
    return found


def _reals(side: str, codes: Given) -> list[Finding]:
    values = codes.values
    if codes.raw.dtype.kind in "iu":
        return [
            fault(
                "values",
                f"{side} codes are whole numbers from {values.min()} to {values.max()} "
                f"({codes.raw.dtype})",
                "give signs -1 and +1, reals, or packed uint8",
            )
        ]
    lost = int((~np.isfinite(values)).any(axis=1).sum())
    if lost:
        return [fault("values", f"{side} codes of {lost:,} items are NaN or infinite", _NAN)]
    if values.min() >= 0 and values.max() <= 1:
        return [
            fault(
                "values",
                f"all values of {side} codes are in [0, 1]",
                "the sign is the bit here: subtract 0.5, where that was the threshold",
            )
        ]
    zeros = float((values == 0).mean())
    if zeros > _MANY:
        return [
            fault(
                "values",
                f"{zeros:.1%} of the values of {side} codes are exactly 0",
                "take away what cuts them off (a ReLU after the hash layer), so that the sign says "
                "something",
            )
        ]
    return []


_NAN = "look for log(1 + exp(x)) that overflows, or a division by a norm of 0"


def check_bits(images: Given, texts: Given) -> list[Finding]:
    """Bits that are the same in every code: a note, or a fault where they are more than half."""
    found = []
    for side, codes in (("image", images), ("text", texts)):
        signs = codes.signs
        constant = np.flatnonzero((signs == signs[0]).all(axis=0))
        if not len(constant):
            continue
        shown = ", ".join(map(str, constant[:12])) + (", …" if len(constant) > 12 else "")
        told = f"{len(constant)} of {codes.bits} bits of {side} codes are constant ({shown})"
        mend = "weigh the balance of bits in the loss, or take fewer bits: these say nothing"
        make = fault if len(constant) > _DEAD * codes.bits else note
        found.append(make("constant bits", told, mend))
    return found


def check_round_trip(packed: Any, real: Any, side: str) -> list[Finding]:
    """Whether packed codes are the signs of the real ones, in the order that we unpack."""
    signs = np.where(to_array(real) >= 0, 1, -1)
    bytes_ = to_array(packed)
    if np.array_equal(unpack(bytes_), signs) and np.array_equal(pack(signs), bytes_):
        return []
    return [
        fault(
            "bit order",
            f"packed {side} codes do not unpack to the signs of the real values",
            "pack with np.packbits(codes >= 0, axis=1, bitorder='little')",
        )
    ]


def reversed_bits(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The same bytes, each with its bits in the other order."""
    other: npt.NDArray[np.uint8] = np.packbits(
        np.unpackbits(packed, axis=1, bitorder="little"), axis=1, bitorder="big"
    )
    return other
