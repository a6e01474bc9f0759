"""The rest of a backbone after its feature map, which attention may come before."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from crosshash.backbones import ImageBackbone, create_image_backbone
from crosshash.backbones.image.cnnf import CNNF

SWIN = {"embed_dim": 16, "depths": (1, 1), "num_heads": (2, 2)}
# Name, options, image size: maps of channels first, channels last, and tokens without a prefix.
WITH_HEAD = [
    ("cnnf", {"layer": "fc6"}, 96),
    ("cnnf", {"layer": "fc7"}, 96),
    ("test_resnet", {}, 64),
    ("test_efficientnet", {}, 64),
    ("mobilenetv3_small_050", {}, 64),
    ("test_convnext", {}, 64),
    ("test_mambaout", {}, 64),
    ("swin_tiny_patch4_window7_224", {"model_options": SWIN}, 56),
    ("test_vit", {"model_options": {"class_token": False, "global_pool": "avg"}}, 96),
]


@pytest.fixture(params=WITH_HEAD, ids=lambda case: "-".join([case[0], *map(str, case[1].values())]))
def case(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> tuple[ImageBackbone, torch.Tensor]:
    name, options, size = request.param
    monkeypatch.setattr(CNNF, "widths", (4, 5, 6, 7, 8))
    monkeypatch.setattr(CNNF, "dim", 16)
    torch.manual_seed(0)
    backbone = create_image_backbone(name, weights="random", image_size=size, **options)
    scale = 255 if name == "cnnf" else 1
    return backbone.eval(), torch.randn(2, 3, size, size) * scale


def test_the_head_of_the_map_is_the_pooled_feature(case) -> None:
    backbone, pixels = case
    assert backbone.has_head
    with torch.no_grad():
        features = backbone(pixels)
        before = features.map.clone()
        again = backbone.head(features.map)
        halved = backbone.head(features.map * torch.linspace(0, 1, features.map.shape[-1]))
    torch.testing.assert_close(again, features.pooled)
    assert torch.equal(features.map, before)
    assert not torch.allclose(halved, features.pooled)


def test_gradients_pass_through_a_frozen_head(case) -> None:
    backbone, pixels = case
    backbone.requires_grad_(False)
    attention = nn.Conv2d(backbone.channels, backbone.channels, 1)
    pooled = backbone.head(attention(backbone(pixels).map))
    (pooled * torch.randn_like(pooled)).sum().backward()
    assert attention.weight.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in backbone.parameters())


def test_alexnet_goes_on_from_its_map() -> None:
    torch.manual_seed(0)
    backbone = create_image_backbone("alexnet", weights="random", image_size=64).eval()
    backbone.requires_grad_(False)
    features = backbone(torch.randn(2, 3, 64, 64))
    given = features.map.clone().requires_grad_()
    pooled = backbone.head(given)
    torch.testing.assert_close(pooled, features.pooled)
    pooled.sum().backward()
    assert given.grad.abs().sum() > 0


def test_the_head_takes_maps_of_another_size(case) -> None:
    backbone, _ = case
    grown = torch.rand(3, backbone.channels, 8, 9)
    with torch.no_grad():
        assert backbone.head(grown).shape == (3, backbone.dim)


def test_a_transformer_with_prefix_tokens_says_why_it_cannot() -> None:
    backbone = create_image_backbone("test_vit", weights="random", image_size=96).eval()
    assert not backbone.has_head
    with pytest.raises(ValueError, match=r"test_vit.*prefix tokens.*cnnf"):
        backbone.head(backbone(torch.randn(1, 3, 96, 96)).map)


def test_backbones_without_a_map_say_so() -> None:
    features = create_image_backbone("features", dim=5)
    tokens = create_image_backbone("pit_ti_224", weights="random", image_size=64)
    for backbone in (features, tokens):
        assert not backbone.has_head
        with pytest.raises(ValueError, match=rf"'{backbone.name}' cannot go on from a feature map"):
            backbone.head(torch.zeros(2, 5, 1, 1))
