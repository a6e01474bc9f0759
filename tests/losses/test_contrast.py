"""Contrastive terms against loops."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from crosshash.losses.contrast import info_nce, neighbour_divergence


def test_info_nce_is_the_cross_entropy_of_both_directions() -> None:
    torch.manual_seed(0)
    S = torch.rand(5, 5)
    total = 0.0
    for i in range(5):
        total -= math.log(math.exp(4 * S[i, i]) / sum(math.exp(4 * S[i, j]) for j in range(5)))
        total -= math.log(math.exp(4 * S[i, i]) / sum(math.exp(4 * S[j, i]) for j in range(5)))
    torch.testing.assert_close(info_nce(S, 4.0), torch.tensor(total / 10))


def test_info_nce_of_many_is_their_mean() -> None:
    torch.manual_seed(0)
    S = torch.rand(2, 3, 4, 4)
    each = [info_nce(S[i, j], 4.0) for i in range(2) for j in range(3)]
    torch.testing.assert_close(info_nce(S, 4.0), torch.stack(each).mean())


def test_neighbour_divergence_is_the_kl_divergence_without_the_item_itself() -> None:
    torch.manual_seed(0)
    U, X = torch.randn(6, 4), torch.randn(6, 3)
    total = 0.0
    for i in range(6):
        others = [j for j in range(6) if j != i]

        def softmax(rows: torch.Tensor, scale: float) -> list[float]:
            cosines = [functional.cosine_similarity(rows[i], rows[j], dim=0) for j in others]  # noqa: B023
            powers = [math.exp(scale * float(c)) for c in cosines]
            return [power / sum(powers) for power in powers]

        p, q = softmax(X, 3.0), softmax(U, 2.0)
        total += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    found = neighbour_divergence(U, X, scale=2.0, vector_scale=3.0)
    torch.testing.assert_close(found, torch.tensor(total / 6))


def test_neighbour_divergence_moves_codes_and_not_vectors() -> None:
    torch.manual_seed(0)
    U, X = torch.randn(6, 4, requires_grad=True), torch.randn(6, 3, requires_grad=True)
    neighbour_divergence(U, X, scale=2.0, vector_scale=3.0).backward()
    assert U.grad is not None
    assert bool(U.grad.isfinite().all())
    assert bool((U.grad != 0).any())
    assert X.grad is None
    same = neighbour_divergence(X, 3 * X, scale=2.0, vector_scale=2.0)
    assert abs(same.item()) < 1e-6
