"""What only DCMH has: its three terms and its alternation."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from crosshash.methods.dcmh import DCMH, balance


def build(model_of: Any, batch_of: Any, **objective: Any) -> tuple[DCMH, Any]:
    model = model_of("dcmh", image_hidden=[16], text_hidden=[16])
    batch = batch_of(model.slots)
    algorithm = DCMH(model, len(batch), 4, **objective)
    algorithm.eval()
    with torch.no_grad():
        algorithm.begin([batch])
    return algorithm, batch


def rows_of(batch: Any, index: list[int]) -> Any:
    """Some pairs of a batch."""
    part = torch.tensor(index)
    images = {slot: type(v)(v.pooled[part]) for slot, v in batch.images.items()}
    texts = {name: value[part] for name, value in batch.texts.items()}
    return type(batch)(part, images, texts, batch.labels[part])


@pytest.mark.parametrize("modality", ["image", "text"])
def test_the_terms_are_those_of_the_docstring(model_of: Any, batch_of: Any, modality: str) -> None:
    """The printed sums, pair by pair, over n^2; the bank's other rows stay as they are."""
    algorithm, batch = build(model_of, batch_of, gamma=0.7, eta=0.3)
    with torch.no_grad():
        for parameter in algorithm.parameters():
            parameter.mul_(1.3)  # so that the batch's codes are not the bank's
    bank, labels, n, k = algorithm.bank, batch.labels.float(), len(batch), 16
    part = rows_of(batch, [3, 8, 21, 40, 41])
    F, G = algorithm.net(part.images, part.texts)
    F, G = F.detach(), G.detach()
    own, name, other = (F, "F", bank.G) if modality == "image" else (G, "G", bank.F)
    found = getattr(algorithm, f"{modality}_loss")(part)
    terms = {name: float(value.detach()) for name, value in found.items()}
    likelihood = quantized = 0.0
    for i, row in enumerate(part.index.tolist()):
        for j in range(n):
            theta = 0.5 * float(own[i] @ other[j])
            alike = float(bool((labels[row] * labels[j]).sum() > 0))
            likelihood += math.log(1 + math.exp(theta)) - alike * theta
        quantized += float(((bank.B[row] - own[i]) ** 2).sum())
    assert terms["inter"] == pytest.approx(likelihood / (5 * n), rel=1e-4)
    assert terms["quantization"] == pytest.approx(quantized / (5 * k), rel=1e-4)
    codes = bank.get_buffer(name).clone()
    codes[part.index] = own
    squared = sum(float(codes[:, bit].sum()) ** 2 for bit in range(k))
    assert terms["balance"] == pytest.approx(squared / (n * n * k), rel=1e-4)
    weights = algorithm.weights
    assert weights["quantization"] == pytest.approx(0.7 * k / n)  # sums over n k, beside n^2
    assert weights["balance"] == pytest.approx(0.3 * k)  # |F 1|^2 beside n^2


def test_bits_that_are_always_on_are_what_balance_is_against() -> None:
    codes = torch.tensor([[1.0, 1.0], [1.0, -1.0]], requires_grad=True)
    bank = codes.detach()
    loss = balance(codes, bank, bank)
    assert float(loss.detach()) == pytest.approx(0.5)
    loss.backward()
    assert (codes.grad[:, 0] > 0).all()
    assert (codes.grad[:, 1] == 0).all()


def test_b_is_the_sign_of_both_and_is_what_is_learnt(
    model_of: Any, batch_of: Any, steps: Any
) -> None:
    algorithm, batch = build(model_of, batch_of)
    steps(algorithm, batch, 1)
    assert [phase.name for phase in algorithm.phases()] == ["image", "text", "codes"]
    total = algorithm.bank.F + algorithm.bank.G
    assert torch.equal(algorithm.learned_codes(), torch.where(total >= 0, 1.0, -1.0))


def test_terms_of_weight_zero_are_not_computed(model_of: Any, batch_of: Any) -> None:
    algorithm, batch = build(model_of, batch_of, gamma=0.0, eta=0.0)
    assert set(algorithm.image_loss(batch)) == {"inter"}


def test_labels_are_needed(model_of: Any) -> None:
    with pytest.raises(ValueError, match="learns from labels"):
        DCMH(model_of("dcmh"), 8, 0)
