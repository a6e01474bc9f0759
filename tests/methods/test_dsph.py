"""What only DSPH has: proxies that learn, strangers of several labels, and its threshold."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from crosshash.methods.dsph import DSPH, code_threshold, proxy_loss, stranger_loss


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))


@pytest.fixture
def items() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Codes of two modalities and labels; the last item has one label, the first two are alike."""
    generator = torch.Generator().manual_seed(0)
    U, V = (torch.randn(6, 8, generator=generator) for _ in range(2))
    labels = torch.tensor(
        [[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1], [1, 1, 1, 0], [0, 0, 0, 1]]
    ).float()
    return U, V, labels


def test_proxies_draw_their_own_items_and_push_the_others(items: Any) -> None:
    U, _, labels = items
    proxies = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    near = [1 - cosine(U[i], proxies[c]) for i in range(6) for c in range(4) if labels[i, c]]
    far = [
        max(0.0, cosine(U[i], proxies[c]) - 0.1)
        for i in range(6)
        for c in range(4)
        if not labels[i, c]
    ]
    expected = sum(near) / len(near) + sum(far) / len(far)
    assert float(proxy_loss(U, proxies, labels, 0.1)) == pytest.approx(expected, rel=1e-5)


def test_only_strangers_of_several_labels_are_pushed_apart(items: Any) -> None:
    U, V, labels = items
    found = [
        max(0.0, cosine(U[i], V[j]) + 0.2)
        for i in range(5)
        for j in range(5)
        if not (labels[i] * labels[j]).sum()
    ]
    assert 0 < len(found) < 10
    expected = sum(found) / len(found)
    assert float(stranger_loss(U, V, labels, -0.2)) == pytest.approx(expected, rel=1e-5)
    moved = U.clone().requires_grad_()
    stranger_loss(moved, V, labels, -0.2).backward()
    assert moved.grad[5].abs().sum() == 0  # one label
    assert moved.grad[:5].abs().sum() > 0


def test_items_of_one_label_have_no_strangers(items: Any) -> None:
    U, V, _ = items
    assert float(stranger_loss(U, V, torch.eye(6), -1.0)) == 0.0


@pytest.mark.parametrize(
    ("bits", "classes", "distance"),
    [(16, 10, 8), (16, 24, 8), (16, 80, 6), (32, 24, 16), (64, 24, 32), (64, 80, 32), (8, 2, 8)],
)
def test_the_threshold_is_that_of_codes_as_far_apart_as_a_linear_code_allows(
    bits: int, classes: int, distance: int
) -> None:
    """Distances of the simplex and Reed-Muller codes, and of [16, 7, 6], which are known."""
    assert code_threshold(bits, classes) == pytest.approx(1 - 2 * distance / bits)


def test_more_labels_than_codes_are_refused() -> None:
    assert code_threshold(8, 256) == pytest.approx(1 - 2 / 8)
    with pytest.raises(
        ValueError, match="8 bits have 256 codes, fewer than the 257 labels; take 9"
    ):
        code_threshold(8, 257)


def test_one_step_teaches_proxies_and_networks(model_of: Any, batch_of: Any, steps: Any) -> None:
    model = model_of("dsph")
    batch = batch_of(model.slots)
    algorithm = DSPH(model, len(batch), 4)
    before, proxies = float(algorithm.loss(batch)["proxy"]), algorithm.proxies.detach().clone()
    steps(algorithm, batch, 5)
    assert float(algorithm.loss(batch)["proxy"]) < before
    assert not torch.equal(algorithm.proxies, proxies)


def test_codes_are_compared_after_tanh(model_of: Any, batch_of: Any) -> None:
    model = model_of("dsph").eval()
    batch = batch_of(model.slots)
    algorithm = DSPH(model, len(batch), 4, alpha=0.0, threshold=0.2)
    F, G = (codes.tanh() for codes in model(batch.images, batch.texts))
    labels = batch.labels.float()
    expected = sum(proxy_loss(codes, algorithm.proxies, labels, 0.2) for codes in (F, G))
    terms = algorithm.loss(batch)
    torch.testing.assert_close(terms["proxy"], expected)
    assert set(terms) == {"proxy"}
