"""Binary codes: sign, packing and Hamming distance.

A ``uint8`` array is a batch of packed codes, (n, k/8): bit i of a code is the sign of output i,
little-endian within the byte, as FAISS reads them. Any other array holds one value per bit,
(n, k), and stands for its signs.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Packed = npt.NDArray[np.uint8]
Array = TypeVar("Array")


def check_bits(bits: int) -> int:
    """Return ``bits`` if a code of that length can be packed.

    Raises:
        ValueError: ``bits`` is not a positive multiple of 8.
    """
    if bits <= 0 or bits % 8:
        raise ValueError(
            f"bits must be a positive multiple of 8 (codes are packed into bytes), got {bits}; "
            "use 16, 32, 64 or 128"
        )
    return bits


def check_nested(lengths: Iterable[int], bits: int) -> tuple[int, ...]:
    """Return the shorter lengths that codes of ``bits`` are to have within them, as a tuple.

    Raises:
        ValueError: They are no multiples of 8, ascending, between 0 and ``bits``.
    """
    found = tuple(lengths)
    steps = (0, *found, bits)
    whole = all(isinstance(k, int) and k % 8 == 0 for k in found)
    if not whole or any(a >= b for a, b in pairwise(steps)):
        raise ValueError(
            f"nested lengths of {bits}-bit codes are multiples of 8 below {bits}, ascending, each "
            f"once; got {list(found)}"
        )
    return found


def sign(values: Array) -> Array:
    """Signs in {-1, +1}, zero giving +1, of a NumPy array or a torch tensor of any shape.

    Zero must have a sign: a code with a third value cannot be packed, and metric and index would
    then disagree.
    """
    data: Any = values
    signs: Any = (data >= 0) * 2 - 1
    result: Array = signs.to(data.dtype) if hasattr(data, "detach") else signs.astype(data.dtype)
    return result


def to_array(codes: Any) -> npt.NDArray[Any]:
    """A batch of codes, in any of its forms, as an array; ValueError unless it has two axes."""
    if hasattr(codes, "detach"):
        codes = codes.detach().cpu()
        # NumPy knows no bfloat16; wider types stay, since a tiny negative number would become -0.
        half = codes.is_floating_point() and codes.element_size() < 4
        codes = (codes.float() if half else codes).numpy()
    array = np.asarray(codes)
    if array.ndim != 2:
        raise ValueError(f"codes have two axes (items, bits), got shape {array.shape}")
    return array


def pack(codes: Any) -> Packed:
    """Pack signs into bytes.

    Args:
        codes: (n, k) array or tensor of signed or real values; bit i is 1 where value i >= 0.

    Returns:
        ``uint8`` (n, k/8), little-endian within the byte.

    Raises:
        ValueError: k is not a multiple of 8, the array is not two-dimensional, or a value is NaN.
    """
    array = to_array(codes)
    if array.dtype == np.uint8:
        raise ValueError("these codes are packed already (uint8); pass them on as they are")
    if array.dtype.kind not in "if":
        raise ValueError(
            f"codes are signed or real numbers whose sign is the bit, got {array.dtype}; "
            "turn 0 and 1 into -1 and +1 first"
        )
    check_bits(array.shape[1])
    if np.issubdtype(array.dtype, np.floating) and np.isnan(array).any():
        rows = np.flatnonzero(np.isnan(array).any(axis=1))
        raise ValueError(f"codes of {len(rows)} items are NaN, the first at row {rows[0]}")
    return np.packbits(array >= 0, axis=1, bitorder="little")


def unpack(packed: Packed) -> npt.NDArray[np.int8]:
    """Signs of packed codes: ``uint8`` (n, k/8) to ``int8`` (n, k) in {-1, +1}."""
    if packed.dtype != np.uint8 or packed.ndim != 2:
        raise ValueError(
            f"packed codes are uint8 with two axes, got {packed.dtype} of shape {packed.shape}"
        )
    bits = np.unpackbits(packed, axis=1, bitorder="little").astype(np.int8)
    signs: npt.NDArray[np.int8] = bits * np.int8(2) - np.int8(1)
    return signs


def as_packed(codes: Any) -> Packed:
    """Packed codes from either form: ``uint8`` passes, anything else is packed by sign."""
    array = to_array(codes)
    return np.ascontiguousarray(array) if array.dtype == np.uint8 else pack(array)


def hamming(a: Any, b: Any) -> npt.NDArray[np.uint16]:
    """Hamming distances between all pairs of two batches of codes.

    Args:
        a: (n, k) codes or (n, k/8) packed codes.
        b: (m, k) codes or (m, k/8) packed codes.

    Returns:
        ``uint16`` (n, m), each in 0…k.

    Raises:
        ValueError: The two code lengths differ.
    """
    left, right = as_packed(a), as_packed(b)
    if left.shape[1] != right.shape[1]:
        raise ValueError(
            f"codes of {left.shape[1] * 8} bits cannot be compared with codes of "
            f"{right.shape[1] * 8} bits"
        )
    left, right = as_words(left), as_words(right)
    distances = np.zeros((len(left), len(right)), dtype=np.uint16)
    for word in range(left.shape[1]):
        distances += np.bitwise_count(left[:, word, None] ^ right[None, :, word])
    return distances


def as_words(packed: Packed) -> npt.NDArray[np.unsignedinteger[Any]]:
    """The same bytes in the widest unsigned words that divide a code: fewer, faster operations."""
    for word in (np.uint64, np.uint32, np.uint16):
        if packed.shape[1] % np.dtype(word).itemsize == 0:
            return np.ascontiguousarray(packed).view(word)
    return packed
