from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from crosshash.codes import pack
from crosshash.search.doctor import REFERENCE, Reference, compare, examine, set_reference
from crosshash.search.index import Index


def codes(rng: np.random.Generator, count: int, share: float = 0.5) -> np.ndarray:
    """Codes of 32 bits, of which the fourth is 1 in that share."""
    values = rng.choice([-1.0, 1.0], (count, 32))
    values[:, 3] = np.where(rng.random(count) < share, 1, -1)
    return pack(values)


def kept(place: Path, first: np.ndarray, later: np.ndarray) -> Index:
    index = Index.open(place, 32)
    index.add(first, [f"a{n}" for n in range(len(first))])
    set_reference(index)
    index.add(later, [f"b{n}" for n in range(len(later))])
    index.close()
    return Index.open(place)


def test_a_reference_is_of_bits_and_of_distances_of_pairs() -> None:
    found = Reference.of(pack(np.array([[1.0] * 8, [1.0] * 4 + [-1.0] * 4, [-1.0] * 8])), 3)
    assert found.ones == [2] * 4 + [1] * 4
    assert sum(found.distances) == 1  # no code is in two pairs
    assert found.distances[4] + found.distances[8] == 1


def test_items_of_another_kind_are_told_and_more_of_the_same_are_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    first = codes(rng, 4000)
    same = examine(kept(tmp_path / "same", first, codes(rng, 3000))).drift
    assert same is not None
    assert not same.drifted
    assert same.p_bits > 0.01
    assert same.p_distances > 0.01
    assert same.items == 3000
    other = examine(kept(tmp_path / "other", first, codes(rng, 3000, 0.7))).drift
    assert other is not None
    assert other.drifted
    assert other.p_bits < 1e-6
    assert other.bit == 3
    assert other.change == pytest.approx(0.2, abs=0.03)


def test_codes_that_come_closer_together_are_told_though_each_bit_is_as_often_one() -> None:
    rng = np.random.default_rng(0)
    before = Reference.of(codes(rng, 4000), 4000)
    half = rng.choice([-1.0, 1.0], (4000, 1)) * np.ones((1, 32))
    noise = np.where(rng.random((4000, 32)) < 0.2, -1, 1)
    drift = compare(before, Reference.of(pack(half * noise), 4000))
    assert drift.p_bits > 0.001
    assert drift.p_distances < 1e-6


def test_p_values_are_as_often_small_as_they_say() -> None:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):
        one, other = (Reference.of(codes(rng, 600), 600) for _ in range(2))
        found.append(compare(one, other))
    for name in ("p_bits", "p_distances"):
        below = sum(getattr(one, name) < 0.05 for one in found)
        assert below <= binom.ppf(0.999, 200, 0.05), (name, below)
    assert not any(one.drifted for one in found)


def test_what_is_sure_and_too_small_to_matter_is_no_drift() -> None:
    before = Reference(10**6, 10**6, [500_000] * 32, [0] * 16 + [500_000] + [0] * 16)
    later = Reference(10**6, 10**6, [510_000] * 32, before.distances)
    drift = compare(before, later)
    assert drift.p_bits < 1e-6
    assert not drift.drifted


def test_without_a_reference_or_later_items_there_is_health_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    index = Index(32)
    with pytest.raises(ValueError, match="at least 100 items, this index has 0"):
        set_reference(index)
    with pytest.raises(ValueError, match="no codes"):
        examine(index)
    index.add(codes(rng, 200), range(200))
    report = examine(index)
    assert (report.items, report.reference, report.drift) == (200, None, None)
    assert report.health.items == 200
    set_reference(index)
    index.add(codes(rng, 50), range(200, 250))
    assert examine(index).drift is None
    assert examine(index).as_dict()["reference"] == 200
    index.metadata[REFERENCE]["ones"] = [1, 2]
    with pytest.raises(ValueError, match="no reference of 32-bit codes"):
        examine(index)
