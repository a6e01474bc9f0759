"""The health of codes: bits that are constant, unbalanced, or say the same for all items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from crosshash.codes import as_packed, unpack
from crosshash.retrieval.ties import Floats


@dataclass(frozen=True, eq=False)
class CodeHealth:
    """Whether the bits of a set of codes are used.

    Attributes:
        items: Number of codes n.
        balance: (k,) mean of each bit as ±1; 0 is balanced, ±1 constant.
        constant: Bits that are the same in every code.
        unique: Number of different codes.
        bit_entropy: (k,) entropy of each bit in bits, at most 1.
        code_entropy: Entropy of whole codes in bits, at most log2(n) and k.
    """

    items: int
    balance: Floats
    constant: tuple[int, ...]
    unique: int
    bit_entropy: Floats
    code_entropy: float

    @property
    def unique_fraction(self) -> float:
        """Different codes per item."""
        return self.unique / self.items

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            "items": self.items,
            "balance": self.balance.tolist(),
            "constant": list(self.constant),
            "unique": self.unique,
            "unique_fraction": self.unique_fraction,
            "bit_entropy": self.bit_entropy.tolist(),
            "code_entropy": self.code_entropy,
        }


def code_health(codes: Any) -> CodeHealth:
    """Balance, entropy and distinctness of codes, (n, k/8) packed or (n, k).

    Raises:
        ValueError: There are no codes.

    Example:
        >>> import numpy as np
        >>> code_health(np.array([[0], [255], [255]], dtype=np.uint8)).unique
        2
    """
    packed = as_packed(codes)
    if not len(packed):
        raise ValueError("there are no codes; give at least one")
    balance = unpack(packed).mean(axis=0, dtype=float)
    _, counts = np.unique(packed, axis=0, return_counts=True)
    ones = (1 + balance) / 2
    return CodeHealth(
        items=len(packed),
        balance=balance,
        constant=tuple(np.flatnonzero(np.abs(balance) == 1).tolist()),
        unique=len(counts),
        bit_entropy=_information(ones) + _information(1 - ones),
        code_entropy=float(_information(counts / len(packed)).sum()),
    )


def _information(probability: Floats) -> Floats:
    value: Floats = -probability * np.log2(np.where(probability > 0, probability, 1))
    return np.abs(value)  # not -0
