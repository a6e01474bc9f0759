from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from crosshash.backbones import ImageBackbone, create_image_backbone, fingerprint
from crosshash.backbones.image.cnnf import CNNF


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same layers with few channels."""
    monkeypatch.setattr(CNNF, "widths", (4, 5, 6, 7, 8))
    monkeypatch.setattr(CNNF, "dim", 16)
    torch.manual_seed(0)


def pixels(count: int, side: int) -> torch.Tensor:
    coarse = torch.rand(count, 3, 9, 9, generator=torch.Generator().manual_seed(1)) * 255
    return torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")


def built(**options: object) -> ImageBackbone:
    return create_image_backbone("cnnf", **{"weights": "random", **options})


def test_layers_have_the_published_sizes() -> None:
    with torch.device("meta"):
        backbone = built().eval()
        features = backbone(torch.empty(2, 3, 224, 224))
    shapes = {name: tuple(value.shape) for name, value in backbone.named_parameters()}
    assert shapes["features.conv1.weight"] == (64, 3, 11, 11)
    assert shapes["features.conv2.weight"] == (256, 64, 5, 5)
    assert shapes["features.conv5.weight"] == (256, 256, 3, 3)
    assert shapes["classifier.fc6.weight"] == (4096, 6 * 6 * 256)
    assert shapes["classifier.fc7.weight"] == (4096, 4096)
    assert features.map.shape == (2, backbone.channels, 6, 6) == (2, 256, 6, 6)
    assert features.pooled.shape == (2, backbone.dim) == (2, 4096)


@pytest.mark.parametrize("layer", ["fc6", "fc7"])
def test_the_pooled_feature_is_that_layer_after_its_relu(narrow: None, layer: str) -> None:
    backbone = built(layer=layer).eval()
    with torch.no_grad():
        features = backbone(pixels(2, 224))
        expected = features.map.flatten(1)
        for name in ("fc6", "fc7")[: 1 + (layer == "fc7")]:
            expected = backbone.classifier.get_submodule(name)(expected).relu()
    torch.testing.assert_close(features.pooled, expected)
    assert (expected > 0).any()
    assert any("fc7" in name for name in backbone.state_dict()) == (layer == "fc7")


def test_gradients_reach_every_parameter(narrow: None) -> None:
    for layer in ("fc6", "fc7"):
        backbone = built(layer=layer, image_size=96).train()
        backbone(pixels(8, 96)).pooled.square().sum().backward()
        dead = [
            name
            for name, parameter in backbone.named_parameters()
            if parameter.grad is None or not parameter.grad.abs().sum() > 0
        ]
        assert dead == []


def test_pictures_come_in_0_to_255_and_lose_the_mean_image(narrow: None) -> None:
    backbone = built().eval()
    picture = backbone.preprocess(Image.new("RGB", (300, 260), (255, 0, 51)))
    assert picture.shape == (3, 224, 224)
    torch.testing.assert_close(picture.mean(dim=(1, 2)), torch.tensor([255.0, 0.0, 51.0]))
    torch.testing.assert_close(
        backbone.mean_image[:, 3, 5], torch.tensor([123.68, 116.779, 103.939])
    )
    backbone.mean_image.copy_(pixels(1, 224)[0])
    with torch.no_grad():
        nothing = backbone.features(torch.zeros(1, 3, 224, 224))
        torch.testing.assert_close(backbone(pixels(1, 224)).map, nothing, rtol=1e-4, atol=1e-4)


def test_other_image_sizes_scale_the_mean_image_and_pool_the_map(narrow: None) -> None:
    # A slope from left to right: at half the side, each pixel is the mean of two.
    slope = torch.linspace(0, 100, 224)
    backbone = built(image_size=112).eval()
    backbone.mean_image.copy_(slope.expand(3, 224, 224))
    seen: list[torch.Tensor] = []
    backbone.features.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        features = backbone(torch.zeros(1, 3, 112, 112))
    torch.testing.assert_close(-seen[0][0, 2, 50], slope.reshape(112, 2).mean(1))
    assert features.map.shape == (1, 8, 3, 3)
    assert features.pooled.shape == (1, 16)


def test_the_smallest_picture_passes_and_a_smaller_one_is_refused(narrow: None) -> None:
    assert built(image_size=55).eval()(pixels(2, 55)).map.shape == (2, 8, 1, 1)
    with pytest.raises(ValueError, match="at least 55, got 54"):
        built(image_size=54)


@pytest.mark.parametrize("layer", ["fc6", "fc7"])
def test_one_file_serves_both_layers_and_the_spec_rebuilds_them(
    narrow: None, layer: str, tmp_path: Path
) -> None:
    whole = built()
    whole.mean_image.add_(1)
    save_file(dict(whole.state_dict()), tmp_path / "w.safetensors")
    backbone = built(weights=tmp_path / "w.safetensors", layer=layer, image_size=64)
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, whole.state_dict()[name])
    spec = json.loads(json.dumps(backbone.spec()))
    assert spec["layer"] == layer
    with torch.device("meta"):
        again = create_image_backbone(**spec)
    assert again.spec() == backbone.spec()
    again.to_empty(device="cpu")
    again.load_state_dict(backbone.state_dict())
    assert fingerprint(again) == fingerprint(backbone)


def test_a_picture_alone_has_the_features_it_has_in_a_batch(narrow: None) -> None:
    backbone = built(image_size=64).eval()
    with torch.no_grad():
        batch = backbone(pixels(3, 64))
        alone = backbone(pixels(3, 64)[1:2])
    torch.testing.assert_close(alone.pooled[0], batch.pooled[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(alone.map[0], batch.map[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "pretrained"}, "crosshash convert cnnf"),
        ({"layer": "fc8"}, "fc8|fc6"),
        ({"preprocess": {"maen": [0, 0, 0]}}, "did you mean 'mean'"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        built(**options)


def test_an_unknown_layer_is_refused_without_a_config_too() -> None:
    with pytest.raises(ValueError, match=r"'fc6' or 'fc7', got 'fc8'"):
        CNNF(weights="random", layer="fc8")


def test_weights_that_do_not_fit_name_the_tensor(narrow: None, tmp_path: Path) -> None:
    state = dict(built().state_dict())
    state.pop("features.conv3.weight")
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"missing: features\.conv3\.weight"):
        built(weights=tmp_path / "w.safetensors")
