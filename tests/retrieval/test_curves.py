from __future__ import annotations

import json
import math
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from crosshash.retrieval.curves import (
    default_ranks,
    f1_at_radius,
    precision_at,
    precision_recall_by_radius,
    precision_recall_by_rank,
)
from crosshash.retrieval.health import code_health


def problem(seed: int = 0, q: int = 10, n: int = 90, bits: int = 16) -> tuple[Any, ...]:
    """Coarse noisy codes; the last query has nothing relevant."""
    rng = np.random.default_rng(seed)
    labels = rng.random((q + n, 4)) < 0.3
    labels[np.arange(q), np.arange(q) % 4] = True
    labels[q - 1] = False
    codes = labels @ rng.normal(size=(4, bits)) + rng.normal(size=(q + n, bits))
    codes = codes[:, np.arange(bits) % 8]
    return codes[:q], codes[q:], labels[:q].astype(int), labels[q:].astype(int)


def ranked(arguments: tuple[Any, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Distance and relevance of the items for each query, in database order."""
    query, items, query_labels, item_labels = arguments
    return [
        (((code >= 0) != (items >= 0)).sum(axis=1), item_labels @ labels > 0)
        for code, labels in zip(query, query_labels, strict=True)
    ]


@pytest.mark.parametrize("empty", ["skip", "zero"])
@pytest.mark.parametrize("nothing", ["skip", "zero"])
def test_by_radius_agrees_with_a_loop_over_queries_and_radii(nothing: str, empty: str) -> None:
    arguments = problem()
    curve = precision_recall_by_radius(*arguments, nothing=nothing, empty=empty)
    assert curve.at.tolist() == list(range(17))
    for radius in range(17):
        precisions, recalls = [], []
        for distance, relevant in ranked(arguments):
            if not relevant.any() and empty == "skip":
                continue
            within = distance <= radius
            if within.any() or nothing == "zero":
                precisions.append(relevant[within].mean() if within.any() else 0.0)
            recalls.append(relevant[within].sum() / relevant.sum() if relevant.any() else 0.0)
        expected = np.mean(precisions) if precisions else math.nan
        assert curve.precision[radius] == pytest.approx(expected, abs=1e-12, nan_ok=True)
        assert curve.recall[radius] == pytest.approx(np.mean(recalls), abs=1e-12)


def test_by_radius_at_all_bits_is_the_whole_database() -> None:
    arguments = problem()
    curve = precision_recall_by_radius(*arguments)
    share = np.mean([relevant.mean() for _, relevant in ranked(arguments) if relevant.any()])
    assert curve.precision[-1] == pytest.approx(share)
    assert curve.recall[-1] == 1
    assert (np.diff(curve.recall) >= 0).all()


def test_a_radius_that_finds_nothing_is_zero_or_left_out() -> None:
    query, items, labels = np.ones((2, 8)), -np.ones((3, 8)), np.ones((3, 1))
    zero = precision_recall_by_radius(query, items, labels[:2], labels)
    assert zero.precision.tolist() == [0] * 8 + [1]
    skip = precision_recall_by_radius(query, items, labels[:2], labels, nothing="skip")
    assert np.isnan(skip.precision[:8]).all()
    assert json.loads(json.dumps(skip.as_dict(), allow_nan=False))["precision"] == [None] * 8 + [1]


@pytest.mark.parametrize("empty", ["skip", "zero"])
def test_by_rank_in_database_order_agrees_with_a_loop(empty: str) -> None:
    arguments, ranks = problem(), [1, 2, 10, 33, 90]
    curve = precision_recall_by_rank(*arguments, ranks=ranks, ties="index", empty=empty)
    for column, rank in enumerate(ranks):
        precisions, recalls = [], []
        for distance, relevant in ranked(arguments):
            if not relevant.any() and empty == "skip":
                continue
            hits = relevant[np.argsort(distance, kind="stable")][:rank].sum()
            precisions.append(hits / rank)
            recalls.append(hits / max(relevant.sum(), 1))
        assert curve.precision[column] == pytest.approx(np.mean(precisions), abs=1e-12)
        assert curve.recall[column] == pytest.approx(np.mean(recalls), abs=1e-12)


def test_by_rank_expected_best_and_worst_are_exact_over_all_orders() -> None:
    query = np.ones((1, 8))
    items = np.where(np.arange(8) < np.array([0, 1, 1, 1, 1, 2])[:, None], -1, 1)
    relevant = np.array([False, True, False, False, True, True])
    distance = np.array([0, 1, 1, 1, 1, 2])
    values = []
    for permutation in permutations(range(6)):
        shuffled = np.array(permutation)
        order = shuffled[np.argsort(distance[shuffled], kind="stable")]
        values.append(np.cumsum(relevant[order]) / np.arange(1, 7))
    ranks = list(range(1, 7))
    for ties, value in (
        ("expected", np.mean(values, axis=0)),
        ("best", np.max(values, axis=0)),
        ("worst", np.min(values, axis=0)),
    ):
        found = precision_at(
            query, items, np.ones((1, 1)), relevant[:, None], ranks=ranks, ties=ties
        )
        assert list(found) == ranks
        assert list(found.values()) == pytest.approx(value.tolist(), abs=1e-12)


def test_precision_does_not_depend_on_database_order_where_expected() -> None:
    query, items, query_labels, item_labels = problem()
    order = np.random.default_rng(1).permutation(len(items))
    for ties, same in (("expected", True), ("index", False)):
        one = precision_at(query, items, query_labels, item_labels, [3, 8], ties=ties)
        other = precision_at(
            query, items[order], query_labels, item_labels[order], [3, 8], ties=ties
        )
        assert (one == pytest.approx(other, abs=1e-12)) == same


@pytest.mark.parametrize("ranks", [[], [0], [91], [2.5], [True]])
def test_ranks_outside_the_database_are_refused(ranks: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"whole numbers in 1…90"):
        precision_at(*problem(), ranks)


@pytest.mark.parametrize("items", [1, 2, 30, 100, 18_015, 190_000])
def test_default_ranks_go_from_the_first_to_the_last(items: int) -> None:
    ranks = default_ranks(items)
    assert (ranks[0], ranks[-1]) == (1, items)
    assert (np.diff(ranks) > 0).all()
    assert len(ranks) <= 101


def test_f1_is_the_mean_over_queries_or_that_of_the_curve() -> None:
    arguments = problem()
    radii = [0, 2, 5, 16]
    by_query = f1_at_radius(*arguments, radii)
    by_curve = f1_at_radius(*arguments, radii, average="curve")
    curve = precision_recall_by_radius(*arguments)
    for radius in radii:
        scores = []
        for distance, relevant in ranked(arguments):
            hits = relevant[distance <= radius].sum()
            if not relevant.any():
                continue
            if not hits:
                scores.append(0.0)
                continue
            precision, recall = hits / (distance <= radius).sum(), hits / relevant.sum()
            scores.append(2 * precision * recall / (precision + recall))
        assert by_query[radius] == pytest.approx(np.mean(scores), abs=1e-12)
        p, r = curve.precision[radius], curve.recall[radius]
        assert by_curve[radius] == pytest.approx(2 * p * r / (p + r) if p + r else 0, abs=1e-12)
    assert by_query[5] != by_curve[5]
    with pytest.raises(ValueError, match=r"in 0…16, got 17"):
        f1_at_radius(*arguments, [2, 17])
    assert f1_at_radius(*arguments, []) == f1_at_radius(*arguments, [], average="curve") == {}


def test_f1_of_codes_that_find_nothing_is_zero() -> None:
    labels = np.ones((3, 1))
    for average in ("query", "curve"):
        found = f1_at_radius(
            np.ones((2, 8)), -np.ones((3, 8)), labels[:2], labels, [2], average=average
        )
        assert found == {2: 0.0}


def test_health_tells_constant_balanced_and_repeated_codes() -> None:
    codes = np.array([[1, -1, 1, 1, 1, 1, 1, -1], [1, -1, -1, 1, 1, 1, 1, 1]] * 2)
    codes[3] = codes[2]
    health = code_health(codes)
    assert health.items == 4
    assert health.constant == (0, 1, 3, 4, 5, 6)
    assert health.balance.tolist() == [1, -1, 0.5, 1, 1, 1, 1, -0.5]
    assert health.unique == 2
    assert health.unique_fraction == 0.5
    entropy = 0.75 * math.log2(4 / 3) + 0.25 * 2
    assert health.bit_entropy == pytest.approx([0, 0, entropy, 0, 0, 0, 0, entropy])
    assert health.code_entropy == pytest.approx(entropy)
    json.dumps(health.as_dict(), allow_nan=False)


def test_health_tells_bits_that_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    bits = np.random.default_rng(0).choice([-1, 1], (500, 8))
    bits[:, 5] = -bits[:, 2]  # says what another says
    bits[:, 7] = 1  # says nothing
    health = code_health(bits)
    assert health.most_alike == (2, 5, pytest.approx(-1))
    found = np.corrcoef(bits[:, :7].T)[np.triu_indices(7, 1)]
    assert health.correlation == pytest.approx(np.abs(found).mean())
    assert health.ones == pytest.approx((bits == 1).mean(axis=0))
    monkeypatch.setattr("crosshash.retrieval.health._BLOCK", 64)
    assert code_health(bits).correlation == pytest.approx(health.correlation)


def test_health_of_bits_that_are_all_constant_has_no_pairs() -> None:
    health = code_health(np.ones((4, 8)))
    assert (health.correlation, health.most_alike) == (0.0, None)


def test_health_of_all_different_codes() -> None:
    codes = np.arange(256, dtype=np.uint8)[:, None]
    health = code_health(codes)
    assert health.constant == ()
    assert not health.balance.any()
    assert health.unique_fraction == 1
    assert health.code_entropy == pytest.approx(8)
    assert health.bit_entropy == pytest.approx(np.ones(8))


def test_health_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no codes"):
        code_health(np.zeros((0, 8)))
