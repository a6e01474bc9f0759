from __future__ import annotations

import pytest
import torch
from torch import nn

from crosshash.layers.discriminator import Discriminator
from crosshash.layers.heads import Encoder, HashHead, TokenHead


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("tanh", [True, False])
def test_a_hash_head_is_linear_and_where_asked_bounded(tanh: bool) -> None:
    torch.manual_seed(0)
    head = HashHead(5, 16, tanh=tanh)
    x = 10 * draw(7, 5)
    codes = head(x)
    linear = x @ head.linear.weight.T + head.linear.bias
    assert codes.shape == (7, 16)
    torch.testing.assert_close(codes, linear.tanh() if tanh else linear)
    assert (codes.abs().max() <= 1) == tanh


def test_a_token_head_has_a_bit_from_each_token() -> None:
    torch.manual_seed(0)
    head = TokenHead(5, 8)
    nn.init.normal_(head.bias)
    tokens = draw(3, 8, 5)
    codes = head(tokens)
    assert codes.shape == (3, 8)
    for k in range(8):
        linear = tokens[:, k] @ head.weight[k] + head.bias[k]
        torch.testing.assert_close(codes[:, k], linear.tanh())


def test_an_encoder_is_linear_norm_relu_for_each_width() -> None:
    torch.manual_seed(0)
    encoder = Encoder(5, (8, 3)).train()
    x = draw(10, 5)
    y = x
    for linear in (encoder.layers[0], encoder.layers[3]):
        y = y @ linear.weight.T + linear.bias
        y = (y - y.mean(dim=0)) / (y.var(dim=0, unbiased=False) + 1e-5).sqrt()
        y = y.clamp(min=0)
    torch.testing.assert_close(encoder(x), y)
    assert encoder.out_dim == 3


def test_an_encoder_without_layers_is_the_identity() -> None:
    x = draw(4, 5)
    encoder = Encoder(5, ())
    assert torch.equal(encoder(x), x)
    assert encoder.out_dim == 5


def test_dropout_is_for_training_only() -> None:
    encoder = Encoder(5, (64,), dropout=0.5)
    assert any(isinstance(layer, nn.Dropout) for layer in encoder.layers)
    x = draw(8, 5)
    encoder.eval()
    assert torch.equal(encoder(x), encoder(x))
    encoder.train()
    assert not torch.equal(encoder(x), encoder(x))
    assert not any(isinstance(layer, nn.Dropout) for layer in Encoder(5, (64,)).layers)


def test_in_eval_mode_an_item_alone_is_the_item_in_a_batch() -> None:
    encoder = Encoder(5, (8, 3))
    encoder.train()(draw(32, 5))
    encoder.eval()
    x = draw(6, 5, seed=1)
    torch.testing.assert_close(torch.cat([encoder(row[None]) for row in x]), encoder(x))


def test_a_discriminator_gives_one_logit_for_each_row() -> None:
    torch.manual_seed(0)
    judge = Discriminator(8, hidden=4)
    x = draw(6, 8)
    hidden = x @ judge.layers[0].weight.T + judge.layers[0].bias
    hidden = torch.where(hidden > 0, hidden, 0.2 * hidden)
    expected = (hidden @ judge.layers[2].weight.T + judge.layers[2].bias)[:, 0]
    assert judge(x).shape == (6,)
    torch.testing.assert_close(judge(x), expected)
    assert judge(x[:1]).shape == (1,)


@pytest.mark.parametrize("module", [HashHead(5, 8), Encoder(5, (8, 4)), Discriminator(5)])
def test_gradients_reach_every_parameter(module: nn.Module) -> None:
    module.train()
    # A mean over the batch would be constant behind BatchNorm: weigh the rows.
    (module(draw(12, 5)).reshape(12, -1) * draw(12, 1, seed=1)).sum().backward()
    for name, parameter in module.named_parameters():
        if not (isinstance(module, Encoder) and name in ("layers.0.bias", "layers.3.bias")):
            assert parameter.grad is not None, name  # biases before BatchNorm have no effect
            assert parameter.grad.abs().sum() > 0, name
