from __future__ import annotations

import pytest
import torch

from crosshash.algorithms.laplacian import LabelLaplacian


def labels_of(n: int = 60, c: int = 6, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(n, c, generator=generator) < 0.3).float()
    labels[3] = 0  # an item without a label
    return labels


def dense(labels: torch.Tensor, normalized: bool) -> torch.Tensor:
    """The Laplacian by its definition, item by item."""
    n = len(labels)
    S = [[float(bool((labels[i] * labels[j]).sum() > 0)) for j in range(n)] for i in range(n)]
    degrees = [sum(row) for row in S]
    lap = torch.zeros(n, n, dtype=torch.float64)
    for i in range(n):
        for j in range(n):
            if not degrees[i] or not degrees[j]:
                continue
            if normalized:
                lap[i, j] = (i == j) - S[i][j] / (degrees[i] * degrees[j]) ** 0.5
            else:
                lap[i, j] = (i == j) * degrees[i] - S[i][j]
    return lap


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("normalized", [True, False])
def test_products_are_those_of_the_dense_matrix(normalized: bool) -> None:
    labels, x = labels_of(), draw(60, 8)
    lap = dense(labels, normalized)
    ours = LabelLaplacian(labels, normalized=normalized)
    torch.testing.assert_close(ours.product(x), lap @ x.double())
    assert ours.trace(x) == pytest.approx(float(torch.trace(x.double().T @ lap @ x.double())))


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("weight", [0.0, 0.5, 20.0])
def test_the_solution_is_that_of_the_dense_matrix(normalized: bool, weight: float) -> None:
    labels, right = labels_of(), draw(60, 8)
    matrix = 2 * torch.eye(60, dtype=torch.float64) + weight * dense(labels, normalized)
    expected = torch.linalg.solve(matrix, right.double())
    found = LabelLaplacian(labels, normalized=normalized).solve(right, shift=2.0, weight=weight)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_the_solution_minimises_the_relaxed_problem() -> None:
    """gamma tr(B^T Lap B) + beta (|B - F|^2 + |B - G|^2) is lowest there."""
    labels, F, G = labels_of(), draw(60, 4), draw(60, 4) * 0.5
    lap, beta, gamma = dense(labels, True), 0.7, 1.3
    found = LabelLaplacian(labels).solve(beta * (F + G), shift=2 * beta, weight=gamma)
    B = found.clone().requires_grad_()
    loss = gamma * torch.trace(B.T @ lap @ B)
    loss = loss + beta * ((B - F).square().sum() + (B - G).square().sum())
    loss.backward()
    assert B.grad.abs().max() < 1e-5


def test_similarities_that_are_not_kept_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, right = labels_of(300), draw(300, 4)
    kept = LabelLaplacian(labels).solve(right, shift=1.0, weight=1.0)
    monkeypatch.setattr("crosshash.algorithms.laplacian._KEPT", 1)
    monkeypatch.setattr("crosshash.algorithms.laplacian._BLOCK", 7)
    torch.testing.assert_close(LabelLaplacian(labels).solve(right, shift=1.0, weight=1.0), kept)


def test_a_right_side_of_zeros_gives_zeros() -> None:
    found = LabelLaplacian(labels_of()).solve(torch.zeros(60, 3), shift=1.0, weight=1.0)
    assert torch.equal(found, torch.zeros(60, 3, dtype=torch.float64))


def test_too_few_steps_are_an_error() -> None:
    with pytest.raises(ArithmeticError, match="residual"):
        LabelLaplacian(labels_of()).solve(draw(60, 3), shift=1.0, weight=5.0, most=1)


def test_weights_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="shift"):
        LabelLaplacian(labels_of()).solve(draw(60, 3), shift=0.0, weight=1.0)
