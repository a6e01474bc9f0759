"""The health of codes: bits that are constant, unbalanced, or say the same for all items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from crosshash.codes import Packed, as_packed, unpack
from crosshash.retrieval.ties import Floats

_BLOCK = 1 << 16  # codes unpacked at a time


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
        correlation: Mean over all pairs of bits of how far they correlate, in 0…1; a constant bit
            has no part in it. 0 where there are no pairs.
        most_alike: The two bits that correlate most, and how far, with its sign: ±1 where one says
            the other; None where there are no pairs.
    """

    items: int
    balance: Floats
    constant: tuple[int, ...]
    unique: int
    bit_entropy: Floats
    code_entropy: float
    correlation: float
    most_alike: tuple[int, int, float] | None

    @property
    def ones(self) -> Floats:
        """(k,) share of codes in which each bit is +1."""
        return (1 + self.balance) / 2

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
            "correlation": self.correlation,
            "most_alike": None if self.most_alike is None else list(self.most_alike),
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
    balance, products = _moments(packed)
    correlation, most_alike = _correlation(balance, products)
    _, counts = np.unique(packed, axis=0, return_counts=True)
    ones = (1 + balance) / 2
    return CodeHealth(
        items=len(packed),
        balance=balance,
        constant=tuple(np.flatnonzero(np.abs(balance) == 1).tolist()),
        unique=len(counts),
        bit_entropy=_information(ones) + _information(1 - ones),
        code_entropy=float(_information(counts / len(packed)).sum()),
        correlation=correlation,
        most_alike=most_alike,
    )


def _moments(packed: Packed) -> tuple[Floats, Floats]:
    """Means (k,) of the bits as ±1, and of the products (k, k) of each two."""
    bits = packed.shape[1] * 8
    total, products = np.zeros(bits), np.zeros((bits, bits))
    for start in range(0, len(packed), _BLOCK):
        # Sums of so many ±1 are whole numbers that float32 holds exactly.
        block = unpack(packed[start : start + _BLOCK]).astype(np.float32)
        total += block.sum(axis=0)
        products += block.T @ block
    return total / len(packed), products / len(packed)


def _correlation(mean: Floats, products: Floats) -> tuple[float, tuple[int, int, float] | None]:
    """Mean size of the correlations of two bits each, and the pair with the largest."""
    used = np.flatnonzero(np.abs(mean) < 1)
    if len(used) < 2:
        return 0.0, None
    spread = np.sqrt(1 - mean[used] ** 2)
    covariance = products[np.ix_(used, used)] - np.outer(mean[used], mean[used])
    first, second = np.triu_indices(len(used), 1)
    values = np.clip(covariance[first, second] / (spread[first] * spread[second]), -1, 1)
    place = int(np.argmax(np.abs(values)))
    pair = int(used[first[place]]), int(used[second[place]]), float(values[place])
    return float(np.abs(values).mean()), pair


def _information(probability: Floats) -> Floats:
    value: Floats = -probability * np.log2(np.where(probability > 0, probability, 1))
    return np.abs(value)  # not -0
