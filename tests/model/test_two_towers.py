"""The plainest network: layers and a linear hash layer for each modality."""

from __future__ import annotations

import torch

from crosshash.backbones import create_image_backbone, create_text_encoder
from crosshash.backbones.base import Features
from crosshash.model.two_towers import TwoTowers


def build(**options: object) -> TwoTowers:
    torch.manual_seed(0)
    text = create_text_encoder("bow", vocabulary=["a", "b", "c"])
    image = create_image_backbone(name="features", dim=5)
    return TwoTowers({"image": image}, text, 16, **options).eval()  # type: ignore[arg-type]


def test_codes_are_a_linear_map_of_the_last_layer() -> None:
    net = build(image_hidden=[7, 6], text_hidden=[4])
    assert net.dims == {"image": 6, "text": 4}
    image, text = {"image": Features(torch.randn(3, 5))}, Features(torch.rand(3, 3))
    for vector, codes, tower in (
        (net.image_vector(image), net.hash_image(image), net.image_net),
        (net.text_vector(text), net.hash_text(text), net.text_net),
    ):
        layer = tower["codes"].linear
        torch.testing.assert_close(codes, vector @ layer.weight.T + layer.bias)
        assert codes.shape == (3, 16)


def test_without_layers_the_encoder_feeds_the_codes() -> None:
    net = build(image_hidden=[], text_hidden=[])
    features = torch.randn(3, 5)
    assert torch.equal(net.image_vector({"image": Features(features)}), features)


def test_dropout_and_norm_are_options() -> None:
    net = build(norm=False, dropout=0.0)
    kinds = {type(part) for tower in (net.image_net, net.text_net) for part in tower.modules()}
    assert not kinds & {torch.nn.BatchNorm1d, torch.nn.Dropout}
    kinds = {type(module) for module in build(norm=True, dropout=0.1).modules()}
    assert kinds >= {torch.nn.BatchNorm1d, torch.nn.Dropout}
