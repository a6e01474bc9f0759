"""Whether the codes that come into an index are still those that it began with, and are healthy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crosshash.codes import Packed, unpack
from crosshash.retrieval.health import CodeHealth, code_health
from crosshash.search.index import Index
from crosshash.search.inputs import stacked

REFERENCE = "reference"
"""Where an index's metadata keep what its codes were like."""
SAMPLE = 50_000
FEWEST = 100
_SURE = 0.001
_MATTERS = 0.05


@dataclass(frozen=True)
class Reference:
    """What the codes of an index were like at a time.

    Attributes:
        items: How many items it had then.
        sample: How many of them were looked at, at most 50,000.
        ones: (k,) in how many of these each bit was 1.
        distances: (k + 1,) pairs of these at each Hamming distance; no code is in two pairs.
    """

    items: int
    sample: int
    ones: list[int]
    distances: list[int]

    @classmethod
    def of(cls, codes: Packed, items: int, seed: int = 0) -> Reference:
        """What codes are like, (n, k/8) packed, a sample of so many items."""
        order = np.random.default_rng(seed).permutation(len(codes))
        half = len(codes) // 2
        one, other = codes[order[:half]], codes[order[half : 2 * half]]
        apart = np.bitwise_count(one ^ other).sum(axis=1, dtype=np.int64)
        bits = codes.shape[1] * 8
        ones = (unpack(codes) > 0).sum(axis=0, dtype=np.int64)
        distances = np.bincount(apart, minlength=bits + 1)
        return cls(items, len(codes), ones.tolist(), distances.tolist())

    @classmethod
    def read(cls, kept: Mapping[str, Any], bits: int) -> Reference:
        """One that metadata keep; ValueError where it is none of such codes."""
        try:
            found = cls(**kept)
            whole = [found.items, found.sample, *found.ones, *found.distances]
            lengths = (len(found.ones), len(found.distances)) == (bits, bits + 1)
        except TypeError:
            whole, lengths = [], False
        if not lengths or not all(type(one) is int and one >= 0 for one in whole):
            raise ValueError(
                f"metadata[{REFERENCE!r}] is no reference of {bits}-bit codes; set it anew with "
                "set_reference(index)"
            )
        return found


@dataclass(frozen=True)
class Drift:
    """How later items differ from the reference, by two tests of two samples.

    Attributes:
        items: How many items are later.
        p_bits: The chance that bits differ as much or more without a cause: z tests of each bit's
            share of ones, the smallest p times the number of bits (Bonferroni).
        p_distances: The same of the distances between items (Kolmogorov and Smirnov).
        bit: The bit whose share of ones changed most.
        change: By how much, in -1…1.
        distance: The mean distance of two later items less that of two reference items, in bits.
        drifted: A p is below 0.001 and the change above 0.05, or that of the mean distance above
            0.05 k; what is sure and too small to matter is no drift.
    """

    items: int
    p_bits: float
    p_distances: float
    bit: int
    change: float
    distance: float
    drifted: bool


@dataclass(frozen=True)
class Report:
    """What :func:`examine` finds.

    Attributes:
        items: Items.
        health: Of a sample of their codes.
        reference: What they are compared with, or None where the index has none.
        drift: None without a reference, or with fewer than 100 later items.
    """

    items: int
    health: CodeHealth
    reference: Reference | None
    drift: Drift | None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        reference = None if self.reference is None else self.reference.items
        drift = None if self.drift is None else asdict(self.drift)
        health = self.health.as_dict()
        return {"items": self.items, "health": health, "reference": reference, "drift": drift}


def set_reference(index: Index) -> Reference:
    """Remember what an index's codes are like now, for :func:`examine`; a kept index keeps it.

    Raises:
        ValueError: It has fewer than 100 items.
    """
    if len(index) < FEWEST:
        raise ValueError(f"a reference takes at least {FEWEST} items, this index has {len(index)}")
    reference = Reference.of(_sample(index, 0), len(index))
    index.metadata[REFERENCE] = asdict(reference)
    if index.kept:
        index.save()
    return reference


def examine(index: Index) -> Report:
    """Health of an index's codes, and whether those that came after its reference drifted.

    Later items are those behind as many as the reference had: where earlier ones were removed
    since, the first later ones are not looked at.

    Raises:
        ValueError: The index is empty, or its reference is damaged.
    """
    health = code_health(_sample(index, 0))
    kept = index.metadata.get(REFERENCE)
    reference = None if kept is None else Reference.read(kept, index.bits)
    drift = None
    if reference is not None and len(index) - reference.items >= FEWEST:
        drift = compare(
            reference, Reference.of(_sample(index, reference.items), len(index) - reference.items)
        )
    return Report(len(index), health, reference, drift)


def compare(before: Reference, later: Reference) -> Drift:
    """Two samples by their bits and distances."""
    from scipy.stats import ks_2samp, norm

    n, m = before.sample, later.sample
    ones, more = np.array(before.ones), np.array(later.ones)
    share = (ones + more) / (n + m)
    spread = np.sqrt(share * (1 - share) * (1 / n + 1 / m))
    change = more / m - ones / n
    # A bit that is the same in all of both has no spread, and no change.
    z = np.divide(np.abs(change), spread, out=np.zeros_like(spread), where=spread > 0)
    p_bits = min(1.0, float(2 * norm.sf(z.max())) * len(ones))
    one, other = (_spelled(sample.distances) for sample in (before, later))
    p_distances = float(ks_2samp(one, other, method="asymp").pvalue)
    bit, distance = int(np.abs(change).argmax()), float(other.mean() - one.mean())
    matters = abs(change[bit]) > _MATTERS or abs(distance) > _MATTERS * len(ones)
    drifted = bool(matters and min(p_bits, p_distances) < _SURE)
    return Drift(later.items, p_bits, p_distances, bit, float(change[bit]), distance, drifted)


def _spelled(counts: list[int]) -> npt.NDArray[np.int64]:
    return np.repeat(np.arange(len(counts)), counts)


def _sample(index: Index, start: int) -> Packed:
    """Codes of at most so many items from one on, evenly over them."""
    step = max(1, -(-(len(index) - start) // SAMPLE))
    kept, place = [], 0
    for items in index.scan():
        numbers = np.arange(place, place + len(items))
        wanted = (numbers >= start) & ((numbers - start) % step == 0)
        if wanted.any():
            rows = np.flatnonzero(wanted)
            kept.append(type(items)([], items.codes[rows], [], items.order[rows]))
        place += len(items)
    return stacked(kept, index.bits)
