from __future__ import annotations

import math

import torch

from crosshash.layers.attention import SampleAttention


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def layer(dim: int = 6) -> SampleAttention:
    torch.manual_seed(0)
    return SampleAttention(dim)


def test_attention_agrees_with_a_loop_over_items() -> None:
    x, attention = draw(5, 6), layer().requires_grad_(False)
    queries, keys, values = attention.query(x), attention.key(x), attention.value(x)
    out = attention(x)
    for i in range(5):
        scores = [math.exp(float(queries[i] @ keys[j]) / math.sqrt(6)) for j in range(5)]
        mixed = sum(s / sum(scores) * values[j] for j, s in enumerate(scores))
        torch.testing.assert_close(out[i], x[i] + mixed)


def test_attention_follows_a_permutation_of_the_items() -> None:
    x, attention = draw(9, 6), layer()
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(attention(x[order]), attention(x)[order])


def test_an_item_alone_attends_to_itself() -> None:
    x, attention = draw(1, 6), layer()
    torch.testing.assert_close(attention(x), x + attention.value(x))


def test_items_couple() -> None:
    x, attention = draw(4, 6), layer()
    other = x.clone()
    other[3] += 1
    assert not torch.allclose(attention(x)[0], attention(other)[0])


def test_gradients_reach_every_parameter() -> None:
    attention = layer()
    attention(draw(5, 6)).square().sum().backward()
    for name, parameter in attention.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
