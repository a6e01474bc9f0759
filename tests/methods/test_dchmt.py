"""What only DCHMT has: distances of selections, and a margin in bits."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from crosshash.methods.dchmt import DCHMT, margin_loss, selection_distance


def selected(values: torch.Tensor) -> torch.Tensor:
    """The paper's selections as it has them: a softmax over two outputs for each bit."""
    pairs = torch.stack([values, -values], dim=2)  # their difference is twice the value
    return pairs.softmax(dim=2).flatten(1)


def test_a_tanh_is_a_selection_of_two() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(5, 8, generator=generator), torch.randn(4, 8, generator=generator)
    found = selection_distance(a.tanh(), b.tanh())
    for i in range(5):
        for j in range(4):
            expected = (selected(a)[i] - selected(b)[j]).square().sum()
            assert float(found[i, j]) == pytest.approx(float(expected), rel=1e-4)


def test_codes_that_differ_in_a_bit_are_two_apart() -> None:
    one, other = torch.tensor([[1.0, 1.0, -1.0]]), torch.tensor([[1.0, -1.0, -1.0]])
    assert float(selection_distance(one, other)) == 2.0


def test_the_loss_is_that_of_the_docstring() -> None:
    generator = torch.Generator().manual_seed(0)
    U, V = (torch.randn(6, 8, generator=generator).tanh() for _ in range(2))
    S = (torch.rand(6, 6, generator=generator) < 0.4).float()
    total = 0.0
    for i in range(6):
        for j in range(6):
            squared = float((U[i] - V[j]).square().sum()) / 2
            total += squared if S[i, j] else max(0.0, 2.5 - squared**0.5) ** 2
    assert float(margin_loss(U, V, S, 2.5)) == pytest.approx(total / 36, rel=1e-4)


def test_strangers_beyond_the_margin_are_left_alone() -> None:
    U = torch.tensor([[0.9, 0.9], [-0.9, -0.9]], requires_grad=True)
    margin_loss(U, U.detach(), torch.eye(2), 1.0).backward()
    assert U.grad.abs().sum() == 0
    U.grad = None
    margin_loss(U, U.detach(), torch.eye(2), 3.0).backward()
    assert (U.grad[0] < 0).all()  # away from the other


def test_an_item_meets_itself_without_a_slope_of_infinity() -> None:
    U = torch.tensor([[0.5, -0.5], [0.5, -0.5]], requires_grad=True)
    margin_loss(U, U, torch.eye(2), 1.0).backward()
    assert torch.isfinite(U.grad).all()


def test_the_margin_is_half_of_the_bits(model_of: Any, batch_of: Any) -> None:
    model = model_of("dchmt").eval()
    batch = batch_of(model.slots)
    algorithm = DCHMT(model, len(batch), 4)
    assert algorithm.margin == pytest.approx(16**0.5)
    terms = algorithm.loss(batch)
    F, G = (codes.tanh() for codes in model(batch.images, batch.texts))
    S = (batch.labels.float() @ batch.labels.float().T > 0).float()
    torch.testing.assert_close(terms["inter"], margin_loss(F, G, S, 4.0))
    torch.testing.assert_close(
        terms["intra"], margin_loss(F, F, S, 4.0) + margin_loss(G, G, S, 4.0)
    )
    assert set(DCHMT(model, len(batch), 4, intra=0.0).loss(batch)) == {"inter"}


def test_a_share_of_bits_is_a_share(model_of: Any) -> None:
    with pytest.raises(ValueError, match=r"vartheta is in \(0, 1\], got 0"):
        DCHMT(model_of("dchmt"), 8, 4, vartheta=0.0)
