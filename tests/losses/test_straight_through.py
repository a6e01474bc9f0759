"""Codes that feel their signs while they learn."""

from __future__ import annotations

import pytest
import torch

from crosshash.losses.straight_through import toward_signs


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_values_move_and_the_gradient_does_not(share: float) -> None:
    codes = torch.tensor([[0.0, -0.5, 3.0]], requires_grad=True)
    moved = toward_signs(codes, share)
    signs = torch.tensor([[1.0, -1.0, 1.0]])
    torch.testing.assert_close(moved, (1 - share) * codes + share * signs)
    moved.sum().backward()
    assert torch.equal(codes.grad, torch.ones(1, 3))


def test_signs_may_be_those_of_other_numbers() -> None:
    codes = torch.tensor([[0.25, -0.5]], requires_grad=True)
    moved = toward_signs(codes, 0.5, of=torch.tensor([[-3.0, 0.0]]))
    torch.testing.assert_close(moved, torch.tensor([[-0.375, 0.25]]))
    moved.sum().backward()
    assert torch.equal(codes.grad, torch.ones(1, 2))
