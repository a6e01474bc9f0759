from __future__ import annotations

import math

import pytest
import torch

from crosshash.losses.adversarial import discriminator_loss, generator_loss, random_codes
from crosshash.losses.cosine import cosine_regression
from crosshash.losses.likelihood import bank_nll, pairwise_nll
from crosshash.losses.normalization import term_weight
from crosshash.losses.quantization_error import quantization
from crosshash.losses.regularization import l2
from crosshash.similarity import label_similarity


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def similar(n: int, m: int) -> torch.Tensor:
    return (draw(n, m, seed=9) > 0).float()


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


# Pairwise likelihood


@pytest.mark.parametrize("scale", [0.5, 1.0, 0.1])
def test_likelihood_agrees_with_a_loop_over_pairs(scale: float) -> None:
    U, V, S = draw(4, 8), draw(5, 8, seed=1), similar(4, 5)
    total = 0.0
    for i in range(4):
        for j in range(5):
            p = sigmoid(scale * float(U[i] @ V[j]))
            total -= math.log(p if S[i, j] else 1 - p)
    assert pairwise_nll(U, V, S, scale=scale).item() == pytest.approx(total / 20, rel=1e-5)


def test_likelihood_does_not_overflow() -> None:
    U = torch.full((2, 64), 30.0, requires_grad=True)
    V = torch.tensor([[30.0], [-30.0]]).expand(2, 64)
    S = torch.tensor([[0.0, 1.0], [0.0, 1.0]])  # every pair as wrong as can be
    loss = pairwise_nll(U, V, S)
    assert loss.item() == pytest.approx(0.5 * 64 * 900)  # |theta|, where log(1 + exp) is infinite
    loss.backward()
    assert torch.isfinite(U.grad).all()
    assert pairwise_nll(U, V, 1 - S).item() == 0


def test_likelihood_does_not_change_with_the_order_of_items() -> None:
    U, V, S = draw(6, 8), draw(5, 8, seed=1), similar(6, 5)
    rows, columns = torch.randperm(6), torch.randperm(5)
    permuted = pairwise_nll(U[rows], V[columns], S[rows][:, columns])
    torch.testing.assert_close(permuted, pairwise_nll(U, V, S))
    torch.testing.assert_close(pairwise_nll(V, U, S.T), pairwise_nll(U, V, S))


def test_likelihood_does_not_change_when_a_bit_is_flipped_in_all_codes() -> None:
    U, V, S = draw(6, 8), draw(5, 8, seed=1), similar(6, 5)
    flip = torch.ones(8)
    flip[3] = -1
    torch.testing.assert_close(pairwise_nll(U * flip, V * flip, S), pairwise_nll(U, V, S))


@pytest.mark.parametrize("similarity", [0.0, 1.0])
def test_likelihood_pulls_similar_items_together_and_others_apart(similarity: float) -> None:
    U, V = draw(1, 8).requires_grad_(), draw(1, 8, seed=1)
    pairwise_nll(U, V, torch.tensor([[similarity]])).backward()
    change = -(U.grad @ V.T).item()  # of the inner product, by a step down the gradient
    assert (change > 0) == bool(similarity)


# Likelihood over a bank


def bank_of(n: int = 50, k: int = 16, c: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    return draw(n, k, seed=3), (draw(n, c, seed=4) > 0.5).float()


@pytest.mark.parametrize("block", [1, 7, 50, 8192])
def test_likelihood_in_blocks_is_that_of_the_whole_matrix(block: int) -> None:
    V, labels = bank_of()
    values, gradients = [], []
    for blocked in (False, True):
        U = draw(6, 16, seed=5).requires_grad_()
        if blocked:
            loss = bank_nll(U, V, labels[:6], labels, scale=0.3, block=block)
        else:
            loss = pairwise_nll(U, V, label_similarity(labels[:6], labels), scale=0.3)
        (3 * loss).backward()
        values.append(loss.detach())
        gradients.append(U.grad)
    torch.testing.assert_close(values[0], values[1])
    torch.testing.assert_close(gradients[0], gradients[1])


def test_likelihood_over_a_bank_agrees_with_a_loop_over_pairs() -> None:
    V, labels = bank_of(9)
    U, total = draw(3, 16, seed=5), 0.0
    for i in range(3):
        for j in range(9):
            theta = 0.5 * float(U[i] @ V[j])
            alike = bool((labels[i] * labels[j]).sum() > 0)
            p = sigmoid(theta)
            total -= math.log(p if alike else 1 - p)
    assert bank_nll(U, V, labels[:3], labels).item() == pytest.approx(total / 27, rel=1e-5)


def test_likelihood_over_a_bank_does_not_overflow() -> None:
    U = torch.full((2, 64), 30.0, requires_grad=True)
    loss = bank_nll(U, torch.full((4, 64), 30.0), torch.tensor([[1, 0]] * 2), torch.eye(2)[[1] * 4])
    assert loss.item() == pytest.approx(0.5 * 64 * 900)
    loss.backward()
    assert torch.isfinite(U.grad).all()


def test_likelihood_over_a_bank_takes_bfloat16() -> None:
    V, labels = bank_of()
    exact = draw(6, 16, seed=5).requires_grad_()
    bank_nll(exact, V, labels[:6], labels).backward()
    with torch.autocast("cpu", torch.bfloat16):
        U = draw(6, 16, seed=5).requires_grad_()
        loss = bank_nll(U, V, labels[:6], labels)
    loss.backward()
    assert loss.dtype == torch.float32
    assert U.grad.dtype == torch.float32
    torch.testing.assert_close(U.grad, exact.grad, atol=2e-3, rtol=0.05)
    half = bank_nll(U.detach().bfloat16(), V.bfloat16(), labels[:6], labels)
    torch.testing.assert_close(half, loss.detach(), atol=0.05, rtol=0.05)


def test_likelihood_over_a_bank_refuses_codes_that_want_a_gradient() -> None:
    V, labels = bank_of()
    with pytest.raises(ValueError, match="constants"):
        bank_nll(V[:3], V.requires_grad_(), labels[:3], labels)


def test_likelihood_over_a_bank_keeps_no_whole_matrix() -> None:
    n, block, peaks = 100_000, 1000, []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, f, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            made = f(*args, **(kwargs or {}))
            if isinstance(made, torch.Tensor):
                peaks.append(made.numel())
            return made

    labels = torch.zeros(n, 3)
    V = torch.zeros(n, 8)
    with Watch():
        bank_nll(torch.zeros(4, 8), V, labels[:4], labels, block=block)
    assert max(peaks) <= block * 8  # a block of the bank, where the whole matrix has 4 n entries


# Normalisation


def test_sums_weigh_terms_as_printed_and_means_alike() -> None:
    n, k = 6, 16
    U, B, S = draw(n, k), torch.sign(draw(n, k, seed=1)), similar(n, n)
    theta = 0.5 * U @ U.T
    printed = (torch.nn.functional.softplus(theta) - S * theta).sum() + (B - U).square().sum()
    ours = pairwise_nll(U, U, S) + term_weight("sums", k, n) * quantization(B, U)
    torch.testing.assert_close(ours * n * n, printed)
    assert term_weight("means", k, n) == 1
    with pytest.raises(ValueError, match="'sums' or 'means'"):
        term_weight("sum", k, n)  # type: ignore[arg-type]


# Regression of cosines


def test_cosine_regression_agrees_with_a_loop_over_pairs() -> None:
    U, V, T = draw(4, 8), draw(5, 8, seed=1), 2 * similar(4, 5) - 1
    total = 0.0
    for i in range(4):
        for j in range(5):
            cosine = float(U[i] @ V[j]) / math.sqrt(float(U[i] @ U[i]) * float(V[j] @ V[j]))
            total += (cosine - float(T[i, j])) ** 2
    assert cosine_regression(U, V, T).item() == pytest.approx(total / 20, rel=1e-5)


def test_cosine_regression_does_not_change_with_order_length_or_a_flipped_bit() -> None:
    U, V, T = draw(6, 8), draw(5, 8, seed=1), 2 * similar(6, 5) - 1
    expected = cosine_regression(U, V, T)
    rows, columns = torch.randperm(6), torch.randperm(5)
    flip = torch.ones(8)
    flip[0] = -1
    found = cosine_regression(U[rows], V[columns], T[rows][:, columns])
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(cosine_regression(U * 3, V * 0.2, T), expected)
    torch.testing.assert_close(cosine_regression(U * flip, V * flip, T), expected)


def test_cosine_regression_is_zero_for_codes_that_reproduce_the_target() -> None:
    U = draw(5, 8)
    cosines = torch.stack([torch.cosine_similarity(u[None], U) for u in U])
    assert cosine_regression(U, U, cosines).item() == pytest.approx(0, abs=1e-10)


# Quantisation


def test_quantization_agrees_with_a_loop_over_bits() -> None:
    codes = draw(4, 8)
    B = torch.where(draw(4, 8, seed=1) >= 0, 1.0, -1.0)
    total = sum((float(B[i, j]) - float(codes[i, j])) ** 2 for i in range(4) for j in range(8))
    assert quantization(B, codes).item() == pytest.approx(total / 32, rel=1e-5)


def test_quantization_is_zero_for_binary_codes_and_blind_to_order_and_flips() -> None:
    codes = draw(4, 8)
    B = torch.where(codes >= 0, 1.0, -1.0)
    assert quantization(B, B) == 0
    flip = torch.ones(8)
    flip[2] = -1
    rows = torch.randperm(4)
    torch.testing.assert_close(quantization(B * flip, codes * flip), quantization(B, codes))
    torch.testing.assert_close(quantization(B[rows], codes[rows]), quantization(B, codes))


# Regularisation


def test_l2_agrees_with_a_loop_over_entries() -> None:
    parameters = [torch.nn.Parameter(draw(3, 2)), torch.nn.Parameter(draw(4, seed=1))]
    total = sum(float(value) ** 2 for p in parameters for value in p.detach().flatten())
    assert l2(iter(parameters)).item() == pytest.approx(total, rel=1e-5)


def test_l2_is_blind_to_signs_and_pulls_to_zero() -> None:
    parameter = torch.nn.Parameter(draw(3, 2))
    torch.testing.assert_close(l2([parameter]), l2([torch.nn.Parameter(-parameter.detach())]))
    l2([parameter]).backward()
    torch.testing.assert_close(parameter.grad, 2 * parameter.detach())


# Adversarial terms


def test_adversarial_terms_agree_with_a_loop_over_logits() -> None:
    real, generated = draw(6), draw(4, seed=1)
    expected = -sum(math.log(sigmoid(float(x))) for x in real) / 6
    expected -= sum(math.log(1 - sigmoid(float(x))) for x in generated) / 4
    assert discriminator_loss(real, generated).item() == pytest.approx(expected, rel=1e-5)
    fooled = -sum(math.log(sigmoid(float(x))) for x in generated) / 4
    assert generator_loss(generated).item() == pytest.approx(fooled, rel=1e-5)


def test_adversarial_terms_are_blind_to_order() -> None:
    real, generated = draw(6), draw(4, seed=1)
    shuffled = discriminator_loss(real[torch.randperm(6)], generated[torch.randperm(4)])
    torch.testing.assert_close(shuffled, discriminator_loss(real, generated))
    torch.testing.assert_close(
        generator_loss(generated[torch.randperm(4)]), generator_loss(generated)
    )


def test_the_generator_has_a_gradient_where_the_discriminator_has_won() -> None:
    logits = torch.tensor([-50.0, -200.0], requires_grad=True)
    generator_loss(logits).backward()
    torch.testing.assert_close(logits.grad, torch.tensor([-0.5, -0.5]))


def test_adversarial_terms_do_not_overflow() -> None:
    far = torch.tensor([1e4, -1e4])
    assert torch.isfinite(discriminator_loss(far, far))
    assert torch.isfinite(generator_loss(far))


def test_random_codes_are_balanced_signs_of_the_given_kind() -> None:
    like = torch.zeros(400, 16, dtype=torch.float64)
    codes = random_codes(like, torch.Generator().manual_seed(0))
    assert codes.dtype == torch.float64
    assert codes.shape == (400, 16)
    assert set(codes.unique().tolist()) == {-1.0, 1.0}
    assert codes.mean(dim=0).abs().max() < 0.2
    assert torch.equal(codes, random_codes(like, torch.Generator().manual_seed(0)))
