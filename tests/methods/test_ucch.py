"""What only UCCH has: contrast to a memory of signs, and ranking by all strangers."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from crosshash.methods.ucch import UCCH, contrast_loss, ranking_loss


def units(count: int, seed: int) -> torch.Tensor:
    values = torch.randn(count, 8, generator=torch.Generator().manual_seed(seed))
    return values / values.norm(dim=1, keepdim=True)


def test_contrast_tells_the_own_code_among_all() -> None:
    codes = units(4, 0)
    candidates = torch.where(units(9, 1) >= 0, 1.0, -1.0)
    total = 0.0
    for i in range(4):
        logits = [float(codes[i] @ row) / (0.6 * 8**0.5) for row in candidates]
        total -= math.log(math.exp(logits[i]) / sum(map(math.exp, logits)))
    found = contrast_loss(codes, candidates, temperature=0.6)
    assert float(found) == pytest.approx(total / 4, rel=1e-4)


def test_far_strangers_count_less_in_the_ranking() -> None:
    F, G = units(5, 0), units(5, 1)
    C = (F @ G.T).tolist()

    def lowered(value: float, pair: float) -> float:
        return value if value >= pair - 0.2 else value - 1.5

    total = 0.0
    for i in range(5):
        row = sum(math.exp(lowered(C[i][j], C[i][i])) for j in range(5))
        column = sum(math.exp(lowered(C[j][i], C[i][i])) for j in range(5))
        total += math.log(row) + math.log(column) - 2 * C[i][i] + 2 * 0.2
    found = ranking_loss(F, G, margin=0.2, shift=1.5)
    assert float(found) == pytest.approx(total / 5, rel=1e-4)


def build(model_of: Any, batch_of: Any, **objective: Any) -> tuple[UCCH, Any]:
    model = model_of("ucch", image_hidden=[16], text_hidden=[16]).eval()
    batch = batch_of(model.slots)
    algorithm = UCCH(model, len(batch), 0, **objective)
    with torch.no_grad():
        algorithm.begin([batch])
    return algorithm, batch


def unit_codes(algorithm: UCCH, batch: Any) -> list[torch.Tensor]:
    F, G = algorithm.net(batch.images, batch.texts)
    return [codes.tanh() / codes.tanh().norm(dim=1, keepdim=True) for codes in (F, G)]


def test_the_memory_follows_the_codes_slowly(model_of: Any, batch_of: Any) -> None:
    algorithm, batch = build(model_of, batch_of, momentum=0.4)
    with torch.no_grad():
        for parameter in algorithm.net.image_net.parameters():
            parameter.neg_()
    before = algorithm.bank.get_buffer("M").clone()
    F, G = unit_codes(algorithm, batch)
    mean = torch.nn.functional.normalize(F + G, dim=1)
    for warm, momentum in ((True, 0.0), (False, 0.4)):
        algorithm.bank.get_buffer("M").copy_(before)
        algorithm.epoch_starts(0 if warm else 1, 5)
        algorithm.loss(batch)
        assert torch.equal(algorithm.bank.get_buffer("M"), before)  # a loss changes nothing
        algorithm.bank.keep(batch)
        moved = torch.nn.functional.normalize(momentum * before + (1 - momentum) * mean, dim=1)
        torch.testing.assert_close(algorithm.bank.get_buffer("M"), moved.detach())
    assert torch.equal(algorithm.learned_codes(), torch.where(moved >= 0, 1.0, -1.0))


def test_warming_up_meets_the_batch_and_later_the_memory(model_of: Any, batch_of: Any) -> None:
    algorithm, batch = build(model_of, batch_of, negatives=7)
    F, G = unit_codes(algorithm, batch)
    signs = torch.where(F + G >= 0, 1.0, -1.0)
    expected = sum(contrast_loss(codes, signs, temperature=0.9) for codes in (F, G))
    torch.testing.assert_close(algorithm.loss(batch)["contrast"], expected)
    algorithm.epoch_starts(1, 5)
    algorithm.bank.get_buffer("M").neg_()
    torch.manual_seed(5)
    drawn = torch.randint(len(batch), (7,))
    candidates = torch.cat([-signs, -signs[drawn]])
    expected = sum(contrast_loss(codes, candidates, temperature=0.9) for codes in (F, G))
    torch.manual_seed(5)
    torch.testing.assert_close(algorithm.loss(batch)["contrast"], expected)


def test_it_needs_no_labels_and_says_so(model_of: Any, batch_of: Any, steps: Any) -> None:
    algorithm, batch = build(model_of, batch_of)
    batch.labels = None
    steps(algorithm, batch, 2)
    assert not algorithm.supervised


@pytest.mark.parametrize("wrong", [{"alpha": 1.5}, {"momentum": 1.0}])
def test_shares_are_shares(model_of: Any, batch_of: Any, wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"algorithm.{next(iter(wrong))} is in"):
        build(model_of, batch_of, **wrong)
