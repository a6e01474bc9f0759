"""Compiled counting of (Hamming distance, relevant) pairs, for the extra ``fast`` (numba).

The database is turned into bit planes: word w of plane i holds bit i of items 64w to 64w + 63. A
query then meets 64 items with each word operation. The bits in which a query and the items differ
are summed by carry-save adders, whose result, the distances of all items in binary, is again a few
planes; each distance is the AND of these planes or their complements, and a popcount counts it.

The functions below are plain Python over NumPy arrays and are compiled when first needed: numba is
never imported by importing this module. They keep to flat arrays, unsigned indices and fixed
strides, which is what lets the compiler turn every inner loop into vector instructions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt

from crosshash.codes import Packed
from crosshash.retrieval.compiling import compile_loops

Words = npt.NDArray[np.uint64]
Counts = npt.NDArray[np.int32]
Indices = npt.NDArray[np.int64]

WORDS = 48
"""Words of a plane worked on at a time (3,072 items), so that the scratch stays in cache."""

# numba freezes these into the code; a Python integer beside a uint64 would give a float.
_0, _1, _2, _3, _4, _5, _6, _7 = (np.uint64(i) for i in range(8))
_15, _16, _32, _56 = np.uint64(15), np.uint64(16), np.uint64(32), np.uint64(56)
_ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_PAIRS = np.uint64(0x5555_5555_5555_5555)
_FOURS = np.uint64(0x3333_3333_3333_3333)
_BYTES = np.uint64(0x0F0F_0F0F_0F0F_0F0F)
_SUM = np.uint64(0x0101_0101_0101_0101)
_P1, _P2, _P3, _P4, _P5, _P6, _P7, _P8 = (np.uint64(i * WORDS) for i in range(1, 9))


def bit_planes(packed: Packed) -> Words:
    """Bit planes of packed bits: ``uint8`` (n, b) to ``uint64`` (chunks, 8 b · WORDS).

    Each chunk holds ``WORDS`` words of each of the 8 b planes in turn; items beyond n are zero.
    """
    n, width = packed.shape
    chunks = -(-n // (64 * WORDS))
    columns = np.zeros((width, chunks * 64 * WORDS), dtype=np.uint8)
    columns[:, :n] = packed.T
    square = columns.view("<u8")  # eight items of eight bits: an 8 x 8 matrix of bits, transposed
    for shift, mask in (
        (7, 0x00AA_00AA_00AA_00AA),
        (14, 0x0000_CCCC_0000_CCCC),
        (28, 0x0000_0000_F0F0_F0F0),
    ):
        swap = (square ^ (square >> np.uint64(shift))) & np.uint64(mask)
        square = square ^ swap ^ (swap << np.uint64(shift))
    bits = square.view(np.uint8).reshape(width, chunks, 8 * WORDS, 8).transpose(1, 0, 3, 2)
    return np.ascontiguousarray(bits).view("<u8").reshape(chunks, -1).astype(np.uint64, copy=False)


def _tabulate(block: Words, nibbles: int, width: np.uint64, table: Words) -> None:
    """For each four planes and each value of a query's four bits: how many differ, in 3 planes."""
    for nibble in range(nibbles):
        p = np.uint64(nibble) * _P4
        for value in range(16):
            bits = np.uint64(value)
            flip0, flip1 = _0 - (bits & _1), _0 - ((bits >> _1) & _1)
            flip2, flip3 = _0 - ((bits >> _2) & _1), _0 - ((bits >> _3) & _1)
            to = np.uint64(16 * nibble + value) * _P3
            for w in range(width):
                a, b = block[p + w] ^ flip0, block[p + _P1 + w] ^ flip1
                c, d = block[p + _P2 + w] ^ flip2, block[p + _P3 + w] ^ flip3
                left, right = a ^ b, c ^ d
                two_left, two_right = a & b, c & d
                table[to + w] = left ^ right
                table[to + _P1 + w] = two_left ^ two_right ^ (left & right)
                table[to + _P2 + w] = two_left & two_right


def _add_bytes(table: Words, code: Packed, width: np.uint64, digit: Words, carry: Words) -> None:
    """Add the differing bits of every byte: digits 1, 2, 4 and, for each byte, a carry of 8."""
    for byte in range(code.shape[0]):
        bits = np.uint64(code[byte])
        p = (np.uint64(32 * byte) + (bits & _15)) * _P3
        q = (np.uint64(32 * byte) + _16 + (bits >> _4)) * _P3
        to = np.uint64(byte) * _P1
        for w in range(width):
            # A full adder of a, b and the digit o: half = a ^ b; the carry is o where half, else a.
            o = digit[w]
            a = table[p + w]
            half = a ^ table[q + w]
            two = (half & o) | (~half & a)
            digit[w] = o ^ half
            o = digit[_P1 + w]
            a = table[p + _P1 + w]
            half = a ^ table[q + _P1 + w]
            four = (half & o) | (~half & a)
            o ^= half
            other_four = o & two
            digit[_P1 + w] = o ^ two
            o = digit[_P2 + w]
            a = table[p + _P2 + w]
            half = a ^ table[q + _P2 + w]
            eight = (half & o) | (~half & a)
            o ^= half
            half = four ^ other_four
            # At most 7 + 8 differ, so that the two carries are never both set.
            carry[to + w] = eight | (half & o) | (~half & four)
            digit[_P2 + w] = o ^ half


def _add_carries(carry: Words, groups: int, width: np.uint64, digit: Words, high: int) -> None:
    """Add eight carries of 8 at a time to digits 8, 16, 32, and their carry of 64 to the rest."""
    for group in range(groups):
        p = np.uint64(group) * _P8
        for w in range(width):
            o = digit[_P3 + w]
            a = carry[p + w]
            half = a ^ carry[p + _P1 + w]
            two1 = (half & o) | (~half & a)
            o ^= half
            a = carry[p + _P2 + w]
            half = a ^ carry[p + _P3 + w]
            two2 = (half & o) | (~half & a)
            o ^= half
            a = carry[p + _P4 + w]
            half = a ^ carry[p + _P5 + w]
            two3 = (half & o) | (~half & a)
            o ^= half
            a = carry[p + _P6 + w]
            half = a ^ carry[p + _P7 + w]
            two4 = (half & o) | (~half & a)
            digit[_P3 + w] = o ^ half
            o = digit[_P4 + w]
            half = two1 ^ two2
            four1 = (half & o) | (~half & two1)
            o ^= half
            half = two3 ^ two4
            four2 = (half & o) | (~half & two3)
            digit[_P4 + w] = o ^ half
            o = digit[_P5 + w]
            half = four1 ^ four2
            carry[p + w] = (half & o) | (~half & four1)
            digit[_P5 + w] = o ^ half
        at = _P6
        for _ in range(high):
            for w in range(width):
                o = digit[at + w]
                c = carry[p + w]
                digit[at + w] = o ^ c
                carry[p + w] = o & c
            at += _P1


def _ones(word: np.uint64) -> np.uint64:
    """Set bits of a word; the compiler knows this sequence and puts its own instruction."""
    word = word - ((word >> _1) & _PAIRS)
    word = (word & _FOURS) + ((word >> _2) & _FOURS)
    count: np.uint64 = (((word + (word >> _4)) & _BYTES) * _SUM) >> _56
    return count


def _split(digit: Words, width: np.uint64, low: Words) -> None:
    """Masks of the items whose distance is 0…7 modulo 8."""
    for w in range(width):
        a, b, c = digit[w], digit[_P1 + w], digit[_P2 + w]
        c0, c1, c2, c3 = ~b & ~c, b & ~c, ~b & c, b & c
        low[w], low[_P1 + w] = ~a & c0, a & c0
        low[_P2 + w], low[_P3 + w] = ~a & c1, a & c1
        low[_P4 + w], low[_P5 + w] = ~a & c2, a & c2
        low[_P6 + w], low[_P7 + w] = ~a & c3, a & c3


def _narrow(
    parent: Words, child: Words, digit: Words, at: np.uint64, flip: np.uint64, width: np.uint64
) -> np.uint64:
    """The items of ``parent`` with one more digit right; returns their union over the words."""
    found: np.uint64 = _0
    for w in range(width):
        mask = parent[at + _P1 + w] & (digit[at + _P3 + w] ^ flip)
        child[at + w] = mask
        found |= mask
    return found


def _tally(
    eight: Words,
    low: Words,
    hit: Words,
    width: np.uint64,
    query: int,
    d: int,
    total: Counts,
    relevant: Counts,
) -> None:
    """Count the items at distances d…d+7, all and relevant, in one pass that stays in registers."""
    n0 = n1 = n2 = n3 = n4 = n5 = n6 = n7 = _0
    r0 = r1 = r2 = r3 = r4 = r5 = r6 = r7 = _0
    for w in range(width):
        here = eight[w]
        good = here & hit[w]
        mask = low[w]
        n0 += _ones(here & mask)
        r0 += _ones(good & mask)
        mask = low[_P1 + w]
        n1 += _ones(here & mask)
        r1 += _ones(good & mask)
        mask = low[_P2 + w]
        n2 += _ones(here & mask)
        r2 += _ones(good & mask)
        mask = low[_P3 + w]
        n3 += _ones(here & mask)
        r3 += _ones(good & mask)
        mask = low[_P4 + w]
        n4 += _ones(here & mask)
        r4 += _ones(good & mask)
        mask = low[_P5 + w]
        n5 += _ones(here & mask)
        r5 += _ones(good & mask)
        mask = low[_P6 + w]
        n6 += _ones(here & mask)
        r6 += _ones(good & mask)
        mask = low[_P7 + w]
        n7 += _ones(here & mask)
        r7 += _ones(good & mask)
    all_, good_ = (n0, n1, n2, n3, n4, n5, n6, n7), (r0, r1, r2, r3, r4, r5, r6, r7)
    for i in range(8):
        total[query, d + i] += np.int32(all_[i])
        relevant[query, d + i] += np.int32(good_[i])


def _count(
    planes: Words,
    label_planes: Words,
    valid: Words,
    widths: Words,
    codes: Packed,
    first: Indices,
    labels: Indices,
    total: Counts,
    relevant: Counts,
    start: int,
    stop: int,
) -> None:
    """Add the items of a database to rows ``start``…``stop`` of two histograms.

    Args:
        planes: (chunks, 8 b · WORDS) ``bit_planes`` of the database codes.
        label_planes: (chunks, ≥ c · WORDS) ``bit_planes`` of the database labels.
        valid: (chunks, WORDS) set bits where there is an item.
        widths: (chunks,) words of a chunk that hold items.
        codes: (q, b) packed query codes.
        first: (q + 1,) where the labels of each query start in ``labels``.
        labels: Class numbers of all queries in turn.
        total: (q, 8 b + 8) counts of items by Hamming distance.
        relevant: (q, 8 b + 8) counts of items that share a label with the query.
        start: First query to count.
        stop: One past the last.
    """
    if start == stop:
        return
    size = codes.shape[1]
    groups = (size + 7) // 8
    digits = 6
    while (1 << digits) <= 8 * size:
        digits += 1
    table = np.empty(32 * size * 3 * WORDS, np.uint64)
    digit = np.empty(digits * WORDS, np.uint64)
    carry = np.zeros(8 * groups * WORDS, np.uint64)
    low = np.empty(8 * WORDS, np.uint64)
    # Prefixes of the high digits, longest first, by turns: a loop over one array that both reads
    # and writes it is not turned into vector instructions.
    even = np.empty((digits - 2) * WORDS, np.uint64)
    odd = np.empty((digits - 2) * WORDS, np.uint64)
    hit = np.empty(WORDS, np.uint64)
    for chunk in range(planes.shape[0]):
        width = widths[chunk]
        classes = label_planes[chunk]
        _tabulate(planes[chunk], 2 * size, width, table)
        top = np.uint64(digits - 3) * _P1
        for w in range(width):
            even[top + w] = valid[chunk, w]
            odd[top + w] = valid[chunk, w]
        for query in range(start, stop):
            for w in range(np.uint64(digits) * _P1):
                digit[w] = _0
            _add_bytes(table, codes[query], width, digit, carry)
            _add_carries(carry, groups, width, digit, digits - 6)
            for w in range(width):
                hit[w] = _0
            for i in range(first[query], first[query + 1]):
                p = np.uint64(labels[i]) * _P1
                for w in range(width):
                    hit[w] |= classes[p + w]
            _split(digit, width, low)
            # Depth first over the high digits of a distance; an empty prefix is left at once.
            eights = 0
            level = digits - 4
            while eights <= size:
                found = _ALL
                while level >= 0:
                    flip = _0 if (eights >> level) & 1 else _ALL
                    at = np.uint64(level) * _P1
                    if level & 1:
                        found = _narrow(even, odd, digit, at, flip, width)
                    else:
                        found = _narrow(odd, even, digit, at, flip, width)
                    if found == _0:
                        break
                    level -= 1
                if found == _0:
                    eights = ((eights >> level) + 1) << level
                else:
                    _tally(even, low, hit, width, query, 8 * eights, total, relevant)
                    eights += 1
                level = 0
                while level < digits - 4 and (eights >> level) & 1 == 0:
                    level += 1


@cache
def compiled() -> Callable[..., None]:
    """The compiled kernel; ImportError where numba is missing."""
    return compile_loops(
        _count, _tabulate, _add_bytes, _add_carries, _ones, _split, _narrow, _tally
    )
