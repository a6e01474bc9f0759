"""Recall of partners and of neighbours, against loops over every order inside ties."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pytest

from crosshash.codes import pack
from crosshash.retrieval.neighbours import (
    asymmetric_scores,
    cosine_scores,
    neighbour_recall,
    pair_recall,
    partner_recall,
    symmetric_scores,
)


def orders(scores: np.ndarray) -> list[list[int]]:
    """Every ranking of a few items that ties allow."""
    every = permutations(range(len(scores)))
    return [list(o) for o in every if all(scores[a] >= scores[b] for a, b in pairwise(o))]


def naive_pair_recall(scores: np.ndarray, wanted: np.ndarray, k: int) -> float:
    found = []
    for row, mask in zip(scores, wanted, strict=True):
        ranked = orders(row)
        found.append(np.mean([any(mask[item] for item in order[:k]) for order in ranked]))
    return float(np.mean(found))


@pytest.mark.parametrize("k", [1, 2, 4, 6])
def test_pair_recall_is_the_mean_over_all_orders_of_ties(k: int) -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 3, (12, 6))
    partners = rng.integers(0, 6, 12)
    wanted = np.eye(6, dtype=bool)[partners]
    expected = naive_pair_recall(scores, wanted, k)
    assert pair_recall(scores, partners, [k])[k] == pytest.approx(expected)
    assert pair_recall(scores.astype(float), wanted, [k])[k] == pytest.approx(expected)


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_one_of_several_partners_is_enough(k: int) -> None:
    rng = np.random.default_rng(1)
    scores = rng.integers(0, 3, (15, 6))
    wanted = rng.random((15, 6)) < 0.4
    wanted[:, 0] |= ~wanted.any(axis=1)
    expected = naive_pair_recall(scores, wanted, k)
    assert pair_recall(scores, wanted, [k])[k] == pytest.approx(expected)


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("asymmetric", [False, True])
def test_neighbour_recall_is_the_mean_over_all_orders_of_ties(k: int, asymmetric: bool) -> None:
    rng = np.random.default_rng(2)
    vectors = rng.normal(size=(6, 4))
    codes = np.where(rng.random((6, 8)) < 0.4, 1, -1)
    real = rng.normal(size=(6, 8))
    found = []
    for row in range(6):
        others = [item for item in range(6) if item != row]
        cosines = [
            vectors[row] @ vectors[item] / np.linalg.norm(vectors[row]) / np.linalg.norm(v)
            for item, v in ((item, vectors[item]) for item in others)
        ]
        true = {others[place] for place in np.argsort(cosines)[::-1][:k]}
        query = real[row] if asymmetric else codes[row]
        scores = np.array([query @ codes[item] for item in others])
        ranked = orders(scores)
        found.append(np.mean([len(true & {others[place] for place in o[:k]}) / k for o in ranked]))
    given = neighbour_recall(codes, vectors, real=real if asymmetric else None, ks=[k])
    assert given[k] == pytest.approx(np.mean(found))
    if not asymmetric:
        assert neighbour_recall(pack(codes), vectors, ks=[k]) == given


def test_codes_of_one_value_find_neighbours_by_chance() -> None:
    vectors = np.random.default_rng(0).normal(size=(21, 3))
    found = neighbour_recall(np.ones((21, 8)), vectors, ks=[1, 5])
    assert found == pytest.approx({1: 1 / 20, 5: 5 / 20})


def test_scores_are_higher_for_what_is_nearer() -> None:
    codes = np.array([[1] * 8, [1] * 7 + [-1], [-1] * 8])
    assert symmetric_scores(codes[:1], codes).tolist() == [[0, -1, -8]]
    real = np.array([[0.5] * 7 + [-3.0]])
    np.testing.assert_allclose(asymmetric_scores(real, codes), [[0.5, 6.5, -0.5]])
    np.testing.assert_allclose(cosine_scores([[2.0, 0.0]], [[5.0, 0.0], [0.0, 1.0]]), [[1, 0]])


def test_what_cannot_be_measured_is_refused() -> None:
    scores = np.zeros((2, 3))
    with pytest.raises(ValueError, match="1 queries have no partner, the first is row 1"):
        pair_recall(scores, np.array([[True, False, False], [False] * 3]))
    with pytest.raises(ValueError, match="row numbers"):
        pair_recall(scores, [0, 1, 2])
    with pytest.raises(ValueError, match="at least 1"):
        pair_recall(scores, [0, 1], [0])
    with pytest.raises(ValueError, match="2 neighbours each, not 10"):
        neighbour_recall(np.ones((3, 8)), np.ones((3, 2)), ks=[10])
    with pytest.raises(ValueError, match="2 codes for 3 vectors"):
        neighbour_recall(np.ones((2, 8)), np.ones((3, 2)), ks=[1])


def test_partners_are_looked_for_among_all_pairs_both_ways(monkeypatch) -> None:
    rng = np.random.default_rng(4)
    images = rng.normal(size=(30, 16)).astype(np.float32)
    texts = images + rng.normal(size=(30, 16)).astype(np.float32)
    found = partner_recall(images, texts, [1, 5])
    assert set(found) == {f"{w}_r{k}{a}" for w in ("t2i", "i2t") for k in (1, 5) for a in WAYS}
    for way, asked, stored in (("t2i", texts, images), ("i2t", images, texts)):
        for ending, scores in (("", symmetric_scores), ("_asymmetric", asymmetric_scores)):
            whole = pair_recall(scores(asked, stored), np.arange(30), [1, 5])
            for k, recall in whole.items():
                assert found[f"{way}_r{k}{ending}"] == pytest.approx(recall)
    assert found["t2i_r5_asymmetric"] > found["t2i_r1_asymmetric"] > 1 / 30
    monkeypatch.setattr("crosshash.retrieval.neighbours._BLOCK", 70)  # two queries at a time
    assert partner_recall(images, texts, [1, 5]) == pytest.approx(found)
    assert set(partner_recall(images[:4], texts[:4], [4, 10]).values()) == {1.0}


WAYS = ("", "_asymmetric")
