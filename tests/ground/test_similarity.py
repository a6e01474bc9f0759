from __future__ import annotations

import math

import pytest
import torch

from crosshash.similarity import (
    cosine_similarity,
    label_similarity,
    nearest_anchors,
    neighbourhood_similarity,
    posterior_similarity,
)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def naive_cosine(x: list[float], y: list[float]) -> float:
    dot = sum(a * b for a, b in zip(x, y, strict=True))
    return dot / math.sqrt(sum(a * a for a in x) * sum(b * b for b in y))


def test_items_are_similar_where_they_share_a_label() -> None:
    a = (draw(7, 5) > 0.6).long()
    b = (draw(6, 5, seed=1) > 0.6).long()
    S = label_similarity(a, b)
    assert S.dtype == torch.float32
    for i in range(7):
        for j in range(6):
            assert S[i, j] == float(any(x == y == 1 for x, y in zip(a[i], b[j], strict=True)))
    assert 0 < S.mean() < 1


def test_an_item_without_labels_is_similar_to_none() -> None:
    assert label_similarity(torch.zeros(2, 3), torch.ones(4, 3)).sum() == 0


def test_cosine_agrees_with_a_loop() -> None:
    a, b = draw(4, 6), draw(5, 6, seed=1)
    cosines = cosine_similarity(a, b)
    for i in range(4):
        for j in range(5):
            assert cosines[i, j].item() == pytest.approx(
                naive_cosine(a[i].tolist(), b[j].tolist()), abs=1e-6
            )


def test_cosine_does_not_change_with_the_length_of_rows() -> None:
    a, b = draw(4, 6), draw(5, 6, seed=1)
    torch.testing.assert_close(cosine_similarity(a * 7, b * 0.1), cosine_similarity(a, b))


def test_a_zero_row_has_cosine_zero() -> None:
    cosines = cosine_similarity(torch.zeros(1, 3), torch.ones(2, 3))
    assert cosines.tolist() == [[0.0, 0.0]]


def test_with_all_items_as_anchors_the_neighbours_are_the_nearest_by_a_loop() -> None:
    image, text = draw(9, 4), draw(9, 3, seed=1)
    alpha = 0.3
    found = nearest_anchors(image, text, alpha=alpha, anchors=9, share=1 / 3, seed=5)
    drawn = torch.randperm(9, generator=torch.Generator().manual_seed(5))
    x = (image - image.mean(0)).tolist()
    unit = text / text.norm(dim=1, keepdim=True)
    y = (unit - unit.mean(0)).tolist()
    for i in range(9):
        near = [
            alpha * naive_cosine(x[i], x[j]) + (1 - alpha) * naive_cosine(y[i], y[j])
            for j in drawn.tolist()
        ]
        best = sorted(range(9), key=lambda place: -near[place])[:3]
        assert found[i].tolist() == best
        assert i in drawn[found[i]]


def test_anchors_bound_the_neighbours() -> None:
    found = nearest_anchors(draw(30, 4), draw(30, 4, seed=1), alpha=0.5, anchors=10, share=0.2)
    assert found.shape == (30, 2)
    assert found.dtype == torch.int64
    assert 0 <= found.min() <= found.max() < 10


def test_a_neighbourhood_is_never_empty() -> None:
    found = nearest_anchors(draw(5, 2), draw(5, 2, seed=1), alpha=0.5, anchors=5, share=0.01)
    assert found.shape == (5, 1)


def test_one_seed_draws_the_same_anchors() -> None:
    def find(seed: int) -> torch.Tensor:
        return nearest_anchors(
            draw(40, 4), draw(40, 4, seed=1), alpha=0.5, anchors=8, share=0.5, seed=seed
        )

    assert torch.equal(find(3), find(3))
    assert not torch.equal(find(3), find(4))


def test_neighbourhoods_agree_by_the_cosine_of_their_centred_indicators() -> None:
    neighbours = torch.stack(
        [torch.randperm(7, generator=torch.Generator().manual_seed(i))[:3] for i in range(5)]
    )
    frequency = torch.bincount(neighbours.flatten(), minlength=7) / 5
    found = neighbourhood_similarity(neighbours, frequency)
    rows = [
        [float(anchor in neighbours[i].tolist()) - frequency[anchor].item() for anchor in range(7)]
        for i in range(5)
    ]
    for i in range(5):
        for j in range(5):
            assert found[i, j].item() == pytest.approx(naive_cosine(rows[i], rows[j]), abs=1e-5)
    torch.testing.assert_close(found.diagonal(), torch.ones(5))


def test_neighbourhoods_of_unrelated_items_agree_in_the_mean_by_nothing() -> None:
    neighbours = nearest_anchors(
        draw(300, 8), draw(300, 8, seed=1), alpha=0.5, anchors=300, share=0.05
    )
    frequency = torch.bincount(neighbours.flatten(), minlength=300) / 300
    assert abs(neighbourhood_similarity(neighbours, frequency).mean()) < 0.02


def test_posterior_similarity_is_the_probability_of_a_shared_label() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.rand(3, 5, generator=generator), torch.rand(4, 5, generator=generator)
    found = posterior_similarity(a, b)
    for i in range(3):
        for j in range(4):
            none = 1.0
            for c in range(5):
                none *= 1 - float(a[i, c] * b[j, c])
            assert float(found[i, j]) == pytest.approx(1 - none, abs=1e-6)


def test_posterior_similarity_of_labels_is_label_similarity() -> None:
    labels = (torch.rand(20, 6, generator=torch.Generator().manual_seed(1)) < 0.3).float()
    assert torch.equal(posterior_similarity(labels, labels), label_similarity(labels, labels))
