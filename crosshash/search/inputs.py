"""What users give to an index, checked, and what they get of it in one array."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from crosshash.codes import Packed, as_packed
from crosshash.search.engine import Items
from crosshash.search.manifest import check_metadata


def packed_codes(codes: Any, bits: int) -> Packed:
    """Codes as packed ones of so many bits; types without negative values have no sign.

    Raises:
        TypeError: Their type has no sign.
        ValueError: They have another length.
    """
    array = codes if hasattr(codes, "dtype") else np.asarray(codes)
    name = str(array.dtype).removeprefix("torch.")
    if name != "uint8" and not name.startswith(("int", "float", "bfloat")):
        raise TypeError(
            f"codes are packed uint8, or signed or real values, got {name}; "
            "for 0/1 values pass 2.0 * codes - 1"
        )
    packed = as_packed(array)
    if packed.shape[1] * 8 != bits:
        form = "packed uint8 " if name == "uint8" else ""
        raise ValueError(
            f"this index holds codes of {bits} bits, (n, {bits // 8}) packed or "
            f"(n, {bits}) signed; got {form}codes of shape {tuple(array.shape)}"
        )
    return packed


def checked_metadata(metadata: Any, count: int) -> list[dict[str, Any] | None] | None:
    """Metadata of so many items; None where there are none.

    Raises:
        TypeError: They would not come back from JSON as they are.
        ValueError: They are not one for each item.
    """
    if metadata is None:
        return None
    kept = [dict(one) if isinstance(one, Mapping) else one for one in metadata]
    if len(kept) != count:
        raise ValueError(f"one mapping of metadata per item: got {len(kept)} for {count}")
    for row, one in enumerate(kept):
        if isinstance(one, dict):
            check_metadata(one, f"metadata of row {row}")
        elif one is not None:
            raise TypeError(f"metadata of row {row} are no mapping, but {type(one).__name__}")
    return kept


def stacked(blocks: Sequence[Items], bits: int) -> Packed:
    """The codes of all blocks, (n, k/8)."""
    empty = np.empty((0, bits // 8), dtype=np.uint8)
    return np.concatenate([empty, *(items.codes for items in blocks)])
