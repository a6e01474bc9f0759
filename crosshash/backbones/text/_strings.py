"""What text encoders ask of the strings they are given."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from crosshash.backbones.base import Texts


def as_strings(texts: Texts) -> list[str]:
    """Texts as a list of strings; a single string is one text.

    Raises:
        ValueError: Something among them is no string.
    """
    items: list[Any] = [texts] if isinstance(texts, str) else list(texts)
    for place, item in enumerate(items):
        if not isinstance(item, str):
            raise ValueError(
                f"text {place} is no string but {type(item).__name__}: {reprlib.repr(item)}; texts "
                "are strings, one for each item, and rows of numbers are one array (n, d)"
            )
    return items


def raise_unknown(texts: Sequence[str], rows: Tensor, why: str) -> None:
    """Refuse texts in which nothing is known, naming the first of them.

    Raises:
        ValueError: ``rows`` is not empty.
    """
    if len(rows):
        place = int(rows[0])
        more = f" (and {len(rows) - 1} more texts)" if len(rows) > 1 else ""
        raise ValueError(
            f"text {place}{more}, {texts[place]!r}: {why}; write it in other words, or pass "
            "unknown='allow' to encode it as an empty text"
        )


def check_unknown(unknown: str) -> None:
    """Refuse anything but ``"raise"`` and ``"allow"``."""
    if unknown not in ("raise", "allow"):
        raise ValueError(f"unknown={unknown!r}: use 'raise' or 'allow'")
